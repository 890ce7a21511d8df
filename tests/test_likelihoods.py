"""Every likelihood is a density of its own mean and draws, in the caller's units.

A new likelihood joins by its rows in ``CASES`` and ``SUPPORTS``.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import leggauss
from scipy import stats
from scipy.special import expit
from sklearn.base import clone
from torch import nn
from torch.autograd import gradcheck

from skvae.likelihoods import LIKELIHOODS, Bernoulli, ContinuousBernoulli, Gaussian, Likelihood

RNG = np.random.default_rng(0)
REALS = RNG.normal([100.0, -7.0], [2.0, 5.0], size=(200, 2))
BITS = RNG.integers(0, 2, size=(200, 2)).astype(float)
GREYS = RNG.random((200, 4))

# where the probability lies, in working units: the ends of an interval, or atoms
REAL_LINE, UNIT_INTERVAL, YES_NO = (-40.0, 40.0), (0.0, 1.0), [0.0, 1.0]


@dataclass
class Case:
    """A likelihood, the table it is fitted to and one row of decoder outputs."""

    likelihood: Likelihood
    table: np.ndarray
    outputs: list[float]
    where: tuple[float, float] | list[float]

    def __post_init__(self):
        self.constants = self.likelihood.fit(self.table, np.ones(len(self.table)))
        self.parameters = {
            # what is learned is moved off its start, so that it counts
            name: tensor.detach().double() + 0.03 * isinstance(tensor, nn.Parameter)
            for name, tensor in self.likelihood.parameters(self.constants).items()
        }
        self.output_row = torch.tensor(self.outputs, dtype=torch.float64)

    @property
    def discrete(self):
        return isinstance(self.where, list)

    def outputs_of(self, n):
        """The row of outputs for ``n`` rows, (1, n, P)."""
        return self.output_row.expand(1, n, -1)

    def log_density(self, x):
        """log p(x|z) in the caller's units. (n, d) -> (n, d)."""
        working = torch.as_tensor(self.likelihood.to_working(x, self.constants))
        cells = self.likelihood.log_prob(working, self.outputs_of(len(x)), self.parameters)
        return cells[0].numpy() + self.likelihood.log_jacobian(x, self.constants)

    def nodes(self, n=400):
        """Nodes and weights of a sum or a Gauss-Legendre quadrature, caller's units, (n, d)."""
        d = self.table.shape[1]
        if self.discrete:
            atoms = np.repeat(np.array(self.where)[:, None], d, axis=1)
            return self.likelihood.from_working(atoms, self.constants), np.ones_like(atoms)
        low, high = self.likelihood.from_working(
            np.repeat(np.array(self.where)[:, None], d, axis=1), self.constants
        )
        node, weight = (a[:, None] for a in leggauss(n))
        return low + (high - low) * (node + 1) / 2, (high - low) * weight / 2

    def mean(self):
        mean = self.likelihood.mean(self.outputs_of(1), self.parameters)[0].numpy()
        return self.likelihood.from_working(mean, self.constants)[0]

    def sample(self, n, seed=0):
        generator = torch.Generator().manual_seed(seed)
        draws = self.likelihood.sample(self.outputs_of(n), self.parameters, generator)[0]
        return self.likelihood.from_working(draws.numpy(), self.constants)


CASES = {
    "gaussian": Case(Gaussian(), REALS, [0.3, -1.2], REAL_LINE),
    "gaussian-shared": Case(Gaussian(scale="shared"), REALS, [0.3, -1.2], REAL_LINE),
    "gaussian-fixed": Case(Gaussian(scale=3.0), REALS, [0.3, -1.2], REAL_LINE),
    "bernoulli": Case(Bernoulli(), BITS, [-2.0, 0.7], YES_NO),
    "bernoulli-binarize": Case(Bernoulli(binarize=True), BITS, [-2.0, 0.7], YES_NO),
    "continuous_bernoulli": Case(ContinuousBernoulli(), GREYS, [0.0, 0.15, -3, 40], UNIT_INTERVAL),
}

