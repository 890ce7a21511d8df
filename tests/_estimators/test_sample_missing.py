"""Drawn rows with missing values as in training."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fits import QUICK, assert_same_state
from scipy.sparse import csr_array

from skvae import Parts, VAETransformer, _data, _fit
from skvae._training import rows

N = 2000


def survey(n=N):
    """Numbers with a block of two that is missing where the first is large, and a number of it."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    X = z[:, None] * [1, 1, -1, 0] + 0.5 * rng.normal(size=(n, 4))
    X[rng.random(n) < 1 / (1 + np.exp(1 - 3 * X[:, 0])), 1:3] = np.nan
    X[rng.random(n) < 0.1, 3] = np.nan
    return X


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, max_iter=20, random_state=0).fit(survey())


def test_draws_are_missing_as_the_rows_are(vae):
    X, drawn = survey(), vae.sample(N, missing=True, random_state=0)
    found, expected = np.isnan(drawn), np.isnan(X)
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=0.04)
    np.testing.assert_array_equal(found[:, 1], found[:, 2])
    for low, high in ((-9, -0.5), (-0.5, 0.5), (0.5, 9)):
        here, there = ((low < x[:, 0]) & (x[:, 0] < high) for x in (drawn, X))
        np.testing.assert_allclose(
            found[here].mean(axis=0), expected[there].mean(axis=0), atol=0.06
        )


def test_the_other_values_are_those_of_complete_draws(vae):
    for given in (None, {0: 1.0}):
        complete, gappy = (
            vae.sample(100, given=given, missing=missing, random_state=3)
            for missing in (False, True)
        )
        assert not np.isnan(complete).any()
        assert np.isnan(gappy).any()
        np.testing.assert_array_equal(np.where(np.isnan(gappy), complete, gappy), complete)


def test_missing_values_depend_on_draws_as_they_are_returned():
    rng = np.random.default_rng(0)
    t = rng.random(N)
    X = np.c_[t, rng.normal(size=N), np.where(t < 0.06, np.nan, rng.normal(size=N))]
    model = VAETransformer(1, max_iter=10, random_state=0).fit(X)
    assert model.bounds_[0][0] == t.min()  # draws below are reflected
    drawn = model.sample(20_000, missing=True, random_state=0)
    is_low, is_missing = drawn[:, 0] < 0.06, np.isnan(drawn[:, 2])
    rate = [
        is_missing[(low < drawn[:, 0]) & (drawn[:, 0] < low + 0.06)].mean() for low in (0, 0.06)
    ]
    assert is_low.any()
    assert rate[0] > rate[1] + 0.2


def test_given_values_are_not_missing(vae):
    known = np.full((2, 4), np.nan)
    known[0, 0], known[1, 1] = 2.0, -1.0
    drawn = vae.sample(500, given=known, missing=True, random_state=0).reshape(2, 500, 4)
    one, other = np.isnan(drawn).mean(axis=1)
    assert one[0] == 0
    assert one[1] == one[2] > 0.9  # the block is missing where the first is large
    assert (other[:3] == 0).all()  # one of the block is observed
    assert other[3] == pytest.approx(0.1, abs=0.05)


def test_rows_are_complete_if_those_of_training_were(wine, fitted):
    complete, gappy = (fitted.sample(20, missing=m, random_state=0) for m in (False, True))
    np.testing.assert_array_equal(complete, gappy)
    with pytest.raises(ValueError, match="'missing' must be a bool; got 'no'"):
        fitted.sample(missing="no")


def test_a_fit_does_not_depend_on_it(monkeypatch):
    X = survey(300)
    one = VAETransformer(2, prior="mixture", **QUICK).fit(X)
    one.partial_fit(X)
    monkeypatch.setattr(_fit, "_fit_missingness", lambda fitted, rows: None)
    other = VAETransformer(2, prior="mixture", **QUICK).fit(X)
    other.partial_fit(X)
    assert_same_state(one, other)
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))
    np.testing.assert_array_equal(one.sample(9, random_state=0), other.sample(9, random_state=0))


