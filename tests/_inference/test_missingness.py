"""The model of missing values: rates, dependence, columns that are missing together."""

import numpy as np
import pytest
from scipy.special import expit

from skvae._inference.missingness import Missingness

N = 6000
COLUMNS = np.arange(4)  # with one input each


def case(name):
    """Values and which are missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 4))
    missing = np.zeros((N, 4), dtype=bool)
    if name == "chance":
        missing = rng.random((N, 4)) < [0.0, 0.05, 0.3, 0.6]
    elif name == "complete column":
        missing[:, 1] = rng.random(N) < expit(2 * x[:, 0] - 1)
    elif name == "column with missing values":
        missing[:, 0] = rng.random(N) < 0.1
        missing[:, 1] = rng.random(N) < expit(2 * x[:, 0] - 1)
    elif name == "together":
        missing[:, 1:3] = (rng.random(N) < expit(2 * x[:, 0] - 1))[:, None]
    elif name == "nested":
        missing[:, 1] = rng.random(N) < expit(2 * x[:, 0] - 1)
        missing[:, 2] = missing[:, 1] & (rng.random(N) < 0.5)
    elif name == "always":
        missing[:, 2] = True
    return x, missing


def fitted(x, missing, weight=1.0):
    weight = np.broadcast_to(weight, len(x))
    return Missingness.fit(np.where(missing, 0, x), COLUMNS, missing, COLUMNS, weight)


def drawn(model, x, observed=None):
    observed = np.zeros((len(x), 4), dtype=bool) if observed is None else observed
    return model.draw(x, observed, np.random.default_rng(1))


CASES = ["nothing", "chance", "complete column", "column with missing values", "together",
         "nested", "always"]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_rates_and_dependences_of_the_rows(name):
    x, missing = case(name)
    found = drawn(fitted(x, missing), x)
    np.testing.assert_allclose(found.mean(axis=0), missing.mean(axis=0), atol=0.02)
    for some in (x[:, 0] < -0.5, x[:, 0] > 0.5):
        here, there = (some & ~m[:, 0] for m in (found, missing))
        np.testing.assert_allclose(found[here].mean(axis=0), missing[there].mean(axis=0), atol=0.05)
    both, expected = (m[:, 1] & m[:, 2] for m in (found, missing))
    assert both.mean() == pytest.approx(expected.mean(), abs=0.02)


def test_columns_that_are_always_missing_together_are_drawn_together():
    x, missing = case("together")
    model = fitted(x, missing)
    found = drawn(model, x)
    np.testing.assert_array_equal(found[:, 1], found[:, 2])
    observed = np.zeros((N, 4), dtype=bool)
    observed[:, 1] = True
    assert not drawn(model, x, observed).any()


@pytest.mark.parametrize("weight", [1.0, np.float32(0.1)])
def test_a_column_that_no_row_holds_may_still_be_given(weight):
    x, missing = case("always")
    missing[:, 1] = np.random.default_rng(2).random(N) < 0.3
    model = fitted(x, missing, weight)
    assert drawn(model, x)[:, 2].mean() > 0.999
    given = np.zeros((N, 4), dtype=bool)
    given[:, 2] = True
    found = drawn(model, x, given)
    assert not found[:, 2].any()
    assert found[:, 1].mean() == pytest.approx(0.3, abs=0.02)


def test_values_missing_by_chance_depend_on_nothing():
    model = fitted(*case("chance"))
    assert [len(one.terms) for one in model.indicators] == [0, 0, 0]


@pytest.mark.parametrize("given", [1, 2])
def test_draws_are_conditional_on_what_is_observed(given):
    x, missing = case("nested")
    x[:, 0] = 0.0  # rows that are alike
    missing[:, 1] = np.arange(N) % 2 == 0
    missing[:, 2] = np.arange(N) % 4 == 0
    observed = np.zeros((N, 4), dtype=bool)
    observed[:, given] = True
    found = drawn(fitted(x, missing), x, observed)
    assert not found[:, given].any()
    # P(1 missing | 2 observed) = 1/3, and P(2 missing | 1 observed) = 0
    assert found[:, 3 - given].mean() == pytest.approx({1: 0, 2: 1 / 3}[given], abs=0.03)


def test_weights_are_repetitions():
    x, missing = case("nested")
    rows, weight = slice(400), np.random.default_rng(2).integers(1, 4, size=400)
    one = fitted(x[rows], missing[rows], weight.astype(float))
    other = fitted(*(np.repeat(part[rows], weight, axis=0) for part in (x, missing)))
    for a, b in zip(one.indicators, other.indicators, strict=True):
        np.testing.assert_array_equal(a.terms, b.terms)
        np.testing.assert_allclose([a.bias, *a.slopes], [b.bias, *b.slopes], atol=1e-3)
