"""Dates, durations and periods are numbers of seconds or periods, and come back as they were."""

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skvae._table.container import Container
from skvae._table.grid import Grids, find_grid

pa = pytest.importorskip("pyarrow")
DAY = 86400
N = 40
DAYS = np.random.default_rng(0).choice(20_000, N, replace=False)
STEPS = {"days": DAY, "hours": 3600, "seconds": 1, "milliseconds": 1e-3, "microseconds": 1e-6}


def stamps(step, unit, missing=True):
    """Different times since 1970 at multiples of a step of seconds, some missing."""
    ticks = np.rint(DAYS * step * {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit])
    found = (ticks + ticks.max()).astype(np.int64).astype(f"M8[{unit}]")
    if missing:
        found[[3, 7]] = "NaT"
    return found


def durations(values):
    return values.view(values.dtype.str.replace("M8", "m8"))


def zoned(series, zone="Europe/Berlin"):
    return series.dt.tz_localize("UTC").dt.tz_convert(zone)


COLUMNS = {
    **{
        f"pandas [{unit}] of {name}": (pd.DataFrame({"x": stamps(step, unit)}), step)
        for unit in ("s", "ms", "us", "ns")
        for name, step in STEPS.items()
        if step >= {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit]
    },
    "pandas with a zone": (pd.DataFrame({"x": zoned(pd.Series(stamps(60, "us")))}), 60),
    "pandas durations": (pd.DataFrame({"x": durations(stamps(0.001, "ns"))}), 1e-3),
    "pandas of arrow": (
        pd.DataFrame({"x": pd.Series(stamps(1, "us")).astype("timestamp[us][pyarrow]")}),
        1,
    ),
    "pandas of arrow with a zone": (
        pd.DataFrame(
            {
                "x": zoned(pd.Series(stamps(1, "us"))).astype(
                    pd.ArrowDtype(pa.timestamp("us", "Europe/Berlin"))
                )
            }
        ),
        1,
    ),
    "pandas of arrow dates": (
        pd.DataFrame({"x": pd.Series(stamps(DAY, "ms")).astype(pd.ArrowDtype(pa.date32()))}),
        DAY,
    ),
    "pandas of arrow durations": (
        pd.DataFrame({"x": pd.Series(durations(stamps(1, "s"))).astype("duration[s][pyarrow]")}),
        1,
    ),
    "polars": (pl.DataFrame({"x": stamps(1, "us")}), 1),
    "polars of milliseconds": (pl.DataFrame({"x": stamps(0.001, "ms")}), 1e-3),
    "polars with a zone": (
        pl.DataFrame({"x": stamps(1, "ns")}).cast(pl.Datetime("ns", "Asia/Tokyo")),
        1,
    ),
    "polars dates": (pl.DataFrame({"x": stamps(DAY, "ms")}).cast(pl.Date), DAY),
    "polars durations": (pl.DataFrame({"x": durations(stamps(60, "us"))}), 60),
    "pyarrow": (pa.table({"x": pa.array(stamps(3600, "s"))}), 3600),
    "pyarrow with a zone": (
        pa.table({"x": pa.array(stamps(1, "ms")).cast(pa.timestamp("ms", "Asia/Tokyo"))}),
        1,
    ),
    "pyarrow dates": (pa.table({"x": pa.array(stamps(DAY, "ms")).cast(pa.date32())}), DAY),
    "pyarrow durations": (pa.table({"x": pa.array(durations(stamps(1, "ns")))}), 1),
}
COLUMNS |= {
    f"periods of {frequency}": (
        pd.DataFrame({"x": pd.Series(stamps(DAY, "us")).dt.to_period(frequency)}),
        1,
    )
    for frequency in ("D", "W-WED", "M", "Q-NOV", "Y")
}


def cells(table):
    """The values of the column, and its dtype."""
    if isinstance(table, pa.Table):
        return table["x"].to_pylist(), table["x"].type
    return table["x"].to_list(), table["x"].dtype


def is_missing(cell):
    return cell is None or cell is pd.NaT or cell is pd.NA


