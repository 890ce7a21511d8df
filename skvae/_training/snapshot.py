"""Copies of tensors that change in place, to restore their values."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Snapshot:
    """The values that tensors had when ``take`` was last called."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = list(tensors)
        self.take()

    def take(self) -> None:
        """Copy the values. An interrupt leaves the copies of the last call."""
        self.copies = [tensor.clone() for tensor in self.tensors]

    def restore(self) -> None:
        """Set the tensors to the values that were copied last."""
        self._set(self.copies)

    @torch.no_grad()
    def _set(self, copies: list[Tensor]) -> None:
        for tensor, copy in zip(self.tensors, copies, strict=True):
            tensor.copy_(copy)


class LastTwo(Snapshot):
    """The values at the last call of ``take``, and those at the call before it."""

    def take(self) -> None:
        before = getattr(self, "copies", None)
        super().take()
        self.before = self.copies if before is None else before

    def restore_before(self) -> None:
        """Set the tensors to the values of the call before the last."""
        self._set(self.before)
