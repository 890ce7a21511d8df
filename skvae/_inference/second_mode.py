"""A second mode of p(x, z), from points around the first.

Points that all rows share are far from one another where codes are rare. Two modes there may both
be closest to the same point, and one of them would be missed.

Pure functions of tensors; the axes are S points, N rows, K latent dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._inference.derivatives import LogJoint, of_rows, rounded
from skvae._inference.modes import at_mode
from skvae._inference.normals import Normals
from skvae._torch.random import shared_noise

# The points are drawn from a normal with the same spread in all directions. Its standard deviation
# is REACH times that of the first mode along its longest axis, and at most that of N(0, I).
N_POINTS, REACH = 64, 8.0
# A point belongs to a mode within so many standard deviations, where a normal is 12.5 nats lower
# than at its mode. Other points may be this number of nats lower than the first mode.
BASIN, LOWER = 5.0, 10.0
N_CANDIDATES = 8  # the highest points, which are compared with what lies between


def second_mode(log_joint: LogJoint, first: Normals, second: Normals) -> Normals:
    """The normals at another mode than the first: ``second``, or at one that is higher.

    A climb starts from the highest point that belongs to neither mode and has a valley between the
    first mode and itself. ``second`` may be the first mode itself, if no other was found.
    """
    rows = torch.arange(len(first.mean), device=first.mean.device)
    at_first, at_second = log_joint(torch.stack([first.mean, second.mean]), rows)
    start, height = _highest_beyond(log_joint, first, second)
    climbing = torch.nonzero(height > at_first - LOWER)[:, 0]
    if len(climbing) == 0:
        return second
    first, of_climbing = first[climbing], of_rows(log_joint, climbing)
    mode = at_mode(of_climbing, start[climbing], first)
    height = of_climbing(mode.mean[None], torch.arange(len(climbing), device=rows.device))[0]
    is_only = _is_within(first, second.mean[climbing][None])[0]
    better = ~_is_within(first, mode.mean[None])[0] & ((height > at_second[climbing]) | is_only)
    return second.replaced(climbing[better], mode[better])


def _highest_beyond(log_joint: LogJoint, first: Normals, second: Normals) -> tuple[Tensor, Tensor]:
    """The highest points beyond a valley, and log p(x, z) there, -inf for none. (N, K), (N,)."""
    k = first.mean.shape[-1]
    rows = torch.arange(len(first.mean), device=first.mean.device)
    longest = torch.linalg.matrix_norm(first.root, ord=2)
    spread = (REACH * longest).clamp(max=1.0)[:, None]
    points = rounded(first.mean + spread * shared_noise(k, first.mean)[:N_POINTS])
    taken = _is_within(first, points) | _is_within(second, points)
    log_p = log_joint(points, rows).masked_fill(taken, -torch.inf)
    log_p, order = log_p.topk(N_CANDIDATES, dim=0)
    points = points[order, rows]
    between = log_joint(rounded((points + first.mean) / 2), rows)
    height, highest = log_p.masked_fill(between >= log_p, -torch.inf).max(0)
    return points[highest, rows], height


def _is_within(mode: Normals, z: Tensor) -> Tensor:
    """Whether codes belong to a mode. (S, N, K) -> (S, N) bool."""
    return mode.standardised(z).square().sum(-1) < BASIN**2
