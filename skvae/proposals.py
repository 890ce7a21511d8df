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
.. [3] J. Nocedal and S. Wright, "Numerical Optimization", 2nd ed., Springer 2006.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skvae._random import quasi_normal
from skvae.sgvb import LOG_2PI

# log p(x, z) of codes for the rows with the numbers (n,), or of the same codes for each of them.
# (S, n, K) or (S, 1, K), (n,) -> (S, n).
LogJoint = Callable[[Tensor, Tensor], Tensor]

GOOD_SHARE = 0.25  # a proposal is good where its draws are worth this share of their number
FEWEST_TO_ADAPT = 16  # draws
# Where modes are looked for: at so many points around the posterior and of the prior, the same ones
# however many draws are taken.
N_AROUND, N_OF_PRIOR = 128, 384
FEW_DIMENSIONS = 8  # in which points come near several modes
NEAR = 0.1  # distance of codes that are on their way to the same mode
# Draws come upon a mode beside the posterior only in very few dimensions.
WIDE_DIMENSIONS, WIDE_SHARE = 4, 0.25
WIDE = 4.0  # times the standard deviations of the posterior
WIDTHS = (1.0, 1.7)  # of the normal at a mode; a wider one beside it covers what is skew
FIRST_STEPS, MAX_STEPS, STEP_LENGTHS = 10, 30, (2.0, 1.0, 0.3, 0.03)
SHORTER, MAX_SHORTENED = 0.03, 3
TOLERANCE = 0.02  # nats that a step must gain for another
SMALLEST_COSINE = 1e-6


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
        """The same and draws by noise (S, 1, K) at modes of p(x, z)."""
        normals = at_modes(log_joint, self.normals[0])
        found = Pool.of(normals, noise.tensor_split(len(normals)), log_joint)
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


def at_modes(log_joint: LogJoint, posterior: Normals) -> list[Normals]:
    """Normals at the highest modes of p(x, z) that are found, of several widths.

    Ways uphill set out from the mean of the posterior and from the highest of points around it and
    of the prior, each in a region of its own. After some steps the highest go on.
    """
    n, k = posterior.mean.shape
    n_starts, n_modes = (12, 4) if k <= FEW_DIMENSIONS else (4, 2)

    def of_start(z: Tensor, which: Tensor) -> Tensor:
        return log_joint(z, which % n)

    starts = _starts(log_joint, posterior, n_starts)
    covariance = (posterior.root @ posterior.root.mT).repeat(n_starts, 1, 1)
    reached, metric = climb(of_start, starts.flatten(0, 1), covariance, FIRST_STEPS)
    reached, metric = reached.view_as(starts), metric.view(n_starts, n, k, k)
    rows = torch.arange(n, device=starts.device)
    highest = _highest(reached, log_joint(reached, rows), n_modes, lambda far: far < NEAR)
    found = laplace(
        of_start, reached[highest, rows].flatten(0, 1), metric[highest, rows].flatten(0, 1)
    )
    parts = [found[i * n : (i + 1) * n] for i in range(n_modes)]
    return [part.widened(width) for width in WIDTHS for part in parts]


