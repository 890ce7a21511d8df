"""What a column holds, and numbers as its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skvae._table.cells import check_number, is_missing, numbers_of, refuse_dtype
from skvae._table.counted import misses
from skvae._table.decimals import Decimals
from skvae._table.dtypes import dtype_from_list, dtype_to_list
from skvae._table.frames import Column, native_dtype, of_objects
from skvae._table.grid import Grid
from skvae._table.large import LargeNumbers
from skvae._table.times import Times, kind_of_times
from skvae._warn import warn

Array = NDArray[Any]

SHOWN, MOST_NAMED = 5, 100  # values that a message names, and the most that it names in full
# Up to this many different values as text may well be categories: whole numbers, fractions, dates.
FEW_NUMBERS, FEW_FRACTIONS, FEW_DATES = 100, 10, 20
NUMBER, WHOLE, BOOL, LEVEL = "number", "whole", "bool", "level"  # what a column holds


@dataclass
class Field:
    """A column that ``fit`` saw: its name, its dtype in a data frame and what it holds.

    ``levels`` are those of categories or strings. ``scale`` is how times, large whole numbers and
    decimal numbers become numbers. ``limits`` are the smallest and the largest number that the
    dtype of any other column can represent.
    """

    name: Any
    dtype: Any
    holds: str
    levels: list[Any] | None
    limits: tuple[float, float]
    scale: Times | LargeNumbers | Decimals | None = None

    @property
    def text(self) -> str:
        """What the column holds, for messages."""
        return f"{self.holds} values" if self.scale is None else self.scale.text

    @property
    def grid(self) -> Grid | None:
        """The numbers that a column of numbers can represent; None for any float."""
        if self.scale is not None:
            return self.scale.grid
        return Grid(1.0, decimals=0) if self.holds in (WHOLE, BOOL) else None

    def __getstate__(self) -> dict[str, Any]:
        """The state with the dtype as a list, or as it is if a list cannot describe it."""
        try:
            return vars(self) | {"dtype": dtype_to_list(self.dtype)}
        except ValueError:
            return dict(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if isinstance(self.dtype, list):
            self.dtype = dtype_from_list(self.dtype)


def field_of(column: Column) -> Field:
    """What a column holds that ``fit`` saw. Raises for neither numbers nor categories."""
    dtype, native = column.dtype, column.native_dtype
    levels: list[Any] | None = None
    scale: Times | LargeNumbers | Decimals | None = None
    if kind := kind_of_times(column):
        holds, scale = NUMBER, Times.of(column, kind)
    elif of_objects(native) or dtype == nw.Unknown:  # narwhals guesses from the first 100
        holds, levels, scale = _held(column)
    elif dtype in (nw.Categorical, nw.Enum, nw.String):
        holds, levels = LEVEL, _ordered(column.objects(), declared(dtype, native))
    elif dtype == nw.Boolean:
        holds = BOOL
    elif dtype == nw.Decimal:
        holds, scale = NUMBER, Decimals(dtype.scale, dtype.precision)
    elif dtype.is_numeric():
        holds = WHOLE if dtype.is_integer() else NUMBER
    else:
        refuse_dtype(column)
    if holds == WHOLE:
        scale = LargeNumbers.of(column)
    return Field(column.name, native, holds, levels, _limits(dtype, holds), scale)


def widened(field: Field, column: Column, backend: Any) -> Field:
    """The field of a column, some of whose training values its own dtype cannot represent.

    ``column`` holds further rows of training. If the column is to hold other numbers than before,
    warns and returns a field that does.
    """
    if field.levels is not None or field.holds == BOOL:
        return field
    if field.scale is not None:
        wider = replace(field, scale=field.scale.widened(column))
    else:
        x = numbers_of(column)
        x = x[np.isfinite(x)]
        if not misses(x, _nearest(x, field)).any():
            return field
        holds = WHOLE if field.holds == WHOLE and (x == np.rint(x)).all() else NUMBER
        dtype = nw.Int64() if holds == WHOLE else nw.Float64()
        native = field.dtype if of_objects(field.dtype) else native_dtype(dtype, backend)
        wider = replace(field, holds=holds, dtype=native, limits=_limits(dtype, holds))
    if wider != field:
        warn(
            f"Column {field.name!r} held {field.text} of dtype {_shown(field.dtype)} in the first "
            f"batch, and now holds others. Results hold {wider.text} of dtype "
            f"{_shown(wider.dtype)} from now on. Draws keep the resolution of the first batch."
        )
    return wider


def warn_of_text(fields: Sequence[Field]) -> None:
    """Warn about columns with more different numbers or dates as text than categories have."""
    for field in fields:
        if field.levels is None or len(field.levels) <= FEW_FRACTIONS:
            continue
        if not all(isinstance(level, str) for level in field.levels):
            continue  # the caller chose categories that are numbers
        levels = pd.Series(field.levels)
        numbers = pd.to_numeric(levels, errors="coerce")
        if not numbers.isna().any():
            is_text = len(levels) > (FEW_FRACTIONS if (numbers % 1).any() else FEW_NUMBERS)
            kind, remedy = "numbers", "quantities, convert the column to numbers"
        elif len(levels) > FEW_DATES:
            dates = pd.to_datetime(levels, format="ISO8601", errors="coerce", utc=True)
            is_text = not dates.isna().any()
            kind, remedy = "dates", "times, convert the column to dates"
        else:
            continue
        if is_text:
            warn(
                f"Column {field.name!r} holds {len(levels)} different {kind} as text, which are "
                f"taken for categories. If they are {remedy}."
            )


def _held(column: Column) -> tuple[str, list[Any] | None, Decimals | None]:
    """What a column of objects holds, its levels if it holds strings, and places of decimals."""
    cells = column.objects()
    seen = [cell for cell in cells if not is_missing(cell)]
    strings = [cell for cell in seen if isinstance(cell, str)]
    if seen and len(strings) == len(seen):
        return LEVEL, _ordered(cells, None), None
    for cell in seen:
        if not isinstance(cell, str):
            check_number(column.name, cell, beside=next(iter(strings), None))
    if strings:
        raise ValueError(
            f"Column {column.name!r} mixes strings, as {strings[0]!r}, and numbers. Make them one "
            "or the other."
        )
    if seen and all(isinstance(cell, Decimal) for cell in seen):
        return NUMBER, None, Decimals.of_cells(seen)
    if seen and all(isinstance(cell, (bool, np.bool_)) for cell in seen):
        return BOOL, None, None
    whole = bool(seen) and all(isinstance(cell, (int, np.integer)) for cell in seen)
    return WHOLE if whole else NUMBER, None, None


def declared(dtype: Any, native: Any) -> Sequence[Any] | None:
    """The categories that a dtype lists; None if it lists none."""
    if isinstance(native, pd.CategoricalDtype):
        return list(native.categories)
    return list(dtype.categories) if dtype == nw.Enum else None


def _ordered(cells: Array, declared: Sequence[Any] | None) -> list[Any]:
    """The levels that occur, in the declared order, or sorted if none is declared."""
    occur = {cell for cell in pd.unique(cells) if not is_missing(cell)}
    return sorted(occur) if declared is None else [one for one in declared if one in occur]


def _limits(dtype: Any, holds: str) -> tuple[float, float]:
    """The smallest and the largest float64 that a column can represent."""
    name = str(dtype).lower()
    if name in ("float16", "float32"):
        return float(np.finfo(name).min), float(np.finfo(name).max)
    if holds != WHOLE:
        return -np.inf, np.inf
    info = np.iinfo(name if name.removeprefix("u") in ("int8", "int16", "int32", "int64") else int)
    most = float(info.max)  # with 64 bits this rounds up, out of the range of the dtype
    return float(info.min), most if most <= info.max else float(np.nextafter(most, 0.0))


def codes_of(column: Column, levels: list[Any], strict: bool) -> Array:
    """The number of each value's level, NaN where it is missing or unknown."""
    cells = column.objects()
    try:
        codes: Array = pd.Index(levels, dtype=object).get_indexer(cells).astype(np.float64)
    except TypeError as error:  # a list, for example
        raise TypeError(f"Column {column.name!r} holds no categories: {error}.") from error
    codes[codes < 0] = np.nan
    lost = [
        cell
        for cell in pd.unique(cells[np.isnan(codes)])
        if not is_missing(cell) and cell is not pd.NaT  # missing in a column of dates
    ]
    if lost and strict:
        known = str(levels)
        if len(levels) > MOST_NAMED:
            known = f"{len(levels)} others, such as {levels[:SHOWN]}"
        raise ValueError(
            f"Column {column.name!r} holds {lost[0]!r}, which training has not seen. Its values "
            f"are {known}."
        )
    if lost:
        warn_unknown(column.name, sorted(lost, key=str))
    return codes


