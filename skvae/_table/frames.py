"""Data frames of any library, and arrays of objects, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray
from scipy.sparse import issparse

from skvae._table.masked import fill_masked
from skvae._table.source import RowSource

Array = NDArray[Any]


def as_frame(X: Any) -> nw.DataFrame[Any] | None:
    """``X`` as a narwhals data frame, from any library that narwhals supports; None for others.

    Raises ValueError if two columns have the same name.
    """
    if isinstance(X, np.ndarray):  # narwhals would ask one library after another
        return None
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


def index_of(X: Any) -> Any:
    """The index of a data frame; None for other tables and for libraries without an index."""
    frame = as_frame(X)
    return None if frame is None else nw.maybe_get_index(frame)


@dataclass
class Column:
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
        return _dtype_of(self.cells.to_native())

    def objects(self) -> Array:
        listed = self.cells.to_list() if isinstance(self.cells, nw.Series) else self.cells
        return np.fromiter(listed, dtype=object, count=len(listed))


def columns_of(X: Any, *, as_objects: bool = False) -> list[Column] | None:
    """The columns of a data frame, or of an array or list of objects; None for other arrays.

    With ``as_objects`` any array of two axes is read as an array of objects.
    """
    frame = as_frame(X)
    if frame is not None:
        return [Column(name, frame[:, at]) for at, name in enumerate(frame.columns)]
    if issparse(X) or isinstance(X, RowSource):
        return None
    X = fill_masked(X)
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.ndim != 2 or not (as_objects or array.dtype.kind in "OSUT"):
        return None
    cells = array.astype(object) if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    return [Column(place, column) for place, column in enumerate(cells.T)]


def native_dtype(dtype: Any, library: Any) -> Any:
    """The dtype of a library of data frames that narwhals calls ``dtype``."""
    empty: nw.Series[Any] = nw.new_series("", [], dtype, backend=library)
    return _dtype_of(empty.to_native())


def pandas_series(values: Array, dtype: Any, index: Any = None) -> pd.Series[Any]:
    """Values as a series of a dtype of pandas. Dates are in UTC, and periods are ordinals."""
    if isinstance(dtype, pd.PeriodDtype):
        return pd.Series(pd.arrays.PeriodArray(values, dtype=dtype), index)
    series = pd.Series(values, index)
    if time_zone(dtype) is not None:
        series = series.dt.tz_localize("UTC")
    return series.astype(dtype)


def time_zone(dtype: Any) -> Any:
    """The time zone of a dtype of pandas; None if it has none."""
    return getattr(getattr(dtype, "pyarrow_dtype", dtype), "tz", None)


def cast(native: Any, dtype: Any) -> Any:
    """A column of polars or pyarrow, cast to another dtype of its library."""
    values = getattr(dtype, "value_type", None)  # only dictionaries of pyarrow have one
    if values is None:
        return native.cast(dtype)
    return native.cast(values).dictionary_encode().cast(dtype)


def of_objects(native: Any) -> bool:
    """Whether a column comes from an array, or has the object dtype of pandas."""
    return native is None or str(native) == "object"


def _dtype_of(native: Any) -> Any:
    """The dtype of a column in its own library; pyarrow calls it a type."""
    return native.dtype if hasattr(native, "dtype") else native.type