@pytest.mark.parametrize(("table", "step"), COLUMNS.values(), ids=COLUMNS)
def test_times_are_numbers_and_come_back(table, step):
    container = Container.of(table)
    x = container.numbers(table)
    before, dtype = cells(table)
    missing = np.array([is_missing(cell) for cell in before])
    np.testing.assert_array_equal(np.isnan(x[:, 0]), missing)
    # seconds, or periods, between the values
    seen = pd.Series([cell for cell in before if not is_missing(cell)])
    if isinstance(seen[0], pd.Period):
        apart = seen.array.asi8 - seen.array.asi8[0]
    else:
        apart = (seen - seen[0]) / pd.Timedelta("1s")
    np.testing.assert_allclose(x[~missing, 0] - x[~missing, 0][0], apart, rtol=1e-12)
    complete = np.where(np.isnan(x), x[0], x)
    for result in (container.wrap(complete, like=table), container.fill(table, complete)):
        after, same = cells(result)
        assert same == dtype
        expected = [before[0] if gone else c for c, gone in zip(before, missing, strict=True)]
        assert after == expected
    np.testing.assert_array_equal(container.numbers(container.wrap(complete)), complete)
    after, same = cells(container.wrap(x))
    assert same == dtype
    assert [is_missing(cell) for cell in after] == missing.tolist()


@pytest.mark.parametrize(("table", "step"), COLUMNS.values(), ids=COLUMNS)
def test_times_lie_on_a_grid(table, step):
    container = Container.of(table)
    x = container.numbers(table)
    grid = find_grid(x[~np.isnan(x)])
    assert grid.step == pytest.approx(step, rel=1e-9)
    noise = np.random.default_rng(1).normal(size=(200, 1))
    draws = Grids.of([grid]).snapped(1e3 * noise)
    result = container.wrap(draws)
    assert cells(result)[1] == cells(table)[1]
    np.testing.assert_allclose(container.numbers(result), draws, rtol=1e-12)
    # a mean is rounded to the duration to which the column is recorded
    mean = container.numbers(container.wrap(draws + 0.4 * step * noise.clip(-1, 1)))
    np.testing.assert_allclose(mean, draws, rtol=1e-12)


FAR = {
    "sentinel": pd.DataFrame({"x": np.array(["2020-01-01", "9999-12-31"], "M8[us]")}),
    "year 1": pd.DataFrame({"x": np.array(["0001-01-01", "2020-05-05"], "M8[s]")}),
    "before 1970": pd.DataFrame({"x": np.array([-1, -(10**9), 5], "M8[ns]")}),
    "first nanoseconds": pd.DataFrame({"x": [pd.Timestamp.min, pd.Timestamp.min]}),
    "last nanoseconds": pd.DataFrame({"x": [pd.Timestamp.max, pd.Timestamp.max]}),
    "all days of nanoseconds": pd.DataFrame(
        {"x": np.array(["1677-09-22", "2262-04-11"], "M8[ns]")}
    ),
    "polars": pl.DataFrame({"x": [date(1, 1, 1), date(9999, 12, 31)]}),
    "years": pd.DataFrame({"x": pd.PeriodIndex(["0001", "9999"], freq="Y")}),
    "long durations": pl.DataFrame({"x": [timedelta(-(10**6)), timedelta(10**6)]}),
}


@pytest.mark.parametrize("table", FAR.values(), ids=FAR)
def test_times_at_the_ends_of_their_range(table):
    container = Container.of(table)
    x = container.numbers(table)
    assert cells(container.wrap(x)) == cells(table)
    low, high = cells(container.wrap(np.array([[-1e30], [1e30]])))[0]
    assert low < high
    assert low <= cells(table)[0][0]
    assert high >= cells(table)[0][-1]


def test_times_that_float64_cannot_count_are_refused():
    table = pd.DataFrame({"x": np.array(["2020-01-01T00:00:00.000000001", "2021-01-01"], "M8[ns]")})
    with pytest.raises(ValueError, match=r"'x' holds dates of whole nanoseconds, .*dt\.round\('us"):
        Container.of(table)
    Container.of(table[:1])


SAME = {
    "seconds": pd.DataFrame({"x": stamps(1, "s")}),
    "nanoseconds": pd.DataFrame({"x": stamps(1, "ns")}),
    "polars": pl.DataFrame({"x": stamps(1, "us")}),
    "pyarrow": pa.table({"x": pa.array(stamps(1, "ms"))}),
    "objects": stamps(1, "s").astype("M8[s]")[:, None].astype(object),
    "timestamps": pd.DataFrame({"x": stamps(1, "us")}).to_numpy(object),
}


