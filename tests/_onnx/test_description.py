import json

import numpy as np
import pandas as pd

from skvae._onnx.description import describe
from skvae._table.container import Container

DAY = pd.Timestamp("2024-02-01")
TABLE = pd.DataFrame(
    {
        "amount": [1.5, np.nan, 2.0],
        "count": [1, 2, 3],
        "kind": pd.Categorical(["b", None, "a"], categories=["b", "a", "unused"]),
        "grade": pd.Categorical([10, 20, 10]),
        "flag": [True, False, True],
        "day": DAY + pd.to_timedelta([3, 0, 5], "D"),
        "delay": pd.to_timedelta([3, 0, 5], "h"),
        "month": pd.PeriodIndex(["2024-02", "2024-01", "2024-03"], freq="M"),
        "id": [2**60 + 5, 2**60, 2**60 + 7],
    }
)


def described(X, n_columns):
    return json.loads(describe(Container.of(X), n_columns))


def test_an_array_has_numbered_columns():
    assert described(np.zeros((3, 2)), 2) == [
        {"name": 0, "holds": "number"},
        {"name": 1, "holds": "number"},
    ]


def test_columns_of_a_frame():
    columns = {column.pop("name"): column for column in described(TABLE, 9)}
    assert list(columns) == list(TABLE)
    assert columns["amount"] == {"holds": "number"}
    assert columns["count"] == {"holds": "whole"}
    assert columns["kind"] == {"holds": "category", "levels": ["b", "a"]}
    assert columns["grade"] == {"holds": "category", "levels": [10, 20]}
    assert columns["flag"] == {"holds": "bool"}
    assert columns["delay"] == {"holds": "durations", "origin": 0}
    assert columns["month"] == {"holds": "periods of dtype period[M]", "origin": 648}
    assert columns["id"] == {"holds": "whole", "origin": 2**60}


def test_numbers_are_those_of_the_table_less_the_origin():
    container = Container.of(TABLE)
    numbers = pd.DataFrame(container.numbers(TABLE), columns=TABLE.columns)
    columns = {column["name"]: column for column in described(TABLE, 9)}
    seconds = TABLE["day"].astype("datetime64[s]").astype("int64")
    assert (numbers["day"] == seconds - columns["day"]["origin"]).all()
    assert (numbers["month"] == TABLE["month"].array.asi8 - columns["month"]["origin"]).all()
    assert (numbers["id"] == TABLE["id"] - columns["id"]["origin"]).all()
    assert (numbers["delay"] == TABLE["delay"].dt.total_seconds()).all()
    levels = [columns["kind"]["levels"][int(number)] for number in numbers["kind"].dropna()]
    assert levels == ["b", "a"]
