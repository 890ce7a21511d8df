"""A second mode of p(x, z), from points around the first.

Points that all rows share are far from one another where codes are rare. Two modes there may both
be closest to the same point, and one of them would be missed.

Pure functions of tensors; the axes are S points, N rows, K latent dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._inference.modes import NEAR, LogJoint, at_mode, rounded, shared_noise
from skvae._inference.normals import Normals

N_POINTS = 128
# The points have the standard deviation of the normal at the first mode along its longest axis
# times this, but at most that of N(0, I).
REACH = 8.0
# A point belongs to a mode within so many standard deviations, where a normal is 12.5 nats lower
# than at its mode. Other points may be this number of nats lower than the first mode.
BASIN, LOWER = 5.0, 10.0


def second_mode(log_joint: LogJoint, first: Normals, second: Normals) -> Normals:
    """The normals at another mode than the first: ``second``, or at one that is higher.

    A climb starts from the highest of the points that belong to neither mode. ``second`` may be
    the first mode itself, if no other was found.
    """
    rows = torch.arange(len(first.mean), device=first.mean.device)
    start, height = _highest_beyond(log_joint, first, second)
    at_first, at_second = log_joint(torch.stack([first.mean, second.mean]), rows)
    found = torch.nonzero(height > at_first - LOWER)[:, 0]
    if len(found) == 0:
        return second

    def of_found(z: Tensor, which: Tensor) -> Tensor:
        return log_joint(z, found[which])

    mode = at_mode(of_found, start[found], first[found])
    at_mode_found = of_found(mode.mean[None], torch.arange(len(found), device=found.device))[0]
    is_new = _distance(mode, first[found]) > NEAR
    is_only = _distance(first, second)[found] <= NEAR
    better = is_new & ((at_mode_found > at_second[found]) | is_only)
    return second.replaced(found[better], mode[better])


def _highest_beyond(log_joint: LogJoint, first: Normals, second: Normals) -> tuple[Tensor, Tensor]:
    """The highest of the points beyond both modes, and log p(x, z) there. -> (N, K), (N,)."""
    k = first.mean.shape[-1]
    rows = torch.arange(len(first.mean), device=first.mean.device)
    longest = torch.linalg.matrix_norm(first.root, ord=2)
    radius = (REACH * longest).clamp(max=1.0)[:, None]
    points = rounded(first.mean + radius * shared_noise(k, first.mean)[:N_POINTS])
    log_p = log_joint(points, rows)
    for mode in (first, second):
        standard = torch.einsum("njk,snk->snj", mode.whiten, points - mode.mean)
        log_p = log_p.masked_fill(standard.square().sum(-1) < BASIN**2, -torch.inf)
    height, highest = log_p.max(0)
    return points[highest, rows], height


def _distance(one: Normals, other: Normals) -> Tensor:
    """The distances of the means. (N,)."""
    found: Tensor = torch.linalg.vector_norm(one.mean - other.mean, dim=-1)
    return found
