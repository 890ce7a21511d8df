r"""Where to draw codes for the importance-weighted bound on log p(x).

The encoder's posterior misses the true one for rows unlike those of training, most of all where
cells are missing that training always had. Normals at the modes of p(x, z), with its curvature
there, stand in: Laplace's approximation, as a proposal that weights correct.

Pure functions of tensors; the axes are S draws, N rows, K latent dimensions.

References
----------
.. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", Springer 2006, section 4.4.
.. [2] E. Veach and L. Guibas, "Optimally Combining Sampling Techniques for Monte Carlo
       Rendering", SIGGRAPH 1995.
.. [3] Y. Dauphin et al., "Identifying and Attacking the Saddle Point Problem in
       High-Dimensional Non-Convex Optimization", NeurIPS 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from skvae.sgvb import LOG_2PI

# log p(x, z) of codes for the rows with the numbers (n,). (S, n, K), (n,) -> (S, n).
LogJoint = Callable[[Tensor, Tensor], Tensor]

GOOD_SHARE = 0.25  # a proposal is good where its draws are worth this share of their number
FEWEST_TO_ADAPT = 16  # draws
# Modes are looked for from more places where few dimensions let draws come near several.
FEW_DIMENSIONS, STARTS_IN_FEW, STARTS_IN_MANY = 8, 4, 2
# Draws come upon a mode beside the posterior only in very few dimensions.
WIDE_DIMENSIONS, WIDE_SHARE = 4, 0.25
WIDE = 4.0  # times the standard deviations of the posterior
WIDTHS = (1.0, 1.7)  # of the normal at a mode; a wider one beside it covers what is skew
MAX_STEPS, STEP_LENGTHS = 20, (1.0, 0.4, 0.1, 0.02)
TOLERANCE = 0.02  # nats that a step must gain for another


@dataclass
class Normals:
    """A normal for each row: mean (N, K), a root of the covariance and its inverse (N, K, K)."""

    mean: Tensor
    root: Tensor
    whiten: Tensor

    @classmethod
    def diagonal(cls, mean: Tensor, log_std: Tensor) -> Self:
        """Independent dimensions. (N, K), (N, K)."""
        return cls(mean, log_std.exp().diag_embed(), (-log_std).exp().diag_embed())

    def __getitem__(self, rows: Tensor | slice) -> Normals:
        return Normals(self.mean[rows], self.root[rows], self.whiten[rows])

    def widened(self, factor: float) -> Normals:
        """The same with ``factor`` times the standard deviations."""
        return Normals(self.mean, self.root * factor, self.whiten / factor)

    def sample(self, noise: Tensor) -> Tensor:
        """Draws by standard normal noise. (S, 1, K) -> (S, N, K)."""
        return self.mean + torch.einsum("nkj,sj->snk", self.root, noise.squeeze(1))

    def log_prob(self, z: Tensor) -> Tensor:
        """(S, N, K) -> (S, N)."""
        standard = torch.einsum("njk,snk->snj", self.whiten, z - self.mean)
        log_scale: Tensor = torch.linalg.slogdet(self.whiten).logabsdet
        return log_scale - 0.5 * (standard.square() + LOG_2PI).sum(-1)


def is_good(log_weight: Tensor) -> Tensor:
    """Whether draws are of even enough weight to be relied on. (S, N) -> (N,) bool."""
    # (sum w)^2 / sum w^2 draws, between 1 and S
    worth = 1 / torch.softmax(log_weight, dim=0).square().sum(0)
    return worth >= GOOD_SHARE * len(log_weight)


@dataclass
class Pool:
    """Draws from several normals (S_i, N, K), the posterior first; their log p(x, z) (S_i, N)."""

    normals: list[Normals]
    draws: list[Tensor]
    height: list[Tensor]

    @classmethod
    def of(cls, normals: Sequence[Normals], noises: Sequence[Tensor], log_joint: LogJoint) -> Self:
        """Draws by standard normal noise (S_i, 1, K) for each of the normals."""
        draws = [normal.sample(noise) for normal, noise in zip(normals, noises, strict=True)]
        rows = torch.arange(draws[0].shape[1], device=draws[0].device)
        height = log_joint(torch.cat(draws), rows).split([len(part) for part in draws])
        return cls(list(normals), draws, list(height))

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
        """The same and draws at modes of p(x, z), half of the noise (S, 1, K) to find these."""
        search, draw = noise.chunk(2)
        normals = at_modes(log_joint, self.normals[0], search)
        found = Pool.of(normals, draw.tensor_split(len(normals)), log_joint)
        return Pool(
            self.normals + found.normals, self.draws + found.draws, self.height + found.height
        )

    def __getitem__(self, rows: Tensor) -> Pool:
        return Pool(
            [normal[rows] for normal in self.normals],
            [z[:, rows] for z in self.draws],
            [height[:, rows] for height in self.height],
        )

    @property
    def z(self) -> Tensor:
        """All draws. (S, N, K)."""
        return torch.cat(self.draws)

    def log_weight(self) -> Tensor:
        """Log importance weights of the draws, taken as those of one mixture. (S, N).

        Each normal has a share in the mixture like that of its draws (the balance heuristic [2]_),
        so that one that misses p(x, z) costs its draws and no more.
        """
        z = self.z
        log_parts = [
            math.log(len(own) / len(z)) + normal.log_prob(z)
            for own, normal in zip(self.draws, self.normals, strict=True)
        ]
        return torch.cat(self.height) - torch.logsumexp(torch.stack(log_parts), dim=0)


def at_modes(log_joint: LogJoint, posterior: Normals, noise: Tensor) -> list[Normals]:
    """Normals at modes of p(x, z), of several widths.

    The modes are those that Newton's method reaches from the mean of the posterior and from the
    best of draws, of the prior and around the posterior, near to that mean, farther and farthest.
    ``noise`` (S, 1, K) is for these draws.
    """
    n, k = posterior.mean.shape
    n_starts = STARTS_IN_FEW if k <= FEW_DIMENSIONS else STARTS_IN_MANY
    rows = torch.arange(n, device=noise.device)
    wide, prior = noise.chunk(2)
    tried = torch.cat([posterior.widened(WIDE).sample(wide), prior.expand(-1, n, -1)])
    height = log_joint(tried, rows)
    nearest_first = (tried - posterior.mean).square().sum(-1).argsort(0)
    starts = [posterior.mean]
    for lot in nearest_first.tensor_split(n_starts - 1):
        highest = height.gather(0, lot).argmax(0)
        starts.append(tried[lot[highest, rows], rows])

    def of_start(z: Tensor, which: Tensor) -> Tensor:
        return log_joint(z, which % n)

    found = laplace(of_start, torch.cat(starts))
    parts = [found[i * n : (i + 1) * n] for i in range(n_starts)]
    return [part.widened(width) for width in WIDTHS for part in parts]


def laplace(log_joint: LogJoint, start: Tensor) -> Normals:
    """The normal at the mode of p(x, z) that is uphill from each of N starts. (N, K).

    Newton's method, its steps by the magnitudes of the curvatures, so that they lead uphill also
    where those are of the wrong sign [3]_. At the mode the covariance is the inverse of the
    negative Hessian ([1]_), but nowhere wider than the prior N(0, I).
    """
    mode, active = start.clone(), torch.arange(len(start), device=start.device)
    for _ in range(MAX_STEPS):
        if len(active) == 0:
            break
        before, gradient, curvature, axes = _derivatives(log_joint, mode[active], active)
        along = torch.einsum("nkj,nk->nj", axes, gradient) / curvature.abs().clamp(min=1.0)
        step = torch.einsum("nkj,nj->nk", axes, along)
        tried = mode[active] + torch.tensor(STEP_LENGTHS).to(step)[:, None, None] * step
        value, best = log_joint(tried, active).max(0)
        higher = value > before
        moved = tried[best, torch.arange(len(active), device=best.device)]
        mode[active] = torch.where(higher[:, None], moved, mode[active])
        active = active[value - before > TOLERANCE]
    everywhere = torch.arange(len(start), device=start.device)
    _, _, curvature, axes = _derivatives(log_joint, mode, everywhere)
    std = curvature.clamp(min=1.0).rsqrt()
    root = axes * std.unsqueeze(-2)
    return Normals(mode, root, axes.mT / std.unsqueeze(-1))


def _derivatives(
    log_joint: LogJoint, z: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log p(x, z), its gradient, and the curvatures of its negative with their axes.

    (N, K) -> (N,), (N, K), (N, K), (N, K, K). Where they are not finite, the gradient is 0 and the
    curvatures are those of the prior.
    """
    k = z.shape[-1]
    with torch.enable_grad():
        # a copy for each dimension, so that one backward pass yields all rows of the Hessian
        copies = z.detach().expand(k, -1, -1).clone().requires_grad_()
        value = log_joint(copies, rows)
        (gradient,) = torch.autograd.grad(value.sum(), copies, create_graph=True)
        own = gradient.diagonal(dim1=0, dim2=2)
        (hessian,) = torch.autograd.grad(own.sum(), copies)
    gradient = gradient[0].detach()
    finite = gradient.isfinite().all(-1) & hessian.isfinite().all(-1).all(0)
    gradient = torch.where(finite[:, None], gradient, 0.0)
    prior = torch.eye(k, dtype=z.dtype, device=z.device)
    curvature, axes = torch.linalg.eigh(
        torch.where(finite[:, None, None], -hessian.transpose(0, 1), prior)
    )
    return value[0].detach(), gradient, curvature, axes
