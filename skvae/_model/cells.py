"""Rows as input of the model: values, which of them are observed, and conditioning variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Cells:
    """Rows in working units (N, D), with a value of the support in place of a missing value.

    ``observed`` (N, D) is True for observed values, and None if all values are observed. Encoder,
    decoder and prior are conditional on ``context`` (N, C); None if the model has no context.
    ``probit`` (N, D) is that of ``SelfMasking``; None unless missing values count as evidence.
    """

    values: Tensor
    observed: Tensor | None
    context: Tensor | None = None
    probit: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> Tensor:
        """Which values are missing. (N, D) bool."""
        if self.observed is None:
            return torch.zeros_like(self.values, dtype=torch.bool)
        return ~self.observed

    def take(self, rows: Tensor) -> Cells:
        """The rows with these numbers. Faster than indexing."""
        return self._each(lambda part: part.index_select(0, rows))

    def copy_(self, other: Cells) -> None:
        """Copy from cells of the same shape and without ``probit``, in place."""
        self.values.copy_(other.values)
        if self.observed is not None and other.observed is not None:
            self.observed.copy_(other.observed)
        if self.context is not None and other.context is not None:
            self.context.copy_(other.context)

    def __getitem__(self, rows: Tensor | slice) -> Cells:
        return self._each(lambda part: part[rows])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Cells:
        others = (self.observed, self.context, self.probit)
        return Cells(
            change(self.values), *(None if part is None else change(part) for part in others)
        )


def observed_sum(x: Tensor, observed: Tensor | None) -> Tensor:
    """The sum over the observed values of a row. (S, N, D), (N, D) -> (S, N)."""
    return (x if observed is None else torch.where(observed, x, 0.0)).sum(-1)


def with_context(x: Tensor, context: Tensor | None) -> Tensor:
    """Append the context of each row to its vectors. (..., N, M), (N, C) -> (..., N, M + C)."""
    if context is None:
        return x
    shape = torch.broadcast_shapes(x.shape[:-1], context.shape[:-1])
    return torch.cat([x.expand(*shape, -1), context.to(x.dtype).expand(*shape, -1)], dim=-1)


def split(x: Tensor, sizes: Sequence[int], dim: int = -1) -> Sequence[Tensor]:
    """Split an axis, by default the last, into parts; ``x`` itself if there is only one."""
    # Tensor.split is slower
    return [x] if len(sizes) == 1 else x.split_with_sizes(list(sizes), dim)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate the parts along the last axis."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=-1)
