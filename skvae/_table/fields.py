"""What a column holds, its values as numbers, and numbers as its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skvae._table.frames import Column, of_objects
from skvae._warn import warn

Array = NDArray[Any]

SHOWN = 5  # values that a warning names
FEW_NUMBERS = 100  # up to this many different numbers as text may well be categories
NUMBER, WHOLE, BOOL, LEVEL = "number", "whole", "bool", "level"  # what a column holds


@dataclass
class Field:
    """A column that ``fit`` saw: its name, its dtype in a data frame and what it holds.

    ``levels`` are those of categories or strings. ``limits`` are the smallest and the largest
    number that the dtype of any other column can represent.
    """

    name: Any
    dtype: Any
    holds: str
    levels: pd.Index | None
    limits: tuple[float, float]


def field_of(column: Column) -> Field:
    dtype, native = column.dtype, column.native_dtype
    if of_objects(native) or dtype == nw.Unknown:  # narwhals guesses from the first 100
        holds, levels = _held(column)
    elif dtype in (nw.Categorical, nw.Enum, nw.String):
        holds, levels = LEVEL, _ordered(column.objects(), declared(dtype, native))
    elif dtype == nw.Boolean:
        holds, levels = BOOL, None
    elif dtype.is_numeric():
        holds, levels = WHOLE if dtype.is_integer() else NUMBER, None
    else:
        raise ValueError(
            f"Column {column.name!r} has dtype {native}, which is neither numbers nor categories. "
            "Encode or drop it first, with a ColumnTransformer for example."
        )
    return Field(column.name, native, holds, levels, _limits(dtype, holds))


def warn_of_numbers(fields: Sequence[Field]) -> None:
    """Warn about columns with more different numbers as text than categories usually have."""
    for field in fields:
        if field.levels is None or len(field.levels) <= FEW_NUMBERS:
            continue
        if not pd.to_numeric(pd.Series(field.levels), errors="coerce").isna().any():
            warn(
                f"Column {field.name!r} holds {len(field.levels)} different numbers as text, which "
                "are taken for categories. If they are quantities, convert the column with "
                "astype(float)."
            )


def _held(column: Column) -> tuple[str, pd.Index | None]:
    """What a column of objects holds, and its levels if it holds strings."""
    cells = column.objects()
    seen = [cell for cell in cells if not _is_missing(cell)]
    strings = [cell for cell in seen if isinstance(cell, str)]
    if seen and len(strings) == len(seen):
        return LEVEL, _ordered(cells, None)
    for cell in seen:
        if not isinstance(cell, str):
            _check_number(column.name, cell)
    if strings:
        raise ValueError(
            f"Column {column.name!r} mixes strings, as {strings[0]!r}, and numbers. Make them one "
            "or the other."
        )
    if seen and all(isinstance(cell, (bool, np.bool_)) for cell in seen):
        return BOOL, None
    whole = bool(seen) and all(isinstance(cell, (int, np.integer)) for cell in seen)
    return WHOLE if whole else NUMBER, None


def _check_number(name: Any, cell: Any) -> None:
    if isinstance(cell, str):
        raise ValueError(
            f"Column {name!r} holds the string {cell!r}, but it held numbers in training."
        )
    if not isinstance(cell, (Real, Decimal, np.bool_)):
        raise TypeError(
            f"Column {name!r} holds {cell!r}, a {type(cell).__name__}; each argument must be a "
            "string or a number. Encode the column, or drop it."
        )


def _is_missing(cell: Any) -> bool:
    if isinstance(cell, (float, np.floating, Decimal)):
        return bool(cell != cell)
    return cell is None or cell is pd.NA or cell is np.ma.masked


def declared(dtype: Any, native: Any) -> Sequence[Any] | None:
    """The categories that a dtype lists; None if it lists none."""
    if isinstance(native, pd.CategoricalDtype):
        return list(native.categories)
    return list(dtype.categories) if dtype == nw.Enum else None


def _ordered(cells: Array, declared: Sequence[Any] | None) -> pd.Index:
    """The levels that occur, in the declared order, or sorted if none is declared."""
    occur = {cell for cell in pd.unique(cells) if not _is_missing(cell)}
    levels = sorted(occur) if declared is None else [one for one in declared if one in occur]
    return pd.Index(levels, dtype=object)


def _limits(dtype: Any, holds: str) -> tuple[float, float]:
    """The smallest and the largest float64 that a column can represent."""
    name = str(dtype).lower()
    if name in ("float16", "float32"):
        return float(np.finfo(name).min), float(np.finfo(name).max)
    if dtype == nw.Decimal:
        scale = getattr(dtype, "scale", 0)
        most = 10.0 ** (getattr(dtype, "precision", 38) - scale) - 10.0**-scale
        return -most, most
    if holds != WHOLE:
        return -np.inf, np.inf
    info = np.iinfo(name if name.removeprefix("u") in ("int8", "int16", "int32", "int64") else int)
    most = float(info.max)  # with 64 bits this rounds up, out of the range of the dtype
    return float(info.min), most if most <= info.max else float(np.nextafter(most, 0.0))


def codes_of(column: Column, levels: pd.Index, strict: bool) -> Array:
    """The number of each value's level, NaN where it is missing or unknown."""
    cells = column.objects()
    try:
        codes: Array = levels.get_indexer(cells).astype(np.float64)
    except TypeError as error:  # a list, for example
        raise TypeError(f"Column {column.name!r} holds no categories: {error}.") from error
    codes[codes < 0] = np.nan
    lost = [
        cell
        for cell in pd.unique(cells[np.isnan(codes)])
        if not _is_missing(cell) and cell is not pd.NaT  # missing in a column of dates
    ]
    if lost and strict:
        raise ValueError(
            f"Column {column.name!r} holds {lost[0]!r}, which training has not seen. Its values "
            f"are {levels.tolist()}."
        )
    if lost:
        warn_unknown(column.name, sorted(lost, key=str))
    return codes


