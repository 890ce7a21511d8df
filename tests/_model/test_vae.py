"""The model's own gradient against autograd's."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from skvae._model.locations import NOISE_SPEED
from skvae._model.missing_regressions import PRECISION
from skvae._model.phases import CODES, DECODER, WHOLE
from skvae._model.self_masking import OWN_VARIANCE
from skvae._model.vae import VAE
from skvae._table.group import stack
from skvae._torch.row_wise import is_row_wise
from skvae.likelihoods import (
    Bernoulli,
    Categorical,
    Gaussian,
    Histogram,
    NegativeBinomial,
    Poisson,
    StudentT,
)
from skvae.likelihoods._clusters import ClusteredCategorical
from skvae.networks import MLP
from skvae.objectives import ELBO, IWAE, Draws
from skvae.priors._modules import LearnedMixture

RNG = np.random.default_rng(0)
TABLE = np.column_stack(
    [
        RNG.normal(size=(20, 2)),
        RNG.random((20, 2)) < 0.4,
        RNG.integers(0, 3, 20),
        RNG.poisson(3, 20),
        RNG.normal(size=(20, 4)),
        RNG.poisson(9, 20),
    ]
).astype(float)
# likelihood, places, and the emphasis of columns in one unit
PLAIN = [
    (Gaussian(), [0, 1], None),
    (Bernoulli(), [2, 3], None),
    (Categorical(), [4], None),
    (Poisson(), [5], None),
    (NegativeBinomial(), [10], None),
]
EMPHASISED = (Gaussian(), [0, 1], np.array([0.3, 1.4]))
CLUSTERED = (ClusteredCategorical(2, 2, 3), [5], None)
HISTOGRAM = (Histogram(n_bins=6, rows_per_bin=4), [6, 7], None)
LOCATED = [
    EMPHASISED,
    *PLAIN[1:],
    HISTOGRAM,
    (StudentT(), [8], None),
    (Histogram(n_bins=5, rows_per_bin=5), [9], np.array([0.7])),
]
# codes are found by locations, where there are some
TABLES = {
    "five groups": (PLAIN, [WHOLE, DECODER]),
    "one group": (PLAIN[:1], [WHOLE]),
    "clusters": ([EMPHASISED, CLUSTERED], [WHOLE, CODES]),
    "locations": (LOCATED, [WHOLE, CODES]),
    "emphasised": ([EMPHASISED], [WHOLE, CODES, DECODER]),
    "histogram": ([HISTOGRAM], [WHOLE, CODES]),
}
NAMES = {WHOLE: "whole", CODES: "codes", DECODER: "decoder"}
CASES = [
    pytest.param(groups, phase, id=f"{name}-{NAMES[phase]}")
    for name, (groups, phases) in TABLES.items()
    for phase in phases
]


def build(groups, gaps=(), self_masking=False):
    """A model in float64 of the groups of columns, and the working units of their table."""
    fitted, working = [], []
    for likelihood, places, emphasis in groups:
        x = TABLE[:, places]
        constants = [likelihood.fit(column[:, None], np.ones(len(x))) for column in x.T]
        constants = {name: stack([one[name] for one in constants]) for name in constants[0]}
        fitted.append((likelihood, constants, len(places), emphasis))
        working.append(likelihood.to_working(x, constants))
    generator = torch.Generator().manual_seed(0)
    networks = MLP((7,)), MLP((5,), "elu")
    model = VAE(fitted, gaps, *networks, 3, generator, self_masking=self_masking).double()
    for name, parameter in model.named_parameters():  # many start at zero
        # smaller for the encoder, so that log std stays within its bounds
        scale = 0.1 if name.startswith("encoder") else 0.2
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return model, torch.from_numpy(np.column_stack(working))


def log_prior_of(masking):
    """The log prior of the weights, up to a constant."""
    own = masking.weight.view(-1)[masking.own_weights].square().sum()
    others = masking.weight.square().sum() - own
    n = len(masking.columns)
    return -PRECISION / 2 * others - n / 2 * (own / n + OWN_VARIANCE).log()


@pytest.mark.parametrize("objective", [ELBO(0.7, free_bits=0.1), IWAE(0.7)])
@pytest.mark.parametrize(
    ("share_missing", "self_masking"), [(0.0, False), (0.3, False), (0.3, True)]
)
@pytest.mark.parametrize(("groups", "phase"), CASES)
def test_the_gradient_is_that_of_the_objective(
    groups, phase, share_missing, self_masking, objective
):
    generator = torch.Generator().manual_seed(1)
    n_columns = sum(len(places) for _, places, _ in groups)
    gaps = range(n_columns - self_masking) if share_missing else []
    model, x = build(groups, gaps, self_masking)
    x[torch.rand(x.shape, generator=generator) < share_missing] = torch.nan
    cells = model.cells(x)
    noise = torch.randn(4, len(x), 3, generator=generator).double()
    with_masks = model.with_evidence(cells)
    expected_bound = model.bound(objective, with_masks, noise, phase)
    parameters = model.learned(phase)
    loss = -expected_bound.mean()
    if model.self_masking is not None:  # n_rows is 1
        loss = loss - log_prior_of(model.self_masking)
    expected = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    for parameter in parameters:  # as in training: others have none
        parameter.grad = torch.zeros_like(parameter)
    with torch.inference_mode():  # as in training, where minibatches are made
        everyone = torch.arange(len(x))
        find = model.find_gradient(objective, cells.take(everyone), noise, generator, phase)
        bound, log_px, kl = find()
    draws = Draws.of(*model.encode(cells), noise)
    torch.testing.assert_close(bound, expected_bound)
    outputs = model.decode(draws.z, None, phase)
    torch.testing.assert_close(log_px, model.log_prob(with_masks, outputs, phase))
    torch.testing.assert_close(kl, draws.kl())
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    learned = set(parameters)
    assert all(p.grad is None for p in model.parameters() if p not in learned)


def test_a_phase_learns_its_own_parameters():
    model, _ = build(LOCATED)
    encoder, shapes = set(model.encoder.parameters()), set(model.shapes.parameters())
    located, others = set(), set()
    for group in model.groups:
        (located if group.likelihood.has_location else others).update(group.parameters())
    assert located
    assert others
    noise = {model.location_noise.log_excess}
    parts = encoder | set(model.decoder.parameters()) | shapes | located | others
    assert parts | noise == set(model.parameters())
    assert set(model.learned(WHOLE)) == parts
    assert set(model.learned(CODES)) == parts - shapes - located | noise
    assert set(model.learned(DECODER)) == parts - encoder
    for phase in NAMES:
        assert len(model.learned(phase)) == len(set(model.learned(phase)))


def test_features_do_not_change_under_a_fixed_encoder():
    model, _ = build([EMPHASISED, CLUSTERED])
    (vectors,) = model.groups[1].learned_features
    assert any(p is vectors for p in model.learned(CODES))
    assert not any(p is vectors for p in model.learned(DECODER))


@pytest.mark.parametrize("phase", [WHOLE])
def test_log_prob_sums_over_all_groups(phase):
    model, x = build(LOCATED)
    z = torch.randn(4, len(x), 3, generator=torch.Generator().manual_seed(2)).double()
    outputs, start = model.decode(z, phase=phase), 0
    expected = torch.zeros(4, len(x)).double()
    for group, out in zip(model.groups, outputs, strict=True):
        assert out.shape == (4, len(x), group.n_outputs)
        expected += group.log_prob(x[:, start : start + group.n_columns], out).sum(-1)
        start += group.n_columns
    torch.testing.assert_close(model.log_prob(model.cells(x), outputs, phase), expected)


def test_codes_are_found_by_locations_with_one_noise():
    model, x = build(LOCATED)
    z = torch.randn(4, len(x), 3, generator=torch.Generator().manual_seed(2)).double()
    model.location_noise.smallest.fill_(0.2)
    outputs, whole, start = model.decode(z, phase=CODES), model.decode(z), 0
    noise = ((NOISE_SPEED * model.location_noise.log_excess).exp().square() + 0.2**2).sqrt()
    expected = torch.zeros(4, len(x)).double()
    for group, out, all_outputs in zip(model.groups, outputs, whole, strict=True):
        torch.testing.assert_close(out, all_outputs[..., : out.shape[-1]])
        of_group = x[:, start : start + group.n_columns]
        if group.likelihood.has_location:
            assert out.shape[-1] == group.n_columns
            location = group.likelihood.location(of_group, group.tensors)
            emphasis = 1.0 if group.emphasis is None else group.emphasis
            log_prob = Normal(emphasis * out, noise).log_prob(emphasis * location)
        else:
            log_prob = group.log_prob(of_group, out)
        expected += log_prob.sum(-1)
        start += group.n_columns
    torch.testing.assert_close(model.log_prob(model.cells(x), outputs, CODES), expected)


def test_the_encoder_sees_locations_by_their_emphasis():
    model, x = build([EMPHASISED, HISTOGRAM], gaps=[0])
    x[0, 0] = x[1, 2] = torch.nan
    cells = model.cells(x)
    gaussian, histogram = model.groups
    location = histogram.likelihood.location(cells.values[:, 2:], histogram.tensors)
    expected = torch.cat([cells.values[:, :2] * gaussian.emphasis, location], dim=1)
    expected[0, 0] = expected[1, 2] = 0.0
    observed = torch.ones(len(x), 1).double()
    observed[0] = 0.0
    torch.testing.assert_close(model.features(cells), torch.cat([expected, observed], dim=1))


@pytest.mark.parametrize("prior", ["N(0, I)", "learned"])
def test_components_in_another_order_are_the_same_model(prior):
    model, x = build(LOCATED)
    if prior == "learned":
        generator = torch.Generator().manual_seed(3)
        model.learned_prior = LearnedMixture.near_standard_normal(4, 3, generator).double()
    cells = model.cells(x)
    noise = torch.randn(4, len(x), 3, generator=torch.Generator().manual_seed(2)).double()
    mean, log_std = model.encode(cells)
    decoded, bound = model.decode(mean[None]), model.bound(ELBO(), cells, noise)
    loading = torch.tensor([[1.0, -2.0], [-1.0, 3.0], [0.5, -0.2]])
    sign = torch.tensor([-1.0, 1.0, 1.0]).double()
    model.components.sort(torch.tensor([0.2, 0.1, 0.3]), loading)
    order = [2, 0, 1]
    # by the divergence, and the largest loading positive
    ordered = model.encode(cells)
    torch.testing.assert_close(ordered[0], (mean * sign)[:, order])
    torch.testing.assert_close(ordered[1], log_std[:, order])
    torch.testing.assert_close(model.decode(ordered[0][None]), decoded)
    torch.testing.assert_close(model.bound(ELBO(), cells, (noise * sign)[..., order]), bound)
    # training takes codes of the networks' own components
    for parameter in model.learned(WHOLE):
        parameter.grad = torch.zeros_like(parameter)
    with torch.no_grad():
        find = model.find_gradient(ELBO(), cells, noise, torch.Generator())
    torch.testing.assert_close(find()[0], bound)
    # and of components that were ordered before
    model.components.sort(torch.tensor([0.2, 0.1, 0.3]), -torch.eye(3))
    torch.testing.assert_close(model.encode(cells)[0], -ordered[0][:, order])
    torch.testing.assert_close(model.decode(-ordered[0][None][..., order]), decoded)


def test_networks_may_know_which_numbers_belong_to_which_column():
    seen = []

    class Knowing(MLP):
        def build_encoder(self, columns, n_inputs, n_outputs, **how):
            seen.append([list(column) for column in columns])
            return self.build(n_inputs, n_outputs, **how)

        build_decoder = build_encoder

    likelihoods = Categorical(), Gaussian()
    table = np.column_stack([np.arange(20) % 3, np.arange(20) % 2]).astype(float), TABLE[:, :2]
    groups = [
        (one, one.fit(x, np.ones(20)), 2, None) for one, x in zip(likelihoods, table, strict=True)
    ]
    # two columns of levels, the last and the first of the table, and two of numbers; one has gaps
    VAE(groups, [2], Knowing(), Knowing(), 3, torch.Generator(), places=[3, 0, 1, 2])
    encoder, decoder = seen
    assert encoder == [[3, 4, 5], [6, 8], [7], [0, 1, 2]]
    assert decoder == [[1, 3, 5], [6], [7], [0, 2, 4]]


def test_a_module_that_is_no_network_is_refused():
    class Plain(MLP):
        def build(self, n_inputs, n_outputs, *, output_gain, generator):
            return torch.nn.functional.relu

    group = (Gaussian(), Gaussian().fit(TABLE[:, :2], np.ones(20)), 2, None)
    with pytest.raises(TypeError, match=r"Plain\.build must return .*; got a function"):
        VAE([group], [], Plain(), MLP(), 3, torch.Generator())


def test_a_step_is_replayable_if_all_its_parts_are():
    class Own(Gaussian):
        pass

    class Told(Gaussian):
        replayable = True

    class OwnNetwork(MLP):
        def build(self, *args, **kwargs):
            module = super().build(*args, **kwargs)
            module.replayable = False
            return module

    def build(likelihood, network, prior=None):
        group = (likelihood, likelihood.fit(TABLE[:, :2], np.ones(20)), 2, None)
        return VAE([group], [], MLP(3), network, 3, torch.Generator(), prior)

    def replayable(likelihood, network):
        return build(likelihood, network).replayable

    mixture = LearnedMixture.near_standard_normal(4, 3, torch.Generator())
    with_mixture = build(Gaussian(), MLP(3), mixture)
    assert with_mixture.undoable
    assert not with_mixture.replayable
    assert replayable(Gaussian(), MLP(3))
    assert replayable(Told(), MLP(3))
    assert not replayable(Own(), MLP(3))
    assert not replayable(Gaussian(), OwnNetwork(3))


@pytest.mark.parametrize("log_std", [20.0, -20.0])
def test_log_std_beyond_its_range_has_a_gradient_only_back_into_it(log_std):
    model, x = build(PLAIN[:1])
    bias = model.encoder.layers[-1][1]
    bias.data[3:] = log_std
    found = []
    for row in x.split(1):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        with torch.no_grad():
            noise = 0.01 * torch.randn(1, 1, 3, generator=torch.Generator().manual_seed(0)).double()
            # without the KL divergence, some rows gain by steps further out
            model.find_gradient(ELBO(0.0), model.cells(row), noise, torch.Generator())
        found.append(bias.grad.clone())
    of_mean, of_log_std = torch.stack(found).chunk(2, dim=-1)
    inward = of_log_std * np.sign(log_std)
    assert (inward >= 0).all()
    assert (inward > 0).any()
    assert (inward == 0).any()
    assert (of_mean != 0).all()


@pytest.mark.skipif(not is_row_wise(), reason="scores here are in the type of the table")
@pytest.mark.parametrize(("groups", "phase"), CASES)
def test_a_copy_with_networks_in_float32_is_the_same_model(groups, phase):
    model, x = build(groups)
    x[0, 0] = torch.nan
    precise, fast = (
        model.float().in_precision(torch.float64, float32_networks=fast) for fast in (False, True)
    )
    assert [one.float32_networks for one in (precise, fast)] == [False, True]
    cells = model.cells(x)
    for mean, expected in zip(fast.encode(cells), precise.encode(cells), strict=True):
        torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-5)
        assert mean.dtype == torch.float64
    z = torch.randn(4, len(x), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found, expected = (
        one.log_prob(cells, one.decode(z, None, phase), phase) for one in (fast, precise)
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert found.dtype == torch.float64
    drawn = fast.sample(z, torch.Generator().manual_seed(1))
    assert drawn.dtype == torch.float64


@pytest.mark.skipif(not is_row_wise(), reason="scores here are in the type of the table")
def test_networks_stay_in_float32_only_if_all_are_row_wise_and_torch_is_exact(monkeypatch):
    model, _ = build(PLAIN)
    assert model.in_precision(torch.float64, float32_networks=True).float32_networks
    monkeypatch.setattr("skvae._model.vae.is_exact", lambda: False)
    assert not model.in_precision(torch.float64, float32_networks=True).float32_networks
    monkeypatch.undo()
    model.decoder.row_wise = False
    assert not model.in_precision(torch.float64, float32_networks=True).float32_networks


@pytest.mark.skipif(not is_row_wise(), reason="scores here are in the type of the table")
def test_values_beyond_float32_have_finite_codes():
    model, x = build([(StudentT(), [8], None)])
    fast = model.float().in_precision(torch.float64, float32_networks=True)
    x[0] = 1e60
    assert all(part.isfinite().all() for part in fast.encode(fast.cells(x)))
    z = torch.zeros(1, len(x), 3).double()
    found = fast.log_prob(fast.cells(x), fast.decode(z))
    expected = model.double().log_prob(model.cells(x), model.decode(z))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not is_row_wise(), reason="scores here are in the type of the table")
@pytest.mark.parametrize("groups", [groups for groups, _ in TABLES.values()], ids=TABLES)
def test_in_float32_other_rows_do_not_matter_either(groups):
    model, x = build(groups)
    fast = model.float().in_precision(torch.float64, float32_networks=True)
    x = x.repeat(11, 1)
    z = torch.randn(3, len(x), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def derivatives(rows):
        cells = fast.cells(x[rows])
        codes = z[:, rows].clone().requires_grad_()
        found = fast.log_prob(cells, fast.decode(codes))
        return found, torch.autograd.grad(found.sum(), codes)[0], torch.stack(fast.encode(cells))

    whole = derivatives(torch.arange(len(x)))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    for n in (len(x), 37, 5, 1):
        for part, of_all in zip(derivatives(order[:n]), whole, strict=True):
            torch.testing.assert_close(part, of_all[:, order[:n]], rtol=1e-13, atol=1e-13)
