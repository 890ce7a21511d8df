"""A table without the values of one column, which the others are to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
from scipy.sparse import issparse

from skvae._table.frames import as_frame
from skvae._table.masked import fill_masked
from skvae._table.validation import refuse_rounding


def hide_column(X: Any, names: Sequence[Any], place: int) -> Any:
    """A copy of ``X`` whose values in the column at ``place`` are all missing.

    A data frame may lack this column. An array with another number of columns than there are
    ``names`` is returned unchanged, for validation to refuse.
    """
    frame = as_frame(X)
    if frame is not None:
        return _hide_in_frame(frame, names, place)
    X = X.toarray() if issparse(X) else fill_masked(X)
    array = np.asarray(X)
    is_table = array.ndim == 2 and array.shape[1] == len(names)
    if not is_table or array.dtype.kind not in "fiubOSUT" or isinstance(X, np.matrix):
        return X
    if array.dtype.kind in "iub":
        refuse_rounding(array, names)
        hidden = array.astype(np.float64)
    elif array.dtype.kind == "f":
        hidden = array.copy()
    else:
        hidden = np.asarray(X, dtype=object).copy()
    hidden[:, place] = np.nan
    return hidden


def _hide_in_frame(frame: nw.DataFrame[Any], names: Sequence[Any], place: int) -> Any:
    held: list[Any] = frame.columns
    by_position = names[place] not in held and len(held) == len(names)  # fit saw an array
    name = held[place] if by_position else names[place]
    order = [other for other in held if other != name]
    order.insert(place, name)
    if frame.implementation.is_pandas_like():  # whose names may be tuples
        native = frame.to_native().loc[:, [other != name for other in held]].copy()
        native.insert(order.index(name), name, np.nan)
        return native
    hidden = frame.with_columns(nw.lit(None, nw.Float64).alias(name))
    return hidden.select(order).to_native()
