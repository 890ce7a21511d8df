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

    @torch.no_grad()
    def restore(self) -> None:
        """Set the tensors to the values that were copied last."""
        for tensor, copy in zip(self.tensors, self.copies, strict=True):
            tensor.copy_(copy)
