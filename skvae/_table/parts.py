"""A table in parts, of which a few are in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skvae._table.masked import fill_masked
from skvae._table.sparse import SparseTable

# One thread reads at a time, so that few parts are in memory and files need not bear several. One
# lock for all tables, since a table with one of its own could not be pickled.
READING = RLock()


class Parts:
    """A table of numbers that lies in several parts, such as files.

    ``fit`` and what scores or codes rows take it in place of an array, and read one part after
    the other. Training shuffles blocks of rows, and the rows of a lot of blocks.

    Parameters
    ----------
    parts : sequence of array-like or sparse matrix of shape (n_rows_of_part, n_features)
        Anything with a length and an item for each number, so that a part may be loaded when it is
        asked for.

    Raises
    ------
    ValueError
        For no part, for parts that are no tables of numbers, or of different widths.
    TypeError
        For a part that is a data frame, or for an iterator, which can be read only once.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import Parts, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> table = Parts([rng.normal(size=(100, 4)) for _ in range(3)])
    >>> table.shape
    (300, 4)
    >>> VAETransformer(2, max_iter=2, random_state=0).fit(table).transform(table).shape
    (300, 2)
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        if not (hasattr(parts, "__len__") and hasattr(parts, "__getitem__")):
            raise TypeError(
                "'parts' must be a sequence, since training reads it many times; got a "
                f"{type(parts).__name__}. Give a list, or an object with __len__ and __getitem__."
            )
        self.parts = parts
        self._last: tuple[int, Any] = (-1, None)
        sizes, dtypes = [], []
        for place in range(len(parts)):
            part = self._part(place)
            if len(part.shape) != 2 or part.dtype.kind not in "fiub":
                raise ValueError(
                    f"Part {place} must be a table of numbers; got an array of shape {part.shape} "
                    f"and dtype {part.dtype}. Load files: numpy.load(path, mmap_mode='r')."
                )
            sizes.append(part.shape)
            dtypes.append(part.dtype)
        widths = {width for _, width in sizes}
        if len(widths) != 1:
            raise ValueError(
                f"All parts must have the same number of columns; got {sorted(widths)}."
            )
        self.starts = np.cumsum([0, *(size for size, _ in sizes)])
        self.shape = (int(self.starts[-1]), widths.pop())
        self.dtype = np.result_type(*dtypes)

    def __repr__(self) -> str:
        return f"Parts({len(self.parts)} parts, {self.shape[0]} rows of {self.shape[1]} columns)"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Rows, or columns as ``[:, places]``, by what selects them in an array."""
        with READING:
            if isinstance(key, tuple):
                return self._columns(*key)
            rows = self._row_numbers(key)
            return self._rows(rows.ravel()).reshape(*rows.shape, self.shape[1])

    def _row_numbers(self, key: Any) -> NDArray[np.intp]:
        """The numbers of the rows that ``key`` selects, from 0."""
        if isinstance(key, slice):
            return np.arange(*key.indices(len(self)))
        shape = np.broadcast_to(0, len(self))[key].shape  # raises IndexError as an array would
        rows = np.asarray(key)
        if rows.dtype == bool:
            return np.flatnonzero(rows)
        return rows.astype(np.intp).reshape(shape) % len(self)

    def _columns(self, rows: Any, places: Any) -> NDArray[Any]:
        if not (isinstance(rows, slice) and rows == slice(None)):
            raise IndexError(
                f"Columns are read of all rows, as table[:, places]; got {rows!r} for the rows. "
                "Take table[rows][:, places]."
            )
        columns = np.arange(self.shape[1])[places]
        out = np.empty((len(self), columns.size), dtype=self.dtype)
        for place, (low, high) in enumerate(pairwise(self.starts)):
            out[low:high] = self._part(place)[:, columns.ravel()]
        return out.reshape(len(self), *columns.shape)

    def _rows(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        in_order = bool((rows[1:] >= rows[:-1]).all())
        order = None if in_order else np.argsort(rows, kind="stable")
        ascending = rows if order is None else rows[order]
        borders = np.searchsorted(ascending, self.starts)
        out = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for place, (low, high) in enumerate(pairwise(borders)):
            if low < high:
                found = self._part(place)[ascending[low:high] - self.starts[place]]
                out[slice(low, high) if order is None else order[low:high]] = found
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def _part(self, place: int) -> Any:
        """A part that reads as an array. The last one is kept: the next rows are often its."""
        kept, part = self._last
        if kept != place:
            part = _readable(self.parts[place], place)
            self._last = place, part
        return part


def _readable(part: Any, place: int) -> Any:
    if hasattr(part, "columns"):
        raise TypeError(
            f"Part {place} is a data frame. Give its numbers, or go through frames by partial_fit."
        )
    return SparseTable(part.tocsr()) if issparse(part) else np.asanyarray(fill_masked(part))
