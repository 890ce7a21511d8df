"""Every likelihood is a density of its own mean and draws, in the caller's units.

A new likelihood joins by its rows in ``CASES`` and ``SUPPORTS``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import leggauss
from scipy import stats
from scipy.special import expit, logit, softmax
from sklearn.base import clone
from torch import nn
from torch.autograd import gradcheck

from skvae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Histogram,
    Likelihood,
    LogNormal,
    NegativeBinomial,
    Ordinal,
    Poisson,
    StudentT,
    _numerics,
)

RNG = np.random.default_rng(0)
REALS = RNG.normal([100.0, -7.0], [2.0, 5.0], size=(200, 2))
OUTLIERS = REALS + 10 * RNG.standard_t(3, size=(200, 2))
AMOUNTS = np.exp(RNG.normal([3.0, -1.0], [0.5, 1.2], size=(200, 2)))
BITS = RNG.integers(0, 2, size=(200, 2)).astype(float)
GREYS = RNG.random((200, 4))
SHARES = RNG.beta([2.0, 30.0], [3.0, 2.0], size=(200, 2))
COUNTS = RNG.negative_binomial([5, 1], [0.5, 0.1], size=(200, 2)).astype(float)
LEVELS = np.stack(  # of four, two and one
    [RNG.choice([-1.0, 0.5, 7.0, 9.0], 200, p=[0.2, 0.4, 0.1, 0.3]), 3 * BITS[:, 0], np.ones(200)],
    axis=1,
)


def spiked(x, spikes, share):
    """``x`` with a share of its rows at each of the spikes."""
    return np.where(RNG.random(len(x)) < share * len(spikes), RNG.choice(spikes, len(x)), x)


MIXTURE = RNG.normal(np.where(RNG.random(600) < 0.4, -3.0, 2.0), 0.5)
SPIKED = spiked(RNG.exponential(2.0, 600), [0.0, 1.25], 0.2)
FEW = RNG.choice([0.0, 1.0, 2.0, 5.0, 9.0], 600)
HOURS = spiked(np.round(RNG.normal(40.0, 12.0, 600)), [40.0, 45.0, 20.0, 80.0, 0.0], 0.12)
FORMS = np.stack([MIXTURE, SPIKED, FEW, HOURS], axis=1)


@dataclass
class Nodes:
    """Where the probability lies: its sum over x is that of weight times density. (n, d) each."""

    x: np.ndarray
    weight: np.ndarray
    is_atom: np.ndarray


def on_a_grid(x, slope):
    """The trapezoidal rule for x(t), which is exact for smooth bumps."""

    def nodes(case):
        t, step = np.linspace(-35.0, 35.0, 4001, retstep=True)
        center = np.median(case.table, axis=0)
        spread = np.subtract(*np.quantile(case.table, [0.75, 0.25], axis=0))
        place = x(t[:, None], center, spread)
        weight = step * slope(t[:, None], center, spread)
        return Nodes(place, np.broadcast_to(weight, place.shape), np.zeros_like(place, bool))

    return nodes


REAL_LINE = on_a_grid(lambda t, c, s: c + s * np.sinh(t), lambda t, c, s: s * np.cosh(t))
POSITIVE = on_a_grid(lambda t, c, s: c * np.exp(t), lambda t, c, s: c * np.exp(t))
UNIT_INTERVAL = on_a_grid(
    lambda t, c, s: expit(t) + 0 * c, lambda t, c, s: expit(t) * expit(-t) + 0 * c
)


def padded(case, columns):
    """Nodes (x, weight, is_atom) of each column as one table, filled up with those of no weight."""
    longest = max(len(x) for x, _, _ in columns)
    nodes = Nodes(
        np.repeat(case.table[:1], longest, axis=0),
        np.zeros((longest, len(columns))),
        np.ones((longest, len(columns)), dtype=bool),
    )
    for place, (x, weight, is_atom) in enumerate(columns):
        nodes.x[: len(x), place] = x
        nodes.weight[: len(x), place] = weight
        nodes.is_atom[: len(x), place] = is_atom
    return nodes


def whole_numbers(stop):
    return lambda case: padded(case, [(np.arange(stop), 1.0, True)] * case.table.shape[1])


def values_seen(case):
    return padded(case, [(np.unique(column), 1.0, True) for column in case.table.T])


def bins_and_atoms(case):
    """Of whole numbers, all; else the atoms, and a quadrature of each bin and tail."""
    node, weight = leggauss(60)
    columns = []
    for place, column in enumerate(case.table.T):
        if (column == np.floor(column)).all():
            columns.append((np.arange(-1000.0, 1100.0), 1.0, True))
            continue
        low, high = (case.constants[name][place] for name in ("low", "high"))
        atoms, scale = low[low == high], case.constants["scale"][place]
        edges = low[low < high][1:]
        lengths = [50 * scale[0], *np.diff(edges), 50 * scale[1]]
        starts = [edges[0] - 50 * scale[0], *edges]
        x = np.concatenate([a + n * (node + 1) / 2 for a, n in zip(starts, lengths, strict=True)])
        inner = np.concatenate([n * weight / 2 for n in lengths])
        columns.append(
            (
                np.r_[x, atoms],
                np.r_[inner, np.ones(len(atoms))],
                np.arange(len(x) + len(atoms)) >= len(x),
            )
        )
    return padded(case, columns)


def fit(likelihood, table, weight=None):
    """The constants; of ragged ones, columns are fitted one by one and padded by NaN."""
    weight = np.ones(len(table)) if weight is None else weight
    assert likelihood.in_support(table, {}).all()
    if not likelihood.ragged:
        return likelihood.fit(table, weight)
    columns = [likelihood.fit(column[:, None], weight) for column in table.T]
    constants = {}
    for name, first in columns[0].items():
        parts = [column[name] for column in columns]
        if first.ndim > 1:
            longest = max(part.shape[1] for part in parts)
            parts = [
                np.pad(part, [(0, 0), (0, longest - part.shape[1])], constant_values=np.nan)
                for part in parts
            ]
        constants[name] = np.concatenate(parts)
    return constants


@dataclass
class Case:
    """A likelihood, the table it is fitted to, and one row of decoder outputs."""

    likelihood: Likelihood
    table: np.ndarray
    outputs: list[float] | None  # None: draws
    nodes_of: Callable | None = None
    step: float = 0.03  # that what is learned is moved off its start, so that it counts
    constants: dict = field(init=False)
    parameters: dict = field(init=False)

    def __post_init__(self):
        self.constants = fit(self.likelihood, self.table)
        tensors = self.likelihood.parameters(self.constants)
        self.learned = [name for name in tensors if isinstance(tensors[name], nn.Parameter)]
        self.parameters = {
            name: tensor.detach().double() + self.step * (name in self.learned)
            for name, tensor in tensors.items()
        }
        n_outputs = self.likelihood.n_outputs(self.constants) * self.table.shape[1]
        if self.outputs is None:
            self.outputs = np.random.default_rng(1).normal(size=n_outputs)
        assert len(self.outputs) == n_outputs

    @property
    def has_mode(self):
        """Whether its mean is the mode."""
        return self.likelihood.takes_levels

    def working(self, x):
        return torch.as_tensor(self.likelihood.to_working(x, self.constants))

    def outputs_of(self, n):
        """The row of outputs for ``n`` rows, (1, n, P)."""
        return torch.as_tensor(self.outputs, dtype=torch.float64).expand(1, n, -1)

    def log_density(self, x):
        """log p(x|z) in the caller's units. (n, d) -> (n, d)."""
        cells = self.likelihood.log_prob(self.working(x), self.outputs_of(len(x)), self.parameters)
        return cells[0].numpy() + self.likelihood.log_jacobian(x, self.constants)

    def mass(self):
        """The nodes and the probability that each stands for."""
        nodes = self.nodes_of(self)
        return nodes, nodes.weight * np.exp(self.log_density(nodes.x))

    def mean(self):
        mean = self.likelihood.mean(self.outputs_of(1), self.parameters)[0].numpy()
        return self.likelihood.from_mean(mean, self.constants)[0]

    def sample(self, n, seed=0):
        generator = torch.Generator().manual_seed(seed)
        draws = self.likelihood.sample(self.outputs_of(n), self.parameters, generator)[0]
        return self.likelihood.from_working(draws.numpy(), self.constants)


