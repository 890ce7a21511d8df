"""Normal density of the normal scores of a column."""

import numpy as np
import pytest
import torch
from cases import (
    AMOUNTS,
    BROKEN_FORMS,
    COUNTS,
    FORMS,
    HOURS,
    MIXTURE,
    RNG,
    SPIKED,
    Case,
    fit,
    smooth_pieces_and_atoms,
    start,
)
from scipy import stats

from skvae.likelihoods import Gaussian, NormalScores
from skvae.likelihoods._normal_scores import GAIN, LOG_SPEED, normal_mass
from skvae.likelihoods._sample import ColumnSample, Others

ZEROS = np.where(RNG.random(600) < 0.5, 0.0, RNG.exponential(1.0, 600))


def with_noise(table, sigma, output, nodes_of=None):
    """The case with this sigma, and this output for all columns."""
    step = np.log(sigma) / LOG_SPEED
    return Case(NormalScores(), table, [output] * table.shape[1], nodes_of, step)


@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("output", [-1.5, 0.0, 0.7])
class TestNoise:
    def test_density_and_masses_sum_to_one(self, output, sigma):
        _, mass = with_noise(BROKEN_FORMS, sigma, output, smooth_pieces_and_atoms).mass()
        np.testing.assert_allclose(mass.sum(axis=0), 1, rtol=1e-5)

    def test_masses_of_whole_numbers_sum_to_about_one(self, output, sigma):
        table = np.stack([HOURS, np.round(100 * SPIKED)], axis=1)
        case = with_noise(table, sigma, output)
        x = np.repeat(np.arange(-20_000.0, 20_000.0)[:, None], 2, axis=1)
        mass = np.exp(case.log_density(x)).sum(axis=0)
        np.testing.assert_allclose(mass, 1, rtol=0.05)

    def test_mean_is_that_of_the_draws(self, output, sigma):
        case = with_noise(np.c_[FORMS, ZEROS], sigma, output)
        draws = case.sample(40_000)
        error = draws.std(axis=0) / 200 + 0.02 * case.table.std(axis=0)
        assert (np.abs(draws.mean(axis=0) - case.mean()) < 4 * error).all()


@pytest.mark.parametrize("table", [AMOUNTS, FORMS, COUNTS], ids=["smooth", "atoms", "counts"])
@pytest.mark.parametrize("output", [-8.0, 0.0, 8.0])
def test_draws_stay_within_the_range_of_training(table, output):
    draws = with_noise(table, 3.0, output).sample(2000)
    assert (draws >= table.min(axis=0)).all()
    assert (draws <= table.max(axis=0)).all()
    whole = (table == np.floor(table)).all(axis=0)
    assert (draws[:, whole] == np.floor(draws[:, whole])).all()


def test_draws_of_training_codes_have_the_distribution_of_the_column():
    table = np.c_[MIXTURE, ZEROS, HOURS]
    draws = start(NormalScores(), table).sample(20_000)  # sigma 1 around 0
    for found, expected in zip(draws.T, table.T, strict=True):
        assert stats.ks_2samp(found, expected).statistic < 0.06


@pytest.mark.parametrize("table", [AMOUNTS, FORMS], ids=["smooth", "atoms"])
@pytest.mark.parametrize(("factor", "shift"), [(1024.0, 0.0), (0.37, -5.0)])
def test_a_scaled_and_shifted_column_has_the_scaled_and_shifted_model(table, factor, shift):
    table = table + 0.3  # no whole numbers
    here, there = (start(NormalScores(), x) for x in (table, table * factor + shift))
    u = [case.likelihood.to_working(case.table, case.constants) for case in (here, there)]
    np.testing.assert_allclose(*u, rtol=1e-7, atol=1e-7)
    expected = here.log_density(table) - np.log(factor)
    np.testing.assert_allclose(there.log_density(there.table), expected, atol=1e-5)
    np.testing.assert_allclose(there.mean(), here.mean() * factor + shift, rtol=1e-6)


INTERVALS = [(-1.0, 0.5), (3.0, 3.1), (-20.0, -19.0), (5.0, 30.0), (-1e4, 0.3), (-0.3, 1e4)]
INTERVALS += [(-1e4, -12.0), (8.0, 1e4), (-6.0, 6.0), (-1e4, 1e4)]


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_mass_of_an_interval(low, high):
    ends = torch.tensor([low, high], dtype=torch.float64)
    found = [float(value) for value in normal_mass(*ends)]
    normal = stats.norm
    is_right = low + high > 0  # the smaller tail is the exact one
    mass = normal.sf(low) - normal.sf(high) if is_right else normal.cdf(high) - normal.cdf(low)
    expected = [np.log(mass), normal.pdf(low) / mass, normal.pdf(high) / mass]
    # what lies beyond 5 standard deviations is left out if the interval holds the rest
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=4e-7)


