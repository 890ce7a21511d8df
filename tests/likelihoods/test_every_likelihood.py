"""Every likelihood is a density of its own mean and draws, in the caller's units."""

from functools import partial

import numpy as np
import pytest
import torch
from cases import (
    CASES,
    COUNTS,
    HOURS,
    MIXTURE,
    REAL_LINE,
    REALS,
    SHARES,
    SUPPORTS,
    UNIT_INTERVAL,
    bins_and_atoms,
    fit,
    start,
    whole_numbers,
)
from constants import assert_close
from scipy import stats
from sklearn.base import clone
from torch.autograd import gradcheck

from skvae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Beta,
    Categorical,
    Gaussian,
    Histogram,
    Likelihood,
    LogNormal,
    NegativeBinomial,
    NormalScores,
    Poisson,
    StudentT,
)
from skvae.likelihoods._clusters import ClusteredCategorical


def test_the_tables_hold_every_likelihood():
    for likelihoods in ([case.likelihood for case in CASES.values()], [row[0] for row in SUPPORTS]):
        assert {type(one) for one in likelihoods} == {*LIKELIHOODS.values(), ClusteredCategorical}


def test_closed_forms_and_replays_are_stated():
    closed = {kind for kind in LIKELIHOODS.values() if kind.vjp is not Likelihood.vjp}
    assert closed == {Gaussian, LogNormal, Bernoulli, Categorical, Histogram, NormalScores}
    assert all(kind.replayable for kind in LIKELIHOODS.values())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
