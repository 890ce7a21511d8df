"""Bounds of columns: draws and means within them, and given values beyond them."""

import pickle
import warnings
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fits import QUICK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skvae import VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore:Posterior collapse")
RNG = np.random.default_rng(0)
N = 1200
FACTOR = RNG.normal(size=N)


def recorded():
    """Ages, prices, hours, a zero-inflated amount and a weight, which depend on one factor."""
    z, noise = FACTOR, RNG.normal(size=(N, 5))
    return pd.DataFrame(
        {
            "age": np.rint(40 + 8 * z + 5 * noise[:, 0]),
            "price": np.round(np.exp(1 + 0.5 * z + 0.3 * noise[:, 1]), 2),
            "hours": 0.25 * np.rint(40 + 6 * z + 4 * noise[:, 2]),
            "amount": np.where(z + noise[:, 3] < 0, 0.0, np.round(50 * np.abs(noise[:, 3]), 1)),
            "weight": np.exp(0.3 * z + 0.3 * noise[:, 4]),
        }
    )


TABLE = recorded()
GAPPY = TABLE.mask(RNG.random(TABLE.shape) < 0.2)
LOW, HIGH = TABLE.min(), TABLE.max()
# tighter than the grid, on it, beyond training and none
BOUNDS = {
    "age": (LOW["age"] - 0.5, HIGH["age"] + 2.5),
    "price": (0, None),
    "hours": (LOW["hours"] - 0.1, HIGH["hours"]),
    "amount": (0, HIGH["amount"] + 0.05),
    "weight": (LOW["weight"], None),
}
STEPS = {"age": 1.0, "price": 0.01, "hours": 0.25, "amount": 0.1}
LIKELIHOODS = ["gaussian", "student_t", "normal_scores", "histogram"]


def cents(x):
    return [None if np.isnan(value) else Decimal(round(100 * value)).scaleb(-2) for value in x]


FRAMES = {
    "floats with gaps": GAPPY,
    "floats": TABLE,
    "whole": TABLE.astype({"age": int}),
    "nullable": GAPPY.astype({"age": "Int64", "price": "Float64"}),
    "decimal": GAPPY.assign(price=cents(GAPPY["price"])),
    "polars": pl.from_pandas(GAPPY.astype({"age": "Int64"})),
}


def floats(table):
    return pd.DataFrame({name: np.asarray(table[name], dtype=float) for name in TABLE})


def assert_in_bounds(table, bounds):
    frame = floats(table)
    assert not frame.isna().any(axis=None)
    for name, (low, high) in bounds.items():
        # 158.3 is within a bound of 158.29999999999998
        assert frame[name].min() >= (-np.inf if low is None else low - 1e-9)
        assert frame[name].max() <= (np.inf if high is None else high + 1e-9)


def assert_on_grids(table):
    frame = floats(table)
    for name, step in STEPS.items():
        np.testing.assert_array_equal(frame[name], np.round(np.rint(frame[name] / step) * step, 2))


@pytest.mark.parametrize("likelihood", ["auto", *LIKELIHOODS])
@pytest.mark.parametrize("kind", FRAMES)
def test_draws_and_means_stay_in_bounds(kind, likelihood):
    table = FRAMES[kind]
    vae = VAETransformer(2, likelihood=likelihood, bounds=BOUNDS, **QUICK).fit(table)
    few = table.head(60)
    draws = [
        vae.sample(2000, random_state=0),
        vae.sample(50, given={"age": 30}, random_state=0),
        *vae.impute(few, n_imputations=2, random_state=0),
    ]
    for drawn in draws:
        assert_in_bounds(drawn, BOUNDS)
        assert_on_grids(drawn)
    far = vae.inverse_transform(100 * RNG.normal(size=(50, 2)))
    for means in (vae.reconstruct(few), vae.impute(few), far):
        assert_in_bounds(means, BOUNDS)


ends = st.none() | st.floats(0, 100)


