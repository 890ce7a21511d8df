"""The cells of a column as numbers, and errors for cells that are not numbers."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skvae._table.frames import Column

Array = NDArray[Any]

# The remedy for a column with cells of a type; the first type that fits
REMEDIES_OF_CELLS: dict[type | tuple[type, ...], str] = {
    (date, np.datetime64, type(pd.NaT)): (
        "Convert the column with pandas.to_datetime, and pass a data frame."
    ),
    (timedelta, np.timedelta64): (
        "Convert the column with pandas.to_timedelta, and pass a data frame."
    ),
    pd.Period: "Convert the column with pandas.PeriodIndex.",
    time: "Convert it to seconds, or to hours, since midnight.",
    (complex, np.complexfloating): "Split the column into real and imaginary parts.",
    bytes: "Decode the column to strings: column.str.decode('utf-8').",
    pd.Interval: "Convert the column with astype('category').",
    dict: "Give each key a column of its own.",
    (list, tuple, set, np.ndarray): "Give each item a column of its own.",
}
REMEDIES_OF_DTYPES = {
    nw.Time: "Convert it to seconds, or to hours, since midnight.",
    nw.Binary: "Decode it to strings.",
    nw.List: "Give each item a column of its own.",
    nw.Array: "Give each item a column of its own.",
    nw.Struct: "Give each field a column of its own.",
}
REMEDY = "Encode or drop it first, with a ColumnTransformer for example."


def is_missing(cell: Any) -> bool:
    if isinstance(cell, Decimal):
        return cell.is_nan()  # a comparison with a signalling NaN would raise an error
    if isinstance(cell, (float, np.floating)):
        return bool(cell != cell)
    return cell is None or cell is pd.NA or cell is np.ma.masked


def check_number(name: Any, cell: Any, *, beside: str | None = None) -> None:
    """Raise ValueError for a string, and TypeError for anything else that is not a number.

    ``beside`` is a string that the column holds too.
    """
    if isinstance(cell, str):
        raise ValueError(
            f"Column {name!r} holds the string {cell!r}, but it held numbers in training. Convert "
            "strings of numbers with pandas.to_numeric."
        )
    if not isinstance(cell, (Real, Decimal, np.bool_)):
        remedies = (text for types, text in REMEDIES_OF_CELLS.items() if isinstance(cell, types))
        others, first = "", ""
        if beside is not None:
            others = f", and the string {beside!r}"
            first = "If strings mark missing values, replace them by None first. "
        raise TypeError(
            f"Column {name!r} holds {cell!r}, a {type(cell).__name__}{others}; each argument must "
            f"be a string or a number. {first}{next(remedies, 'Encode the column, or drop it.')}"
        )


def refuse_dtype(column: Column) -> NoReturn:
    """Raise ValueError for a column whose dtype is that of neither numbers nor categories."""
    remedies = (text for dtype, text in REMEDIES_OF_DTYPES.items() if column.dtype == dtype)
    raise ValueError(
        f"Column {column.name!r} has dtype {column.native_dtype}, which is neither numbers nor "
        f"categories. {next(remedies, REMEDY)}"
    )


def numbers_of(column: Column) -> Array:
    """A column of numbers, with NaN for missing values."""
    dtype = column.dtype
    if dtype.is_float():
        found: Array = column.cells.to_numpy()
        return found
    if dtype in (nw.Int64, nw.UInt64):  # pyarrow refuses to cast large numbers to floats
        return np.asarray(column.cells.to_numpy(), dtype=np.float64)
    if dtype == nw.Boolean or dtype.is_numeric():
        return np.asarray(column.cells.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if dtype.is_temporal() or isinstance(column.native_dtype, pd.PeriodDtype):
        raise ValueError(
            f"Column {column.name!r} has dtype {column.native_dtype}, but it held numbers in "
            "training."
        )
    cells = column.objects()
    out = np.empty(len(cells))
    for place, cell in enumerate(cells):
        if is_missing(cell):
            out[place] = np.nan
        else:
            check_number(column.name, cell)
            try:
                out[place] = cell
            except OverflowError:
                raise ValueError(
                    f"Column {column.name!r} holds a number beyond the largest float64. Divide the "
                    "column by a constant, or take logarithms."
                ) from None
    return out
