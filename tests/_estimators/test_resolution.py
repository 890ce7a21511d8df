"""Columns whose values lie on a grid: one measure of log p, and draws on the grid."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fits import QUICK
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

RNG = np.random.default_rng(0)
FACTOR = RNG.normal(size=1200)


def recorded():
    """Ages, prices, durations and a zero-inflated amount, as they are recorded."""
    z, noise = FACTOR, RNG.normal(size=(1200, 4))
    return pd.DataFrame(
        {
            "age": np.rint(40 + 8 * z + 5 * noise[:, 0]),
            "price": np.round(np.exp(3 + 0.5 * z + 0.3 * noise[:, 1]), 2),
            "hours": 0.25 * np.rint(20 + 6 * z + 4 * noise[:, 2]),
            "amount": np.where(z + noise[:, 3] < 0, 0.0, np.round(50 * np.abs(noise[:, 3]), 1)),
        }
    )


TABLE = recorded()
STEPS = {"age": 1.0, "price": 0.01, "hours": 0.25, "amount": 0.1}
GAPPY = TABLE.mask(RNG.random(TABLE.shape) < 0.2)
LIKELIHOODS = ["auto", "gaussian", "student_t", "histogram"]


def assert_on_grids(table):
    frame = pd.DataFrame({name: np.asarray(table[name], dtype=float) for name in STEPS})
    assert not frame.isna().any(axis=None)
    for name, step in STEPS.items():
        # the same float64 as if it had been typed
        np.testing.assert_array_equal(frame[name], np.round(np.rint(frame[name] / step) * step, 2))


def frames():
    whole = {"age": "Int64"}
    return {
        "floats with gaps": GAPPY,
        "floats": TABLE,
        "nullable": GAPPY.astype(whole | {"price": "Float64"}),
        "arrow": GAPPY.astype(dict.fromkeys(STEPS, "double[pyarrow]")),
        "polars": pl.from_pandas(GAPPY),
        "whole": TABLE.astype({"age": int}),
    }


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("kind", frames())
def test_draws_lie_on_the_grid(kind, likelihood):
    table = frames()[kind]
    vae = VAETransformer(2, likelihood=likelihood, **QUICK | {"max_iter": 10}).fit(table)
    assert vae.resolutions_ == STEPS
    assert_on_grids(vae.sample(200, random_state=0))
    assert_on_grids(vae.sample(50, given={"age": 30}, random_state=0))
    few = table[:60] if kind != "polars" else table.head(60)
    for completed in vae.impute(few, n_imputations=2, random_state=0):
        assert_on_grids(completed)


@pytest.mark.parametrize("likelihood", ["log_normal", "poisson"])
def test_draws_stay_in_the_support(likelihood):
    X = np.rint(np.exp(1 + 0.6 * FACTOR[:, None] + 0.3 * RNG.normal(size=(1200, 3)))).clip(1)
    draws = VAETransformer(1, likelihood=likelihood, **QUICK).fit(X).sample(500, random_state=0)
    np.testing.assert_array_equal(draws, np.rint(draws))
    assert draws.min() >= (1 if likelihood == "log_normal" else 0)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_scores_are_densities_per_unit(likelihood):
    X, factors = TABLE.to_numpy(), np.array([10.0, 0.25, 3.0, 7.0])
    # of the same working units, the same model
    one = VAETransformer(2, likelihood=likelihood, **QUICK).fit(X)
    other = VAETransformer(2, likelihood=likelihood, **QUICK).fit(X * factors)
    shift = np.log(factors).sum()
    np.testing.assert_allclose(
        other.score_samples(X * factors), one.score_samples(X) - shift, rtol=0, atol=1e-3
    )
    np.testing.assert_allclose(other.transform(X * factors), one.transform(X), atol=1e-3)
    drawn = other.sample(50, random_state=0) / factors
    np.testing.assert_allclose(drawn, one.sample(50, random_state=0), atol=1e-3)


def test_a_scaled_table_scores_as_the_unscaled_one():
    X = np.rint(np.exp(1 + 0.5 * FACTOR[:, None] + 0.7 * RNG.normal(size=(1200, 4))))
    scaler = StandardScaler().fit(X)
    scores = []
    for table, log_jacobian in ((X, 0.0), (scaler.transform(X), -np.log(scaler.scale_).sum())):
        vae = VAETransformer(2, max_iter=10, random_state=0).fit(table)
        assert {type(one).__name__ for one in vae.likelihoods_.values()} == {"Histogram"}
        scores.append(vae.score(table) + log_jacobian)
    assert scores[0] == pytest.approx(scores[1], abs=0.2)


def test_an_atom_of_other_numbers_has_a_density():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(2000) < 0.3, 0.0, rng.gamma(2, size=2000))[:, None]
    scores = {}
    for factor in (1.0, 1000.0):
        vae = VAETransformer(1, early_stopping=False, max_iter=60, random_state=0).fit(factor * x)
        assert vae.resolutions_ == {0: None}
        scores[factor] = vae.score_samples(factor * x) + np.log(factor)
    np.testing.assert_allclose(scores[1.0], scores[1000.0], atol=1e-3)
    # its mass, spread over 1 % of the standard deviation
    atom = scores[1.0][x[:, 0] == 0].mean()
    share = (x == 0).mean()
    assert atom == pytest.approx(np.log(share / (0.01 * x.std())), abs=0.2)


def test_a_resolution_may_be_given():
    X = TABLE.copy()
    vae = VAETransformer(2, resolution={"price": None, "hours": 0.05}, **QUICK).fit(X)
    assert vae.resolutions_ == STEPS | {"price": None, "hours": 0.05}
    drawn = vae.sample(100, random_state=0)
    assert (drawn["price"] != drawn["price"].round(2)).all()
    assert (drawn["hours"] == (20 * drawn["hours"]).round() / 20).all()
    none = VAETransformer(2, resolution=None, **QUICK).fit(X)
    assert set(none.resolutions_.values()) == {None}


@pytest.mark.parametrize(
    ("resolution", "message"),
    [
        ({"age": 2.0}, r"resolution of column 'age' must be a step .* got 2\.0, but .* apart"),
        (
            {"age": 0},
            "resolution of column 'age' must be 'auto' or a positive finite number or None",
        ),
        ({"ages": 1.0}, "'resolution' names 'ages', but the columns are"),
    ],
)
def test_a_wrong_resolution_is_named(resolution, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(2, resolution=resolution, **QUICK).fit(TABLE)


@pytest.mark.parametrize("likelihood", ["auto", {"kind": "categorical"}])
def test_categories_have_no_resolution(likelihood):
    kind = ["a", "b"] if likelihood == "auto" else [1, 2]
    table = TABLE.assign(kind=np.resize(kind, len(TABLE)))
    vae = VAETransformer(2, likelihood=likelihood, resolution={"kind": 1.0}, **QUICK)
    with pytest.raises(ValueError, match="'resolution' names 'kind', which is modelled as categ"):
        vae.fit(table)


def test_means_need_not_lie_on_the_grid():
    vae = VAETransformer(2, **QUICK).fit(TABLE)
    back = vae.reconstruct(TABLE)
    assert (back["age"] != back["age"].round()).mean() > 0.9
