"""Tables without the values of one column."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from skvae import Parts
from skvae._table.hidden import hide_column

NAMES = ["a", "b", "c"]
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [True, False]}, index=[7, 7])
PAIRS = pd.MultiIndex.from_tuples([("n", 1), ("n", 2), ("m", 1)])


def arrow(frame):
    return pytest.importorskip("pyarrow").table(frame.to_dict("list"))


@pytest.mark.parametrize("library", [pd.DataFrame, pl.from_pandas, arrow])
@pytest.mark.parametrize("lacking", [[], ["b"]])
def test_a_frame_keeps_its_other_columns(library, lacking):
    X = library(FRAME.drop(columns=lacking))
    hidden = hide_column(X, NAMES, 1)
    assert type(hidden) is type(X)
    found = hidden.to_pandas() if library is not pd.DataFrame else hidden.reset_index(drop=True)
    pd.testing.assert_frame_equal(found, FRAME.assign(b=np.nan).reset_index(drop=True))
    if library is pd.DataFrame:
        assert hidden.index.equals(FRAME.index)
        assert X.equals(FRAME.drop(columns=lacking))


@pytest.mark.parametrize("names", [[0, 1, 2], PAIRS, ["a", 1, ("x", 2)]])
def test_the_names_of_pandas_may_be_anything(names):
    for X in (FRAME.set_axis(names, axis=1), FRAME.set_axis(names, axis=1).iloc[:, [0, 2]]):
        hidden = hide_column(X, list(names), 1)
        assert hidden.columns.tolist() == list(names)
        assert hidden.isna().all().tolist() == [False, True, False]


def test_a_frame_for_a_fit_of_an_array_is_read_by_position():
    hidden = hide_column(FRAME, [0, 1, 2], 2)
    assert hidden.isna().all().tolist() == [False, False, True]
    assert list(hidden) == NAMES


WHOLE = np.array([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("X", "dtype", "expected"),
    [
        (WHOLE, np.float64, [4, 6]),
        (WHOLE > 3, np.float64, [1, 1]),
        (WHOLE.tolist(), np.float64, [4, 6]),
        (WHOLE.astype(np.float32), np.float32, [4, 6]),
        (csr_array(WHOLE), np.float64, [4, 6]),
        (Parts([WHOLE[:1], WHOLE[1:]]), np.float64, [4, 6]),
        (np.ma.array(WHOLE, mask=np.eye(2, 3)), np.float64, [4, 6]),
        (WHOLE.astype(str), object, ["4", "6"]),
        ([[1, "two", None], [4, "five", 6]], object, [4, 6]),
    ],
)
def test_an_array_keeps_its_other_values(X, dtype, expected):
    hidden = hide_column(X, range(3), 1)
    assert hidden.dtype == dtype
    assert pd.isna(hidden[:, 1]).all()
    assert hidden[1, [0, 2]].tolist() == expected
    assert WHOLE[0, 1] == 2


@pytest.mark.parametrize("X", [WHOLE[0], WHOLE[:, :2], WHOLE.astype(complex), 3.0])
def test_invalid_tables_are_left_for_validation(X):
    assert hide_column(X, range(3), 1) is X
