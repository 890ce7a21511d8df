"""Normal densities, one for each row. The axes are S draws, N rows, K dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from skvae.objectives import LOG_2PI


@dataclass
class Normals:
    """A normal for each row: mean (N, K), a root of the covariance and its inverse (N, K, K)."""

    mean: Tensor
    root: Tensor
    whiten: Tensor

    @classmethod
    def diagonal(cls, mean: Tensor, log_std: Tensor) -> Self:
        """Normals with independent dimensions. (N, K), (N, K)."""
        return cls(mean, log_std.exp().diag_embed(), (-log_std).exp().diag_embed())

    def __getitem__(self, rows: Tensor | slice) -> Normals:
        return Normals(self.mean[rows], self.root[rows], self.whiten[rows])

    def replaced(self, rows: Tensor, others: Normals) -> Normals:
        """The same normals but for some rows, which get the others in their order."""
        return Normals(
            self.mean.index_copy(0, rows, others.mean),
            self.root.index_copy(0, rows, others.root),
            self.whiten.index_copy(0, rows, others.whiten),
        )

    def widened(self, factor: float) -> Normals:
        """The same normals with ``factor`` times the standard deviations."""
        return Normals(self.mean, self.root * factor, self.whiten / factor)

    def sample(self, noise: Tensor) -> Tensor:
        """Draws from standard normal noise. (S, 1, K) -> (S, N, K)."""
        return self.mean + torch.einsum("nkj,sj->snk", self.root, noise.squeeze(1))

    def standardised(self, z: Tensor) -> Tensor:
        """The standard normal noise that ``sample`` would turn into z. (S, N, K) -> (S, N, K)."""
        return torch.einsum("njk,snk->snj", self.whiten, z - self.mean)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log density. (S, N, K) -> (S, N)."""
        standard = self.standardised(z)
        log_scale: Tensor = torch.linalg.slogdet(self.whiten).logabsdet
        return log_scale - 0.5 * (standard.square() + LOG_2PI).sum(-1)
