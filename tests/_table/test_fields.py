"""What a column holds, in later batches and in other tables."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from one_column import BIG, NAN, category, pandas, polars

from skvae._table.container import Container

# -- batches that hold others -----------------------------------------------------

WIDER = {
    "ints to floats": (pandas([1, 2]), pandas([1.5, 2.0]), "float64"),
    "ints to ints": (pandas([1, 2], "int8"), pandas([300, 2]), "int64"),
    "nullable ints": (pandas([1, None], "Int8"), pandas([0.5, None], "Float64"), "float64"),
    "narrow floats": (pandas([1, 2], "float32"), pandas([1e300, 2]), "float64"),
    "objects": (pandas([1, 2], object), pandas([1.5, 2], object), object),
    "polars": (polars([1, 2]), polars([1.5, None]), pl.Float64),
    "polars ints": (polars([1, 2], pl.UInt8), polars([-1, None]), pl.Int64),
    "decimals": (pandas([Decimal("0.5")], object), pandas([Decimal("0.25")], object), object),
}


@pytest.mark.parametrize(("first", "later", "dtype"), WIDER.values(), ids=WIDER)
def test_a_later_batch_of_other_numbers_widens_a_column(first, later, dtype):
    container = Container.of(first)
    with pytest.warns(UserWarning, match="Column 'x' held .* in the first batch, and now holds"):
        wider = container.widened(later)
    numbers = container.numbers(later)
    complete = numbers[~np.isnan(numbers)][:, None]
    result = wider.wrap(complete)
    assert list(result.dtypes) == [dtype]
    np.testing.assert_array_equal(wider.numbers(result, strict=True), complete)
    for table in (first, later):  # once
        assert wider.widened(table).fields == wider.fields


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (pandas([1, 2]), pandas([3.0, NAN])),
        (pandas([1, 2], "int8"), pandas([3, None], "Int64")),
        (pandas([1, 2]), np.array([[3.0], [NAN]])),
        (polars([1, 2]), pandas([3.0, NAN])),
        (pandas([True, False]), pandas([0.0, 2.5])),
        (pandas(["a", "b"]), pandas(["c", None])),
        (pandas([BIG, BIG + 2]), pandas([1, BIG])),
        (polars([Decimal("0.5")]), polars([Decimal("0.25")])),
        (np.eye(2), np.eye(2) / 3),
    ],
)
def test_a_later_batch_of_the_same_kind_changes_no_column(first, later):
    container = Container.of(first)
    assert container.widened(later).fields == container.fields


# -- levels that are new ----------------------------------------------------------


def test_many_new_levels_are_named_in_part():
    container = Container.of(polars(list("ab")))
    with pytest.warns(UserWarning, match=r"count as missing: '0', '1', '2', '3', '4', \.\.\.\."):
        numbers = container.numbers(polars(["b", None, *"9876543210"]))
    np.testing.assert_array_equal(numbers[:, 0], [1] + [np.nan] * 11)


def test_new_levels_are_an_error_where_that_is_asked_for():
    container = Container.of(pandas(["b", "a"]))
    cells = np.array([["a"], [None], ["c"]], dtype=object)
    message = r"Column 'x' holds 'c', which training has not seen\. Its values are \['a', 'b'\]"
    with pytest.raises(ValueError, match=message):
        container.numbers(cells, strict=True)
    np.testing.assert_array_equal(container.numbers(cells[:2], strict=True), [[0], [np.nan]])


def test_of_many_levels_an_error_names_some():
    container = Container.of(pandas([f"p{number:03}" for number in range(200)]))
    message = r"Its values are 200 others, such as \['p000', .*, 'p004'\]\."
    with pytest.raises(ValueError, match=message):
        container.numbers(np.array([["c"]], dtype=object), strict=True)


def test_levels_are_found_in_other_kinds_of_column():
    container = Container.of(pandas([2, 1], category(2, 1)))
    for values in (pandas([1, 2]), pandas([1.0, 2.0]), polars([1, 2]), [[1], [2]]):
        np.testing.assert_array_equal(container.numbers(values), [[1], [0]])
