"""What ``fit`` saw comes back: the kind of table, its names, the index of its rows."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skvae._container import Container

VALUES = np.arange(6.0).reshape(3, 2)
NEW = VALUES + 0.5

INDEXES = {
    "range": pd.RangeIndex(3),
    "strings": pd.Index(["a", "b", "c"], name="who"),
    "repeated": pd.Index([7, 7, 3]),
    "dates": pd.date_range("2020-01-01", periods=3),
    "two levels": pd.MultiIndex.from_tuples([(0, "a"), (0, "b"), (1, "a")], names=["i", "j"]),
}


@pytest.mark.parametrize("X", [VALUES, VALUES.tolist(), VALUES.astype(np.float32)])
def test_an_array_comes_back_as_an_array(X):
    assert Container.of(X).wrap(NEW, like=X) is NEW
    assert Container.of(X).wrap(NEW) is NEW


@pytest.mark.parametrize("columns", [["b", "a"], [3, 0], pd.RangeIndex(2)])
@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_pandas(columns, index):
    frame = pd.DataFrame(VALUES, columns=columns, index=index)
    expected = pd.DataFrame(NEW, columns=columns, index=index)
    result = Container.of(frame).wrap(NEW, like=frame)
    pd.testing.assert_frame_equal(result, expected, check_column_type=False)


def test_polars():
    frame = pl.DataFrame(VALUES, schema=["b", "a"])
    result = Container.of(frame).wrap(NEW, like=frame)
    assert result.equals(pl.DataFrame(NEW, schema=["b", "a"]))


def test_pyarrow():
    pa = pytest.importorskip("pyarrow")
    table = pa.table(dict(zip("ba", VALUES.T, strict=True)))
    result = Container.of(table).wrap(NEW, like=table)
    assert result.equals(pa.table(dict(zip("ba", NEW.T, strict=True))))


def test_the_index_is_that_of_the_table_at_hand():
    fitted = pd.DataFrame(VALUES, columns=["b", "a"], index=INDEXES["strings"])
    container = Container.of(fitted)
    other = pd.DataFrame(VALUES, index=INDEXES["dates"])  # codes, for example
    assert container.wrap(NEW, like=other).index.equals(other.index)
    for like in (None, VALUES, pl.DataFrame(VALUES)):
        assert container.wrap(NEW, like=like).index.equals(pd.RangeIndex(3))


@pytest.mark.parametrize("like", [pd.DataFrame(VALUES, index=INDEXES["dates"]), VALUES])
def test_other_tables_do_not_change_the_kind(like):
    assert isinstance(Container.of(pl.DataFrame(VALUES)).wrap(NEW, like=like), pl.DataFrame)
    assert Container.of(VALUES).wrap(NEW, like=like) is NEW


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_and_the_frame_are_kept(kind, dtype):
    frame = kind({"b": [1, 2, 3], "a": [True, False, True]})
    result = Container.of(frame).wrap(NEW.astype(dtype), like=frame)
    assert np.asarray(result).dtype == dtype
    assert list(frame.columns) == ["b", "a"]