CASES = {
    "gaussian": Case(Gaussian(), REALS, [0.3, -1.2], REAL_LINE),
    "gaussian-shared": Case(Gaussian(scale="shared"), REALS, [0.3, -1.2], REAL_LINE),
    "gaussian-fixed": Case(Gaussian(scale=3.0), REALS, [0.3, -1.2], REAL_LINE),
    "student_t": Case(StudentT(), OUTLIERS, [0.3, -1.2], REAL_LINE),
    "student_t-fixed": Case(StudentT(df=4), OUTLIERS, [0.3, -1.2], REAL_LINE),
    "log_normal": Case(LogNormal(), AMOUNTS, [0.3, -1.2], POSITIVE),
    "bernoulli": Case(Bernoulli(), BITS, [-2.0, 0.7], values_seen),
    "bernoulli-binarize": Case(Bernoulli(binarize=True), BITS, [-2.0, 0.7], values_seen),
    "continuous_bernoulli": Case(ContinuousBernoulli(), GREYS, [0.0, 0.15, -3, 40], UNIT_INTERVAL),
    "beta": Case(Beta(), SHARES, [0.5, -0.7], UNIT_INTERVAL),
    "poisson": Case(Poisson(), COUNTS, [0.3, -1.2], whole_numbers(200)),
    "negative_binomial": Case(NegativeBinomial(), COUNTS, [0.3, -1.2], whole_numbers(4000)),
    "categorical": Case(Categorical(), LEVELS, None, values_seen),
    "ordinal": Case(Ordinal(), LEVELS, [0.8, -0.3, 0.5], values_seen),
    "histogram": Case(Histogram(), FORMS, None, bins_and_atoms),
    "histogram-coarse": Case(Histogram(n_bins=9, rows_per_bin=5), FORMS, None, bins_and_atoms),
}

NOT_FINITE = [np.nan, np.inf, -np.inf]
UNIT = ([0.0, -0.0, 0.5, 1.0], [-1e-9, 1.0 + 1e-9, 2.0, np.nan, np.inf])
COUNT = ([0.0, -0.0, 1.0, 1e9], [-1.0, 0.5, 1e9 + 1, *NOT_FINITE])
ANY = ([-1e300, 0.0, 1e-320, 5.0], NOT_FINITE)
SUPPORTS = [  # likelihood, values inside, values outside
    (Gaussian(), *ANY),
    (StudentT(), *ANY),
    (LogNormal(), [1e-320, 5.0, 1e300], [-1.0, 0.0, *NOT_FINITE]),
    (Bernoulli(), *UNIT),
    (ContinuousBernoulli(), *UNIT),
    (Beta(), [1e-320, 0.5, 1 - 2**-53], [-1.0, 0.0, 1.0, 2.0, *NOT_FINITE]),
    (Poisson(), *COUNT),
    (NegativeBinomial(), *COUNT),
    (Categorical(), *ANY),
    (Ordinal(), *ANY),
    (Histogram(), *ANY),
]


def test_the_tables_hold_every_likelihood():
    for likelihoods in ([case.likelihood for case in CASES.values()], [row[0] for row in SUPPORTS]):
        assert {type(one) for one in likelihoods} == set(LIKELIHOODS.values())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
