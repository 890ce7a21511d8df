"""Convert the caller's table to numbers, and numbers to the kind of table that ``fit`` saw.

A table of numbers is not changed. In a column of categories or strings, each value becomes the
number of its level. A missing value becomes NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import Any, Self

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray
from scipy.sparse import issparse

from skvae._table.masked import fill_masked
from skvae._table.source import RowSource
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


class Container:
    """The kind of table that ``fit`` saw, an array or a data frame, to read and write others.

    Attributes
    ----------
    backend : narwhals.Implementation or None
        The library of the data frame; None for an array.
    fields : list of Field or None
        The columns; None for an array of numbers.
    names : pandas.Index or None
        The labels of the columns of a pandas frame.
    """

    def __init__(self, backend: Any, fields: list[Field] | None, names: Any = None) -> None:
        self.backend = backend
        self.fields = fields
        self.names = names

    @classmethod
    def of(cls, X: Any) -> Self:
        """The container of ``X``.

        Raises TypeError or ValueError for columns of neither numbers nor categories.
        """
        columns, frame = _columns_of(X), as_frame(X)
        if columns is None:
            return cls(None, None)
        fields = [_field(column) for column in columns]
        _warn_of_numbers(fields)
        if frame is not None:
            names = frame.to_native().columns if frame.implementation.is_pandas_like() else None
            return cls(frame.implementation, fields, names)
        return cls(None, fields if any(field.levels is not None for field in fields) else None)

    def holds(self, what: str, n_columns: int) -> list[bool]:
        """Which columns hold "level", "bool", "whole" or "number"."""
        if self.fields is None:
            return [what == NUMBER] * n_columns
        return [field.holds == what for field in self.fields]

    def column_names(self, n_columns: int) -> list[Any]:
        """The names of the columns, or their positions where they have none."""
        if self.fields is None:
            return list(range(n_columns))
        return [field.name for field in self.fields]

    def levels(self, place: int, x: Array) -> list[Any]:
        """The values that the numbers (n,) of a column stand for."""
        if self.fields is None:
            return [f"{number:g}" for number in x]
        return list(_values(x, self.fields[place]))

    def numbers(self, X: Any, *, strict: bool = False) -> Any:
        """The table as numbers (n, d), with NaN for missing values, for scikit-learn to check.

        Levels that ``fit`` did not see become missing, with a warning. ``strict`` raises for such
        levels, and for numbers that the dtype of a column cannot represent. An array of numbers is
        returned unchanged, except that masked values become NaN.
        """
        columns = _columns_of(X, as_objects=self.fields is not None)
        if columns is None:
            return fill_masked(X)
        if self.fields is not None and len(columns) != len(self.fields):
            raise ValueError(
                f"X has {len(columns)} features, but fit saw {len(self.fields)} features."
            )
        found = []
        for place, column in enumerate(columns):
            if self.fields is None:
                found.append(_floats(column))
                continue
            field = self.fields[place]
            column = replace(column, name=field.name)  # an array has no names
            if field.levels is not None:
                found.append(_codes(column, field.levels, strict))
            else:
                found.append(_floats(column))
                if strict:
                    _check_room(found[-1], field)
        dtype = np.result_type(np.float16, *(cells.dtype for cells in found))
        table = np.empty((len(X), len(found)), dtype=dtype)
        for place, cells in enumerate(found):
            table[:, place] = cells
        return table

    def wrap(self, array: Array, like: Any = None, *, floats: bool = False) -> Any:
        """Numbers (n, d) as the kind of table that ``fit`` saw, with the index of ``like``.

        With ``floats`` the numbers are not values of the columns, and are kept as floats.
        """
        if self.fields is None or (floats and self.backend is None):
            return array
        return self._table(self._columns(array, self.fields, like, floats=floats))

    def fill(self, X: Any, array: Array) -> Any:
        """``wrap(array)``, in which the observed numbers of ``X`` are kept exactly."""
        if self.fields is None:
            return array
        held = _columns_of(X, as_objects=True)
        if held is None:
            return self.wrap(array)
        columns = self._columns(array, self.fields, like=X)
        for column, old, field in zip(columns, held, self.fields, strict=True):
            if field.levels is None:
                column.cells = self._joined(replace(old, name=field.name), column, field)
        return self._table(columns)

    def _columns(
        self, array: Array, fields: Sequence[Field], like: Any, *, floats: bool = False
    ) -> list[_Column]:
        """Numbers (n, d) as columns with the dtypes that ``fit`` saw, or as ``floats``."""
        source = as_frame(like)
        index = None if source is None else nw.maybe_get_index(source)
        return [
            _Column(field.name, self._cells(x, field, index, floats=floats))
            for x, field in zip(array.T, fields, strict=True)
        ]

    def _cells(self, x: Array, field: Field, index: Any, *, floats: bool) -> Any:
        """Numbers (n,) as values in the dtype that ``fit`` saw, or as ``floats``."""
        values = x if floats else _values(x, field)
        if self.backend is None:
            return values
        if self.backend.is_pandas_like():
            native = pd.Series(values, index=index)
            native = native if floats else native.astype(field.dtype)
        else:
            listed = values.tolist() if values.dtype == object else values
            series: nw.Series[Any] = nw.new_series(field.name, listed, backend=self.backend)
            native = series.to_native() if floats else _cast(series.to_native(), field.dtype)
        return nw.from_native(native, series_only=True)

    def _joined(self, old: _Column, new: _Column, field: Field) -> Any:
        """The values of ``old`` where they are observed, and those of ``new`` elsewhere."""
        x = _floats(old)
        there = ~np.isnan(x)
        if self.backend is None:
            return np.where(there, old.objects(), new.cells)
        if old.library == self.backend and old.native_dtype == field.dtype:
            mask: nw.Series[Any] = nw.new_series("", there, backend=self.backend)
            return old.cells.zip_with(mask, new.cells)
        _check_room(x, field)
        return new.cells

    def _table(self, columns: Sequence[_Column]) -> Any:
        if self.backend is None:
            table = np.empty((len(columns[0].cells), len(columns)), dtype=object)
            for place, column in enumerate(columns):
                table[:, place] = column.cells
            return table
        if self.backend.is_pandas_like():
            frame = pd.concat([column.cells.to_native() for column in columns], axis=1)
            frame.columns = self.names
            return frame
        frames = [column.cells.alias(column.name).to_frame() for column in columns]
        return nw.concat(frames, how="horizontal").to_native()


def as_frame(X: Any) -> nw.DataFrame[Any] | None:
    """``X`` as a narwhals data frame, from any library that narwhals supports; None for others.

    Raises ValueError if two columns have the same name.
    """
    try:
        frame = nw.from_native(X, eager_only=True, pass_through=True)
    except DuplicateError as error:
        names = pd.Index(getattr(X, "column_names", X.columns))
        name = names[names.duplicated()][0]
        raise ValueError(
            f"The data frame has {(names == name).sum()} columns named {name!r}, and a name must "
            "stand for one column. Rename them, or drop all but one."
        ) from error
    return frame if isinstance(frame, nw.DataFrame) else None


def as_pandas(table: Any, like: Any) -> Any:
    """A completed table as a pandas frame, with the index of ``like``.

    Numbers keep their width; categories and strings become those of pandas. An array of numbers is
    returned unchanged.
    """
    columns = None if isinstance(table, pd.DataFrame) else _columns_of(table)
    if columns is None:
        return table
    source = as_frame(like)
    index = None if source is None else nw.maybe_get_index(source)
    return pd.concat([_pandas_series(column, index) for column in columns], axis=1)


def _pandas_series(column: _Column, index: Any) -> pd.Series[Any]:
    dtype, cells = column.dtype, column.cells
    if column.library is None:
        found = pd.Series(cells, index).infer_objects()
    elif dtype == nw.String:
        found = pd.Series(cells.to_list(), index, dtype="str")
    elif dtype in (nw.Categorical, nw.Enum):
        levels = _declared(dtype, column.native_dtype)
        values = pd.Categorical(cells.to_list(), levels, ordered=levels is not None)
        found = pd.Series(values, index)
    else:
        found = pd.Series(_floats(column) if dtype == nw.Decimal else cells.to_numpy(), index)
    return found.rename(column.name)


def warn_unknown(name: Any, values: Sequence[Any]) -> None:
    """Warn that values of a column count as missing."""
    shown = ", ".join(repr(value) for value in values[:SHOWN])
    more = ", ..." if len(values) > SHOWN else ""
    warn(
        f"Column {name!r} holds values that training has not seen, which count as missing: "
        f"{shown}{more}. Imputation replaces them."
    )


@dataclass
class _Column:
    """A column of a table: a narwhals Series, or an array of objects."""

    name: Any
    cells: Any

    @property
    def dtype(self) -> Any:
        return self.cells.dtype if isinstance(self.cells, nw.Series) else nw.Object()

    @property
    def library(self) -> Any:
        return self.cells.implementation if isinstance(self.cells, nw.Series) else None

    @property
    def native_dtype(self) -> Any:
        """The dtype that its own library gives it; None for an array."""
        if not isinstance(self.cells, nw.Series):
            return None
        native = self.cells.to_native()
        return native.dtype if hasattr(native, "dtype") else native.type

    def objects(self) -> Array:
        listed = self.cells.to_list() if isinstance(self.cells, nw.Series) else self.cells
        return np.fromiter(listed, dtype=object, count=len(listed))


def _columns_of(X: Any, *, as_objects: bool = False) -> list[_Column] | None:
    """The columns of a data frame, or of an array or list of objects; None for other arrays.

    With ``as_objects`` any array of two axes is read as an array of objects.
    """
    frame = as_frame(X)
    if frame is not None:
        return [_Column(name, frame[:, at]) for at, name in enumerate(frame.columns)]
    if issparse(X) or isinstance(X, RowSource):
        return None
    X = fill_masked(X)
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.ndim != 2 or not (as_objects or array.dtype.kind in "OSUT"):
        return None
    cells = array.astype(object) if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    return [_Column(place, column) for place, column in enumerate(cells.T)]


def _cast(native: Any, dtype: Any) -> Any:
    """A column of polars or pyarrow, cast to another dtype of its library."""
    values = getattr(dtype, "value_type", None)  # only dictionaries of pyarrow have one
    if values is None:
        return native.cast(dtype)
    return native.cast(values).dictionary_encode().cast(dtype)


def _field(column: _Column) -> Field:
    dtype, native = column.dtype, column.native_dtype
    if _of_objects(native) or dtype == nw.Unknown:  # narwhals guesses from the first 100
        holds, levels = _held(column)
    elif dtype in (nw.Categorical, nw.Enum, nw.String):
        holds, levels = LEVEL, _ordered(column.objects(), _declared(dtype, native))
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


def _warn_of_numbers(fields: Sequence[Field]) -> None:
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


def _of_objects(native: Any) -> bool:
    """Whether a column comes from an array, or has the object dtype of pandas."""
    return native is None or str(native) == "object"


def _held(column: _Column) -> tuple[str, pd.Index | None]:
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


def _declared(dtype: Any, native: Any) -> Sequence[Any] | None:
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


def _codes(column: _Column, levels: pd.Index, strict: bool) -> Array:
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


def _floats(column: _Column) -> Array:
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


def _check_room(x: Array, field: Field) -> None:
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


def _values(x: Array, field: Field) -> Array:
    """The values of a column that the numbers ``x`` stand for."""
    if field.levels is not None:
        values: Array = field.levels.to_numpy()[x.astype(np.intp)]
        return values
    values = _nearest(x, field)
    if field.holds == BOOL:
        values = values.astype(bool)
    elif field.holds == WHOLE:
        values = values.astype(np.uint64 if field.limits[0] == 0 else np.int64)
    return values.astype(object) if _of_objects(field.dtype) else values
