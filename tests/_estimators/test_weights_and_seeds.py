"""Weights equal repetitions, the order of rows does not count, and seeds repeat."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from fits import QUICK, assert_same_state

from skvae import VAETransformer


@pytest.mark.parametrize(
    "settings",
    [{}, {"batch_size": 7}, {"early_stopping": False, "dropout": 0.3}, {"objective": "iwae"},
     {"precision": "bfloat16"}],
    ids=str,
)  # fmt: skip
def test_weights_are_repetitions_and_order_does_not_matter(settings):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, 4)), rng.integers(0, 4, size=60)
    repeated = np.repeat(X, weight, axis=0)[rng.permutation(weight.sum())]
    one = VAETransformer(2, **QUICK, **settings).fit(X, sample_weight=weight)
    other = VAETransformer(2, **QUICK, **settings).fit(repeated)
    assert_same_state(one, other)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))


@pytest.mark.parametrize("scale", [0.25, 1e-308, 1e307], ids=str)
def test_only_the_ratios_of_fractional_weights_matter(scale):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, 4)), rng.random(60)
    one = VAETransformer(2, **QUICK).fit(X, sample_weight=weight)
    other = VAETransformer(2, **QUICK).fit(X, sample_weight=weight * scale)
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=1e-4)
    assert one.score(X, None, weight) == pytest.approx(other.score(X, None, weight * scale))


@pytest.mark.parametrize("as_table", [pd.DataFrame, pl.from_pandas, pd.DataFrame.to_numpy])
def test_a_row_of_weight_0_has_no_effect(as_table):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": ["0", *rng.choice(["1", "2"], 60)], "b": rng.normal(size=61)})
    with_it, without_it = as_table(frame), as_table(frame[1:])
    one = VAETransformer(2, **QUICK).fit(with_it, sample_weight=np.r_[0, np.ones(60)])
    other = VAETransformer(2, **QUICK).fit(without_it)
    assert_same_state(one, other)
    with pytest.warns(UserWarning, match="training has not seen, which count as missing: '0'"):
        one.transform(with_it)


def test_weights_on_a_grid_make_no_more_bins_than_the_rows_do():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(200, 2)), 0.05 * rng.integers(1, 20, size=200)
    vae = VAETransformer(1, likelihood="histogram", max_iter=1, random_state=0)
    vae.fit(X, sample_weight=weight)
    constants = vae._fitted.columns.groups[0].constants
    assert (constants["low"] < constants["high"]).sum(axis=1).max() <= 200 / 20 + 1


def test_partial_fit_takes_weights_as_repetitions():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, 4)), rng.integers(1, 4, size=60)
    one, other = (VAETransformer(2, **QUICK) for _ in range(2))
    for _ in range(3):
        one.partial_fit(X, sample_weight=weight)
        other.partial_fit(np.repeat(X, weight, axis=0))
    assert_same_state(one, other)


@pytest.mark.parametrize("convert", [
    np.asfortranarray,
    lambda X: X[::-1][::-1],
    lambda X: X.tolist(),
    lambda X: pd.DataFrame(X).to_numpy(),
    lambda X: np.broadcast_to(X, X.shape),
], ids=["fortran", "negative strides", "list", "frame", "read-only"])  # fmt: skip
def test_the_container_does_not_matter(wine, fitted, convert):
    assert_same_state(VAETransformer(3, **QUICK).fit(convert(wine)), fitted)


def test_a_seed_fixes_the_fit_and_none_does_not(wine, fitted):
    assert_same_state(VAETransformer(3, **QUICK).fit(wine), fitted)
    free = QUICK | {"random_state": None}
    one, other = (VAETransformer(3, **free).fit(wine) for _ in range(2))
    assert one.loss_curve_ != other.loss_curve_
    rng = np.random.RandomState(0)
    one, other = (VAETransformer(3, **QUICK | {"random_state": rng}).fit(wine) for _ in range(2))
    assert one.loss_curve_ != other.loss_curve_
    np.testing.assert_array_equal(
        fitted.sample(4, random_state=1), fitted.sample(4, random_state=1)
    )
    # some values of 0.1 or 0.01 are drawn twice
    assert (fitted.sample(40) != fitted.sample(40)).mean() > 0.8


def test_the_modes_of_the_caller_do_not_matter(wine, fitted):
    with torch.inference_mode():
        inside = VAETransformer(3, **QUICK).fit(wine)
    with torch.no_grad(), torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
        within = VAETransformer(3, **QUICK).fit(wine)
        codes = within.transform(wine)
    torch.set_default_dtype(torch.float64)
    try:
        double = VAETransformer(3, **QUICK).fit(wine)
    finally:
        torch.set_default_dtype(torch.float32)
    for other in (inside, within, double):
        assert_same_state(other, fitted)
    np.testing.assert_array_equal(codes, fitted.transform(wine))


def test_a_row_of_weight_0_does_not_count_in_the_score(wine, fitted):
    X = wine.copy()
    X[0] = 1e300
    assert fitted.score_samples(X)[0] == -np.inf
    weight = np.ones(len(X))
    weight[0] = 0
    assert fitted.score(X, sample_weight=weight) == pytest.approx(fitted.score(X[1:]))
