"""Convert the caller's table to numbers, and numbers to the kind of table that ``fit`` saw.

A table of numbers is not changed. In a column of categories or strings, each value becomes the
number of its level. Times become seconds, or periods, from an origin. A missing value becomes NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skvae._table.cells import numbers_of
from skvae._table.fields import (
    NUMBER,
    Field,
    check_room,
    codes_of,
    declared,
    field_of,
    values_of,
    warn_of_text,
    widened,
)
from skvae._table.frames import (
    Column,
    as_frame,
    cast,
    columns_of,
    index_of,
    of_objects,
    pandas_series,
)
from skvae._table.grid import Grids
from skvae._table.labels import Labels
from skvae._table.masked import fill_masked
from skvae._table.times import Times

Array = NDArray[Any]


class Container:
    """The kind of table that ``fit`` saw, an array or a data frame, to read and write others.

    Attributes
    ----------
    backend : narwhals.Implementation or None
        The library of the data frame; None for an array.
    fields : list of Field or None
        The columns; None for an array of numbers.
    labels : pandas.Index or None
        Those of the columns of a pandas frame.
    """

    def __init__(
        self, backend: Any, fields: list[Field] | None, labels: pd.Index | None = None
    ) -> None:
        self.backend = backend
        self.fields = fields
        self.labels = labels

    @classmethod
    def of(cls, X: Any) -> Self:
        """The container of ``X``.

        Raises TypeError or ValueError for columns of neither numbers nor categories.
        """
        columns, frame = columns_of(X), as_frame(X)
        if columns is None:
            return cls(None, None)
        fields = [field_of(column) for column in columns]
        warn_of_text(fields)
        if frame is not None:
            is_pandas = frame.implementation.is_pandas_like()
            labels = frame.to_native().columns if is_pandas else None
            return cls(frame.implementation, fields, labels)
        is_plain = all(field.levels is None and field.scale is None for field in fields)
        return cls(None, None if is_plain else fields)

    def widened(self, X: Any) -> Self:
        """The container for training that continues on ``X``.

        Columns whose dtype cannot represent its values get another one, with a warning.
        """
        columns = None if self.fields is None else columns_of(X, as_objects=True)
        if columns is None:
            return self
        fields = [
            widened(field, replace(column, name=field.name), self.backend)
            for field, column in zip(self.fields or [], columns, strict=True)
        ]
        return type(self)(self.backend, fields, self.labels)

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

    def values(self, place: int, x: Array) -> Array:
        """The values that the numbers (n,) of a column stand for, as an array of numpy."""
        if self.fields is None:
            return x
        field = self.fields[place]
        if field.scale is None or self.backend is None:
            return values_of(x, field)
        column = Column(field.name, self._cells(x, field, None, floats=False))
        if getattr(column.dtype, "time_zone", None):  # numpy has no time zones
            return column.objects()
        return np.asarray(column.cells.to_native())

    def holds_times(self, place: int) -> bool:
        """Whether a column holds dates, durations or periods."""
        return self.fields is not None and isinstance(self.fields[place].scale, Times)

    def bounds(self, place: int, pair: Sequence[Any]) -> Array:
        """Two values of a column of numbers as numbers, infinite for None. (2,)."""
        column = Column(place, np.fromiter(pair, dtype=object, count=2))
        if self.fields is None:
            numbers = numbers_of(column)
        else:
            field = self.fields[place]
            numbers = _numbers(replace(column, name=field.name), field)
        absent = [value is None for value in pair]
        return np.where(absent, [-np.inf, np.inf], numbers)

    def inside(self, place: int, bounds: Array) -> Array:
        """Bounds of a column as numbers, moved inwards to numbers that it can represent. (2,)."""
        grid = None if self.fields is None else self.fields[place].grid
        return Grids.of([grid]).inside(bounds[None])[0]

    def bound(self, place: int, x: float) -> Any:
        """A bound as a float, or as the value of a column of times or of exact numbers.

        None for an infinite bound of such a column.
        """
        if self.fields is None or self.fields[place].scale is None:
            return float(x)
        return self.levels(place, np.array([x]))[0] if np.isfinite(x) else None

    def shown(self, place: int, x: float) -> str:
        """A number of a column in words."""
        value = self.bound(place, x)
        return f"{value:.10g}" if isinstance(value, float) else str(value)

    def sorted_values(self, place: int, x: Array) -> tuple[Array, Array]:
        """These values in the order in which they sort, and the place of each in ``x``. 2 x (n,).

        As in scikit-learn's ``classes_``, categories are sorted whatever order their dtype has.
        """
        rank, values = pd.factorize(self.values(place, x), sort=True)
        return values, np.argsort(rank)

    def levels(self, place: int, x: Array) -> list[Any]:
        """The names of these values."""
        if self.fields is None:
            return [f"{number:g}" for number in x]
        field = self.fields[place]
        if field.scale is None:
            return list(self.values(place, x))
        return list(Column(field.name, self._cells(x, field, None, floats=False)).objects())

    def numbers(self, X: Any, *, strict: bool = False) -> Any:
        """The table as numbers (n, d), with NaN for missing values, for scikit-learn to check.

        Levels that ``fit`` did not see become missing, with a warning. ``strict`` raises for such
        levels, and for numbers that the dtype of a column cannot represent. An array of numbers is
        returned unchanged, except that masked values become NaN.
        """
        columns = columns_of(X, as_objects=self.fields is not None)
        if columns is None:
            return fill_masked(X)
        if self.fields is not None and len(columns) != len(self.fields):
            raise ValueError(
                f"X has {len(columns)} features, but fit saw {len(self.fields)} features."
            )
        n_rows = len(columns[0].cells) if columns else len(X)
        return self.numbers_of(columns, n_rows, strict=strict)

    def numbers_of(self, columns: Sequence[Column], n_rows: int, *, strict: bool) -> Array:
        """As ``numbers``, of all columns. -> (n, d)."""
        found = []
        for place, column in enumerate(columns):
            if self.fields is None:
                found.append(numbers_of(column))
                continue
            field = self.fields[place]
            column = replace(column, name=field.name)  # an array has no names
            if field.levels is not None:
                found.append(codes_of(column, field.levels, strict))
            else:
                found.append(_numbers(column, field))
                if strict:
                    check_room(column, found[-1], field)
        dtype = np.result_type(np.float16, *(cells.dtype for cells in found))
        table = np.empty((n_rows, len(found)), dtype=dtype)
        for place, cells in enumerate(found):
            table[:, place] = cells
        return table

    def wrap(self, array: Array, like: Any = None, *, floats: bool = False) -> Any:
        """Numbers (n, d) as the kind of table that ``fit`` saw, with the index of ``like``.

        NaN becomes the missing value of the column: NaN, NaT, None or pandas.NA.
        With ``floats`` the numbers are not values of the columns, and are kept as floats.
        """
        if self.fields is None or (floats and self.backend is None):
            return array
        return self._table(self._columns(array, self.fields, like, floats=floats))

    def fill(self, X: Any, array: Array) -> Any:
        """``wrap(array)``, in which the observed numbers of ``X`` are kept exactly."""
        if self.fields is None:
            return array
        held = columns_of(X, as_objects=True)
        if held is None:
            return self.wrap(array)
        columns = self._columns(array, self.fields, like=X)
        for column, old, field in zip(columns, held, self.fields, strict=True):
            if field.levels is None:
                column.cells = self._joined(replace(old, name=field.name), column, field)
        return self._table(columns)

    def _columns(
        self, array: Array, fields: Sequence[Field], like: Any, *, floats: bool = False
    ) -> list[Column]:
        """Numbers (n, d) as columns with the dtypes that ``fit`` saw, or as ``floats``."""
        index = index_of(like)
        return [
            Column(field.name, self._cells(x, field, index, floats=floats))
            for x, field in zip(array.T, fields, strict=True)
        ]

    def _cells(self, x: Array, field: Field, index: Any, *, floats: bool) -> Any:
        """Numbers (n,) as values in the dtype that ``fit`` saw, or as ``floats``."""
        missing = np.zeros(len(x), dtype=bool) if floats else np.isnan(x)
        values = x if floats else values_of(np.where(missing, 0.0, x), field)
        if self.backend is None:
            if missing.any():
                values = values.astype(object)
                values[missing] = None
            return values
        if self.backend.is_pandas_like():
            dtype = values.dtype if floats else field.dtype
            native = pandas_series(values, dtype, index)
            if missing.any():
                is_object = of_objects(field.dtype)
                native = native.mask(missing, None) if is_object else native.mask(missing)
        else:
            listed = values.tolist() if values.dtype == object else values
            series: nw.Series[Any] = nw.new_series(field.name, listed, backend=self.backend)
            if missing.any():
                there: nw.Series[Any] = nw.new_series("", ~missing, backend=self.backend)
                series = series.zip_with(there, series.shift(len(series)))
            native = series.to_native() if floats else cast(series.to_native(), field.dtype)
        return nw.from_native(native, series_only=True)

    def _joined(self, old: Column, new: Column, field: Field) -> Any:
        """The values of ``old`` where they are observed, and those of ``new`` elsewhere."""
        x = _numbers(old, field)
        there = ~np.isnan(x)
        if self.backend is None:
            return np.where(there, old.objects(), new.cells)
        if old.library == self.backend and old.native_dtype == field.dtype:
            mask: nw.Series[Any] = nw.new_series("", there, backend=self.backend)
            return old.cells.zip_with(mask, new.cells)
        check_room(old, x, field)
        return new.cells

    def _table(self, columns: Sequence[Column]) -> Any:
        if self.backend is None:
            table = np.empty((len(columns[0].cells), len(columns)), dtype=object)
            for place, column in enumerate(columns):
                table[:, place] = column.cells
            return table
        if self.backend.is_pandas_like():
            frame = pd.concat([column.cells.to_native() for column in columns], axis=1)
            if self.labels is not None:
                frame.columns = self.labels
            return frame
        frames = [column.cells.alias(column.name).to_frame() for column in columns]
        return nw.concat(frames, how="horizontal").to_native()

    # -- pickling ---------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """The state with the name of the library, and labels as lists."""
        backend = None if self.backend is None else self.backend.value
        labels = None if self.labels is None else Labels.of(self.labels)
        return vars(self) | {"backend": backend, "labels": labels}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # pickles of commits before that of ``labels``, which benchmarks/scores.py reads, have none
        backend, labels = state["backend"], state.get("labels")
        vars(self).update(state)
        self.backend = None if backend is None else nw.Implementation(backend)
        self.labels = None if labels is None else labels.index()


def _numbers(column: Column, field: Field) -> Array:
    """A column without levels as numbers, with NaN for missing values. (n,)."""
    return numbers_of(column) if field.scale is None else field.scale.numbers(column)


def as_pandas(table: Any, like: Any) -> Any:
    """A completed table as a pandas frame, with the index of ``like``.

    Numbers keep their width; categories and strings become those of pandas. An array of numbers is
    returned unchanged.
    """
    columns = None if isinstance(table, pd.DataFrame) else columns_of(table)
    if columns is None:
        return table
    index = index_of(like)
    return pd.concat([_pandas_series(column, index) for column in columns], axis=1)


def _pandas_series(column: Column, index: Any) -> pd.Series[Any]:
    dtype, cells = column.dtype, column.cells
    if column.library is None:
        found = pd.Series(cells, index).infer_objects()
    elif dtype == nw.String:
        found = pd.Series(cells.to_list(), index, dtype="str")
    elif dtype in (nw.Categorical, nw.Enum):
        levels = declared(dtype, column.native_dtype)
        values = pd.Categorical(cells.to_list(), levels, ordered=levels is not None)
        found = pd.Series(values, index)
    elif dtype == nw.Decimal:
        found = pd.Series(numbers_of(column), index)
    elif zone := getattr(dtype, "time_zone", None):
        values = cells.to_numpy()  # in UTC
        unit, _ = np.datetime_data(values.dtype)
        found = pandas_series(values, pd.DatetimeTZDtype(unit, zone), index)
    else:
        found = pd.Series(cells.to_numpy(), index)
    return found.rename(column.name)