class TestEveryLikelihood:
    def test_density_integrates_to_one(self, case):
        _, mass = case.mass()
        np.testing.assert_allclose(mass.sum(axis=0), 1, rtol=1e-9)

    def test_mean_is_that_of_the_density(self, case):
        nodes, mass = case.mass()
        expected = (mass * nodes.x).sum(axis=0)
        if case.has_mode:
            expected = np.take_along_axis(nodes.x, mass.argmax(axis=0)[None], axis=0)[0]
        np.testing.assert_allclose(case.mean(), expected, rtol=2e-6)

    def test_mean_is_that_of_the_draws(self, case):
        draws = case.sample(20_000)
        if case.has_mode:
            assert (stats.mode(draws).mode == case.mean()).all()
        else:
            error = draws.std(axis=0) / np.sqrt(len(draws))
            assert (np.abs(draws.mean(axis=0) - case.mean()) < 4.5 * error).all()

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
            assert stats.kstest(left + uniform * (right - left), "uniform").pvalue > 1e-3

    def test_draws_come_from_their_generator(self, case):
        first, again, other = (case.sample(100, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_draws_and_means_lie_in_the_support(self, case):
        assert case.likelihood.in_support(case.sample(1000), case.constants).all()
        nodes = case.nodes_of(case)
        assert (case.mean() >= nodes.x.min(axis=0)).all()
        assert (case.mean() <= nodes.x.max(axis=0)).all()

    def test_working_units_lead_back(self, case):
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
        if (
            case.likelihood.ragged
        ):  # the number of a level has none; that of a bin is tested by sums
            assert isinstance(case.likelihood, Histogram) or (log_jacobian == 0).all()
            return
        ends = x * (1 - 1e-6), x * (1 + 1e-6)
        low, high = (case.likelihood.to_working(end, case.constants) for end in ends)
        np.testing.assert_allclose(
            high - low, np.exp(log_jacobian) * (ends[1] - ends[0]), rtol=1e-6, atol=1e-14
        )

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

    def test_the_way_back_is_the_gradient(self, case):
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
            np.testing.assert_allclose(weighted[name], repeated[name], rtol=1e-12, atol=1e-15)

    def test_neither_the_scale_of_weights_nor_the_order_of_rows_counts(self, case):
        weight = np.random.default_rng(3).random(len(case.table))
        here = fit(case.likelihood, case.table, weight)
        there = fit(case.likelihood, case.table[::-1], 1e6 * weight[::-1])
        for name in here:
            np.testing.assert_allclose(here[name], there[name], rtol=1e-12, atol=1e-15)

    def test_features(self, case):
        features = case.likelihood.features(case.working(case.table).float(), case.parameters)
        assert features.shape == (*case.table.shape, case.likelihood.n_features(case.constants))
        assert torch.isfinite(features).all()
        size = features.square().mean(dim=(0, 2)).sqrt()
        assert ((size > 0.3) & (size < 3)).all()

    def test_missing_cells_pass_through(self, case):
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

    def test_the_filler_of_missing_cells_has_a_density(self, case):
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


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT(), LogNormal(), Histogram()], ids=str)
def test_density_times_unit_does_not_depend_on_the_unit(likelihood):
    x = np.random.default_rng(0).gamma(2.0, size=(5000, 1)) + 0.5
    x[:1000] = 2.25  # an atom of the histogram
    found = []
    for table in (x, 1024 * x):
        constants = fit(likelihood, table)
        parts = likelihood.log_jacobian(table, constants), likelihood.log_unit(table, constants)
        found.append((likelihood.to_working(table, constants), np.add(*parts) + 0 * table))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert (parts[1] != 0).any()


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT(), LogNormal()], ids=str)
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


class Sharper(Gaussian):
    def log_prob(self, x, outputs, parameters):
        return 3 * super().log_prob(x, outputs, parameters)


class Narrower(Gaussian):
    def sigma(self, parameters):
        return super().sigma(parameters) / 3**0.5


@pytest.mark.parametrize("likelihood", [Sharper(), Narrower()], ids=str)
def test_a_density_of_ones_own_has_the_gradient_of_its_own(likelihood):
    x, outputs = torch.zeros(4, 1), torch.ones(1, 4, 1)
    parameters = likelihood.parameters(fit(likelihood, np.arange(4.0)[:, None]))
    parameters["log_sigma"].grad = torch.zeros(1)
    plain = Gaussian().vjp(x, outputs, parameters)[1](torch.ones(1, 4, 1))
    found = likelihood.vjp(x, outputs, parameters)[1](torch.ones(1, 4, 1))
    torch.testing.assert_close(found, 3 * plain)


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


CONSTANT = [(Gaussian(), 0.1), (StudentT(), 0.1), (LogNormal(), 0.1), (Beta(), 0.1)]
CONSTANT += [(Poisson(), 3.0), (NegativeBinomial(), 3.0), (Histogram(n_bins=3), 0.1)]


@pytest.mark.parametrize(("likelihood", "value"), CONSTANT)
def test_rounding_is_no_spread_of_a_constant_column(likelihood, value):
    rng = np.random.default_rng(3)
    table = np.full((100, 1), value)
    for _ in range(20):
        constants = fit(likelihood, table, rng.random(100))
        assert (constants["spread"] > 0.05).all()


# -- against scipy, and the start ---------------------------------------------------


def start(likelihood, table, nodes_of=None):
    """The case at the start of what is learned, with outputs 0."""
    case = Case(likelihood, table, None, nodes_of, step=0.0)
    case.outputs = np.zeros(len(case.outputs))
    return case


def discrete(values, mass):
    """The distribution of values in scipy, which holds whole numbers only."""
    return stats.rv_discrete(values=(values.astype(int), mass))


def normals(case):
    c = case.constants
    sigma = c["spread"] * np.hypot(1, c["floor"])
    return [
        stats.norm(*pair)
        for pair in zip(c["location"] + c["spread"] * case.outputs, sigma, strict=True)
    ]


def students(case):
    df = case.likelihood.df or 1 + np.logaddexp(0, 5)
    return [stats.t(df, *normal.args) for normal in normals(case)]


def log_normals(case):
    pairs = [normal.args for normal in normals(case)]
    return [stats.lognorm(s=sigma, scale=np.exp(mu)) for mu, sigma in pairs]


