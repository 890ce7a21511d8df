"""Which columns of numbers share a unit."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from skvae._table.units import shared_unit, spreads

RNG = np.random.default_rng(0)


def pixels(n_columns=12, n=200):
    """Columns within 0 and 255, each of which reaches both."""
    X = RNG.integers(0, 256, size=(n, n_columns)).astype(float)
    X = np.where(RNG.random(X.shape) < RNG.uniform(0.1, 0.9, n_columns), X, 0.0)
    X[0], X[1] = 0, 255
    return X


def found(X, weight=None, numeric=None):
    """The spreads of the columns in the unit that they share."""
    weight = np.ones(len(X)) if weight is None else weight
    numeric = np.ones(X.shape[1], dtype=bool) if numeric is None else numeric
    spread, unit = shared_unit(X, spreads(X, weight), numeric)
    members = ~np.isnan(spread)
    assert np.isnan(unit) == (not members.any())
    if members.any():
        assert np.sqrt(np.mean(spread[members] ** 2)) == pytest.approx(1)
        repeated = np.repeat(X[:, members], weight.astype(int), axis=0)
        np.testing.assert_allclose(spread[members] * unit, np.nanstd(repeated, axis=0), atol=1e-12)
    return spread


@pytest.mark.parametrize("X", [pixels(), load_digits().data], ids=["pixels", "digits"])
def test_pixels_share_a_unit(X):
    deviation = X.std(axis=0)
    np.testing.assert_allclose(found(X), deviation / np.sqrt(np.mean(deviation**2)))
    np.testing.assert_allclose(found(X / 16 - 3), found(X), atol=1e-12)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_iris])
def test_measurements_share_no_unit(load):
    X = load().data
    assert np.isnan(found(X)).all()
    assert np.isnan(found((X - X.mean(axis=0)) / X.std(axis=0))).all()


@pytest.mark.parametrize("n_columns", [7, 8])
def test_a_unit_is_of_eight_columns_at_least(n_columns):
    X = np.c_[pixels(n_columns), np.full((200, 3), 7.0)]  # constants do not make it eight
    assert np.isnan(found(X)).all() == (n_columns < 8)


def test_columns_beyond_the_ends_are_in_other_units():
    X = np.c_[pixels(9), RNG.normal(100, 10, size=200), RNG.normal(0, 1000, size=200)]
    X = np.c_[X, np.full(200, 100.0), np.full(200, 300.0)]
    deviation, members = X.std(axis=0), [*range(10), 11]
    expected = np.full(13, np.nan)
    expected[members] = deviation[members] / np.sqrt(np.mean(deviation[members] ** 2))
    np.testing.assert_allclose(found(X), expected, atol=1e-12)
    assert found(X)[11] == 0  # a constant within the ends


def test_few_columns_that_share_ends_make_no_unit():
    X = np.c_[pixels(8), RNG.normal(size=(200, 40))]
    assert np.isnan(found(X)).all()


def test_other_columns_take_no_part():
    X = pixels()
    numeric = np.arange(12) > 1
    expected = np.r_[np.nan, np.nan, found(X[:, 2:])]
    np.testing.assert_allclose(found(X, numeric=numeric), expected, rtol=1e-12)
    assert np.isnan(found(X, numeric=np.arange(12) > 4)).all()


def test_missing_values_are_left_out():
    X = pixels()
    X[2:][RNG.random((198, 12)) < 0.3] = np.nan
    deviation = np.nanstd(X, axis=0)
    np.testing.assert_allclose(found(X), deviation / np.sqrt(np.mean(deviation**2)))
    empty = np.c_[X, np.full(200, np.nan)]
    np.testing.assert_array_equal(found(empty), np.r_[found(X), np.nan])


def test_weights_are_repetitions():
    X, weight = pixels(), RNG.integers(1, 5, size=200)
    np.testing.assert_allclose(found(X, weight), found(np.repeat(X, weight, axis=0)))
    assert not np.allclose(found(X, weight), found(X))