@given(st.sampled_from(sorted(STEPS)), ends, ends, st.sampled_from(LIKELIHOODS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bounds_are_kept(name, below, above, likelihood):
    bounds = {
        name: (
            None if below is None else LOW[name] - below,
            None if above is None else HIGH[name] + above,
        )
    }
    vae = VAETransformer(1, likelihood=likelihood, bounds=bounds, **QUICK | {"max_iter": 1})
    drawn = vae.fit(TABLE[:200].iloc[:, :4].assign(weight=1.0)).sample(500, random_state=0)
    assert_in_bounds(drawn, bounds)
    assert_on_grids(drawn)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_draws_may_leave_the_range_of_training_up_to_a_bound(likelihood):
    X = RNG.uniform(1.0, 3.0, size=(N, 1))
    models = [
        VAETransformer(1, likelihood=likelihood, bounds=bounds, **QUICK).fit(X)
        for bounds in ({0: (0.95, None)}, {0: (None, None)})
    ]
    bounded, free = (model.sample(50_000, random_state=0) for model in models)
    assert bounded.min() >= 0.95
    assert bounded.max() > X.max()
    assert free.min() < 0.95 or likelihood == "normal_scores"
    assert free.min() < X.min()
    assert np.isfinite(free).all()
    assert models[0].bounds_ == {0: (0.95, np.inf)}


@pytest.mark.parametrize("likelihood", ["histogram", "normal_scores"])
def test_draws_of_whole_numbers_are_whole_within_fractional_bounds(likelihood):
    X = np.rint(np.random.default_rng(0).exponential(9.0, size=(500, 1)) + 1)
    settings = {"likelihood": likelihood, "resolution": None, "bounds": {0: (0.5, 90.5)}}
    vae = VAETransformer(1, **settings, **QUICK).fit(X)
    drawn = vae.sample(2000, random_state=0)
    assert (drawn == np.rint(drawn)).all()
    assert np.isfinite(vae.score_samples(drawn)).all()


def test_the_other_columns_and_the_model_stay():
    plain = VAETransformer(2, likelihood="gaussian", **QUICK).fit(TABLE)
    bounded = VAETransformer(2, likelihood="gaussian", bounds={"age": (0, 200)}, **QUICK).fit(TABLE)
    one, other = (vae.sample(500, random_state=0) for vae in (plain, bounded))
    pd.testing.assert_frame_equal(one.drop(columns="age"), other.drop(columns="age"))
    np.testing.assert_array_equal(plain.score_samples(TABLE), bounded.score_samples(TABLE))
    np.testing.assert_array_equal(plain.loadings(), bounded.loadings())
    assert plain.bounds_ | {"age": (0.0, 200.0)} == bounded.bounds_


def test_bounds_that_hold_are_shown():
    table = TABLE.assign(
        normal=FACTOR, kind=pd.Categorical(np.where(FACTOR > 0, "a", "b")), flag=FACTOR > 1
    )
    table = table.assign(count=RNG.poisson(3, size=N), rate=RNG.random(N), pay=TABLE["price"])
    kinds = {"count": "poisson", "rate": "beta", "pay": "log_normal", "normal": "gaussian"}
    named = {"age": (0.95, None), "pay": (0, 99)}
    vae = VAETransformer(2, likelihood=kinds, bounds=named, **QUICK).fit(table)
    found = vae.bounds_
    assert "kind" not in found
    assert found["age"] == (1.0, np.inf)  # whole
    assert found["amount"] == (0.0, HIGH["amount"])
    assert found["normal"] == (-np.inf, np.inf)
    assert found["flag"] == found["rate"] == (0.0, 1.0)
    assert found["count"] == (0.0, 1e9)
    assert found["pay"] == (0.0, 99.0)
    assert pickle.loads(pickle.dumps(vae)).bounds_ == found
    again = VAETransformer(2, likelihood=kinds, bounds=found, **QUICK).fit(table)
    assert again.bounds_ == found


def orders():
    start = pd.Timestamp("2024-01-01")
    days = RNG.integers(0, 300, size=N)
    return pd.DataFrame(
        {
            "date": start + pd.to_timedelta(days, "D"),
            "delay": pd.to_timedelta(1 + days // 10, "D"),
            "month": pd.Series(start + pd.to_timedelta(30 * days, "D")).dt.to_period("M"),
            "price": cents(np.exp(RNG.normal(size=N))),
            "id": 2**60 + days,
            "x": days / 7,
        }
    )


def test_bounds_are_values_of_the_column():
    table = orders()
    bounds = {
        "date": (table["date"].min(), pd.Timestamp("2024-12-31 12:00")),
        "delay": (pd.Timedelta(0), None),
        "month": (None, pd.Period("2049-12", "M")),
        "price": (Decimal("0.005"), None),
        "id": (2**60 - 3, 2**60 + 301),
    }
    vae = VAETransformer(2, bounds=bounds, likelihood="gaussian", **QUICK).fit(table)
    expected = bounds | {
        "date": (table["date"].min(), pd.Timestamp("2024-12-31")),  # whole days
        "price": (Decimal("0.01"), None),
    }
    assert {name: vae.bounds_[name] for name in bounds} == expected
    drawn = vae.sample(2000, random_state=0)
    for name, (low, high) in expected.items():
        assert low is None or drawn[name].min() >= low
        assert high is None or drawn[name].max() <= high
    with pytest.raises(ValueError, match=r"'given' holds 2025-01-01 .* are from 2024-01-01"):
        vae.sample(given={"date": pd.Timestamp("2025-01-01")})


def test_dates_of_polars_have_bounds():
    table = pl.from_pandas(orders()[["date", "x"]])
    bounds = {"date": (datetime(2024, 1, 1), datetime(2024, 12, 31))}
    vae = VAETransformer(2, bounds=bounds, likelihood="gaussian", **QUICK).fit(table)
    assert vae.bounds_["date"] == bounds["date"]
    assert vae.sample(2000, random_state=0)["date"].min() >= datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"ages": (0, 1)}, "'bounds' names 'ages', but the columns are"),
        ({"kind": (0, 1)}, "'bounds' names the column 'kind', but Categorical models it"),
        ({"age": 0}, r"bounds of column 'age' must be a pair \(low, high\), each None .* got 0"),
        ({"age": (0, 1, 2)}, "must be a pair"),
        ({"age": "ab"}, "must be a pair"),
        ({"age": None}, "must be a pair"),
        ({"age": ("0", None)}, "bounds of column 'age' must be numbers, or None"),
        ({"age": (True, None)}, "must be numbers, or None"),
        ({"age": (float("nan"), None)}, "must be numbers, or None"),
        ({"age": (0, 10**400)}, "must be numbers, or None"),
        (
            {"age": (100, 0)},
            r"column 'age' must increase, as in \(0, 1\); got \(100, 0\)",
        ),
        ({"age": (40, 40)}, "must increase"),
        ({"age": (np.inf, None)}, "must increase"),
        ({"age": (40.2, 40.8)}, r"hold no value of its grid; got \(40\.2, 40\.8\)"),
        ({"date": (0, None)}, "bounds of column 'date' are not values of the column.*to_datetime"),
        ({"date": (pd.NaT, None)}, "must increase"),
        ({"price": (3, None)}, r"'price' holds \S+, but its bounds are at least 3\. Correct"),
        ({"price": (None, 3)}, r"'price' holds \S+, but its bounds are at most 3\. .* widen"),
        (
            {"price": (0, 3)},
            r"'price' holds \S+, but its bounds are from 0 to 3\. ",
        ),
        ({"date": (None, pd.Timestamp("2020-02-01"))}, "at most 2020-02-01 00:00:00"),
    ],
)
def test_wrong_bounds_are_named(bounds, message):
    dates = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(N), "D")
    kind = pd.Categorical(np.where(FACTOR > 0, "a", "b"))
    vae = VAETransformer(2, bounds=bounds, **QUICK)
    with pytest.raises(ValueError, match=message):
        vae.fit(TABLE.assign(date=dates, kind=kind))
    assert not hasattr(vae, "bounds_")