def betas(case):
    a, b = case.likelihood.shapes(torch.tensor(case.outputs), case.parameters)
    return [stats.beta(*pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]


def rates(case):
    return case.table.mean(axis=0) * np.exp(case.outputs)


def negative_binomials(case):
    r = case.likelihood.dispersion(case.parameters).numpy()
    return [stats.nbinom(*pair) for pair in zip(r, r / (r + rates(case)), strict=True)]


def softmaxes(case):
    counts = [np.unique(column, return_counts=True) for column in case.table.T]
    outputs = np.reshape(case.outputs, (len(counts), -1))
    return [
        discrete(values, softmax(o[: len(values)] + np.log(n)))
        for (values, n), o in zip(counts, outputs, strict=True)
    ]


def ordered_logits(case):
    counts = [np.unique(column, return_counts=True) for column in case.table.T]
    return [
        discrete(values, np.diff(expit(np.r_[-np.inf, logit(n.cumsum() / n.sum()) - o])))
        for (values, n), o in zip(counts, case.outputs, strict=True)
    ]


AGAINST_SCIPY = [  # likelihood, table, decoder outputs, a distribution of scipy for each column
    (Gaussian(), REALS, [0.3, -1.2], normals),
    (StudentT(), OUTLIERS, [0.3, -1.2], students),
    (StudentT(df=1.5), OUTLIERS, [0.3, -1.2], students),
    (LogNormal(), AMOUNTS, [0.3, -1.2], log_normals),
    (Bernoulli(), BITS, [-2.0, 0.7], lambda case: map(stats.bernoulli, expit(case.outputs))),
    (Beta(), SHARES, [0.3, -1.2], betas),
    (Poisson(), COUNTS, [0.3, -1.2], lambda case: map(stats.poisson, rates(case))),
    (NegativeBinomial(), COUNTS, [0.3, -1.2], negative_binomials),
    (Categorical(), 2 * LEVELS, None, softmaxes),
    (Ordinal(), 2 * LEVELS, [0.8, -0.3, 0.5], ordered_logits),
]


@pytest.mark.parametrize(("likelihood", "table", "outputs", "distributions"), AGAINST_SCIPY)
def test_against_scipy(likelihood, table, outputs, distributions):
    case = Case(likelihood, table, outputs, step=0.0)
    found, mean = case.log_density(table), case.mean()
    for place, expected in enumerate(distributions(case)):
        x = table[:, place]
        log_density = getattr(expected, "logpdf", None) or expected.logpmf
        np.testing.assert_allclose(found[:, place], log_density(x), rtol=1e-6, atol=1e-6)
        values = np.unique(x)
        mode = values[np.argmax(log_density(values))]
        np.testing.assert_allclose(
            mean[place], mode if case.has_mode else expected.mean(), rtol=1e-6
        )


MOMENTS = [  # likelihood, table, nodes, whether also the variance is that of the data
    (Gaussian(scale=3.0), REALS, REAL_LINE, False),
    (Gaussian(), REALS, REAL_LINE, True),
    (Beta(), SHARES, UNIT_INTERVAL, True),
    (Poisson(), COUNTS, whole_numbers(200), False),
    (NegativeBinomial(), COUNTS, whole_numbers(4000), True),
    (Histogram(), np.stack([MIXTURE, HOURS], axis=1), bins_and_atoms, True),
]


@pytest.mark.parametrize(("likelihood", "table", "nodes_of", "has_variance"), MOMENTS)
def test_starts_at_the_moments_of_the_data(likelihood, table, nodes_of, has_variance):
    nodes, mass = start(likelihood, table, nodes_of).mass()
    mean = (mass * nodes.x).sum(axis=0)
    variance = (mass * np.square(nodes.x - mean)).sum(axis=0)
    assert (np.abs(mean - table.mean(axis=0)) < 0.02 * table.std(axis=0)).all()
    if has_variance:
        np.testing.assert_allclose(variance, table.var(axis=0), rtol=0.1)


LARGE = [  # in single precision: likelihood, values, parameters, a distribution of scipy
    (
        Poisson(),
        np.array([0.0, 1.0, 99_000.0, 100_000.0, 101_000.0]),
        {"log_mean": np.log(1e5)},
        stats.poisson(1e5),
    ),
    (
        NegativeBinomial(),
        np.array([0.0, 50_000.0, 100_000.0, 200_000.0]),
        {"log_mean": np.log(1e5), "log_dispersion": 0.0},
        stats.nbinom(1.0001, 1.0001 / 100_001.0001),
    ),
    (
        NegativeBinomial(),
        np.array([0.0, 5.0, 20.0]),
        {"log_mean": np.log(5.0), "log_dispersion": 10.0},
        stats.poisson(5.0),
    ),
    (
        StudentT(df=1e9),
        np.array([-3.0, 0.0, 1.0]),
        {"log_sigma": 0.0, "log_unit": 0.0, "floor": 0.0, "excess_df": 1e9},
        stats.norm(),
    ),
    (
        StudentT(),
        np.array([-3.0, 0.0, 1.0]),
        {"log_sigma": 0.0, "log_unit": 0.0, "floor": 0.0, "excess_df": 1e5},
        stats.norm(),
    ),
]


@pytest.mark.parametrize(("likelihood", "x", "parameters", "expected"), LARGE)
def test_single_precision_holds_large_numbers(likelihood, x, parameters, expected):
    tensors = {name: torch.tensor([value]).float() for name, value in parameters.items()}
    outputs = torch.zeros(1, len(x), 1)
    found = likelihood.log_prob(torch.tensor(x[:, None]).float(), outputs, tensors)[0, :, 0]
    log_density = getattr(expected, "logpdf", None) or expected.logpmf
    np.testing.assert_allclose(found, log_density(x), rtol=1e-5, atol=0.005)


@pytest.mark.parametrize("share", [1e-30, 0.5 + 2**-12, 1 - 1e-12])
def test_beta_of_high_precision_in_single_precision(share):
    x = torch.tensor([[logit(share)]]).float()
    tensors = {"mean": x[0], "log_precision": torch.tensor([np.log(1e5) / 10]).float()}
    single = Beta().log_prob(x, torch.zeros(1, 1, 1), tensors)
    double = {name: tensor.double() for name, tensor in tensors.items()}
    exact = Beta().log_prob(x.double(), torch.zeros(1, 1, 1).double(), double)
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=0.01)


