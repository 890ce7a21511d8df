"""Columns of neither numbers nor categories are refused, by name and with a remedy."""

from datetime import date, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from one_column import pandas, polars

from skvae._table.container import Container

REFUSED = {
    "objects of dates": (pandas([date(2020, 1, 1)], object), r"holds datetime\.date.*to_datetime"),
    "objects of stamps": (pandas([pd.Timestamp(0)], object), r"'x' holds Timestamp.*to_datetime"),
    "objects of numpy": (np.array([[np.datetime64(0, "s")]], object), r"0 holds .*to_datetime"),
    "objects of spans": (pandas([timedelta(1)], object), r"'x' holds .*pandas\.to_timedelta"),
    "objects of periods": (pandas([pd.Period("2020")], object), "'x' holds Period.*PeriodIndex"),
    "objects of times": (pandas([time(1)], object), "'x' holds datetime.time.*since midnight"),
    "no time": (pandas([1.0, pd.NaT], object), "'x' holds NaT"),
    "intervals": (pandas(pd.interval_range(0, 1)), r"'x' holds Interval.*astype\('category'\)"),
    "complex": (pandas([1j]), "'x' holds 1j, a complex.*real and imaginary"),
    "dicts": (pandas([{"a": 1}], object), r"'x' holds \{'a': 1\}, a dict.*Give each key a column"),
    "lists": (pandas([[1], [2]], object), r"'x' holds \[1\], a list.*Give each item a column"),
    "tuples": (pandas([(1, 2)], object), r"'x' holds \(1, 2\), a tuple.*Give each item a column"),
    "arrays": (pandas([np.ones(2)], object), "'x' holds array.*Give each item a column"),
    "bytes": (pandas([b"a"], object), "'x' holds b'a', a bytes.*Decode"),
    "other objects": (pandas([object()], object), "'x' holds .*Encode the column, or drop it"),
    "strings and numbers": (pandas(["a", 1], object), "'x' mixes strings, as 'a', and numbers"),
    "numbers late": (pandas(["a"] * 100 + [1], object), "'x' mixes strings, as 'a', and numbers"),
    "strings and dicts": (pandas(["a", {}], object), r"'x' holds \{\}, a dict"),
    "stamps and strings": (
        pandas([pd.Timestamp(0), "unknown"], object),
        "'x' holds Timestamp.* and the string 'unknown'; .*replace them by None.*to_datetime",
    ),
    "polars times": (polars([0], pl.Time), "'x' has dtype Time.*since midnight"),
    "polars lists": (polars([[1], [2]]), "'x' has dtype List.*Give each item"),
    "polars structs": (polars([{"a": 1}]), "'x' has dtype Struct.*Give each field"),
    "polars bytes": (polars([b"a"]), "'x' has dtype Binary.*Decode"),
    "polars arrays": (polars([[1]], pl.Array(pl.Int8, 1)), "'x' has dtype Array.*Give each item"),
    "large numbers far apart": (polars([2**53 + 1, 0]), "'x' holds .* from 0 to .*Drop the column"),
    "ids": (pandas([2**70, 1], object), "'x' holds whole numbers from 1 to 11805.*Drop the column"),
    "polars objects": (polars([1, "a"], pl.Object), "'x' has dtype Object.*Encode or drop"),
    "array of bytes": (np.array([[b"a"]]), "0 holds b'a', a bytes"),
    "array of dicts": ([[1.0, {}]], r"1 holds \{\}, a dict"),
    "mixed array": ([[1, "a"], [2, 3]], "1 mixes strings, as 'a', and numbers"),
    "names twice": (
        pd.DataFrame(np.zeros((3, 2)), columns=["x", "x"]),
        "2 columns named 'x'.*Rename",
    ),
}


@pytest.mark.parametrize(("X", "message"), REFUSED.values(), ids=REFUSED)
def test_columns_of_neither_numbers_nor_categories_are_refused_by_name(X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Container.of(X)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pandas(["a"]), "'x' holds the string 'a', but it held numbers in training"),
        (pandas([{}], object), r"'x' holds \{\}, a dict"),
        (pandas(pd.to_datetime(["2020-01-01"])), "'x' has dtype datetime64.*held numbers"),
        (polars([0], pl.Date), "'x' has dtype Date, but it held numbers"),
    ],
)
def test_other_values_in_a_column_of_numbers_are_refused_by_name(frame, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Container.of(pandas([1.0])).numbers(frame)


def test_cells_that_cannot_be_levels_are_refused_by_name():
    with pytest.raises(TypeError, match="'x' holds no categories: unhashable"):
        Container.of(pandas(["a"])).numbers(pandas([["a"]], object))


@pytest.mark.parametrize("X", [np.zeros((2, 3), object), [[0, 0, 0.0]]])
def test_the_number_of_columns_of_an_array(X):
    with pytest.raises(ValueError, match="X has 3 features, but fit saw 1"):
        Container.of(pandas([1.0])).numbers(X)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([str(i) for i in range(101)], "101 different numbers as text.*to numbers"),
        ([f"{i / 4}" for i in range(11)], "11 different numbers as text"),
        ([f"2024-01-{i:02}" for i in range(1, 22)], "21 different dates as text.*to dates"),
        ([f"2024-01-{i:02}T06:00:00Z" for i in range(1, 22)], "21 different dates as text"),
    ],
)
def test_many_numbers_and_dates_as_text_warn(values, message):
    with pytest.warns(UserWarning, match=f"Column 'b' holds {message}"):
        Container.of(pd.DataFrame({"a": ["x"] * len(values), "b": values}))
    # few of them, or one that is none, may well be categories
    Container.of(pandas(values[1:]))
    Container.of(pandas([*values[1:], "none"]))
    Container.of(pandas(pd.Categorical(range(101))))  # no text


def test_a_number_beyond_float64_is_refused():
    cells = pandas([10**400, 0.5], object)
    with pytest.raises(ValueError, match="'x' holds a number beyond the largest float64"):
        Container.of(cells).numbers(cells)


def test_a_signalling_nan_is_a_missing_value():
    cells = pandas([Decimal("1.5"), Decimal("sNaN")], object)
    assert np.isnan(Container.of(cells).numbers(cells)).tolist() == [[False], [True]]