class TestEveryLikelihood:
    def test_density_integrates_to_one(self, case):
        _, mass = case.mass()
        np.testing.assert_allclose(mass.sum(axis=0), 1, rtol=case.mass_error)

    def test_codes_do_not_depend_on_one_another(self, case):
        x, outputs = case.working(case.table[:20]), case.outputs_of(20)
        outputs = torch.cat([outputs, -outputs, 0.5 * outputs])
        found = case.likelihood.log_prob(x, outputs, case.parameters)
        for own, log_prob in zip(outputs.split(1), found.split(1), strict=True):
            expected = case.likelihood.log_prob(x, own, case.parameters)
            torch.testing.assert_close(log_prob, expected, rtol=1e-12, atol=1e-12)

    def test_second_derivatives_can_be_batched(self, case):
        outputs = case.outputs_of(5).clone().requires_grad_()
        x = case.working(case.table[:5])
        value = case.likelihood.log_prob(x, outputs, case.parameters).sum()
        (gradient,) = torch.autograd.grad(value, outputs, create_graph=True)
        if not gradient.requires_grad:  # of a linear function
            return
        directions = torch.randn(3, *outputs.shape, generator=torch.Generator().manual_seed(0))
        directions = directions.to(gradient)
        derivative = partial(torch.autograd.grad, gradient, outputs, retain_graph=True)
        expected = torch.stack([derivative(direction)[0] for direction in directions])
        (found,) = derivative(directions, is_grads_batched=True)
        torch.testing.assert_close(found, expected)

    def test_mean_is_that_of_the_density(self, case):
        nodes, mass = case.mass()
        expected = (mass * nodes.x).sum(axis=0)
        if case.has_mode:
            expected = np.take_along_axis(nodes.x, mass.argmax(axis=0)[None], axis=0)[0]
        # the mean of a bin outside the range of the table is the end of the range
        inside = nodes.x.clip(case.table.min(axis=0), case.table.max(axis=0))
        moved = (mass * np.abs(nodes.x - inside)).sum(axis=0) if case.in_range else 0.0
        error = np.abs(case.mean() - expected)
        assert (error <= case.mean_error * np.abs(expected) + moved).all()

    def test_mean_is_that_of_the_draws(self, case):
        draws = case.sample(20_000)
        if case.has_mode:
            assert (stats.mode(draws).mode == case.mean()).all()
        else:
            error = draws.std(axis=0) / np.sqrt(len(draws))
            assert (np.abs(draws.mean(axis=0) - case.mean()) < 4.5 * error).all()

    def test_masses_are_those_of_the_values(self, case):
        values = case.likelihood.values(case.constants)
        if values is None:
            assert not case.likelihood.takes_levels
            return
        statistics = case.likelihood.statistics(case.outputs_of(1), case.parameters)[0]
        masses = case.likelihood.masses(statistics)[0].numpy()
        for place, own in enumerate(np.broadcast_to(values, masses.shape)):
            x = np.repeat(case.table[:1], (~np.isnan(own)).sum(), axis=0)
            x[:, place] = own[: len(x)]
            np.testing.assert_allclose(
                masses[place, : len(x)], np.exp(case.log_density(x)[:, place])
            )
            np.testing.assert_allclose(masses[place].sum(), 1, rtol=1e-9)

    def test_means_average_over_codes(self, case):
        outputs = torch.stack([case.outputs_of(1)[0], -case.outputs_of(1)[0]])
        weight = np.array([0.3, 0.7])
        statistics = case.likelihood.statistics(outputs, case.parameters)
        pooled = case.likelihood.summary(
            torch.einsum("s,sndm->ndm", torch.tensor(weight), statistics)
        )
        if case.has_mode:
            assert (pooled[0] < torch.tensor([len(np.unique(x)) for x in case.table.T])).all()
            return
        means = case.likelihood.mean(outputs, case.parameters).numpy()
        back = [case.likelihood.from_mean(mean, case.constants) for mean in means]
        found = case.likelihood.from_mean(pooled.numpy(), case.constants)
        np.testing.assert_allclose(found, np.tensordot(weight, back, 1), rtol=1e-9)

    def test_draws_follow_the_density(self, case):
        draws = case.sample(20_000)
        nodes, mass = case.mass()
        uniform = np.random.default_rng(3).random(len(draws))
        for place in range(draws.shape[1]):
            # the distribution function from the left and from the right, and between them by chance
            left, right = np.zeros((2, len(draws)))
            for is_atom in (False, True):
                chosen = np.flatnonzero(nodes.is_atom[:, place] == is_atom)
                chosen = chosen[np.argsort(nodes.x[chosen, place], kind="stable")]
                x, part = nodes.x[chosen, place], mass[chosen, place]
                if is_atom:
                    sums = np.r_[0, part.cumsum()]
                    left += sums[np.searchsorted(x, draws[:, place], side="left")]
                    right += sums[np.searchsorted(x, draws[:, place], side="right")]
                elif len(x):
                    smooth = np.interp(draws[:, place], x, part.cumsum() - 0.5 * part)
                    left, right = left + smooth, right + smooth
            # what lies outside the range of the table moves the distribution by its mass at most
            low, high = case.table[:, place].min(), case.table[:, place].max()
            outside = (nodes.x[:, place] < low) | (nodes.x[:, place] > high)
            moved = mass[outside, place].sum() if case.in_range else 0.0
            found = stats.kstest(left + uniform * (right - left), "uniform").statistic
            assert found < moved + stats.kstwo.isf(1e-3, len(draws))

    def test_draws_are_reproducible(self, case):
        first, again, other = (case.sample(100, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_draws_and_means_lie_in_the_support(self, case):
        assert case.likelihood.in_support(case.sample(1000), case.constants).all()
        nodes = case.nodes_of(case)
        assert (case.mean() >= nodes.x.min(axis=0)).all()
        assert (case.mean() <= nodes.x.max(axis=0)).all()

    def test_from_working_inverts_to_working(self, case):
        there = case.likelihood.to_working(case.table, case.constants)
        if isinstance(case.likelihood, Histogram):  # to the level, wherever a value lies in it
            for part in (0.1, 0.5, 0.9999):
                back = case.likelihood.from_working(there + part, case.constants)
                assert (case.likelihood.to_working(back, case.constants) == there).all()
        else:
            back = case.likelihood.from_working(there, case.constants)
            np.testing.assert_allclose(back, case.table, rtol=1e-14, atol=1e-13)

    def test_log_jacobian_is_the_slope_of_the_working_units(self, case):
        x = case.table
        log_jacobian = case.likelihood.log_jacobian(x, case.constants)
        if isinstance(case.likelihood, Histogram):  # that of a bin is tested by sums
            return
        # the number of a level has none, and neither has an atom
        if case.likelihood.takes_levels:
            assert (log_jacobian == 0).all()
            return
        seen = np.stack([(column == column[:, None]).sum(axis=0) for column in x.T], axis=1)
        smooth = (seen == 1) | (not case.likelihood.ragged)
        ends = x * (1 - 1e-7), x * (1 + 1e-7)
        low, high = (case.likelihood.to_working(end, case.constants) for end in ends)
        expected = np.exp(log_jacobian) * (ends[1] - ends[0])
        np.testing.assert_allclose((high - low)[smooth], expected[smooth], rtol=1e-6, atol=1e-14)

    def test_gradients(self, case):
        x = case.working(case.table[:3])
        outputs = case.outputs_of(3).clone().requires_grad_()
        learned = [case.parameters[name].clone().requires_grad_() for name in case.learned]

        def of(call):
            return lambda o, *tensors: call(
                o, case.parameters | dict(zip(case.learned, tensors, strict=True))
            )

        likelihood = case.likelihood
        for call in (lambda *args: likelihood.log_prob(x, *args), likelihood.statistics):
            fast = outputs.numel() > 50
            assert gradcheck(of(call), (outputs, *learned), fast_mode=fast)

    def test_vjp_is_that_of_autograd(self, case):
        x = case.working(case.table[:5])
        outputs = case.outputs_of(5).clone().requires_grad_()
        learned = {name: case.parameters[name].clone().requires_grad_() for name in case.learned}
        parameters = case.parameters | learned
        log_prob = case.likelihood.log_prob(x, outputs, parameters)
        gradient = torch.randn(log_prob.shape, generator=torch.Generator().manual_seed(0)).double()
        expected = torch.autograd.grad(log_prob, [outputs, *learned.values()], gradient)
        for tensor in learned.values():
            tensor.grad = torch.zeros_like(tensor)
        with torch.inference_mode():  # as in training, where minibatches are made
            later, backward = case.likelihood.vjp(x.clone(), outputs.clone(), parameters)
            by = [backward(gradient.clone()), *(tensor.grad for tensor in learned.values())]
            found = later()
        torch.testing.assert_close(found, log_prob)
        for one, other in zip(by, expected, strict=True):
            torch.testing.assert_close(one, other)

    def test_weights_equal_repetitions(self, case):
        if isinstance(case.likelihood, Histogram):  # its bins need rows that differ
            return
        counts = np.arange(len(case.table)) % 3
        weighted = fit(case.likelihood, case.table[counts > 0], counts[counts > 0].astype(float))
        repeated = fit(case.likelihood, np.repeat(case.table, counts, axis=0))
        assert weighted.keys() == repeated.keys()
        for name in weighted:
            assert_close(weighted[name], repeated[name])

    def test_fit_ignores_the_order_of_rows(self, case):
        weight = np.random.default_rng(3).random(len(case.table))
        here = fit(case.likelihood, case.table, weight)
        there = fit(case.likelihood, case.table[::-1], weight[::-1])
        for name in here:
            assert_close(here[name], there[name])

    def test_features(self, case):
        features = case.likelihood.features(case.working(case.table).float(), case.parameters)
        assert features.shape == (*case.table.shape, case.likelihood.n_features(case.constants))
        assert torch.isfinite(features).all()
        size = features.square().mean(dim=(0, 2)).sqrt()
        assert ((size > 0.3) & (size < 3)).all()

    def test_missing_values_stay_missing(self, case):
        missing = np.random.default_rng(3).random(case.table.shape) < 0.3
        x = np.where(missing, np.nan, case.table)
        found = case.likelihood.to_working(x, case.constants)
        expected = case.likelihood.to_working(case.table, case.constants)
        assert (np.isnan(found) == missing).all()
        assert (found[~missing] == expected[~missing]).all()
        shape = case.table.shape
        found = np.broadcast_to(case.likelihood.log_jacobian(x, case.constants), shape)
        expected = np.broadcast_to(case.likelihood.log_jacobian(case.table, case.constants), shape)
        assert (found[~missing] == expected[~missing]).all()

    def test_the_filler_of_missing_values_has_a_density(self, case):
        filler = torch.full((1, case.table.shape[1]), case.likelihood.filler)
        log_prob = case.likelihood.log_prob(filler, case.outputs_of(1), case.parameters)
        features = case.likelihood.features(filler, case.parameters)
        assert torch.isfinite(log_prob).all()
        assert torch.isfinite(features).all()

    def test_single_precision(self, case):
        x, outputs = case.working(case.table), case.outputs_of(len(case.table))
        exact = case.likelihood.log_prob(x, outputs, case.parameters)
        single = {name: tensor.float() for name, tensor in case.parameters.items()}
        found = case.likelihood.log_prob(x.float(), outputs.float(), single)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-4)

    def test_is_a_value(self, case):
        twin = clone(case.likelihood)
        assert twin == case.likelihood
        assert twin is not case.likelihood
        assert type(twin)(**twin.get_params()) == twin
        for name, value in twin.get_params().items():
            assert twin.set_params(**{name: value}) is twin
        with pytest.raises(ValueError, match=r"Invalid parameter 'nonsense' for"):
            twin.set_params(nonsense=1)


def test_values_differ_by_class_and_by_parameter():
    values = [case.likelihood for case in CASES.values()]
    assert all((a == b) == (a is b) for a in values for b in values)


@pytest.mark.parametrize(("likelihood", "inside", "outside"), SUPPORTS)
def test_support(likelihood, inside, outside):
    assert likelihood.in_support(np.array([inside]), {}).all()
    assert not likelihood.in_support(np.array([outside]), {}).any()


@pytest.mark.parametrize("kind", ["distinct", "constant", "extreme"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_few_rows(name, n, kind):
    likelihood, table = CASES[name].likelihood, CASES[name].table[:n]
    if kind == "constant":
        table = table[[-1] * n]
    elif kind == "extreme":
        extreme = next(inside for other, inside, _ in SUPPORTS if other == likelihood)
        table = np.resize(extreme, table.T.shape).T
    constants = fit(likelihood, table)
    working = torch.as_tensor(likelihood.to_working(table, constants)).float()
    parameters = likelihood.parameters(constants)
    outputs = torch.zeros(1, n, likelihood.n_outputs(constants) * table.shape[1])
    features = likelihood.features(working, parameters)
    assert torch.isfinite(features).all()
    assert torch.isfinite(likelihood.log_prob(working, outputs, parameters)).all()
    assert np.isfinite(likelihood.log_jacobian(table, constants)).all()
    with torch.no_grad():
        mean = likelihood.mean(outputs, parameters)[0].double().numpy()
        draws = likelihood.sample(outputs, parameters, torch.Generator().manual_seed(0))[0]
    assert np.isfinite(likelihood.from_mean(mean, constants)).all()
    draws = likelihood.from_working(draws.double().numpy(), constants)
    assert likelihood.in_support(draws, constants).all()


@pytest.mark.parametrize(
    "likelihood", [Gaussian(), StudentT(), LogNormal(), Histogram(), NormalScores()], ids=str
)
def test_density_times_unit_does_not_depend_on_the_unit(likelihood):
    x = np.random.default_rng(0).gamma(2.0, size=(5000, 1)) + 0.5
    x[:1000] = 2.25  # an atom
    found = []
    for table in (x, 1024 * x):
        constants = fit(likelihood, table)
        parts = likelihood.log_jacobian(table, constants), likelihood.log_unit(table, constants)
        found.append((likelihood.to_working(table, constants), np.add(*parts) + 0 * table))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert (parts[1] != 0).any()
    if likelihood in (Histogram(), NormalScores()):  # a mass is its own unit
        np.testing.assert_allclose(np.add(*parts)[:1000], 0, atol=1e-12)


@pytest.mark.parametrize(
    "likelihood", [Gaussian(), StudentT(), LogNormal(), NormalScores()], ids=str
)
def test_draws_and_means_of_a_constant_column_are_the_constant(likelihood):
    constants = fit(likelihood, np.full((30, 1), 2.5))
    parameters = likelihood.parameters(constants)
    outputs = 3 * torch.randn(1, 50, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mean = likelihood.mean(outputs, parameters)[0].double().numpy()
        draws = likelihood.sample(outputs, parameters, torch.Generator().manual_seed(0))[0]
    np.testing.assert_allclose(likelihood.from_mean(mean, constants), 2.5, rtol=1e-12)
    draws = likelihood.from_working(draws.double().numpy(), constants)
    np.testing.assert_allclose(draws, 2.5, rtol=1e-12)


CONSTANT = [(Gaussian(), 0.1), (StudentT(), 0.1), (LogNormal(), 0.1), (Beta(), 0.1)]
CONSTANT += [(Poisson(), 3.0), (NegativeBinomial(), 3.0), (Histogram(n_bins=3), 0.1)]
CONSTANT += [(NormalScores(), 0.1), (NormalScores(), 3.0)]


@pytest.mark.parametrize(("likelihood", "value"), CONSTANT)
def test_rounding_does_not_count_as_the_spread_of_a_constant_column(likelihood, value):
    rng = np.random.default_rng(3)
    table = np.full((100, 1), value)
    for _ in range(20):
        constants = fit(likelihood, table, rng.random(100))
        assert (constants["spread"] > 0.05).all()


MOMENTS = [  # likelihood, table, nodes, whether also the variance is that of the data
    (Gaussian(scale=3.0), REALS, REAL_LINE, False),
    (Gaussian(), REALS, REAL_LINE, True),
    (Beta(), SHARES, UNIT_INTERVAL, True),
    (Poisson(), COUNTS, whole_numbers(200), False),
    (NegativeBinomial(), COUNTS, whole_numbers(4000), True),
    (Histogram(), np.stack([MIXTURE, HOURS], axis=1), bins_and_atoms, True),
]


@pytest.mark.parametrize(("likelihood", "table", "nodes_of", "has_variance"), MOMENTS)
def test_initial_moments_are_those_of_the_data(likelihood, table, nodes_of, has_variance):
    nodes, mass = start(likelihood, table, nodes_of).mass()
    mean = (mass * nodes.x).sum(axis=0)
    variance = (mass * np.square(nodes.x - mean)).sum(axis=0)
    assert (np.abs(mean - table.mean(axis=0)) < 0.02 * table.std(axis=0)).all()
    if has_variance:
        np.testing.assert_allclose(variance, table.var(axis=0), rtol=0.1)


FAR = [  # what was learned, far too high or far too low; the values that should bring it back
    (Gaussian(), "log_sigma", -1.0, REALS),
    (NormalScores(), "log_sigma", -1.0, REALS),
    (Beta(), "log_precision", 2.0, SHARES),
    (NegativeBinomial(), "log_dispersion", 2.0, COUNTS),
    (NegativeBinomial(), "log_dispersion", -2.0, np.tile([[4.0], [6.0]], (100, 2))),
]


@pytest.mark.parametrize(("likelihood", "name", "value", "table"), FAR)
def test_gradients_lead_back_from_the_bounds_of_learned_tensors(likelihood, name, value, table):
    case = start(likelihood, table)
    tensors = case.parameters | {name: torch.full((2,), value).double().requires_grad_()}
    x = case.working(table)
    likelihood.log_prob(x, case.outputs_of(len(table)), tensors).sum().backward()
    assert (tensors[name].grad * value < 0).all()


def test_targets_are_the_data_without_binarize():
    grey, generator = torch.rand(5, 4, generator=torch.Generator()), torch.Generator()
    for case in CASES.values():
        if case.likelihood != Bernoulli(binarize=True):
            assert torch.equal(case.likelihood.draw_target(grey, generator), grey)


@pytest.mark.parametrize("limits", [[0.8, 2.1], [0.0, np.inf], [-np.inf, 2.0]], ids=str)
@pytest.mark.parametrize(
    "likelihood", [Gaussian(), StudentT(), LogNormal(), NormalScores(), Histogram()], ids=str
)
def test_draws_reach_other_limits(likelihood, limits):
    x = np.random.default_rng(0).uniform(1.0, 2.0, size=(2000, 1))
    constants = fit(likelihood, x)
    np.testing.assert_allclose(likelihood.limits(constants), [[x.min(), x.max()]])
    same = likelihood.with_limits(constants, np.full((1, 2), np.nan))
    assert all(np.array_equal(same[name], constants[name]) for name in constants)

    low, high = limits
    other = likelihood.with_limits(constants, np.array([limits]))
    ends = (0, constants["share"].shape[1] - 1e-9) if likelihood == Histogram() else (-6, 6)
    draws = likelihood.from_working(np.linspace(*ends, 10_001)[:, None], other)
    assert np.isfinite(draws).all()
    assert low - 1e-12 <= draws.min() < x.min() - 1e-3
    assert x.max() + 1e-4 < draws.max() <= high + 1e-12