def test_values_that_are_no_atoms_have_the_density_of_the_noise():
    case = with_noise(np.c_[ZEROS, ZEROS], 0.3, 0.2)
    x, outputs = case.working(case.table[ZEROS > 0][:9]), case.outputs_of(9)
    expected = super(NormalScores, case.likelihood).log_prob(x, outputs, case.parameters)
    assert torch.equal(case.likelihood.log_prob(x, outputs, case.parameters), expected)


def test_codes_that_all_rows_share():
    case = with_noise(np.c_[SPIKED, ZEROS], 0.3, 0.2)
    x = case.working(case.table[:9])
    found = case.likelihood.log_prob(x, case.outputs_of(1), case.parameters)
    assert torch.equal(found, case.likelihood.log_prob(x, case.outputs_of(9), case.parameters))


@pytest.mark.parametrize("sigma", [0.05, 1.0])
@pytest.mark.parametrize("output", [-4.0, 0.2, 3.0])
def test_gradient_of_atoms_is_that_of_autograd(output, sigma):
    case = with_noise(np.c_[SPIKED, ZEROS, HOURS], sigma, output)
    x = case.working(case.table[:40])
    outputs = case.outputs_of(40).clone().requires_grad_()
    log_sigma = case.parameters["log_sigma"].clone().requires_grad_()
    parameters = case.parameters | {"log_sigma": log_sigma}
    log_prob = case.likelihood.log_prob(x, outputs, parameters)
    expected = torch.autograd.grad(log_prob.sum(), [outputs, log_sigma])
    log_sigma.grad = torch.zeros_like(log_sigma)
    with torch.inference_mode():
        later, backward = case.likelihood.vjp(x.clone(), outputs.clone(), parameters)
        found = backward(torch.ones_like(outputs)), log_sigma.grad
    torch.testing.assert_close(later(), log_prob.detach())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("log_sigma", [-3.0, 0.0, 1.0])
@pytest.mark.parametrize("far", [-1e3, 1e3])
def test_far_outputs_in_single_precision(far, log_sigma):
    table = np.c_[FORMS, ZEROS]
    likelihood = NormalScores()
    constants = fit(likelihood, table)
    parameters = likelihood.parameters(constants)
    parameters["log_sigma"].data.fill_(log_sigma)
    parameters["log_sigma"].grad = torch.zeros(5)
    x = torch.as_tensor(likelihood.to_working(table, constants)).float()
    outputs = torch.full((1, *table.shape), far)
    with torch.inference_mode():
        later, backward = likelihood.vjp(x, outputs, parameters)
        gradient = backward(torch.ones_like(outputs))
        assert torch.isfinite(later()).all()
    assert torch.isfinite(gradient).all()
    assert (gradient * far < 0).all()  # back to the value
    assert torch.isfinite(parameters["log_sigma"].grad).all()
    assert torch.isfinite(likelihood.mean(outputs, parameters)).all()


@pytest.mark.parametrize("x", [AMOUNTS, FORMS], ids=["smooth", "atoms"])
def test_weights_are_repetitions(x):
    counts = np.arange(len(x)) % 3
    likelihood = NormalScores()
    weighted = fit(likelihood, x[counts > 0], counts[counts > 0].astype(float))
    repeated = fit(likelihood, np.repeat(x, counts, axis=0))
    there = likelihood.to_working(x, weighted), likelihood.to_working(x, repeated)
    np.testing.assert_allclose(*there, rtol=1e-9, atol=1e-9)


ODD = {
    "constant": np.full(100, 2.5),
    "constant whole": np.full(100, 3.0),
    "huge": 1e300 * RNG.normal(size=100),
    "tiny": 1e-300 * RNG.normal(size=100),
    "huge and tiny": np.r_[np.full(50, 1e-300), np.full(50, 1e300)],
    "two rows": np.array([0.3, 7.1]),
    "two whole rows": np.array([1.0, 7.0]),
    "one row": np.array([4.5]),
    "huge whole numbers": np.round(1e15 * RNG.random(200)),
}