@pytest.mark.parametrize("table", SAME.values(), ids=SAME)
def test_the_unit_of_a_dtype_does_not_matter(table):
    for fitted in list(SAME.values())[:4]:
        container = Container.of(fitted)
        np.testing.assert_array_equal(container.numbers(table), container.numbers(fitted))
        there = ~np.isnan(container.numbers(fitted)[:, 0])
        filled = container.fill(table, np.where(there[:, None], container.numbers(table), 0))
        after, before = cells(filled)[0], cells(fitted)[0]
        assert [a == b for a, b in zip(after, before, strict=True)] == there.tolist()


DATES = pd.DataFrame({"x": pd.to_datetime(["2020-01-01", None, "2020-03-01"])})
ZONED = pd.DataFrame({"x": DATES["x"].dt.tz_localize("Asia/Tokyo")})
SPANS = pd.DataFrame({"x": pd.to_timedelta([1, 5], "h")})
MONTHS = pd.DataFrame({"x": pd.PeriodIndex(["2020-01", "2020-07"], freq="M")})
CELLS = [
    (DATES, pd.Timestamp("2020-01-08"), 7 * DAY),
    (DATES, np.datetime64("2020-01-08"), 7 * DAY),
    (DATES, datetime(2019, 12, 31), -DAY),
    (DATES, date(2020, 1, 8), 7 * DAY),
    (ZONED, pd.Timestamp("2020-01-01", tz="UTC"), 9 * 3600),
    (SPANS, timedelta(hours=2), 7200),
    (SPANS, np.timedelta64(1, "D"), DAY),
    (MONTHS, pd.Period("2019-12", "M"), -1),
    *[(table, cell, np.nan) for table in (DATES, SPANS, MONTHS) for cell in (pd.NaT, None, pd.NA)],
    (DATES, np.datetime64("NaT"), np.nan),
    (SPANS, np.timedelta64("NaT"), np.nan),
]


@pytest.mark.parametrize(("table", "cell", "number"), CELLS, ids=repr)
def test_cells_of_objects(table, cell, number):
    X = np.empty((1, 1), object)
    X[0, 0] = cell
    np.testing.assert_array_equal(Container.of(table).numbers(X, strict=True), [[number]])


@pytest.mark.parametrize(
    ("table", "cell", "message"),
    [
        (DATES, "2020-01-01", r"'x' holds '2020-01-01', but it held dates .*pandas\.to_datetime"),
        (DATES, 5, "'x' holds 5, but it held dates in training"),
        (DATES, pd.Timestamp("2020-01-01", tz="UTC"), "'x' holds Timestamp.*held dates in"),
        (ZONED, pd.Timestamp("2020-01-01"), "held dates with a time zone .*utc=True"),
        (DATES, pd.Timestamp("2020-01-01 12:30"), "holds 2020-01-01 12:30:00, .*of whole days"),
        (SPANS, date(2020, 1, 1), r"held durations in training.*pandas\.to_timedelta"),
        (SPANS, timedelta(minutes=1), "but in training it held durations of whole hours"),
        (MONTHS, pd.Period("2020", "Y"), r"held periods of dtype period\[M\].*to_period"),
    ],
    ids=repr,
)
def test_other_cells_are_refused_by_name(table, cell, message):
    X = np.empty((1, 1), object)
    X[0, 0] = cell
    with pytest.raises(ValueError, match=message):
        Container.of(table).numbers(X, strict=True)


@pytest.mark.parametrize("table", [DATES, ZONED, SPANS, MONTHS, pd.DataFrame({"x": [1.5]})])
def test_columns_of_other_kinds_are_refused_by_name(table):
    for other in (DATES, ZONED, SPANS, MONTHS):
        if other is not table:
            with pytest.raises(ValueError, match=r"Column 'x' .* in training"):
                Container.of(table).numbers(other)


def test_a_later_batch_may_record_times_more_finely():
    container = Container.of(DATES)
    later = pd.DataFrame({"x": pd.to_datetime(["2020-01-01 12:30", "2020-01-03 00:00"])})
    with pytest.warns(UserWarning, match="held dates of whole days .* dates of whole minutes"):
        wider = container.widened(later)
    assert wider.wrap(wider.numbers(later)).equals(later)
    assert wider.widened(DATES).fields == wider.fields
