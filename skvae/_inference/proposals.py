r"""Where to draw codes for the importance-weighted bound on log p(x).

The encoder's posterior misses the true one for rows unlike those of training, most of all where
cells are missing that training always had. Normals at the modes of p(x, z) stand in, as a proposal
that weights correct.

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

GOOD_SHARE = 0.25  # a proposal is good where its draws are worth this share of their number
FEWEST_TO_ADAPT = 16  # draws
# Draws come upon a mode beside the posterior only in very few dimensions.
WIDE_DIMENSIONS, WIDE_SHARE = 4, 0.25


def is_good(log_weight: Tensor) -> Tensor:
    """Whether draws are of even enough weight to be relied on. (S, N) -> (N,) bool.

    Draws without any weight are not.
    """
    possible = log_weight.amax(0) > -torch.inf
    # (sum w)^2 / sum w^2 draws, between 1 and S
    worth = 1 / torch.softmax(torch.where(possible, log_weight, 0.0), dim=0).square().sum(0)
    return possible & (worth >= GOOD_SHARE * len(log_weight))


@dataclass
class Pool:
    """Draws from several normals (S_i, N, K), the posterior first; their log p(x, z) (S_i, N)."""

    normals: list[Normals]
    draws: list[Tensor]
    log_p: list[Tensor]

    @classmethod
    def of(cls, normals: Sequence[Normals], noises: Sequence[Tensor], log_joint: LogJoint) -> Self:
        """Draws by standard normal noise (S_i, 1, K) for each of the normals."""
        draws = [normal.sample(noise) for normal, noise in zip(normals, noises, strict=True)]
        rows = torch.arange(draws[0].shape[1], device=draws[0].device)
        log_p = log_joint(torch.cat(draws), rows).split([len(part) for part in draws])
        return cls(list(normals), draws, list(log_p))

    @classmethod
    def around(cls, posterior: Normals, noise: Tensor, log_joint: LogJoint) -> Self:
        """Draws of the posterior by noise (S, 1, K).

        In very few dimensions some are of a wider normal: they come upon modes beside the
        posterior, whose own draws would have even weights and miss them unnoticed.
        """
        n_wide = int(WIDE_SHARE * len(noise)) if noise.shape[-1] <= WIDE_DIMENSIONS else 0
        if n_wide == 0:
            return cls.of([posterior], [noise], log_joint)
        noises = noise.tensor_split([len(noise) - n_wide])
        return cls.of([posterior, posterior.widened(WIDE)], noises, log_joint)

    def with_modes(self, noise: Tensor, log_joint: LogJoint) -> Pool:
        """The same and draws by noise (S, 1, K) at modes of p(x, z)."""
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
        """Log importance weights of the draws, taken as those of one mixture. (S, N).

        Each normal has a share in the mixture like that of its draws (the balance heuristic [1]_),
        so that one that misses p(x, z) costs its draws and no more. A draw weighs nothing where
        rounding took it out of every normal: the bound can only fall by it.
        """
        z = self.z
        log_parts = [
            math.log(len(own) / len(z)) + normal.log_prob(z)
            for own, normal in zip(self.draws, self.normals, strict=True)
        ]
        density = torch.logsumexp(torch.stack(log_parts), dim=0)
        return torch.where(density > -torch.inf, torch.cat(self.log_p) - density, -torch.inf)
