"""The smooth map of numbers to normal scores."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from skvae.likelihoods._spline import (
    EXTREME_RISE,
    FEWEST_KNOTS,
    LARGEST_GROWTH,
    Spline,
    excess_of,
    rise_of,
)

N = 3000
# the quantiles of a distribution: a column without chance
Q = (np.arange(N) + 0.5) / N
COLUMNS = {
    "normal": stats.norm.ppf(Q),
    "log-normal": np.exp(stats.norm.ppf(Q)),
    "gamma": stats.gamma(0.5).ppf(Q),
    "uniform": Q,
    "heavy tails": stats.t(1.5).ppf(Q),
    "two bumps": np.sort(np.r_[stats.norm(-3, 0.5).ppf(Q[::2]), stats.norm(2, 0.5).ppf(Q[1::2])]),
    "an outlier": np.r_[stats.norm.ppf(Q[:-1]), 1e4],
}


def standard(x):
    return (x - x.mean()) / x.std()


def spline_of(x, n_knots=64, share=None, cell=0.0):
    share = np.full(len(x), 1 / len(x)) if share is None else share
    return Spline.fit(x, share, len(x), n_knots, cell)


@pytest.mark.parametrize("n_knots", [0, 5, 64])
@pytest.mark.parametrize("name", COLUMNS)
class TestEverySpline:
    def at(self, spline):
        """Numbers inside, in both tails, and far beyond the extreme values."""
        left, right = spline.knots[[0, -1]] + [-1, 1] * spline.reach
        far = np.geomspace(1e-6, 1e6, 40)
        inside = np.linspace(left, right, 3001)
        return np.unique(np.r_[left - far, inside, spline.knots, right + far])

    def test_inverse(self, name, n_knots):
        spline = spline_of(standard(COLUMNS[name]), n_knots)
        x = self.at(spline)
        np.testing.assert_allclose(spline.inverse(spline.score(x)), x, rtol=1e-8, atol=1e-8)

    def test_increases(self, name, n_knots):
        spline = spline_of(standard(COLUMNS[name]), n_knots)
        assert (np.diff(spline.score(self.at(spline))) > 0).all()

    def test_log_slope_is_that_of_the_score(self, name, n_knots):
        spline = spline_of(standard(COLUMNS[name]), n_knots)
        x = self.at(spline)
        bends = np.r_[spline.knots, spline.knots[[0, -1]] + [-1, 1] * spline.reach]
        step = 1e-6 * (1e-2 + np.abs(x))
        smooth = (np.abs(x[:, None] - bends) > 2 * step[:, None]).all(axis=1)
        slope = (spline.score(x + step) - spline.score(x - step)) / (2 * step)
        expected = np.exp(spline.log_slope(x))
        np.testing.assert_allclose(slope[smooth], expected[smooth], rtol=2e-4, atol=1e-8)

    def test_slope_is_continuous(self, name, n_knots):
        spline = spline_of(standard(COLUMNS[name]), n_knots)
        bends = np.r_[spline.knots, spline.knots[[0, -1]] + [-1, 1] * spline.reach]
        below, above = (np.nextafter(bends, end) for end in (-np.inf, np.inf))
        np.testing.assert_allclose(spline.log_slope(below), spline.log_slope(above), atol=1e-9)


@pytest.mark.parametrize("name", COLUMNS)
def test_scores_of_the_column_are_standard_normal(name):
    scores = spline_of(standard(COLUMNS[name])).score(standard(COLUMNS[name]))
    assert stats.kstest(scores, "norm").statistic < 0.04


@pytest.mark.parametrize("name", COLUMNS)
def test_an_extreme_value_has_a_score_near_that_of_its_rank(name):
    spline = spline_of(standard(COLUMNS[name]))
    extreme = np.abs(spline.score(standard(COLUMNS[name])[[0, -1]]))
    near = extreme < ndtri(Q[-1]) + EXTREME_RISE + 1e-3
    assert (near | (spline.growth == LARGEST_GROWTH)).all()
    assert (extreme < 12).all()


def test_scores_at_the_knots_are_those_of_the_quantiles():
    x = np.random.default_rng(0).gamma(2.0, size=1000)
    spline = spline_of(np.sort(standard(x)))
    share = (standard(x)[:, None] < spline.knots).mean(axis=0)
    np.testing.assert_allclose(spline.scores, ndtri(share), atol=1e-12)
    np.testing.assert_allclose(spline.score(spline.knots), spline.scores, atol=1e-12)


GROWTHS = [  # distribution, bounds of the growth of the left and of the right tail
    (stats.norm(), (-0.05, 0.05), (-0.05, 0.05)),
    (stats.lognorm(1.0), (-1.5, -0.5), (0.9, 1.4)),
    (stats.lognorm(0.5), (-0.7, -0.4), (0.4, 0.7)),
    (stats.uniform(), (-1.5, -0.5), (-1.5, -0.5)),
    (stats.t(1.5), (2.0, 2.5), (2.0, 2.5)),
]


@pytest.mark.parametrize(("distribution", "left", "right"), GROWTHS)
def test_growth_of_the_tails(distribution, left, right):
    spline = spline_of(standard(distribution.ppf(Q)))
    for growth, (low, high) in zip(spline.growth, (left, right), strict=True):
        assert low < growth <= high


def test_growth_is_bounded():
    assert spline_of(standard(stats.t(0.5).ppf(Q))).growth.max() == LARGEST_GROWTH


@pytest.mark.parametrize("growth", [-0.4, 0.0, 1e-12, 0.7])
def test_excess_and_rise_are_inverse(growth):
    excess = np.linspace(0.0, 2.0, 20)
    np.testing.assert_allclose(excess_of(rise_of(excess, growth), growth), excess, atol=1e-14)


@pytest.mark.parametrize("cell", [0.0, 1e-3])
@pytest.mark.parametrize("n_knots", [0, 1, 2, 3])
@pytest.mark.parametrize("x", [[0.0], [-1.0, 1.0], [-1.2, 0.0, 1.2]])
def test_few_numbers(x, n_knots, cell):
    x = np.array(x)
    spline = spline_of(x, n_knots, cell=cell)
    assert len(spline.knots) < FEWEST_KNOTS
    np.testing.assert_allclose(spline.inverse(spline.score(x)), x, atol=1e-12)
    assert np.isfinite(spline.log_slope(x)).all()


def test_shares_are_repetitions():
    x, counts = standard(COLUMNS["gamma"]), np.arange(N) % 4
    weighted = Spline.fit(x[counts > 0], counts[counts > 0] / counts.sum(), 99.0, 30, 0.0)
    repeated = np.sort(np.repeat(x, counts))
    values, places = np.unique(repeated, return_inverse=True)
    share = np.bincount(places) / len(repeated)
    for one, other in zip(weighted, Spline.fit(values, share, 99.0, 30, 0.0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
