"""The explanations of missing values from which training starts."""

import numpy as np
import pytest
from scipy.stats import norm

from skvae._model.missing_regressions import (
    PRECISION,
    _by_others,
    _predictions,
    simpler_explanation,
)

N = 4000
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4)) @ np.linalg.cholesky(np.full((4, 4), 0.5) + 0.5 * np.eye(4)).T
CHANCE = RNG.random(N)
# the first column is the one with missing values
OWN = [np.array([0])]
IS_OTHER = np.array([[0.0], [1.0], [1.0], [1.0]])


def missing(probit):
    return (norm.cdf(probit) > CHANCE)[:, None]


def explanation(y):
    observed = np.column_stack([np.where(y[:, 0], 0.0, X[:, 0]), X[:, 1:]])
    return simpler_explanation(observed, y, np.ones(N), OWN, np.ones(4, bool))[:, 0]


def test_a_regression_finds_the_weights():
    y = missing(-0.4 + X @ [0.0, 0.8, -0.5, 0.0])
    found, log_likelihood = _by_others(X, y, np.ones(N), IS_OTHER)
    np.testing.assert_allclose(found[:, 0], [-0.4, 0.0, 0.8, -0.5, 0.0], atol=0.1)
    assert found[1, 0] == 0
    probit = found[0] + X @ found[1:]
    np.testing.assert_allclose(
        log_likelihood, np.where(y, norm.logcdf(probit), norm.logcdf(-probit)).sum(axis=0)
    )
    # where the gradient of the log posterior is 0
    error = np.where(y, 1, -1) * np.exp(
        norm.logpdf(probit) - norm.logcdf(np.where(y, 1, -1) * probit)
    )
    np.testing.assert_allclose((X.T @ error - PRECISION * found[1:])[1:], 0, atol=0.5)


def test_weights_count_rows():
    y = missing(X[:, 1])
    weight = RNG.integers(1, 4, N)
    one, of_one = _by_others(X, y, weight.astype(float), IS_OTHER)
    repeated = np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0)
    two, of_two = _by_others(*repeated, np.ones(weight.sum()), IS_OTHER)
    np.testing.assert_allclose(one, two, atol=1e-3)
    np.testing.assert_allclose(of_one, of_two, rtol=1e-5)


def test_predictions_are_linear_regressions():
    found, squares = (part[..., 0] for part in _predictions(X, np.ones(N), OWN))
    others = np.column_stack([np.ones(N), X[:, 1:]])
    coefficients = np.linalg.lstsq(others, X[:, 0], rcond=None)[0]
    expected = others @ coefficients
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=0.05)
    assert squares == pytest.approx(np.square(coefficients[1:]).sum(), rel=0.05)


def test_a_sharp_limit_of_the_values_is_found():
    # the others are nearly copies, and a regression on all of them has more parameters
    x = X[:, :1] + 0.3 * RNG.normal(size=(N, 4))
    x[:, 0] = X[:, 0]
    y = x[:, :1] > 0.5
    x[:, 0] = np.where(y[:, 0], 0.0, x[:, 0])
    _, own, *others = simpler_explanation(x, y, np.ones(N), OWN, np.ones(4, bool))[:, 0]
    assert own > 0.3
    assert others == [0, 0, 0]


@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_values_missing_by_what_they_are(slope):
    bias, own, *others = explanation(missing(slope * X[:, 0] - 0.3))
    assert slope * own > 0.3
    assert others == [0, 0, 0]
    assert abs(bias + 0.3) < 0.2


def test_values_missing_by_another_column():
    _, own, *others = explanation(missing(X[:, 2] - 0.3))
    assert own == 0
    np.testing.assert_allclose(others, [0, 1, 0], atol=0.1)


def test_values_missing_by_chance():
    bias, *weights = explanation(missing(np.full(N, -0.5)))
    np.testing.assert_allclose(weights, 0, atol=0.1)
    assert abs(bias + 0.5) < 0.1


def test_chance_is_judged_for_all_columns_together():
    rng, n_tables, found = np.random.default_rng(0), 40, 0
    for _ in range(n_tables):
        x = rng.normal(size=(500, 10)) + rng.normal(size=(500, 1))
        y = rng.random(x.shape) < 0.3
        own = [np.array([j]) for j in range(10)]
        start = simpler_explanation(np.where(y, 0.0, x), y, np.ones(500), own, np.ones(10, bool))
        found += start[1:].diagonal().any()
    # 5 % for each column would be 16 tables
    assert found <= 6


def test_own_features_that_do_not_count():
    y = missing(X[:, 0] - 0.3)
    observed = np.column_stack([np.where(y[:, 0], 0.0, X[:, 0]), X[:, 1:]])
    _, own, *others = simpler_explanation(observed, y, np.ones(N), OWN, np.zeros(4, bool))[:, 0]
    assert own == 0
    assert min(others) > 0.1


def test_wide_tables_have_values_missing_at_random(monkeypatch):
    monkeypatch.setattr("skvae._model.missing_regressions.MOST_FEATURES", 3)
    _, own, *others = explanation(missing(X[:, 0] - 0.3))
    assert own == 0
    assert min(others) > 0.1
