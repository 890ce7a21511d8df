"""What the likelihoods of standardised columns share: limits of draws."""

import numpy as np
import pytest
from cases import fit, start

from skvae.likelihoods import Gaussian, Histogram, LogNormal, NormalScores, StudentT

RNG = np.random.default_rng(0)
EXPONENTIAL = RNG.exponential(3.0, size=(400, 1)) + 1.0
NORMAL = RNG.normal(size=(400, 1))
LIKELIHOODS = [Gaussian(), Gaussian(scale=2.0), StudentT(), LogNormal()]


def test_an_abrupt_end_of_a_column_is_its_limit():
    limits = fit(Gaussian(), np.c_[EXPONENTIAL, -EXPONENTIAL, NORMAL])["limits"]
    inf = np.inf
    assert limits.tolist() == [[EXPONENTIAL.min(), inf], [-inf, -EXPONENTIAL.min()], [-inf, inf]]


@pytest.mark.parametrize("n_rows", [20, 2000])
@pytest.mark.parametrize("step", [0.0, 0.5, 1.0])
def test_an_end_of_a_normal_column_is_rarely_a_limit(n_rows, step):
    columns = RNG.normal(size=(n_rows, 2000))
    columns = np.round(columns / step) * step if step else columns
    limits = fit(Gaussian(), columns)["limits"]
    # less often than in 1 of 100 columns, since the spread is the column's own
    assert np.isfinite(limits).mean() < 0.015


def test_limits_are_those_of_the_number_of_rows_that_weights_stand_for():
    x = np.sort(EXPONENTIAL[:40], axis=0)
    alone = Gaussian().fit(x, np.full(40, 0.05))["limits"]
    assert np.isinf(alone).all()
    assert Gaussian().fit(x, np.full(40, 10.0))["limits"][0, 0] == x[0, 0]


def test_limits_are_left_out_at_some_ends():
    ends = np.array([[False, True], [True, False]])
    x = np.exp(np.tile(RNG.uniform(1.0, 2.0, size=(4000, 1)), 2))
    for likelihood in (Gaussian(), LogNormal(), Histogram()):
        constants = fit(likelihood, x)
        limits = likelihood.limits(constants)
        assert np.isfinite(limits).all()
        found = likelihood.limits(likelihood.without_limits(constants, ends))
        lowest = 0 if isinstance(likelihood, LogNormal) else -np.inf
        assert found.tolist() == [[limits[0, 0], np.inf], [lowest, limits[1, 1]]]
    scores = fit(NormalScores(), x[:, :1])
    assert NormalScores().without_limits(scores, ends[:1]) is scores


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
def test_draws_beyond_a_limit_are_reflected_at_it(likelihood):
    x = np.exp(RNG.uniform(1.0, 2.0, size=(4000, 1)))
    constants = fit(likelihood, x)
    low, high = (
        (np.log(x.min()), np.log(x.max())) if likelihood == LogNormal() else (x.min(), x.max())
    )
    assert constants["limits"].tolist() == [[low, high]]
    working = np.linspace(-8.0, 8.0, 1001)[:, None]
    draws = likelihood.from_working(working, constants)
    assert ((draws >= x.min()) & (draws <= x.max())).all()
    free = likelihood.from_working(working, constants | {"limits": np.array([[-np.inf, np.inf]])})
    inside = (free > x.min()) & (free < x.max())
    np.testing.assert_array_equal(draws[inside], free[inside])
    if likelihood != LogNormal():
        below = (free < low) & (free > low - 0.5)
        np.testing.assert_allclose(draws[below], 2 * low - free[below])


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
def test_means_are_not_reflected(likelihood):
    case = start(likelihood, EXPONENTIAL)
    far = case.likelihood.from_mean(
        np.full((1, 1), 1e-30 if likelihood == LogNormal() else -9.0), case.constants
    )
    assert far[0, 0] < EXPONENTIAL.min()


def test_further_rows_widen_the_limits():
    table = np.c_[EXPONENTIAL, NORMAL]
    constants = fit(Gaussian(), table)
    wider = Gaussian().update_constants(np.array([[0.25, np.nan]]), constants)
    assert wider["limits"].tolist() == [[0.25, np.inf], [-np.inf, np.inf]]


def test_a_constant_column_has_no_limits():
    constants = fit(Gaussian(), np.ones((50, 1)))
    assert np.isinf(constants["limits"]).all()
