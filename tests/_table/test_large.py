"""Columns of whole numbers that float64 rounds."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from one_column import BIG, NAN, pandas, polars, values

from skvae._table.container import Container

SECONDS = 10**18 + 10**9 * np.arange(0, 4 * 10**8, 10**7)  # over years, in nanoseconds
LARGE = {
    "ints": pandas([BIG, 2**53 + 2**53], "int64"),
    "negative ints": pandas([-(2**63), -(2**63) + 3], "int64"),
    "unsigned ints": pandas([2**64 - 1, 2**63 + 2**63 - 9], "uint64"),
    "nullable ints": pandas([BIG, BIG + 2], "Int64"),
    "nanoseconds": pandas(SECONDS + 10**17),
    "objects": pandas([2**70, 2**70 + 1], object),
    "arrow": pandas([BIG, BIG + 2], "int64[pyarrow]"),
    "polars": polars(SECONDS.tolist()),
    "polars, unsigned": polars([2**64 - 1, 2**64 - 9], pl.UInt64),
    "polars, wide": polars([2**70 + 1, 2**70], pl.Int128),
    "array": np.array([["a", BIG], ["b", BIG + 1]], object),
    "array of numbers": np.array([[BIG, 0.5], [BIG + 1, 1.5]], object),
}


@pytest.mark.parametrize("table", LARGE.values(), ids=LARGE)
def test_large_whole_numbers_come_back_exactly(table):
    container = Container.of(table)
    numbers = container.numbers(table, strict=True)
    for result in (container.wrap(numbers), container.fill(table, numbers)):
        assert values(result) == values(table)
    if not isinstance(table, np.ndarray):
        assert list(container.wrap(numbers).dtypes) == list(table.dtypes)
        assert numbers.min() == 0
        drawn = values(container.wrap(numbers + 0.3))
        assert drawn == values(table)
        end, *_ = values(container.wrap(np.array([[1e30]])))
        assert end >= max(drawn)


def test_large_numbers_may_be_floats_in_a_later_frame():
    container = Container.of(pandas([2**60, 2**60 + 1]))
    np.testing.assert_array_equal(
        container.numbers(pandas([2.0**60, NAN, 2.0**60 + 1024])), [[0], [NAN], [1024]]
    )
    for cell in (2**60 + 0.0, np.int64(2**60 + 7), Decimal(2**60), Fraction(2**60)):
        found = container.numbers(np.array([[cell]], object), strict=True)
        assert found == int(cell) - 2**60
    with pytest.raises(ValueError, match=r"'x' holds 5, but .* whole values of dtype int64"):
        container.numbers(pandas([5]), strict=True)
