"""The map of columns with atoms to normal scores."""

import numpy as np
import pytest
from cases import FEW, HOURS, MIXTURE, SPIKED
from scipy import stats
from scipy.special import ndtr, ndtri

from skvae.likelihoods._score_map import LARGEST_SCORE, ScoreMap

RNG = np.random.default_rng(0)
COLUMNS = {  # with atoms and without, on whole numbers and not
    "floats": MIXTURE,
    "floats with atoms": SPIKED,
    "few floats": FEW / 2,
    "whole": np.round(RNG.normal(0.0, 300.0, 600)),
    "whole with atoms": HOURS,
    "few whole": FEW,
    "zeros": np.where(RNG.random(600) < 0.5, 0.0, RNG.exponential(1.0, 600)),
    "a ceiling": np.minimum(RNG.normal(size=600), 1.0),
}


def map_of(x, n_atom=30, n_knots=20):
    """Values of at least this number of rows are atoms."""
    values, counts = np.unique(x, return_counts=True)
    return ScoreMap.fit(
        values,
        counts / len(x),
        len(x),
        is_atom=counts >= n_atom,
        n_knots=n_knots,
        location=x.mean(),
        spread=x.std(),
    )


@pytest.mark.parametrize("name", COLUMNS)
class TestEveryMap:
    def test_from_u_inverts_to_u(self, name):
        x, one = np.unique(COLUMNS[name]), map_of(COLUMNS[name])
        between = x[0] + (x[-1] - x[0]) * RNG.random(200)
        far = one.spread * np.geomspace(0.01, 10, 13)
        x = np.r_[x, between, x[0] - far, x[-1] + far]
        x = np.rint(x) if one.whole else x
        u = one.to_u(x)
        x, u = (a[np.abs(u) < LARGEST_SCORE] for a in (x, u))
        assert np.abs(u).max() > 5
        back = one.from_u(u)
        np.testing.assert_allclose(back, x, rtol=0 if one.whole else 1e-9, atol=1e-9)

    def test_from_u_inverts_to_u_within_the_intervals_of_atoms(self, name):
        one = map_of(COLUMNS[name])
        for part in (1e-6, 0.3, 0.9999):
            u = one.low + part * (one.high - one.low)
            np.testing.assert_array_equal(one.from_u(u), one.atoms)

    def test_increases(self, name):
        one, values = map_of(COLUMNS[name]), np.unique(COLUMNS[name])
        assert (np.diff(one.to_u(values)) > 0).all()
        x = one.from_u(np.linspace(-6, 6, 2001))
        assert (np.diff(x) >= 0).all()

    def test_the_probability_of_an_interval_is_the_share_of_its_atom(self, name):
        one = map_of(COLUMNS[name])
        share = (COLUMNS[name][:, None] == one.atoms).mean(axis=0)
        found = ndtr(one.high) - ndtr(one.low)
        np.testing.assert_allclose(found, one.mass, rtol=1e-9)
        np.testing.assert_allclose(found, share, rtol=1e-3)  # some is left for other values
        assert (one.high[:-1] <= one.low[1:]).all()

    def test_the_column_becomes_standard_normal(self, name):
        column = COLUMNS[name]
        one = map_of(column)
        is_atom, below = one.find(column)
        u = one.to_u(column)
        within = RNG.random(len(column))
        for i in np.flatnonzero(is_atom):
            low, high = one.low[below[i]], one.high[below[i]]
            u[i] = ndtri(ndtr(low) + within[i] * (ndtr(high) - ndtr(low)))
        assert stats.kstest(u, "norm").statistic < 0.06

    def test_log_jacobian(self, name):
        one = map_of(COLUMNS[name])
        x = np.setdiff1d(np.linspace(COLUMNS[name].min(), COLUMNS[name].max(), 97), one.atoms)
        if one.whole:  # du over a whole number, between which places are linear
            x = np.setdiff1d(np.rint(x), np.r_[one.atoms - 1, one.atoms, one.atoms + 1])
        step = 0.5 if one.whole else 1e-7 * one.spread
        smooth = one.find(x - step)[1] == one.find(x + step)[1]
        x = x[smooth]
        slope = (one.to_u(x + step) - one.to_u(x - step)) / (2 * step)
        tolerance = 0.2 if one.whole else 1e-4
        np.testing.assert_allclose(slope, np.exp(one.log_jacobian(x)), rtol=tolerance)

    def test_far_values_have_finite_scores_in_order(self, name):
        one = map_of(COLUMNS[name])
        x = np.array([-1e150, -1e9, -1e5, 1e5, 1e9, 1e150])
        u = one.to_u(x)
        assert np.isfinite(u).all()
        assert (np.diff(u) > 0).all()
        assert np.isfinite(one.log_jacobian(x)).all()
        log_p = one.log_jacobian(x) - 0.5 * np.square(u)
        assert (np.sign(np.diff(log_p)) == [1, 1, 0, -1, -1])[[0, 1, 3, 4]].all()


def test_a_value_beside_an_atom_is_no_atom_in_float32():
    column = np.where(RNG.random(2000) < 0.3, 0.0, RNG.normal(size=2000))
    one = map_of(column)
    near = np.r_[-np.geomspace(1e-12, 1e-6, 7), np.geomspace(1e-12, 1e-6, 7)]
    u = one.to_u(near).astype(np.float32)
    low, high = one.low.astype(np.float32), one.high.astype(np.float32)
    assert not ((low <= u) & (u < high)).any()
    assert (low <= one.to_u(np.zeros(1)).astype(np.float32)).all()


def test_the_parts_of_numbers_that_float64_cannot_hold_do_not_count_as_whole():
    assert map_of(np.rint(1e3 * np.abs(RNG.normal(size=600)))).whole
    assert not map_of(1e18 * np.abs(RNG.normal(size=600))).whole


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("score", [4.0, 8.8, 20.0, 36.0])
def test_scores_far_beyond_all_atoms_are_accurate(score, side):
    column = np.where(RNG.random(2000) < 0.5, 0.0, RNG.normal(size=2000))
    one = map_of(column)
    x = one.location + one.spread * one.spline.inverse(np.array([side * score]))
    # half of the rows are atoms: u is where the upper tail has half the probability
    free = 1 - one.mass.sum()
    expected = stats.norm.isf(free * stats.norm.sf(score))
    np.testing.assert_allclose(one.to_u(x), side * expected, rtol=1e-9)
    assert score <= expected < score + 0.2
    np.testing.assert_allclose(one.from_u(one.to_u(x)), x, rtol=1e-7)


def test_a_column_of_atoms_leaves_a_share_for_other_values():
    one = map_of(FEW)
    assert len(one.atoms) == 5
    np.testing.assert_allclose(1 - one.mass.sum(), 0.5 / len(FEW))
    x = np.array([-1.0, 3.0, 7.0, 12.0])
    assert not one.find(x)[0].any()
    np.testing.assert_array_equal(one.from_u(one.to_u(x)), x)
