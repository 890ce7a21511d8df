"""Normal density."""

import numpy as np
import pytest
from cases import REALS, peak, start
from scipy import stats
from torch import nn

from skvae.likelihoods import (
    Gaussian,
)

SPREAD = REALS.std(axis=0)
SCALES = [("column", SPREAD), ("shared", np.sqrt(np.mean(SPREAD**2))), (3.0, 3.0)]


@pytest.mark.parametrize(("scale", "sigma"), SCALES)
def test_initial_mean_and_scale_are_those_of_the_data(scale, sigma):
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
    with pytest.raises(ValueError, match=r"'scale' of Gaussian must be .*; got"):
        Gaussian(scale=scale).check()


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