FAR = [  # what was learned, far too high or far too low; the values that should bring it back
    (Gaussian(), "log_sigma", -1.0, REALS),
    (Beta(), "log_precision", 2.0, SHARES),
    (NegativeBinomial(), "log_dispersion", 2.0, COUNTS),
    (NegativeBinomial(), "log_dispersion", -2.0, np.tile([[4.0], [6.0]], (100, 2))),
]


@pytest.mark.parametrize(("likelihood", "name", "value", "table"), FAR)
def test_what_is_learned_comes_back_from_its_bounds(likelihood, name, value, table):
    case = start(likelihood, table)
    tensors = case.parameters | {name: torch.full((2,), value).double().requires_grad_()}
    x = case.working(table)
    likelihood.log_prob(x, case.outputs_of(len(table)), tensors).sum().backward()
    assert (tensors[name].grad * value < 0).all()


# -- Gaussian ---------------------------------------------------------------------


SPREAD = REALS.std(axis=0)
SCALES = [("column", SPREAD), ("shared", np.sqrt(np.mean(SPREAD**2))), (3.0, 3.0)]


@pytest.mark.parametrize(("scale", "sigma"), SCALES)
def test_gaussian_starts_at_the_mean_and_scale_of_the_data(scale, sigma):
    case = start(Gaussian(scale=scale), REALS)
    if scale != 3.0:
        sigma = np.hypot(sigma, 0.01 * SPREAD)  # with the floor of a learned sigma
    expected = stats.norm(REALS.mean(axis=0), sigma).logpdf(REALS)
    np.testing.assert_allclose(case.log_density(REALS), expected, rtol=1e-6)


def test_gaussian_learns_one_sigma_for_each_column_or_one_for_all():
    for scale, learned in (("column", 2), ("shared", 1), (3.0, 0)):
        likelihood = Gaussian(scale=scale)
        tensors = likelihood.parameters(likelihood.fit(REALS, np.ones(200))).values()
        assert sum(t.numel() for t in tensors if isinstance(t, nn.Parameter)) == learned


def peak(case):
    """sigma in the caller's units, from the density at the mean."""
    return np.exp(-case.log_density(case.mean()[None])[0]) / np.sqrt(2 * np.pi)


@pytest.mark.parametrize("scale", ["column", "shared"])
@pytest.mark.parametrize(("step", "floor"), [(0.0, 0.01 * SPREAD), (1.0, 1 / np.sqrt(12))])
def test_learned_sigma_stays_above_its_floor(scale, step, floor):
    # a share of the column's standard deviation, or the rounding of the column
    case = start(Gaussian(scale=scale), np.round(REALS / step) * step if step else REALS)
    case.parameters["log_sigma"].fill_(-100.0)
    np.testing.assert_allclose(peak(case), np.broadcast_to(floor, 2), rtol=0.01)


def test_fixed_sigma_has_no_floor():
    np.testing.assert_allclose(peak(start(Gaussian(scale=1e-6), REALS)), 1e-6, rtol=1e-5)


@pytest.mark.parametrize("scale", ["row", 0, -1.0, np.inf, np.nan, None, [1.0]])
def test_invalid_scale(scale):
    likelihood = Gaussian(scale=scale)
    with pytest.raises(ValueError, match=r"'scale' of Gaussian must be .*; got"):
        likelihood.parameters(likelihood.fit(REALS, np.ones(200)))


@pytest.mark.parametrize("scale", ["column", "shared"])
@pytest.mark.parametrize("unit", [1e30, 1e200, 1e-40, 1e-300])
def test_gaussian_has_the_same_density_in_any_unit(scale, unit):
    for table, tolerance in ((REALS, 1e-9), (REALS + 1e8, 1e-5)):
        here, there = (
            start(Gaussian(scale=scale), table),
            start(Gaussian(scale=scale), unit * table),
        )
        working = there.likelihood.to_working(unit * table, there.constants)
        np.testing.assert_allclose(working.mean(axis=0), 0, atol=tolerance)
        np.testing.assert_allclose(working.std(axis=0), 1, rtol=tolerance)
        np.testing.assert_allclose(
            there.log_density(unit * table) + np.log(unit), here.log_density(table), rtol=1e-6
        )


@pytest.mark.parametrize("scale", ["column", "shared"])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e200, 1e-40, 1e8 + 0.3])
def test_constant_columns(scale, value):
    weight = np.random.default_rng(3).random(1000)
    likelihood, table = Gaussian(scale=scale), np.full((1000, 1), value)
    constants = likelihood.fit(table, weight)
    assert (likelihood.to_working(table, constants) == 0).all()
    assert (likelihood.from_working(np.zeros((1, 1)), constants) == value).all()
    assert np.isfinite(start(likelihood, table).log_density(table)).all()


# -- other densities of real numbers ------------------------------------------------


def test_outliers_do_not_move_student_t():
    table = REALS.copy()
    table[:5] = 1e8
    here, there = fit(StudentT(), REALS), fit(StudentT(), table)
    for name in ("location", "spread"):
        np.testing.assert_allclose(there[name], here[name], rtol=0.1)
    assert (there["floor"] < 0.02).all()


def test_student_t_of_a_column_with_a_spike_has_a_scale():
    table = np.where(np.arange(200)[:, None] % 5 == 0, REALS, 3.0)
    assert np.abs(StudentT().to_working(table, fit(StudentT(), table))).max() < 10


@pytest.mark.parametrize("df", [0, -1.0, np.inf, np.nan, True, "many"])
def test_invalid_df(df):
    with pytest.raises(ValueError, match=r"'df' of StudentT must be .*; got"):
        start(StudentT(df=df), REALS)


def test_student_t_of_many_degrees_draws_a_normal():
    case = start(StudentT(df=1e300), REALS)
    draws = case.sample(5000)
    for place in range(2):
        expected = stats.norm(case.mean()[place], peak(case)[place])
        assert stats.kstest(draws[:, place], expected.cdf).pvalue > 1e-3


