"""Models of tables with dates, durations, periods and decimal numbers."""

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer

pa = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.filterwarnings("ignore:Posterior collapse")
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
rng = np.random.default_rng(0)
N, DAY = 200, 86400
DAYS = rng.integers(0, 1000, N)
CENTS = 100 * DAYS + rng.integers(99, size=N)
START = pd.Timestamp("2020-02-01")
ORDERS = pd.DataFrame(
    {
        "date": START + pd.to_timedelta(DAYS, "D"),
        "delay": pd.to_timedelta(60 * rng.integers(1, 500, N) + DAYS, "h"),
        "month": pd.Series(START + pd.to_timedelta(30 * DAYS, "D")).dt.to_period("M"),
        "price": [Decimal(cents).scaleb(-2) for cents in CENTS.tolist()],
        "id": 2**60 + 7 * DAYS,
    },
    index=rng.permutation(N),
)
ORDERS["stamp"] = ORDERS["date"].dt.tz_localize("Europe/Berlin") + pd.Timedelta("1s")
GAPS = ORDERS.copy()
GAPS.loc[GAPS.index[:20], "date"] = pd.NaT
GAPS.loc[GAPS.index[10:30], ["delay", "month", "stamp"]] = pd.NaT
GAPS.loc[GAPS.index[20:40], "price"] = None


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, **QUICK).fit(GAPS)


def test_results_hold_what_fit_saw(vae):
    codes = vae.transform(GAPS)
    filled = vae.impute(GAPS)
    draws = vae.impute(GAPS, n_imputations=2, random_state=0)
    for table in (vae.reconstruct(GAPS), filled, *draws):
        assert table.dtypes.equals(ORDERS.dtypes)
        assert table.index.equals(ORDERS.index)
        assert table.notna().all(axis=None)
    for table in (filled, *draws):
        assert table.where(GAPS.notna()).equals(GAPS.astype(table.dtypes))
    for table in (vae.sample(50, random_state=0), vae.inverse_transform(codes), *draws):
        assert table.dtypes.equals(ORDERS.dtypes)
        assert (table["date"] == table["date"].dt.normalize()).all()
        assert {price.as_tuple().exponent for price in table["price"]} == {-2}
    assert np.isfinite(vae.score(GAPS))


def test_draws_lie_on_the_grid(vae):
    steps = {"date": DAY, "delay": 3600, "month": 1, "price": 0.01, "id": 7, "stamp": 3600}
    assert vae.resolutions_ == steps
    drawn = vae.sample(100, random_state=0)
    assert not (drawn["delay"] % pd.Timedelta("1h")).any()
    assert not ((drawn["id"] - 2**60) % 7).any()
    assert (drawn["stamp"].dt.second == 1).all()
    assert drawn["date"].between("2015-01-01", "2027-01-01").all()


def test_values_are_given(vae):
    known = {
        "date": pd.Timestamp("2021-03-04"),
        "delay": pd.Timedelta("900h"),
        "month": pd.Period("2021-05", "M"),
        "price": Decimal("12.34"),
        "id": 2**60 + 1001,
    }
    drawn = vae.sample(3, given=known, random_state=0)
    for name, value in known.items():
        assert drawn[name].tolist() == 3 * [value]
    table = vae.sample(given=GAPS, random_state=0)
    assert table.where(GAPS.notna()).equals(GAPS.astype(table.dtypes))
    polars = pl.DataFrame({"date": [known["date"]]}).cast(pl.Datetime("ns"))
    assert vae.sample(given=polars)["date"][0] == known["date"]
    with pytest.raises(ValueError, match=r"Column 'date' holds '2021-03-04'.*to_datetime"):
        vae.sample(given={"date": "2021-03-04"})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_log_p_is_per_second(unit):
    table = ORDERS[["date", "delay"]]
    other = table.assign(
        date=table["date"].astype(f"M8[{unit}]"), delay=table["delay"].astype(f"m8[{unit}]")
    )
    numbers = table.assign(
        date=(table["date"] - table["date"].min()) / pd.Timedelta("1s"),
        delay=table["delay"] / pd.Timedelta("1s"),
    )
    scores = [VAETransformer(2, **QUICK).fit(X).score_samples(X) for X in (other, numbers)]
    np.testing.assert_array_equal(*scores)


def test_durations_may_be_positive_amounts():
    table = ORDERS[["delay", "id"]]
    vae = VAETransformer(2, likelihood={"delay": "log_normal"}, **QUICK).fit(table)
    assert (vae.sample(50, random_state=0)["delay"] > pd.Timedelta(0)).all()


def test_other_libraries_serve():
    dates = {"date": GAPS["date"].to_numpy(), "x": DAYS % 7}
    of_pandas = VAETransformer(2, **QUICK).fit(pd.DataFrame(dates))
    for table in (pl.DataFrame(dates), pa.table(dates)):
        vae = VAETransformer(2, **QUICK).fit(table)
        assert type(vae.sample()) is type(table)
        np.testing.assert_array_equal(vae.transform(table), of_pandas.transform(table))
        filled = VAEImputer(VAETransformer(2, **QUICK)).set_output(transform="pandas")
        result = filled.fit_transform(table)
        assert isinstance(result, pd.DataFrame)
        assert result["date"].dt.normalize().equals(result["date"])
        there = GAPS["date"].notna().to_numpy()
        assert (result["date"][there] == dates["date"][there]).all()


def test_zones_survive_a_conversion_to_pandas():
    table = pl.from_pandas(GAPS[["stamp"]].assign(x=DAYS % 7))
    imputer = VAEImputer(VAETransformer(2, **QUICK)).set_output(transform="pandas")
    found = imputer.fit_transform(table)["stamp"]
    assert found.dtype == table["stamp"].to_pandas().dtype
    there = GAPS["stamp"].notna().to_numpy()
    assert (found.to_numpy()[there] == GAPS["stamp"].to_numpy()[there]).all()


def test_a_pickled_model_gives_the_same(vae):
    other = pickle.loads(pickle.dumps(vae))
    pd.testing.assert_frame_equal(other.impute(GAPS), vae.impute(GAPS))
    one, two = (model.sample(3, random_state=0) for model in (other, vae))
    pd.testing.assert_frame_equal(one, two)


def test_a_date_far_from_the_others_is_an_outlier():
    table = ORDERS[["date", "delay"]].assign(x=DAYS)
    table.iloc[5, 0] = pd.Timestamp("2050-01-01")
    detector = VAEOutlierDetector(VAETransformer(2, **QUICK), contamination=0.01)
    assert detector.fit_predict(table)[5] == -1
    assert detector.estimator_.score_cells(table.iloc[5:6]).iloc[0].idxmin() == "date"


def test_a_batch_that_widens_a_column():
    first = pd.DataFrame({"x": DAYS, "y": DAYS % 7})
    vae = VAETransformer(2, **QUICK).partial_fit(first)
    before = vae.reconstruct(first)
    later = first.assign(x=DAYS + 0.5)
    with pytest.raises(ValueError, match="y"):
        vae.partial_fit(later.assign(y=np.inf))
    assert vae.reconstruct(first).equals(before)
    with pytest.warns(UserWarning, match="Column 'x' held whole values of dtype int64"):
        vae.partial_fit(later)
    vae.partial_fit(later)  # warns once
    vae.partial_fit(first)
    assert vae.sample(given=later, random_state=0).equals(later)
    assert vae.reconstruct(first).dtypes.to_list() == ["float64", "int64"]
