"""A table in several parts, of which a few are in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skvae._table.masked import fill_masked
from skvae._table.source import RowSource
from skvae._table.sparse import SparseTable


class Parts(RowSource):
    """A table of numbers that is stored in several parts, such as files.

    Estimators accept it in place of an array, and read one part after the other. Training shuffles
    blocks of neighbouring rows, and then the rows of several blocks together.

    Parameters
    ----------
    parts : sequence of array-like or sparse matrix of shape (n_rows_of_part, n_features)
        Any object with ``__len__`` and ``__getitem__``, so that a part can be loaded when it is
        needed.

    Raises
    ------
    ValueError
        If there are no parts, if a part is not a table of numbers, or if the parts have different
        numbers of columns.
    TypeError
        If a part is a data frame, or if ``parts`` is an iterator, which can be read only once.

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
        super().__init__((int(self.starts[-1]), widths.pop()), np.result_type(*dtypes))

    def __repr__(self) -> str:
        return f"Parts({len(self.parts)} parts, {self.shape[0]} rows of {self.shape[1]} columns)"

    def read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Rows by their numbers, in increasing order. (n,) -> (n, n_features)."""
        borders = np.searchsorted(rows, self.starts)
        out = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for place, (low, high) in enumerate(pairwise(borders)):
            if low < high:
                out[low:high] = self._part(place)[rows[low:high] - self.starts[place]]
        return out

    def read_columns(self, columns: NDArray[np.intp]) -> NDArray[Any]:
        """Columns by their numbers, from all rows. (d,) -> (n_rows, d)."""
        out = np.empty((len(self), len(columns)), dtype=self.dtype)
        for place, (low, high) in enumerate(pairwise(self.starts)):
            out[low:high] = self._part(place)[:, columns]
        return out

    def _part(self, place: int) -> Any:
        """A part as an array. The last part is kept, since the next rows often belong to it."""
        kept, part = self._last
        if kept != place:
            part = _readable(self.parts[place], place)
            self._last = place, part
        return part


def _readable(part: Any, place: int) -> Any:
    if hasattr(part, "columns"):
        raise TypeError(
            f"Part {place} is a data frame. Give its numbers, or pass each frame to partial_fit."
        )
    return SparseTable(part.tocsr()) if issparse(part) else np.asanyarray(fill_masked(part))