def test_later_batches_stay_in_bounds_and_widen_the_range():
    vae = VAETransformer(2, bounds={"price": (0, 100)}, **QUICK).partial_fit(TABLE)
    with pytest.raises(ValueError, match="'price' holds 101, but its bounds are from 0 to 100"):
        vae.partial_fit(TABLE.assign(price=101.0))
    with pytest.warns(UserWarning, match="'given' holds 90 in column 'price', but training held"):
        vae.sample(given={"price": 90})
    vae.partial_fit(TABLE.assign(price=95.0))
    vae.sample(given={"price": 90})
    assert vae.bounds_["price"] == (0.0, 100.0)
    with pytest.raises(ValueError, match=r"was fitted with bounds=.*cannot continue with 'auto'"):
        vae.set_params(bounds="auto").partial_fit(TABLE)


def test_a_value_beyond_bounds_is_no_given_one():
    vae = VAETransformer(2, bounds={"age": (0, 150)}, **QUICK).fit(TABLE)
    message = "'given' holds -1 in column 'age', but its bounds are from 0 to 150"
    with pytest.raises(ValueError, match=message):
        vae.sample(given={"age": -1})
    with pytest.warns(UserWarning, match="'given' holds 150 in column 'age'"):
        vae.sample(given={"age": 150})


@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, "log_normal"])
def test_a_given_value_beyond_training_is_reported_once(likelihood):
    table = TABLE[["price", "weight"]]
    vae = VAETransformer(2, likelihood=likelihood, **QUICK).fit(table)
    rows = pd.DataFrame({"price": [1.0, 1e3, 2e3, np.nan]})
    low, high = LOW["price"], HIGH["price"]
    with pytest.warns(UserWarning, match="given") as found:
        vae.sample(given=rows)
    assert [str(one.message) for one in found] == [
        f"'given' holds 1000 in column 'price', but training held values from {low:.10g} to "
        f"{high:.10g}. The model extrapolates: check the value."
    ]
    assert found[0].filename == __file__
    for value in (low, high):
        vae.sample(given={"price": value})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vae.transform(table * 2)
        vae.score_samples(table * 2)


def test_rows_of_weight_zero_and_missing_values_have_no_range():
    X = np.c_[FACTOR, GAPPY["age"]]
    X[0] = 1e3
    vae = VAETransformer(1, **QUICK).fit(X, sample_weight=np.r_[0.0, np.ones(N - 1)])
    with pytest.warns(UserWarning, match="column 1"):
        vae.sample(given={1: 500})


@pytest.mark.filterwarnings("ignore:'given' holds")
@pytest.mark.parametrize("bounds", ["auto", {"end": (0, 800)}])
def test_draws_given_a_value_beyond_training_follow_it(bounds):
    start = np.random.default_rng(0).uniform(0, 700, 1000)
    end = start + np.random.default_rng(1).normal(5, 3, 1000)
    table = pd.DataFrame({"start": start, "end": end})
    vae = VAETransformer(1, bounds=bounds, hidden_layer_sizes=(), random_state=0).fit(table)
    for value in (650, 720, 760, 1000):
        drawn = vae.sample(200, given={"start": value}, random_state=0)["end"]
        expected = value + 5 if bounds == "auto" else min(value + 5, 800)
        assert drawn.median() == pytest.approx(expected, abs=15)
    if bounds != "auto":
        assert drawn.max() <= 800
