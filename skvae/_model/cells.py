"""Rows as input of the model: values, and which of them are observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Cells:
    """Rows in working units (N, D), with a value of the support in place of a missing value.

    ``observed`` (N, D) is True for observed values, and None if all values are observed.
    """

    values: Tensor
    observed: Tensor | None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Tensor) -> Cells:
        """The rows with these numbers. Faster than indexing."""
        observed = None if self.observed is None else self.observed.index_select(0, rows)
        return Cells(self.values.index_select(0, rows), observed)

    def copy_(self, other: Cells) -> None:
        """Copy from cells of the same shape, in place."""
        self.values.copy_(other.values)
        if self.observed is not None and other.observed is not None:
            self.observed.copy_(other.observed)

    def __getitem__(self, rows: Tensor | slice) -> Cells:
        observed = None if self.observed is None else self.observed[rows]
        return Cells(self.values[rows], observed)


def observed_sum(x: Tensor, cells: Cells) -> Tensor:
    """The sum over the observed values of a row. (S, N, D) -> (S, N)."""
    return (x if cells.observed is None else torch.where(cells.observed, x, 0.0)).sum(-1)


def split(x: Tensor, sizes: Sequence[int], dim: int = -1) -> Sequence[Tensor]:
    """Split an axis, by default the last, into parts; ``x`` itself if there is only one."""
    return [x] if len(sizes) == 1 else x.split(sizes, dim=dim)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate the parts along the last axis."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=-1)
