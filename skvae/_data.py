"""The rows of a checked table: their weights, the validation split, and their working units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skvae._blocks import BLOCK_CELLS, LARGEST_COPY, MOST_HELD_OUT, chunks
from skvae._fitted import Fitted
from skvae._interrupts import interrupts_held
from skvae._model.cells import Cells
from skvae._table.columns import Columns
from skvae._table.distinct import row_hashes, smallest
from skvae._torch.random import derive
from skvae._torch.runtime import torch_runtime
from skvae._training.rows import Rows, StoredRows, WeightedRows

# Working units, or nats, beyond which the density of a value is inaccurate in float32.
FARTHEST = 1e15


@dataclass
class WeightedTable:
    """Rows of a checked table: their numbers, weights, and hashes for random choices (n,)."""

    table: Any
    index: NDArray[np.intp]
    weight: NDArray[np.float64]
    hashes: NDArray[np.uint64]

    @classmethod
    def of_all(cls, table: Any) -> WeightedTable:
        """All rows of a table, with weight 1."""
        n = len(table)
        return cls(table, np.arange(n), np.ones(n), np.arange(n, dtype=np.uint64))

    @property
    def row_bytes(self) -> int:
        """The bytes of a row in working units."""
        return int(self.table.shape[1]) * np.dtype(np.float32).itemsize

    def __len__(self) -> int:
        return len(self.index)

    def ordered_without_units(self, columns: Columns) -> WeightedTable:
        """The rows in the order of hashes that do not depend on the units of the columns.

        Training on scaled columns then sees the same minibatches.
        """
        hashes = np.concatenate(
            [
                row_hashes(columns.without_units(self.table, self.index[rows]))
                for rows in chunks(len(self), BLOCK_CELLS // max(1, len(columns.names)))
            ]
        )
        order = np.argsort(hashes, kind="stable")
        return WeightedTable(self.table, self.index[order], self.weight[order], hashes[order])

    def __getitem__(self, chosen: NDArray[np.bool_]) -> WeightedTable:
        return WeightedTable(
            self.table, self.index[chosen], self.weight[chosen], self.hashes[chosen]
        )


def split(data: WeightedTable, fraction: float, seed: int) -> tuple[WeightedTable, WeightedTable]:
    """Split into training and validation rows, at least one each. A single row is in both."""
    most = min(MOST_HELD_OUT, LARGEST_COPY // (4 * data.row_bytes), len(data) - 1)
    n = min(round(fraction * len(data)), most)
    held = smallest(data.hashes, max(1, n), derive(seed, "split") >> 1)
    return (data if held.all() else data[~held]), data[held]


def rows_of(fitted: Fitted, data: WeightedTable) -> WeightedRows:
    """Rows for training, in memory on the model's device if their copy is small enough."""
    row_bytes = data.row_bytes
    if len(data) * row_bytes <= LARGEST_COPY:
        return rows_in_memory(fitted, data)
    order = np.argsort(data.index)  # blocks of neighbours in the table are read together
    index, weight = data.index[order], data.weight[order]
    shared = _weights(fitted, data.table, index, weight)
    load = partial(_load, fitted, data.table, index)
    return StoredRows(*shared, load, LARGEST_COPY // (4 * row_bytes), index=index)


def rows_in_memory(fitted: Fitted, data: WeightedTable) -> Rows:
    """Rows in memory, on the model's device."""
    with interrupts_held() as hold, torch_runtime(fitted.device), hold.lifted():
        # first, since the Jacobian of a value outside the support is not defined
        cells = _load(fitted, data.table, data.index, slice(None))
    shared = _weights(fitted, data.table, data.index, data.weight)
    return Rows(*shared, cells, index=data.index)


def _weights(
    fitted: Fitted, table: Any, index: NDArray[np.intp], weight: NDArray[np.float64]
) -> tuple[Tensor, float]:
    """The weights on the model's device, and the mean log Jacobian of the rows."""
    log_jacobian = fitted.columns.log_jacobian(table, index)
    if log_jacobian.min() < -FARTHEST:
        fitted.columns.refuse_row(table, int(index[log_jacobian.argmin()]))
    with torch_runtime(fitted.device):
        on_device = torch.as_tensor(weight, device=fitted.device)
    return on_device, float(np.average(log_jacobian, weights=weight))


def _load(fitted: Fitted, table: Any, index: NDArray[np.intp], rows: Any) -> Cells:
    """The rows with some of the numbers in ``index``, in working units."""
    working = fitted.columns.to_working(table, index[rows], np.float32)
    far = np.abs(working) > FARTHEST
    if far.any():
        fitted.columns.refuse_row(table, int(index[rows][far.any(axis=1).argmax()]))
    return fitted.module.cells(torch.as_tensor(working, device=fitted.device))
