r"""Proposals for the importance-weighted bound on log p(x).

The encoder's posterior is a poor approximation for rows unlike those of training, most of all if
values are missing that training always observed. Normals at the modes of p(x, z) then serve as the
proposal, which importance weights correct.

Pure functions of tensors; the axes are S draws, N rows, K latent dimensions.

References
----------
.. [1] E. Veach and L. Guibas, "Optimally Combining Sampling Techniques for Monte Carlo
       Rendering", SIGGRAPH 1995.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from skvae._inference.modes import WIDE, LogJoint, at_modes
from skvae._inference.normals import Normals

GOOD_SHARE = 0.25  # effective sample size of a good proposal, as a share of its draws
# Only in very few dimensions do draws find a mode outside the posterior.
WIDE_DIMENSIONS, WIDE_SHARE = 4, 0.25


def is_good(log_weight: Tensor) -> Tensor:
    """Whether the weights of the draws are even enough to be reliable. (S, N) -> (N,) bool.

    False if all weights are 0.
    """
    possible = log_weight.amax(0) > -torch.inf
    # effective sample size, (sum w)^2 / sum w^2, between 1 and S
    worth = 1 / torch.softmax(torch.where(possible, log_weight, 0.0), dim=0).square().sum(0)
    return possible & (worth >= GOOD_SHARE * len(log_weight))


@dataclass
class Pool:
    """Draws from several normals (S_i, N, K), the posterior first; log p(x, z) of them (S_i, N)."""

    normals: list[Normals]
    draws: list[Tensor]
    log_p: list[Tensor]

    @classmethod
    def of(cls, normals: Sequence[Normals], noises: Sequence[Tensor], log_joint: LogJoint) -> Self:
        """Draws from each of the normals, made from standard normal noise (S_i, 1, K)."""
        draws = [normal.sample(noise) for normal, noise in zip(normals, noises, strict=True)]
        rows = torch.arange(draws[0].shape[1], device=draws[0].device)
        log_p = log_joint(torch.cat(draws), rows).split([len(part) for part in draws])
        return cls(list(normals), draws, list(log_p))

    @classmethod
    def around(cls, posterior: Normals, noise: Tensor, log_joint: LogJoint) -> Self:
        """Draws from the posterior, made from noise (S, 1, K).

        In very few dimensions some draws are from a wider normal, to find modes outside the
        posterior. The draws from the posterior alone would miss these and still have even weights.
        """
        n_wide = int(WIDE_SHARE * len(noise)) if noise.shape[-1] <= WIDE_DIMENSIONS else 0
        if n_wide == 0:
            return cls.of([posterior], [noise], log_joint)
        noises = noise.tensor_split([len(noise) - n_wide])
        return cls.of([posterior, posterior.widened(WIDE)], noises, log_joint)

    def with_modes(self, noise: Tensor, log_joint: LogJoint) -> Pool:
        """This pool with additional draws at modes of p(x, z), made from noise (S, 1, K)."""
        normals = at_modes(log_joint, self.normals[0])
        found = Pool.of(normals, noise.tensor_split(len(normals)), log_joint)
        return Pool(
            self.normals + found.normals, self.draws + found.draws, self.log_p + found.log_p
        )

    def __getitem__(self, rows: Tensor) -> Pool:
        return Pool(
            [normal[rows] for normal in self.normals],
            [z[:, rows] for z in self.draws],
            [log_p[:, rows] for log_p in self.log_p],
        )

    @property
    def z(self) -> Tensor:
        """All draws. (S, N, K)."""
        return torch.cat(self.draws)

    def log_weight(self) -> Tensor:
        """Log importance weights of the draws, treated as draws from one mixture. (S, N).

        The share of each normal in the mixture is its share of the draws (the balance heuristic
        [1]_). A normal that misses p(x, z) then wastes its own draws and has no other effect. A
        draw has weight 0 if every normal rounds to density 0 there, which can only lower the bound.
        """
        z = self.z
        log_parts = [
            math.log(len(own) / len(z)) + normal.log_prob(z)
            for own, normal in zip(self.draws, self.normals, strict=True)
        ]
        density = torch.logsumexp(torch.stack(log_parts), dim=0)
        return torch.where(density > -torch.inf, torch.cat(self.log_p) - density, -torch.inf)
