"""Levels that training has not seen, which are treated as missing, and unforeseen numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skvae._blocks import BLOCK_CELLS, chunks

if TYPE_CHECKING:
    from skvae._table.group import ColumnGroup

Array = NDArray[Any]


class SeenLevels:
    """A table with NaN in place of levels that training has not seen.

    Rows are masked when they are read, so that a table on disk, sparse or in parts is not copied.
    """

    def __init__(self, table: Any, groups: Sequence[ColumnGroup]) -> None:
        self.table = table
        self.groups = [group for group in groups if group.likelihood.takes_levels]
        self.shape: tuple[int, int] = table.shape
        self.dtype = np.result_type(table.dtype, np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        """Rows by a slice or by their numbers."""
        found = np.array(self.table[rows], dtype=self.dtype)
        for group in self.groups:
            x = found[:, group.places]
            found[:, group.places] = np.where(group.unseen(x), np.nan, x)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype=dtype)


def unseen_values(table: Any, groups: Sequence[ColumnGroup]) -> dict[int, Array]:
    """The values that ``ColumnGroup.unseen`` marks, sorted, by the place of their column.

    Takes one pass over the table if there may be any, and none otherwise.
    """
    found: dict[int, Array] = {}
    groups = [group for group in groups if group.may_hold_unseen]
    if not groups:
        return found
    for rows in chunks(len(table), BLOCK_CELLS // max(1, table.shape[1])):
        block = table[rows]
        for group in groups:
            x = np.asarray(block[:, group.columns], dtype=np.float64)
            is_unseen = group.unseen(x)
            for i in np.flatnonzero(is_unseen.any(axis=0)):
                place, values = int(group.places[i]), x[is_unseen[:, i], i]
                found[place] = np.union1d(found.get(place, values), values)
    return dict(sorted(found.items()))