@pytest.mark.parametrize("column", ODD.values(), ids=ODD)
def test_odd_columns(column):
    table = column[:, None]
    case = start(NormalScores(), table)
    assert torch.isfinite(case.working(table)).all()
    assert np.isfinite(case.log_density(table)).all()
    assert np.isfinite(case.mean()).all()
    draws = case.sample(200)
    assert ((draws >= column.min()) & (draws <= column.max())).all()


def test_missing_values_pass_through():
    likelihood = NormalScores()
    constants = fit(likelihood, FORMS)
    x = np.where(RNG.random(FORMS.shape) < 0.5, np.nan, FORMS)
    for method in (likelihood.to_working, likelihood.log_jacobian, likelihood.from_working):
        assert (np.isnan(method(x, constants)) == np.isnan(x)).all()


@pytest.mark.parametrize("table", [AMOUNTS, FORMS], ids=["smooth", "atoms"])
def test_further_rows_widen_the_range(table):
    likelihood = NormalScores()
    constants = fit(likelihood, table)
    table_ends = np.stack([table.min(axis=0), table.max(axis=0)], axis=1)
    np.testing.assert_array_equal(constants["limits"], table_ends)
    more = np.vstack([table.min(axis=0) - 3.0, np.full(table.shape[1], np.nan)])
    wider = likelihood.update_constants(more, constants)
    np.testing.assert_array_equal(wider["limits"], table_ends - [3.0, 0.0])
    missing = np.full((2, table.shape[1]), np.nan)
    same = likelihood.update_constants(missing, constants)
    np.testing.assert_array_equal(same["limits"], table_ends)


def test_outputs_move_values_and_atoms_upwards():
    table = np.c_[FORMS, ZEROS]
    means = [with_noise(table, 0.3, output).mean() for output in np.linspace(-5, 5, 41)]
    assert (np.diff(means, axis=0) >= -1e-6).all()
    np.testing.assert_allclose(means[0], table.min(axis=0), atol=0.05 * table.std(axis=0).max())


# -- the choice of "auto" ---------------------------------------------------------

Q = (np.arange(2000) + 0.5) / 2000
NORMAL = stats.norm.ppf(Q)


def gain_of(x):
    return NormalScores().gain(sample_of(x))


@pytest.mark.parametrize("n", [60, 300, 3000])
def test_gain_of_normal_samples_is_negative(n):
    rng = np.random.default_rng(n)
    assert max(gain_of(rng.normal(size=n)) for _ in range(20)) < 0


@pytest.mark.parametrize("n", [300, 3000])
def test_gain_of_log_normal_samples(n):
    rng = np.random.default_rng(n)
    assert min(gain_of(np.exp(rng.normal(size=n))) for _ in range(10)) > GAIN


def test_gain_is_that_of_the_density():
    # of a log-normal distribution: log sigma_x - E log p(x) relative to the normal one
    exact = stats.lognorm(1.0)
    expected = np.log(exact.std() * np.sqrt(2 * np.pi * np.e)) - exact.entropy()
    assert gain_of(np.exp(NORMAL)) == pytest.approx(expected, abs=0.15)
    assert gain_of(3e5 * np.exp(NORMAL)) == pytest.approx(gain_of(np.exp(NORMAL)), rel=1e-3)


def sample_of(x, **known):
    known = {"is_category": False, "shares_unit": False} | known
    return ColumnSample(
        x,
        np.ones(len(x)),
        is_bool=False,
        is_binary=False,
        is_table_binary=False,
        n_numeric=1,
        others=Others(x[:, None], np.ones(len(x))),
        place=0,
        observed=np.ones(len(x), dtype=bool),
        **known,
    )


def test_auto_takes_skewed_columns_that_share_no_unit():
    score = NormalScores.auto_score
    assert score(sample_of(np.exp(NORMAL))) > Gaussian.auto_score(sample_of(NORMAL))
    assert score(sample_of(NORMAL)) is None
    assert score(sample_of(np.exp(NORMAL), shares_unit=True)) is None
    assert score(sample_of(np.exp(NORMAL), is_category=True)) is None
    assert score(sample_of(np.empty(0))) is None


@pytest.mark.parametrize(
    "params", [{"n_knots": 0}, {"n_knots": 1.0}, {"rows_per_knot": 0}], ids=str
)
def test_invalid_knots(params):
    (name,) = params
    with pytest.raises(ValueError, match=rf"'{name}' of NormalScores must be .*; got"):
        NormalScores(**params).check()
