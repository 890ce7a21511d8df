"""Columns of decimal numbers."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pytest
from one_column import pandas, polars, values

from skvae._table.container import Container

PRICES = [Decimal("0.10"), Decimal("-12345678901.25"), Decimal("7"), Decimal("1E+1")]
DECIMALS = {
    "objects": pandas(PRICES, object),
    "polars": polars(PRICES, pl.Decimal(20, 2)),
    "arrow": pandas(PRICES, pd.ArrowDtype(pyarrow.decimal128(20, 2))),
    "pyarrow": pyarrow.table({"x": pyarrow.array(PRICES, pyarrow.decimal128(20, 2))}),
}


@pytest.mark.parametrize("table", DECIMALS.values(), ids=DECIMALS)
def test_decimal_numbers_come_back_with_their_places(table):
    container = Container.of(table)
    numbers = container.numbers(table, strict=True)
    np.testing.assert_array_equal(numbers[:, 0], [float(price) for price in PRICES])
    for draws in (numbers, numbers + 0.003):
        result = container.wrap(draws)
        found = values(result)
        assert found == PRICES
        assert {cell.as_tuple().exponent for cell in found} == {-2}
    numbers[1] = np.nan
    assert values(container.wrap(numbers))[0] == PRICES[0]
    assert pd.isna(values(container.wrap(numbers))[1])
    assert str(container.wrap(-1e-9 * np.ones((1, 1)))["x"][0]) == "0.00"
    with pytest.raises(ValueError, match=r"'x' holds 0\.125, .* decimal numbers of 2 places"):
        container.numbers(np.array([[Decimal("0.125")]], object), strict=True)