@pytest.mark.parametrize("store", [csr_array, lambda X: Parts([X[:900], X[900:]]), None],
                         ids=["sparse", "parts", "stored"])  # fmt: skip
def test_the_kind_of_table_does_not_matter(monkeypatch, store):
    X = survey()
    expected = VAETransformer(2, **QUICK).fit(X).sample(500, missing=True, random_state=0)
    if store is None:  # too large for a copy, so that only a sample is in memory
        monkeypatch.setattr(_data, "LARGEST_COPY", 4 * 4 * 4 * 64)
        monkeypatch.setattr(rows, "BLOCK_ROWS", 32)
    found = VAETransformer(2, **QUICK).fit(X if store is None else store(X))
    found = found.sample(500, missing=True, random_state=0)
    if store is None:
        np.testing.assert_allclose(
            np.isnan(found).mean(axis=0), np.isnan(expected).mean(axis=0), atol=0.08
        )
    else:
        np.testing.assert_array_equal(found, expected)


def test_weights_are_repetitions():
    X, weight = survey(200), np.random.default_rng(0).integers(0, 4, size=200)
    one = VAETransformer(2, **QUICK).fit(X, sample_weight=weight)
    other = VAETransformer(2, **QUICK).fit(np.repeat(X, weight, axis=0))
    drawn = [vae.sample(300, missing=True, random_state=0) for vae in (one, other)]
    np.testing.assert_array_equal(*drawn)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(one)).sample(300, missing=True, random_state=0), drawn[0]
    )


def test_later_calls_of_partial_fit_replace_the_rates():
    X = survey(600)
    vae = VAETransformer(2, **QUICK).partial_fit(X)
    later = X.copy()
    later[:, 1:3] = np.nan  # always
    later[:, 0] = np.where(np.arange(600) % 2, later[:, 0], np.nan)  # complete at first
    rates = np.isnan(vae.partial_fit(later).sample(2000, missing=True)).mean(axis=0)
    np.testing.assert_allclose(rates, [0, 1, 1, np.isnan(X[:, 3]).mean()], atol=0.03)
    vae.partial_fit(np.nan_to_num(X))
    assert not np.isnan(vae.sample(50, missing=True)).any()


def mixed():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "whole": np.arange(N) % 50,  # complete
            "real": rng.normal(size=N),
            "count": pd.array(rng.integers(0, 9, size=N), "Int16"),
            "yes": pd.array(rng.random(N) < 0.5, "boolean"),
            "word": rng.choice(["a", "b"], size=N),
            "kind": pd.Categorical(rng.choice(["u", "v"], size=N)),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, N), unit="D"),
        }
    )
    for column in frame.columns[1:]:
        frame.loc[rng.random(N) < 0.2, column] = None
    return frame


CONVERSIONS = {
    "pandas": lambda frame: frame,
    "arrow": lambda frame: frame.drop(columns="kind").convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.from_pandas,
    "objects": lambda frame: frame.drop(columns="day").astype(object).to_numpy(),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_missing_values_are_those_of_the_kind_of_table(convert):
    X = convert(mixed())
    drawn = VAETransformer(2, **QUICK).fit(X).sample(N, missing=True, random_state=0)
    if isinstance(X, np.ndarray):
        assert {type(cell) for cell in drawn[:, 3]} == {bool, type(None)}
        drawn, X = pd.DataFrame(drawn), pd.DataFrame(X)
    assert list(drawn.dtypes) == list(X.dtypes)
    if isinstance(X, pl.DataFrame):
        drawn = drawn.to_pandas()
    rates = drawn.isna().mean().to_numpy()
    np.testing.assert_allclose(rates, [0, *[0.2] * (len(rates) - 1)], atol=0.04)