def test_student_t_of_few_degrees_draws_finite_numbers():
    likelihood = StudentT(df=0.01)
    parameters = likelihood.parameters(fit(likelihood, REALS))
    generator = torch.Generator().manual_seed(0)
    assert torch.isfinite(likelihood.sample(torch.zeros(1, 1000, 2), parameters, generator)).all()


def test_log_normal_holds_every_positive_number():
    table = np.array([[5e-324], [1e-300], [1.0], [1e300], [1.7e308]])
    case = start(LogNormal(), table)
    back = LogNormal().from_working(LogNormal().to_working(table, case.constants), case.constants)
    np.testing.assert_allclose(back, table, rtol=1e-12)
    far = np.array([[-1e9], [1e9]])
    assert LogNormal().in_support(LogNormal().from_working(far, case.constants), {}).all()


def test_beta_draws_stay_inside_the_open_interval():
    case = Case(Beta(), SHARES, [-500.0, 500.0])
    assert Beta().in_support(case.sample(1000), {}).all()
    assert (case.sample(1000)[:, 0] < 0.5).all()


# -- Bernoulli and its continuous kin ---------------------------------------------


def test_bernoulli_counts_a_grey_level_as_a_share():
    case = CASES["bernoulli"]
    no, grey, yes = case.log_density(np.array([[0.0], [0.3], [1.0]]).repeat(2, axis=1))
    np.testing.assert_allclose(grey, 0.7 * no + 0.3 * yes)


def test_binarize_draws_yes_and_no_at_the_grey_level():
    grey = torch.tensor([0.0, 0.2, 0.7, 1.0]).expand(20_000, 4)
    draws = [
        Bernoulli(binarize=True).draw_target(grey, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert set(draws[0].unique().tolist()) == {0.0, 1.0}
    assert (draws[0][:, [0, 3]] == grey[:, [0, 3]]).all()
    torch.testing.assert_close(draws[0].mean(0), grey[0], atol=0.015, rtol=0)


def test_targets_are_the_data_otherwise():
    grey, generator = torch.rand(5, 4, generator=torch.Generator()), torch.Generator()
    for case in CASES.values():
        if case.likelihood != Bernoulli(binarize=True):
            assert torch.equal(case.likelihood.draw_target(grey, generator), grey)


LOGITS = [0.0, 1e-12, 1e-3, 0.05, 0.19, 0.21, 0.5, 3.0, 20.0, 80.0]
LOGITS = torch.tensor([-value for value in LOGITS[:0:-1]] + LOGITS, dtype=torch.float64)
CB = ContinuousBernoulli()


def test_continuous_bernoulli_against_a_truncated_exponential():
    x = np.linspace(0, 1, 11)[:, None]
    for slope in LOGITS[LOGITS <= -0.05]:
        expected = stats.truncexpon(b=-slope, scale=-1 / slope)
        for flip in (False, True):  # x -> 1 - x flips the sign of the logit
            outputs = (-slope if flip else slope).expand(1, 11, 1)
            log_prob = CB.log_prob(torch.as_tensor(1 - x if flip else x), outputs, {})[0]
            np.testing.assert_allclose(log_prob, expected.logpdf(x), rtol=1e-7, atol=1e-9)
            mean = CB.mean(outputs, {})[0, 0].item()
            np.testing.assert_allclose(1 - mean if flip else mean, expected.mean(), rtol=1e-7)


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_continuous_bernoulli_is_smooth_through_zero(x):
    outputs = LOGITS.clone().requires_grad_()
    log_prob = CB.log_prob(torch.full_like(LOGITS, x), outputs, {})
    (slope,) = torch.autograd.grad(log_prob.sum(), outputs)
    # an exponential family: the slope of the log-density is x less its mean
    torch.testing.assert_close(slope, x - CB.mean(LOGITS, {}), atol=1e-12, rtol=0)
    assert gradcheck(lambda o: CB.log_prob(torch.full_like(LOGITS, x), o, {}), outputs)
    assert gradcheck(lambda o: CB.mean(o, {}), outputs)


def test_continuous_bernoulli_has_no_step_where_its_formulas_meet():
    fine = torch.linspace(-0.3, 0.3, 60_001, dtype=torch.float64)
    mean = CB.mean(fine, {})
    torch.testing.assert_close(
        mean.diff() / fine.diff(), torch.full((60_000,), 1 / 12).double(), atol=0.004, rtol=0
    )
    half = fine.numel() // 2
    assert mean[half] == 0.5
    log_prob = CB.log_prob(torch.ones_like(fine), fine, {})
    torch.testing.assert_close(log_prob.diff() / fine.diff(), 1 - mean[1:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_stays_finite(dtype):
    outputs = torch.tensor([-1e4, -80.0, -1e-30, 0.0, 1e-30, 80.0, 1e4], dtype=dtype)
    outputs.requires_grad_()
    for x in (0.0, 1.0):
        log_prob = CB.log_prob(torch.full_like(outputs, x), outputs, {})
        (slope,) = torch.autograd.grad(log_prob.sum(), outputs)
        draw = CB.sample(outputs.detach(), {}, torch.Generator().manual_seed(0))
        for value in (log_prob, slope, draw, CB.mean(outputs, {})):
            assert torch.isfinite(value).all()
        assert ((draw >= 0) & (draw <= 1)).all()


# -- counts -----------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", [Poisson(True), NegativeBinomial(True)], ids=repr)
class TestLibrarySize:
    def test_rates_are_shares_of_the_sum_of_a_row(self, likelihood):
        case = Case(likelihood, COUNTS, [0.3, -1.2], step=0.0)
        share = rates(case) / rates(case).sum()
        rate = np.maximum(COUNTS.sum(axis=1, keepdims=True), 1) * share
        expected = stats.poisson(rate)
        if isinstance(likelihood, NegativeBinomial):
            r = likelihood.dispersion(case.parameters).numpy()
            expected = stats.nbinom(r, r / (r + rate))
        np.testing.assert_allclose(case.log_density(COUNTS), expected.logpmf(COUNTS), rtol=1e-5)

    def test_means_and_draws_have_the_mean_sum(self, likelihood):
        case = Case(likelihood, COUNTS, [0.3, -1.2])
        mean = COUNTS.sum(axis=1).mean()
        np.testing.assert_allclose(case.mean().sum(), mean, rtol=1e-6)
        np.testing.assert_allclose(case.sample(20_000).mean(axis=0), case.mean(), rtol=0.05)

    def test_a_row_of_zeros(self, likelihood):
        case = Case(likelihood, COUNTS, [0.3, -1.2])
        assert np.isfinite(case.log_density(np.zeros((1, 2)))).all()


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()], ids=repr)
def test_a_column_of_zeros_has_a_small_rate(likelihood):
    case = start(likelihood, np.zeros((100, 1)))
    assert 0 < case.mean()[0] < 0.01
    assert case.log_density(np.zeros((1, 1)))[0, 0] > -0.01
    assert np.isfinite(case.log_density(np.ones((1, 1)))).all()


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()], ids=repr)
def test_rates_beyond_all_counts_still_draw_counts(likelihood):
    case = Case(likelihood, COUNTS, [1e4, -1e4])
    draws = case.sample(10)
    assert likelihood.in_support(draws, case.constants).all()
    assert np.isfinite(case.log_density(COUNTS)).all()