SUPPORTS = [  # likelihood, values inside, values outside
    (Gaussian(), [-1e300, 0.0, 1e-320, 5.0], [np.nan, np.inf, -np.inf]),
    (Bernoulli(), [0.0, -0.0, 0.5, 1.0], [-1e-9, 1.0 + 1e-9, 2.0, np.nan, np.inf]),
    (ContinuousBernoulli(), [0.0, -0.0, 0.5, 1.0], [-1e-9, 1.0 + 1e-9, 2.0, np.nan, np.inf]),
]


def test_the_tables_hold_every_likelihood():
    for table in (CASES.values(), [Case(row[0], GREYS, [0.0], [0.0]) for row in SUPPORTS]):
        assert {type(case.likelihood) for case in table} == set(LIKELIHOODS.values())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
class TestEveryLikelihood:
    def test_density_integrates_to_one(self, case):
        x, weight = case.nodes()
        np.testing.assert_allclose((weight * np.exp(case.log_density(x))).sum(0), 1, rtol=1e-9)

    def test_mean_is_that_of_the_density(self, case):
        x, weight = case.nodes()
        expected = (weight * x * np.exp(case.log_density(x))).sum(0)
        np.testing.assert_allclose(case.mean(), expected, rtol=1e-7)

    def test_mean_is_that_of_the_draws(self, case):
        draws = case.sample(20_000)
        error = draws.std(axis=0) / np.sqrt(len(draws))
        assert (np.abs(draws.mean(axis=0) - case.mean()) < 4.5 * error).all()

    def test_draws_follow_the_density(self, case):
        draws = case.sample(20_000)
        x, weight = case.nodes(2000)
        mass = weight * np.exp(case.log_density(x))
        for place in range(draws.shape[1]):
            if case.discrete:
                counts = (draws[:, place, None] == x[:, place]).sum(axis=0)
                test = stats.chisquare(counts, len(draws) * mass[:, place])
            else:
                middle = np.cumsum(mass[:, place]) - 0.5 * mass[:, place]
                test = stats.kstest(
                    draws[:, place], lambda v, i=place, m=middle: np.interp(v, x[:, i], m)
                )
            assert test.pvalue > 1e-3

    def test_draws_come_from_their_generator(self, case):
        assert np.array_equal(case.sample(10, seed=1), case.sample(10, seed=1))
        if not case.discrete:
            assert not np.array_equal(case.sample(10, seed=1), case.sample(10, seed=2))

    def test_working_units_lead_back(self, case):
        there = case.likelihood.to_working(case.table, case.constants)
        back = case.likelihood.from_working(there, case.constants)
        np.testing.assert_allclose(back, case.table, rtol=1e-14, atol=1e-13)

    def test_log_jacobian_is_the_slope_of_the_working_units(self, case):
        step = 1e-6
        slope = (
            case.likelihood.to_working(case.table + step, case.constants)
            - case.likelihood.to_working(case.table - step, case.constants)
        ) / (2 * step)
        log_jacobian = case.likelihood.log_jacobian(case.table, case.constants)
        np.testing.assert_allclose(
            slope, np.exp(np.broadcast_to(log_jacobian, slope.shape)), rtol=1e-6
        )

    def test_gradients(self, case):
        x = torch.as_tensor(case.likelihood.to_working(case.table[:3], case.constants))
        outputs = case.outputs_of(3).clone().requires_grad_()
        assert gradcheck(lambda o: case.likelihood.log_prob(x, o, case.parameters), outputs)
        assert gradcheck(lambda o: case.likelihood.mean(o, case.parameters), outputs)

    def test_weights_equal_repetitions(self, case):
        counts = np.arange(len(case.table)) % 3
        weighted = case.likelihood.fit(case.table[counts > 0], counts[counts > 0].astype(float))
        repeated = case.likelihood.fit(np.repeat(case.table, counts, axis=0), np.ones(counts.sum()))
        assert weighted.keys() == repeated.keys()
        for name in weighted:
            np.testing.assert_allclose(weighted[name], repeated[name], rtol=1e-12)

    def test_outputs_per_column(self, case):
        assert len(case.outputs) == case.likelihood.n_outputs * case.table.shape[1]

    def test_draws_and_means_lie_in_the_support(self, case):
        assert case.likelihood.inside(case.sample(1000)).all()
        assert case.likelihood.inside(case.mean()[None]).all()

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
    assert likelihood.inside(np.array([inside])).all()
    assert not likelihood.inside(np.array([outside])).any()


