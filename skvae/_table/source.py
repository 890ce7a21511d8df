"""A table of numbers that is read in blocks of rows, wherever it is stored."""

from __future__ import annotations

import os
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skvae._blocks import BLOCK_CELLS, chunks

# One thread reads at a time, so that few blocks are in memory and files need not be safe for
# several threads. One lock serves all tables, since a table that held a lock could not be pickled.
READING = RLock()


def _renew_lock() -> None:
    """Give a child process its own lock, since a thread of its parent may hold the other."""
    global READING
    READING = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class RowSource:
    """Base class for tables of numbers that are read in blocks of rows.

    Estimators accept a source in place of an array, and read it many times. A subclass must define
    ``read``, which only one thread calls at a time.

    Parameters
    ----------
    shape : (int, int)
        Numbers of rows and of columns.
    dtype : dtype, default=numpy.float64
        The dtype of the rows.

    Raises
    ------
    ValueError
        If the shape is not two whole numbers, or if the dtype is not numeric.
    """

    def __init__(self, shape: tuple[int, int], dtype: DTypeLike = np.float64) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.dtype = np.dtype(dtype)
        if len(self.shape) != 2 or min(self.shape) < 0 or self.dtype.kind not in "fiub":
            raise ValueError(
                "A table must have two axes and hold numbers; got the shape "
                f"{self.shape} and the dtype {self.dtype}."
            )

    def read(self, rows: NDArray[np.intp]) -> Any:
        """Read rows by their numbers, with NaN for missing values. (n,) -> (n, n_columns).

        Parameters
        ----------
        rows : ndarray of int of shape (n,)
            In increasing order; a number may repeat.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method read(rows).")

    def read_columns(self, columns: NDArray[np.intp]) -> NDArray[Any]:
        """Read columns by their numbers, from all rows. (d,) -> (n_rows, d)."""
        out = np.empty((len(self), len(columns)), dtype=self.dtype)
        for block in chunks(len(self), BLOCK_CELLS // max(1, self.shape[1])):
            out[block] = np.asarray(self.read(np.arange(block.start, block.stop)))[:, columns]
        return out

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Rows, or columns as ``[:, places]``, indexed as in an array."""
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
        return self.read_columns(columns.ravel()).reshape(len(self), *columns.shape)

    def _rows(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        if bool((rows[1:] >= rows[:-1]).all()):
            return self._read(rows)
        order = np.argsort(rows, kind="stable")
        out = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        out[order] = self._read(rows[order])
        return out

    def _read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        found = np.asarray(self.read(rows), dtype=self.dtype)
        if found.shape != (len(rows), self.shape[1]):
            raise ValueError(
                f"{type(self).__name__}.read was asked for {len(rows)} rows of {self.shape[1]} "
                f"columns, but returned an array of shape {found.shape}. Return these rows only."
            )
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)