# -- levels -----------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", [Categorical(), Ordinal()], ids=repr)
class TestValues:
    def test_start_is_the_shares_of_training(self, likelihood):
        case = start(likelihood, LEVELS)
        for place, column in enumerate(LEVELS.T):
            share = (column == column[:, None]).mean(axis=0)
            found = np.exp(case.log_density(LEVELS)[:, place])
            np.testing.assert_allclose(found, share, rtol=2e-5)

    def test_values_that_training_has_not_seen_are_missing(self, likelihood):
        constants = fit(likelihood, LEVELS)
        x = np.array([[0.5, 1.0, 2.0], [np.nan, 3.0, 0.0], [8.0, np.nan, 1.0]])
        expected = np.array([[1, np.nan, np.nan], [np.nan, 1, np.nan], [np.nan, np.nan, 0]])
        np.testing.assert_array_equal(likelihood.to_working(x, constants), expected)

    def test_padding_changes_nothing(self, likelihood):
        padded = start(likelihood, LEVELS)
        for place in range(LEVELS.shape[1]):
            alone = start(likelihood, LEVELS[:, [place]])
            np.testing.assert_allclose(
                padded.log_density(LEVELS)[:, place], alone.log_density(LEVELS[:, [place]])[:, 0]
            )

    def test_gradients_of_padded_columns_stay_finite(self, likelihood):
        tensors = likelihood.parameters(fit(likelihood, LEVELS))
        learned = [t for t in tensors.values() if isinstance(t, nn.Parameter)]
        x = torch.as_tensor(likelihood.to_working(LEVELS, fit(likelihood, LEVELS))).float()
        n_outputs = likelihood.n_outputs(fit(likelihood, LEVELS)) * LEVELS.shape[1]
        outputs = torch.full((1, len(x), n_outputs), 30.0, requires_grad=True)
        likelihood.log_prob(x, outputs, tensors).sum().backward()
        likelihood.statistics(outputs, tensors).sum().backward()
        assert all(torch.isfinite(t.grad).all() for t in [outputs, *learned])

    def test_a_rare_level_among_many(self, likelihood):
        column = np.repeat(np.arange(50.0), np.r_[1, np.full(48, 3), 100_000])[:, None]
        case = start(likelihood, column)
        nodes = values_seen(case)
        assert np.isfinite(case.log_density(nodes.x)).all()
        np.testing.assert_allclose(np.exp(case.log_density(nodes.x)).sum(), 1, rtol=1e-6)


def test_two_ordered_levels_are_a_bernoulli():
    ordinal, bernoulli = start(Ordinal(), BITS), start(Bernoulli(), BITS)
    share = BITS.mean(axis=0)
    for output in (-20.0, -1.0, 0.0, 3.0):
        ordinal.outputs = [output] * 2
        bernoulli.outputs = output + logit(share)
        np.testing.assert_allclose(
            ordinal.log_density(BITS), bernoulli.log_density(BITS), rtol=1e-5, atol=1e-12
        )


def test_ordered_levels_rise_with_the_output():
    case, means = start(Ordinal(), LEVELS), []
    for output in np.linspace(-30, 30, 61):
        case.outputs = [output] * 3
        means.append(case.mean())
    assert (np.diff(means, axis=0) >= 0).all()
    assert (means[0] == LEVELS.min(axis=0)).all()
    assert (means[-1] == LEVELS.max(axis=0)).all()


# -- Histogram --------------------------------------------------------------------


def levels_of(constants):
    """Atoms, and number of bins, of the first column."""
    low, high = constants["low"][0], constants["high"][0]
    return low[low == high].tolist(), int((low < high).sum())


HISTOGRAMS = [  # a column, its atoms, its number of bins (with both tails)
    (MIXTURE, [], 30),
    (SPIKED, [0.0, 1.25], 18),
    (FEW, [0.0, 1.0, 2.0, 5.0, 9.0], 3),
    (np.repeat(np.arange(5.0), 40), [0.0, 1.0, 2.0, 3.0, 4.0], 2),
    (np.repeat([0.1, 0.2, 0.7], 40), [0.1, 0.2, 0.7], 4),
    (RNG.normal(size=59), [], 3),
    (np.full(30, 0.1), [0.1], 4),
    (np.ones(30), [1.0], 3),
]


@pytest.mark.parametrize(("column", "atoms", "n_bins"), HISTOGRAMS)
def test_atoms_and_bins(column, atoms, n_bins):
    found = levels_of(fit(Histogram(), column[:, None]))
    assert found[0] == atoms
    assert abs(found[1] - n_bins) <= (n_bins > 3)