def _starts(log_joint: LogJoint, posterior: Normals, n_starts: int) -> Tensor:
    """The mean of the posterior and the highest of points. -> (n_starts, N, K)."""
    n, k = posterior.mean.shape
    rows = torch.arange(n, device=posterior.mean.device)
    around, prior = posterior.mean.new_tensor(_points(k)).split([N_AROUND, N_OF_PRIOR])
    tried = [posterior.widened(WIDE).sample(around), prior]  # the latter decoded once for all rows
    height = torch.cat([log_joint(part, rows) for part in tried])
    z = torch.cat([part.expand(-1, n, -1) for part in tried])

    def of_region(far: Tensor) -> Tensor:
        return far <= far.kthvalue(len(z) // n_starts, dim=0).values

    highest = _highest(z, height, n_starts - 1, of_region)
    return torch.cat([posterior.mean[None], z[highest, rows]])


def _highest(z: Tensor, height: Tensor, n: int, is_near: Callable[[Tensor], Tensor]) -> Tensor:
    """The numbers of the n highest codes, none near a higher one. (S, N, K), (S, N) -> (n, N).

    ``is_near`` tells by the distances (S, N) from one of them. Where all are near, it is number 0.
    """
    rows = torch.arange(z.shape[1], device=z.device)
    found = []
    for _ in range(n):
        found.append(height.argmax(0))
        far = torch.linalg.vector_norm(z - z[found[-1], rows], dim=-1)
        height = height.masked_fill(is_near(far), -torch.inf)
    return torch.stack(found)


@lru_cache(maxsize=16)
def _points(n_components: int) -> NDArray[np.float64]:
    return quasi_normal(N_AROUND + N_OF_PRIOR, n_components, seed=0)[:, None, :]


def climb(
    log_joint: LogJoint, start: Tensor, metric: Tensor, max_steps: int
) -> tuple[Tensor, Tensor]:
    """Uphill from each of N starts to a mode of p(x, z). (N, K), (N, K, K) -> the same.

    The method of Broyden, Fletcher, Goldfarb and Shanno ([3]_, section 6.1). A step is ``metric``
    times the gradient, and by what it meets the metric comes closer to the inverse of the negative
    Hessian. It shrinks where no length of the step leads up.
    """
    mode, metric = start.clone(), metric.clone()
    active = torch.arange(len(start), device=start.device)
    lengths = start.new_tensor(STEP_LENGTHS)[:, None, None]
    value, gradient = _gradient(log_joint, mode, active)
    for n_taken in range(max_steps):
        if len(active) == 0:
            break
        before, own = mode[active], metric[active]
        tried = before + lengths * torch.einsum("nkj,nj->nk", own, gradient)
        highest, length = log_joint(tried, active).max(0)
        rises = highest > value
        step = tried[length, torch.arange(len(active), device=start.device)] - before
        step = torch.where(rises[:, None], step, 0.0)
        mode[active] = before + step
        value_there, gradient_there = _gradient(log_joint, mode[active], active)
        updated = _bfgs(own, step, gradient - gradient_there)
        metric[active] = torch.where(rises[:, None, None], updated, SHORTER * own)
        goes_on = (value_there - value > TOLERANCE) | (~rises & (n_taken < MAX_SHORTENED))
        active = active[goes_on]
        value, gradient = value_there[goes_on], gradient_there[goes_on]
    return mode, metric


def _bfgs(metric: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """The metric after a step (N, K) that changed the downward gradient so. (N, K, K).

    It stays as it is where the curvature along the step is of the wrong sign.
    """
    along = (step * change).sum(-1)
    curved = along > SMALLEST_COSINE * step.norm(dim=-1) * change.norm(dim=-1)
    share = torch.where(curved, 1 / along, 0.0)[:, None, None]
    rest = torch.eye(step.shape[-1]).to(step) - share * step[:, :, None] * change[:, None, :]
    return rest @ metric @ rest.mT + share * step[:, :, None] * step[:, None, :]


def laplace(log_joint: LogJoint, start: Tensor, metric: Tensor) -> Normals:
    """The normal at the mode of p(x, z) that is uphill from each of N starts, as in ``climb``.

    Its covariance is the inverse of the negative Hessian there ([1]_), but nowhere wider than the
    prior N(0, I). A last step is Newton's.
    """
    mode, _ = climb(log_joint, start, metric, MAX_STEPS)
    rows = torch.arange(len(start), device=start.device)
    value, gradient, curvature, axes = _derivatives(log_joint, mode, rows)
    std = curvature.clamp(min=1.0).rsqrt()
    root = axes * std.unsqueeze(-2)
    last = mode + torch.einsum("nkj,nij,ni->nk", root, root, gradient)
    mode = torch.where((log_joint(last[None], rows)[0] > value)[:, None], last, mode)
    return Normals(mode, root, axes.mT / std.unsqueeze(-1))


def _gradient(log_joint: LogJoint, z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x, z) and its gradient, 0 where that is not finite. (N, K) -> (N,), (N, K)."""
    with torch.enable_grad():
        z = z.detach().clone().requires_grad_()
        value = log_joint(z[None], rows)[0]
        (gradient,) = torch.autograd.grad(value.sum(), z)
    finite = gradient.isfinite().all(-1, keepdim=True)
    return value.detach(), torch.where(finite, gradient, 0.0)


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
