"""What ``fit`` saw comes back: the kind of table, its names, dtypes and categories, its index."""

from decimal import Decimal
from fractions import Fraction

import narwhals
import numpy as np
import pandas as pd
import polars as pl
import pytest
from one_column import BIG, NAN, category, pandas, polars

from skvae._table.container import Container
from skvae._table.fields import BOOL, LEVEL, NUMBER, WHOLE

VALUES = np.arange(6.0).reshape(3, 2)
NEW = VALUES + 0.5

INDEXES = {
    "range": pd.RangeIndex(3),
    "strings": pd.Index(["a", "b", "c"], name="who"),
    "repeated": pd.Index([7, 7, 3]),
    "dates": pd.date_range("2020-01-01", periods=3),
    "two levels": pd.MultiIndex.from_tuples([(0, "a"), (0, "b"), (1, "a")], names=["i", "j"]),
}


def same(one, other):
    """Frames of equal cells, names, dtypes and index."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    else:
        assert one.equals(other)
        assert one.schema == other.schema
    return True


# -- the table --------------------------------------------------------------------


@pytest.mark.parametrize("X", [VALUES, VALUES.tolist(), VALUES.astype(np.float32)])
def test_an_array_comes_back_as_an_array(X):
    assert Container.of(X).wrap(NEW, like=X) is NEW
    assert Container.of(X).wrap(NEW) is NEW
    assert Container.of(X).fill(X, NEW) is NEW
    assert Container.of(X).numbers(X) is X


COLUMN_INDEXES = {
    "strings": pd.Index(["b", "a"], name="what"),
    "numbers": pd.Index([3, 0]),
    "range": pd.RangeIndex(2),
    "tuples": pd.Index([("a", 1), ("b", 2)], tupleize_cols=False),
    "two levels": pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["i", "j"]),
}


@pytest.mark.parametrize("columns", COLUMN_INDEXES.values(), ids=COLUMN_INDEXES)
@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_pandas(columns, index):
    frame = pd.DataFrame(VALUES, columns=columns, index=index)
    expected = pd.DataFrame(NEW, columns=columns, index=index)
    assert same(Container.of(frame).wrap(NEW, like=frame), expected)


def test_polars():
    frame = pl.DataFrame(VALUES, schema=["b", "a"])
    assert same(Container.of(frame).wrap(NEW, like=frame), pl.DataFrame(NEW, schema=["b", "a"]))


def test_pyarrow():
    pa = pytest.importorskip("pyarrow")
    colours = pa.array(["red", "blue", "red"])
    table = pa.table(
        {
            "real": pa.array([0.5, None, 2.5]),
            "small": pa.array([1, None, 3], pa.int8()),
            "yes": pa.array([True, None, False]),
            "text": colours.cast(pa.large_string()),
            "colour": colours.dictionary_encode(),
        }
    )
    container = Container.of(table)
    numbers = container.numbers(table)
    assert numbers[:, 3:].tolist() == [[1, 1], [0, 0], [1, 1]]
    filled = np.where(np.isnan(numbers), 1.0, numbers)
    expected = table.to_pylist()
    expected[1] |= {"real": 1.0, "small": 1, "yes": True}
    for result in (container.wrap(filled), container.fill(table, filled)):
        assert result.to_pylist() == expected
        assert result.schema.names == table.schema.names
        assert result.schema.field("small").type == pa.int8()
        assert result.schema.field("text").type == pa.large_string()
        assert pa.types.is_dictionary(result.schema.field("colour").type)


@pytest.mark.parametrize("values", [[1, 2, 1], [0.5, 2.5, 0.5], [True, False, True]], ids=str)
def test_dictionaries_of_pyarrow_may_hold_numbers(values):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"x": pa.array(values).dictionary_encode()})
    container = Container.of(table)
    assert container.holds(LEVEL, 1) == [True]
    assert container.wrap(container.numbers(table)).equals(table)


def test_a_name_of_pyarrow_stands_for_one_column():
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_arrays([pa.array([1.0])] * 3, names=["a", "b", "a"])
    with pytest.raises(ValueError, match=r"2 columns named 'a'.*Rename them, or drop"):
        Container.of(table)


def test_the_strings_of_numpy_are_levels():
    X = np.array([["b", "x"], ["a", None]], dtype=np.dtypes.StringDType(na_object=None))
    numbers = Container.of(X).numbers(X)
    np.testing.assert_array_equal(numbers, [[1, 0], [0, np.nan]])
    assert Container.of(X).wrap(np.zeros((2, 2))).tolist() == [["a", "x"]] * 2


def test_the_index_is_that_of_the_given_table():
    fitted = pd.DataFrame(VALUES, columns=["b", "a"], index=INDEXES["strings"])
    container = Container.of(fitted)
    other = pd.DataFrame(VALUES, index=INDEXES["dates"])  # codes, for example
    assert container.wrap(NEW, like=other).index.equals(other.index)
    for like in (None, VALUES, pl.DataFrame(VALUES)):
        assert container.wrap(NEW, like=like).index.equals(pd.RangeIndex(3))


@pytest.mark.parametrize("like", [pd.DataFrame(VALUES, index=INDEXES["dates"]), VALUES])
def test_other_tables_do_not_change_the_kind(like):
    container = Container.of(pl.DataFrame(VALUES))
    for result in (container.wrap(NEW, like=like), container.fill(like, NEW)):
        assert isinstance(result, pl.DataFrame)
    assert Container.of(VALUES).wrap(NEW, like=like) is NEW


@pytest.mark.parametrize(
    "dtypes",
    [
        (np.float32, np.float32),
        (np.float64, np.float32),
        (np.float16, np.float16),
        (np.float32, np.int8),
    ],
)
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_numbers_take_the_width_of_the_columns(kind, dtypes):
    columns = [column.astype(dtype) for column, dtype in zip(VALUES.T, dtypes, strict=True)]
    if np.float16 in dtypes and not hasattr(narwhals, "Float16"):
        pytest.skip("narwhals knows no float16, which is read as float64")
    numbers = Container.of(frame := kind(dict(zip("ab", columns, strict=True)))).numbers(frame)
    np.testing.assert_array_equal(numbers, VALUES)
    wide = np.int8 in dtypes or np.float64 in dtypes
    assert numbers.dtype == (np.float64 if wide else np.result_type(*dtypes))


# -- what columns hold ------------------------------------------------------------

COLUMNS = {
    "floats": (pandas([0.5, NAN]), NUMBER, [0.5, NAN]),
    "nullable floats": (pandas([0.5, None], "Float32"), NUMBER, [0.5, NAN]),
    "ints": (pandas([3, -1], "int8"), WHOLE, [3, -1]),
    "nullable ints": (pandas([3, None], "Int64"), WHOLE, [3, NAN]),
    "bools": (pandas([True, False]), BOOL, [1, 0]),
    "nullable bools": (pandas([True, None], "boolean"), BOOL, [1, NAN]),
    "strings": (pandas(["b", "a", None], "str"), LEVEL, [1, 0, NAN]),
    "python strings": (pandas(["b", "a", None], "string"), LEVEL, [1, 0, NAN]),
    "objects of strings": (pandas(["b", pd.NA, NAN, "a"], object), LEVEL, [1, NAN, NAN, 0]),
    "objects of ints": (pandas([2, None, np.int8(3)], object), WHOLE, [2, NAN, 3]),
    "objects of bools": (pandas([True, None, np.False_], object), BOOL, [1, NAN, 0]),
    "objects of numbers": (
        pandas([Decimal("0.5"), Fraction(1, 4), True, np.float32("nan"), Decimal("nan")], object),
        NUMBER,
        [0.5, 0.25, 1, NAN, NAN],
    ),
    "sparse": (pandas(pd.arrays.SparseArray([0.0, 2.5])), NUMBER, [0, 2.5]),
    # the first hundred cells of objects are all that narwhals looks at
    "ints late among objects": (pandas([None] * 100 + [5], object), WHOLE, [NAN] * 100 + [5]),
    "categories": (pandas(["u", "v", None], category("w", "v", "u")), LEVEL, [1, 0, NAN]),
    "categories of ints": (pandas([3, 1], category(3, 2, 1, ordered=True)), LEVEL, [0, 1]),
    "categories of bools": (pandas([True, False], category()), LEVEL, [1, 0]),
    "categories of floats": (pandas([1.5, 0.5, None], category()), LEVEL, [1, 0, NAN]),
    "mixed categories": (pandas([1, "a"], category("a", 1)), LEVEL, [1, 0]),
    "intervals": (pd.DataFrame({"x": pd.cut([9.0, 1.0, NAN], 3)}), LEVEL, [1, 0, NAN]),
    "categories of dates": (
        pandas(pd.to_datetime(["2021-01-01", "2020-01-01", None]), category()),
        LEVEL,
        [1, 0, NAN],
    ),
    "polars floats": (polars([0.5, None, NAN]), NUMBER, [0.5, NAN, NAN]),
    "polars ints": (polars([3, None], pl.UInt8), WHOLE, [3, NAN]),
    "polars wide ints": (polars([3, None], pl.Int128), WHOLE, [3, NAN]),
    "polars decimals": (polars([Decimal("1.25"), None], pl.Decimal(5, 2)), NUMBER, [1.25, NAN]),
    "polars bools": (polars([True, None]), BOOL, [1, NAN]),
    "polars strings": (polars(["b", "a", None]), LEVEL, [1, 0, NAN]),
    "enum": (polars(["u", "v", None], pl.Enum(["w", "v", "u"])), LEVEL, [1, 0, NAN]),
    # their numbers tell the order in which the process met them
    "categorical": (polars(["b", "a", None], pl.Categorical), LEVEL, [1, 0, NAN]),
    "categorical of a set": (
        polars(["b", "a"], pl.Categorical(pl.Categories("mine"))),
        LEVEL,
        [1, 0],
    ),
}


@pytest.mark.parametrize(("frame", "what", "numbers"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_is_numbers_and_comes_back(frame, what, numbers):
    container = Container.of(frame)
    assert container.holds(what, 1) == [True]
    found = container.numbers(frame)
    np.testing.assert_array_equal(found[:, 0], numbers)
    complete = np.where(np.isnan(found), found[~np.isnan(found)][0], found)
    for result in (container.wrap(complete, like=frame), container.fill(frame, complete)):
        assert list(result.dtypes) == list(frame.dtypes)
        np.testing.assert_array_equal(container.numbers(result), complete)
    gappy = container.wrap(found)
    assert list(gappy.dtypes) == list(frame.dtypes)
    np.testing.assert_array_equal(container.numbers(gappy), found)
    nothing = np.full((1, 1), NAN)
    np.testing.assert_array_equal(container.numbers(container.wrap(nothing)), nothing)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_numbers_become_values_of_their_dtype(kind):
    frame = kind(
        {
            "half": np.array([0, 1], np.float32),
            "small": np.array([0, 1], np.int8),
            "yes": [True, False],
            "text": ["no", "yes"],
        }
    )
    draws = np.array([[0.3, -0.6, 0.49, 1], [1e39, 1e9, 0.5, 0], [-0.2, -300, 7, 1]])
    result = Container.of(frame).wrap(draws)
    assert np.asarray(result["half"]).tolist() == [
        np.float32(0.3),
        np.finfo(np.float32).max,
        np.float32(-0.2),
    ]
    assert result["small"].to_list() == [-1, 127, -128]
    assert result["yes"].to_list() == [False, True, True]
    assert result["text"].to_list() == ["yes", "no", "yes"]
    assert list(result.dtypes) == list(frame.dtypes)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"])
@pytest.mark.parametrize("width", [np.float32, np.float64])
def test_whole_numbers_stay_within_their_dtype(dtype, width):
    # where float rounds the largest one up
    info = np.iinfo(dtype)
    draws = np.array([[-1e30], [1e30], [float(info.max)]], dtype=width)
    for frame in (pandas([0, 1], dtype), pl.DataFrame({"x": np.array([0, 1], dtype)})):
        low, high, top = Container.of(frame).wrap(draws)["x"].to_list()
        assert low == info.min
        assert info.max - info.max // 2**23 <= top <= high <= info.max


def test_decimals_stay_within_their_digits():
    frame = polars([Decimal("1.25")], pl.Decimal(3, 2))
    result = Container.of(frame).wrap(np.array([[10.2], [-1e9], [1.256]]))
    assert result["x"].to_list() == [Decimal("9.99"), Decimal("-9.99"), Decimal("1.26")]


def test_an_array_of_objects_comes_back_as_one():
    X = np.array([["b", 2, True, 0.5], ["a", None, None, 3], [NAN, 7, False, -1.5]], dtype=object)
    for table in (X, X.tolist()):
        container = Container.of(table)
        assert [container.holds(w, 4).index(True) for w in (LEVEL, WHOLE, BOOL, NUMBER)] == [
            0, 1, 2, 3,
        ]  # fmt: skip
        numbers = container.numbers(table)
        filled = np.where(np.isnan(numbers), 1.0, numbers)
        for result in (container.wrap(filled), container.fill(table, filled)):
            assert result.dtype == object
            assert result.tolist() == [
                ["b", 2, True, 0.5],
                ["a", 1, True, 3],
                ["b", 7, False, -1.5],
            ]
            assert [type(cell) for cell in result[1]] == [str, int, bool, type(result[1, 3])]


def test_strings_in_an_array_are_levels_and_objects_without_strings_are_numbers():
    assert Container.of(np.array([["a", "1"], ["b", "1"]])).holds(LEVEL, 2) == [True, True]
    X = np.array([[1, True], [None, False]], dtype=object)
    container = Container.of(X)
    np.testing.assert_array_equal(container.numbers(X), [[1, 1], [np.nan, 0]])
    assert container.wrap(NEW) is NEW


# -- cells that are there ---------------------------------------------------------

EXACT = {
    "wide ints": pandas([BIG, BIG + 2], "int64"),
    "wide ints with gaps": pandas([BIG, None, BIG + 2], "Int64", index=[4, 4, 1]),
    "objects of ints": pandas([BIG, None, BIG + 2**53], object),
    "objects of decimals": pandas([Decimal("0.1"), None, Decimal("1e-30")], object),
    "polars ints": polars([2**64 - 5, None, 2**64 - 1], pl.UInt64),
    "polars wide ints": polars([2**70 + 1, None, 2**70], pl.Int128),
    "polars decimals": polars([Decimal("0.10"), None], pl.Decimal(20, 2)),
    "floats": pandas([0.1, NAN, 5e-324], index=list("bba")),
    "narrow floats": pandas([0.1, NAN], "float32"),
}


@pytest.mark.parametrize("frame", EXACT.values(), ids=EXACT)
def test_fill_keeps_cells_to_the_last_bit(frame):
    container = Container.of(frame)
    numbers = container.numbers(frame)
    result = container.fill(frame, np.where(np.isnan(numbers), 3.0, numbers))
    before, after = frame["x"].to_list(), result["x"].to_list()
    there = ~np.isnan(numbers[:, 0])
    assert all(a == b for a, b, t in zip(after, before, there, strict=True) if t)
    three = container.wrap(np.full((1, 1), 3.0))["x"].to_list()  # large numbers have an origin
    assert all([a] == three for a, t in zip(after, there, strict=True) if not t)
    assert same(result[:0], frame[:0])
    if isinstance(frame, pd.DataFrame):
        assert result.index.equals(frame.index)


def test_fill_keeps_wide_ints_of_an_array_of_objects():
    X = np.array([["a", BIG], ["b", None]], dtype=object)
    container = Container.of(X)
    assert container.fill(X, np.array([[0, 5.0], [1, 7.0]])).tolist() == [
        ["a", BIG],
        ["b", BIG + 7],
    ]


def test_fill_replaces_levels_that_count_as_missing():
    container = Container.of(pandas(["a", "b"], category("a", "b")))
    frame = pandas(["a", "z"], category("z", "a"))
    with pytest.warns(UserWarning, match=r"Column 'x' .* count as missing: 'z'\."):
        numbers = container.numbers(frame)
    np.testing.assert_array_equal(numbers, [[0], [np.nan]])
    filled = container.fill(frame, np.array([[0.0], [1.0]]))
    assert same(filled, pandas(["a", "b"], category("a", "b")))


@pytest.mark.parametrize(
    ("fitted", "held", "ok"),
    [
        (pandas([1, 2], "int8"), 2.5, False),
        (pandas([1, 2], "int8"), 300, False),
        (pandas([1, 2], "int8"), -128, True),
        (pandas([True, False]), 0.3, False),
        (pandas([True, False]), 1.0, True),
        (pandas([0.5], "float32"), 1e39, False),
        (pandas([0.5], "float32"), 0.1, True),
        (pandas([1, 2], "int64"), 2.0**60, True),
    ],
)
def test_cells_without_room_in_the_dtype_are_an_error(fitted, held, ok):
    container, frame = Container.of(fitted), pandas([held, None], "float64")
    numbers = np.array([[held], [1.0]])
    for attempt in (
        lambda: container.fill(frame, numbers)["x"].iloc[0],
        lambda: container.wrap(container.numbers(frame.iloc[:1], strict=True))["x"].iloc[0],
    ):
        if ok:
            assert attempt() == pytest.approx(held)
        else:
            with pytest.raises(ValueError, match=r"Column 'x' holds .*, but in training it held"):
                attempt()
    container.numbers(frame)  # to score them they need no room
