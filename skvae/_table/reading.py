"""Read a table in blocks that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae._blocks import BLOCK_CELLS, COLUMN_CELLS, chunks
from skvae._table.group import neighbours

Array = NDArray[Any]


def row_blocks(
    X: Array, index: NDArray[np.intp] | None, order: NDArray[np.intp] | None = None
) -> Iterator[tuple[slice | NDArray[np.intp], NDArray[np.float64]]]:
    """Read the rows ``index`` (all for None) in blocks. Yields their places in it and the rows.

    Rows are read in the order in which they are stored, so that a table on disk is read from end
    to end. ``order`` is the permutation that sorts ``index``; it is computed if not given.
    """
    n = len(X) if index is None else len(index)
    if index is not None and order is None:
        order = np.argsort(index)
    for block in chunks(n, BLOCK_CELLS // max(1, X.shape[1])):
        places = block if order is None else order[block]
        rows = places if index is None else index[places]
        cells = np.asarray(X[rows], dtype=np.float64)
        cells.flags.writeable = False  # may be the caller's memory
        yield places, cells


def column_blocks(
    X: Array, index: NDArray[np.intp], order: NDArray[np.intp], places: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Read the columns at ``places`` in blocks. Yields their places and their rows ``index``.

    ``order`` is the permutation that sorts ``index``.
    """
    for block in chunks(len(places), COLUMN_CELLS // max(1, len(X))):
        cells = X[:, neighbours(places[block])]
        x = np.empty((len(index), cells.shape[1]))
        for rows, part in row_blocks(cells, index, order):
            x[rows] = part
        yield places[block], x