def test_a_common_value_is_an_atom_and_a_rare_one_is_not():
    column = np.r_[MIXTURE, MIXTURE[:400] + 0.1, np.full(8, 0.5), np.full(7, -0.5)][:, None]
    assert levels_of(fit(Histogram(), column))[0] == [0.5]
    assert levels_of(fit(Histogram(n_bins=50), column))[0] == []
    # a row that weighs as much as 50 is as good as 50 copies
    assert levels_of(Histogram().fit(column[:1001], np.r_[np.ones(1000), 50.0]))[0] != []


@pytest.mark.parametrize("column", [np.abs(MIXTURE), np.floor(np.abs(40 * MIXTURE))])
def test_what_was_never_negative_hardly_is(column):
    case = start(Histogram(), column[:, None])
    assert (case.sample(100_000) < 0).mean() < 1 / len(column)
    x = np.array([[-3.0], [-1.0], [0.0], [1.0]])
    log_density = case.log_density(x)[:, 0]
    assert np.isfinite(log_density).all()
    assert log_density[:2].max() < log_density[2:].min()


def test_histogram_starts_at_the_shares_of_the_bins():
    case = start(Histogram(), MIXTURE[:, None])
    edges = case.constants["low"][0][1:]
    middle = 0.5 * (edges[1:] + edges[:-1])
    expected, _ = np.histogram(MIXTURE, edges)
    found = np.exp(case.log_density(middle[:, None])[:, 0]) * np.diff(edges) * len(MIXTURE)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [1.0, 1e17, -1e300])
def test_a_single_whole_number_has_a_mass(value):
    case = start(Histogram(), np.array([[value]]))
    assert case.log_density(case.table)[0, 0] < 0


def test_whole_numbers_stay_whole():
    whole = fit(Histogram(), HOURS[:, None])
    broken = fit(Histogram(), np.r_[HOURS, 0.5][:, None])
    x = np.array([[-3.0], [0.5], [7.0], [np.nan]])
    assert Histogram().in_support(x, whole)[:, 0].tolist() == [True, False, True, False]
    assert Histogram().in_support(x, broken)[:, 0].tolist() == [True, True, True, False]


def test_what_training_happened_not_to_hold_has_a_density():
    case = start(Histogram(), FORMS)
    x = np.repeat([[-50.0], [3.0], [4.0], [1000.0]], 4, axis=1)
    assert np.isfinite(case.log_density(x)).all()


TINY = np.arange(40) * 5e-324


@pytest.mark.parametrize("column", [TINY[:2], TINY, np.r_[TINY, np.linspace(1, 1e300, 160)]])
def test_neither_tiny_gaps_nor_tiny_tails_overflow(column):
    case = start(Histogram(), column[:, None])
    assert np.isfinite(case.log_density(np.array([[-1.0], [0.0], [5e-324], [1.0]]))).all()
    assert np.isfinite(case.sample(1000)).all()


@pytest.mark.parametrize(
    "params", [{"n_bins": 2}, {"n_bins": 1001}, {"n_bins": 9.0}, {"rows_per_bin": 0}], ids=str
)
def test_invalid_bins(params):
    (name,) = params
    with pytest.raises(ValueError, match=rf"'{name}' of Histogram must be .*; got"):
        Histogram(**params).fit(MIXTURE[:, None], np.ones(600))


def test_the_most_levels_survive_single_precision():
    column = np.r_[np.repeat(np.arange(500.0), 40), np.arange(0, 20_000) + 0.5]
    likelihood = Histogram(n_bins=1000)
    constants = fit(likelihood, column[:, None])
    parameters = likelihood.parameters(constants)
    n_levels = likelihood.n_levels(constants)
    assert n_levels > 1400
    outputs = torch.full((1, 20_000, 1 + n_levels), -1e4)  # a location, and the logits
    outputs[..., 0] = 0.0
    outputs[..., -1] = outputs[..., n_levels - 500] = 1e4
    draws = likelihood.sample(outputs, parameters, torch.Generator().manual_seed(0))[0]
    assert set(draws.floor().unique().tolist()) == {n_levels - 1.0, n_levels - 501.0}


def test_values_far_out_count_as_three_standard_deviations_in_a_location():
    x = np.random.default_rng(0).normal(size=1000)
    far, near = (np.r_[x, largest][:, None] for largest in (1e6, 100.0))
    highest = []
    for column in (far, near):
        likelihood = Histogram()
        constants = likelihood.fit(column, np.ones(1001))
        parameters = likelihood.parameters(constants)
        working = torch.from_numpy(likelihood.to_working(column, constants))
        location = likelihood.location(working, parameters)[:, 0]
        assert (np.diff(location[column[:, 0].argsort()].numpy()) >= 0).all()
        highest.append(float(location[-1]))
    assert highest[0] == pytest.approx(highest[1], rel=0.2)
    assert highest[0] < 6


@pytest.mark.parametrize("cells", [1, 7, 200 * 2])
def test_mean_and_spread_do_not_show_their_pieces(monkeypatch, cells):
    monkeypatch.setattr(_numerics, "PIECE_CELLS", cells)
    weight = RNG.random(len(REALS))
    for factor in (1.0, 1e200):
        mean, spread = _numerics.standardisation(factor * REALS, weight)
        expected = np.average(REALS, axis=0, weights=weight)
        np.testing.assert_allclose(mean / factor, expected, rtol=1e-12)
        square = np.average(np.square(REALS - expected), axis=0, weights=weight)
        np.testing.assert_allclose(spread / factor, np.sqrt(square), rtol=1e-12)
    mean, spread = _numerics.standardisation(np.full((200, 2), 0.1), weight)
    assert (mean == 0.1).all()
    assert (spread == 0).all()


def test_what_is_true_of_a_closed_form_is_not_inherited():
    class Own(Bernoulli):
        pass

    class Told(Bernoulli):
        takes_bfloat16 = True
        replayable = True

    assert Bernoulli.takes_bfloat16
    assert Bernoulli.replayable
    assert not Own.takes_bfloat16
    assert not Own.replayable
    assert Told.takes_bfloat16
    assert Told.replayable
