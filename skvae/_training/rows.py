"""The training rows, in memory or in storage, and their minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from skvae._blocks import BLOCK_ROWS, chunks
from skvae._model.cells import Cells


@dataclass
class WeightedRows:
    """Distinct rows in working units and their weights (n,), on the training device.

    ``log_jacobian``, a mean over the rows, converts bounds to the caller's units. ``index`` (n,)
    holds the numbers of the rows in the caller's table, 0, 1, ... by default.
    """

    weight: Tensor
    log_jacobian: float
    index: NDArray[np.intp] = field(default=cast(Any, None), kw_only=True)

    def __post_init__(self) -> None:
        if self.index is None:
            self.index = np.arange(len(self.weight))
        # on the CPU, since on CUDA the rounding of a cumulative sum is not deterministic
        self.cumulative = self.weight.cpu().cumsum(0).to(self.weight.device)

    def __len__(self) -> int:
        return len(self.weight)

    def slots(self, n_slots: int, generator: Generator) -> Tensor:
        """Systematic sampling: a row for each slot of an epoch, in order. -> (n_slots,).

        The slots are evenly spaced on the scale of cumulative weight, shifted by one uniform
        number. Each slot takes the row whose interval contains it. A row's expected number of slots
        is proportional to its weight, and its actual number is within one of that. With equal
        weights and as many slots as rows, each row gets one slot.
        """
        device = self.weight.device
        u = torch.rand((), generator=generator, dtype=torch.float64, device=device)
        ladder = torch.arange(n_slots, dtype=torch.float64, device=device)
        places = (ladder + u) * (self.cumulative[-1] / n_slots)
        return torch.searchsorted(self.cumulative, places, right=True).clamp_(max=len(self) - 1)

    @property
    def share(self) -> Tensor:
        """The weights, divided by their sum."""
        return self.weight / self.weight.sum()

    def take(self, rows: Tensor) -> Cells:
        """The rows with these numbers."""
        raise NotImplementedError

    def sample(self, most: int, generator: Generator) -> Rows:
        """All rows, or at most ``most`` rows sampled by their weights."""
        if len(self) <= most:
            place = torch.arange(len(self), device=self.weight.device)
            return Rows(self.weight, self.log_jacobian, self.take(place), index=self.index)
        distinct, times = torch.unique(self.slots(most, generator), return_counts=True)
        index = self.index[distinct.cpu().numpy()]
        return Rows(times.double(), self.log_jacobian, self.take(distinct), index=index)

    def buffers(self, n_steps: int, batch_size: int, generator: Generator) -> Iterator[Buffer]:
        """The minibatches of an epoch."""
        raise NotImplementedError


@dataclass
class Rows(WeightedRows):
    """Rows in memory."""

    cells: Cells

    def take(self, rows: Tensor) -> Cells:
        return self.cells.take(rows)

    def buffers(self, n_steps: int, batch_size: int, generator: Generator) -> Iterator[Buffer]:
        slots = self.slots(n_steps * batch_size, generator)
        permutation = torch.randperm(len(slots), generator=generator, device=slots.device)
        yield Buffer(self.cells, slots[permutation].view(n_steps, batch_size))


@dataclass
class StoredRows(WeightedRows):
    """Rows that stay in storage, and are read a buffer at a time.

    An epoch reads blocks of neighbouring rows in a random order until a buffer is full, and
    shuffles the rows of each buffer.

    Attributes
    ----------
    load : callable
        Maps the numbers of rows, an increasing array, to their cells on the training device.
    buffer_rows : int
        The number of rows in a buffer.
    """

    load: Callable[[NDArray[np.intp]], Cells]
    buffer_rows: int

    def take(self, rows: Tensor) -> Cells:
        distinct, place = torch.unique(rows, return_inverse=True)
        return self.load(distinct.cpu().numpy()).take(place)

    def buffers(self, n_steps: int, batch_size: int, generator: Generator) -> Iterator[Buffer]:
        slots = self.slots(n_steps * batch_size, generator)
        # blocks and buffers consist of whole minibatches
        per_block = max(1, min(BLOCK_ROWS, self.buffer_rows) // batch_size) * batch_size
        blocks = slots.split(per_block)
        order = torch.randperm(len(blocks), generator=generator, device=slots.device).tolist()
        for place in chunks(len(order), self.buffer_rows // per_block):
            rows = torch.cat([blocks[block] for block in order[place]])
            distinct, inverse = torch.unique(rows, return_inverse=True)
            permutation = torch.randperm(len(rows), generator=generator, device=slots.device)
            yield Buffer(
                self.load(distinct.cpu().numpy()), inverse[permutation].view(-1, batch_size)
            )


@dataclass
class Buffer:
    """Rows in memory, and minibatches (m, batch_size) of their numbers."""

    cells: Cells
    batches: Tensor
