"""The sample of a column from which likelihood="auto" chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FEW_VALUES = 10
SPIKE = 0.05  # share of the rows that a single value holds


@dataclass
class ColumnSample:
    """A sample of a column, and what is known of the whole table.

    Attributes
    ----------
    values : ndarray of shape (n,)
        The observed values in a sample of the rows, in steps of the column's grid if it has one;
        there may be none. Categories are numbered.
    weight : ndarray of shape (n,)
        The weights of these rows.
    is_category, is_bool : bool
        Whether the column holds categories, or bools.
    is_binary : bool
        Whether all values of the whole column are 0 or 1.
    is_table_binary : bool
        Whether this holds for all columns of numbers in the table.
    shares_unit : bool
        Whether the column shares a unit with others, as pixels do.
    n_rows : float
        The number of rows in the table.
    n_numeric : int
        The number of columns of numbers in the table.
    """

    values: Array
    weight: Array
    is_category: bool
    is_bool: bool
    is_binary: bool
    is_table_binary: bool
    shares_unit: bool
    n_rows: float
    n_numeric: int


def is_smooth(x: Array, weight: Array) -> bool:
    """Whether a smooth density can explain the values of a column. (n,), (n,).

    It cannot explain few values, or a value that holds many rows.
    """
    values, place = np.unique(x, return_inverse=True)
    if len(values) == 1:
        return True
    share = np.bincount(place, weights=weight) / weight.sum()
    return bool(len(values) > FEW_VALUES and share.max() < SPIKE)