# -- Gaussian ---------------------------------------------------------------------


def start(likelihood, table, outputs=None):
    """The case at the parameters' start, with outputs 0: the mean of each column."""
    case = Case(likelihood, table, outputs or [0.0] * table.shape[1], REAL_LINE)
    case.parameters = {
        name: tensor.detach().double()
        for name, tensor in likelihood.parameters(case.constants).items()
    }
    return case


SPREAD = REALS.std(axis=0)
SCALES = [("column", SPREAD), ("shared", np.sqrt(np.mean(SPREAD**2))), (3.0, 3.0)]


@pytest.mark.parametrize(("scale", "sigma"), SCALES)
def test_gaussian_starts_at_the_mean_and_scale_of_the_data(scale, sigma):
    case = start(Gaussian(scale=scale), REALS)
    if scale != 3.0:
        sigma = np.hypot(sigma, 0.01 * SPREAD)  # with the floor of a learned sigma
    expected = stats.norm(REALS.mean(axis=0), sigma).logpdf(REALS)
    np.testing.assert_allclose(case.log_density(REALS), expected, rtol=1e-6)


def test_gaussian_comes_back_from_the_floor():
    likelihood = Gaussian()
    tensors = likelihood.parameters(likelihood.fit(REALS, np.ones(200)))
    with torch.no_grad():
        tensors["log_sigma"] -= 1.0  # sigma e^-10
    likelihood.log_prob(torch.full((1, 2), 0.5), torch.zeros(1, 1, 2), tensors).sum().backward()
    assert (tensors["log_sigma"].grad > 0).all()


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
    for name, tensor in Gaussian(scale=scale).parameters(case.constants).items():
        if isinstance(tensor, nn.Parameter):
            case.parameters[name].fill_(-100.0)
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
    weight = RNG.random(1000)
    likelihood, table = Gaussian(scale=scale), np.full((1000, 1), value)
    constants = likelihood.fit(table, weight)
    assert (likelihood.to_working(table, constants) == 0).all()
    assert (likelihood.from_working(np.zeros((1, 1)), constants) == value).all()
    assert np.isfinite(start(likelihood, table).log_density(table)).all()


# -- Bernoulli and its continuous kin ---------------------------------------------


def test_bernoulli_against_scipy():
    case = CASES["bernoulli"]
    expected = stats.bernoulli(expit(np.array(case.outputs))).logpmf(BITS)
    np.testing.assert_allclose(case.log_density(BITS), expected)


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
    for likelihood in (Bernoulli(), Gaussian(), ContinuousBernoulli()):
        assert torch.equal(likelihood.draw_target(grey, generator), grey)


LOGITS = [0.0, 1e-12, 1e-3, 0.05, 0.19, 0.21, 0.5, 3.0, 20.0, 80.0]
LOGITS = torch.tensor([-logit for logit in LOGITS[:0:-1]] + LOGITS, dtype=torch.float64)
CB = ContinuousBernoulli()


def test_continuous_bernoulli_against_a_truncated_exponential():
    x = np.linspace(0, 1, 11)[:, None]
    for logit in LOGITS[LOGITS <= -0.05]:
        expected = stats.truncexpon(b=-logit, scale=-1 / logit)
        for flip in (False, True):  # x -> 1 - x flips the sign of the logit
            outputs = (-logit if flip else logit).expand(1, 11, 1)
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