def numbers_of(column: Column) -> Array:
    """A column of numbers, with NaN for missing values."""
    dtype = column.dtype
    if dtype.is_float():
        found: Array = column.cells.to_numpy()
        return found
    if dtype == nw.Boolean or dtype.is_numeric():
        return np.asarray(column.cells.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if dtype.is_temporal():
        raise ValueError(
            f"Column {column.name!r} has dtype {dtype}, but it held numbers in training."
        )
    cells = column.objects()
    out = np.empty(len(cells))
    for place, cell in enumerate(cells):
        if _is_missing(cell):
            out[place] = np.nan
        else:
            _check_number(column.name, cell)
            out[place] = cell
    return out


def _nearest(x: Array, field: Field) -> Array:
    """The numbers closest to ``x`` that the column can represent."""
    if field.holds == BOOL:
        return (x >= 0.5).astype(np.float64)
    within = x.astype(np.float64).clip(*field.limits)
    return np.rint(within) if field.holds == WHOLE else within


def check_room(x: Array, field: Field) -> None:
    """Raise ValueError if the column cannot represent one of the finite numbers in ``x``."""
    x = x[np.isfinite(x)]
    # float64 does not represent the largest whole numbers of 64 bits exactly
    bad = x[np.abs(_nearest(x, field) - x) > np.spacing(np.abs(x))]
    if len(bad):
        dtype = "object" if field.dtype is None else field.dtype
        raise ValueError(
            f"Column {field.name!r} holds {bad[0]}, but in training it held {field.holds} values "
            f"of dtype {dtype}."
        )


def values_of(x: Array, field: Field) -> Array:
    """The values of a column that the numbers ``x`` stand for."""
    if field.levels is not None:
        values: Array = field.levels.to_numpy()[x.astype(np.intp)]
        return values
    values = _nearest(x, field)
    if field.holds == BOOL:
        values = values.astype(bool)
    elif field.holds == WHOLE:
        values = values.astype(np.uint64 if field.limits[0] == 0 else np.int64)
    return values.astype(object) if of_objects(field.dtype) else values


def warn_unknown(name: Any, values: Sequence[Any]) -> None:
    """Warn that values of a column count as missing."""
    shown = ", ".join(repr(value) for value in values[:SHOWN])
    more = ", ..." if len(values) > SHOWN else ""
    warn(
        f"Column {name!r} holds values that training has not seen, which count as missing: "
        f"{shown}{more}. Imputation replaces them."
    )