def _nearest(x: Array, field: Field) -> Array:
    """The numbers closest to ``x`` that the column can represent."""
    if field.scale is not None:
        return field.scale.nearest(x)
    if field.holds == BOOL:
        return (x >= 0.5).astype(np.float64)
    within = x.astype(np.float64).clip(*field.limits)
    return np.rint(within) if field.holds == WHOLE else within


def check_room(column: Column, x: Array, field: Field) -> None:
    """Raise ValueError if the field cannot represent a finite number ``x`` (n,) of a column."""
    finite = np.flatnonzero(np.isfinite(x))
    # float64 does not represent the largest whole numbers of 64 bits exactly
    bad = finite[misses(x[finite], _nearest(x[finite], field))]
    if len(bad):
        raise ValueError(
            f"Column {field.name!r} holds {column.objects()[bad[0]]}, but in training it held "
            f"{field.text} of dtype {_shown(field.dtype)}, as the result would. Round the value, "
            "or replace it by NaN."
        )


def _shown(dtype: Any) -> str:
    return "object" if dtype is None else str(dtype)


def values_of(x: Array, field: Field) -> Array:
    """The values of a column that the numbers ``x`` stand for."""
    if field.levels is not None:
        levels = np.fromiter(field.levels, dtype=object, count=len(field.levels))
        values: Array = levels[x.astype(np.intp)]
        return values
    if field.scale is not None:
        return field.scale.values(x)
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
        f"{shown}{more}."
    )
