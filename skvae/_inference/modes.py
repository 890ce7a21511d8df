"""Normals at the modes of p(x, z), with its curvature there (Laplace's approximation).

Beyond ``FEW_COMPONENTS`` dimensions they are moved from the modes towards most of the mass.

Pure functions of tensors; the axes are S draws, N rows, K latent dimensions.

References
----------
.. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", Springer 2006, section 4.4.
.. [2] J. Nocedal and S. Wright, "Numerical Optimization", 2nd ed., Springer 2006.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from skvae._inference.centred import centred
from skvae._inference.derivatives import (
    LogJoint,
    curvature_of,
    gradient_of,
    identity,
    of_rows,
    rounded,
)
from skvae._inference.effort import FEW_COMPONENTS
from skvae._inference.normals import Normals
from skvae._torch.random import shared_noise

WIDE = 4.0  # factor on the posterior's standard deviations, to search around the posterior
FIRST_STEPS, MAX_STEPS = 10, 30  # steps of all starts, and further steps of the highest
NEAR = 0.1  # distance below which codes are taken to climb to the same mode
NEGLIGIBLE = 100.0  # nats below the highest at which a mode is ignored

# Step lengths that are tried. The metric is multiplied by LONGER if the longest step is the best,
# and by SHORTER if no step increases log p(x, z).
STEP_LENGTHS, LONGER, SHORTER = (2.0, 1.0, 0.3, 0.03), 4.0, 0.03
MAX_FAILURES = 3  # steps without an increase
ROUGH, FINE = 0.2, 0.02  # nats that a step must gain for another step
NARROWEST = (
    0.1  # smallest standard deviation of first steps, since that of an encoder can be far too small
)
SMALLEST_COSINE = 1e-6


class Search(NamedTuple):
    """Where a search for modes starts, and how many modes it keeps.

    The starts are the mean of the posterior and the highest of these points: some drawn around the
    posterior, some of N(0, I), and those of the prior. The points do not depend on the number of
    draws. In few dimensions they come close to several modes. A climb ends when a step gains less
    than ``tolerance`` nats.
    """

    n_starts: int
    n_modes: int
    n_around: int = 0
    n_normal: int = 0
    tolerance: float = FINE

    @classmethod
    def thorough(cls, n_components: int) -> Self:
        """For rows whose modes are hard to find."""
        n_starts, n_modes = (12, 4) if n_components <= FEW_COMPONENTS else (4, 2)
        return cls(n_starts, n_modes, n_around=128, n_normal=384)

    def n_together(self, n_components: int) -> int:
        """The largest number of codes of a row that are decoded together."""
        # of each mode a Hessian takes a code for each dimension; all starts climb together
        return max(self.n_modes * n_components, self.n_starts * len(STEP_LENGTHS))

    def points(self, posterior: Normals, starts: Tensor | None) -> list[Tensor]:
        """Codes that all rows share (P, 1, K), with those of the prior (C, K), and others."""
        noise = shared_noise(posterior.mean.shape[-1], posterior.mean)
        around, normal = noise[: self.n_around], noise[len(noise) - self.n_normal :]
        shared = normal if starts is None else torch.cat([normal, starts.to(noise)[:, None]])
        return [posterior.widened(WIDE).sample(around), shared] if self.n_around else [shared]


# For rows like those of training, whose encoder is near a mode, and for rows with missing values,
# where it may not be.
NEAREST = Search(1, 1, tolerance=ROUGH)
HIGHEST_TWO = Search(3, 2, n_normal=128, tolerance=ROUGH)


class Climb(NamedTuple):
    """Where N climbs to modes of p(x, z) are.

    The codes (N, K), their metrics (N, K, K), log p(x, z) (N,), and whether a climb continues (N,).
    A climb that has ended has the metric of its last step but one.
    """

    z: Tensor
    metric: Tensor
    log_p: Tensor
    continues: Tensor

    def taken(self, which: Tensor) -> Climb:
        """Some of the climbs, by their numbers."""
        return Climb(*(part.index_select(0, which) for part in self))


def at_modes(
    log_joint: LogJoint, posterior: Normals, starts_of_prior: Tensor | None, search: Search
) -> list[Normals]:
    """Normals at the highest modes of p(x, z) that a search finds.

    Climbs from its starts, each in a separate region. After some steps only the highest continue.
    If fewer modes than requested are high enough, the highest mode takes the place of the others.
    """
    if search.n_starts == 1:
        return [at_mode(log_joint, posterior.mean, posterior, search.tolerance)]
    metric = _first_metric(posterior)
    n, n_starts = len(posterior.mean), search.n_starts
    rows = torch.arange(n, device=posterior.mean.device)

    def of_start(z: Tensor, which: Tensor) -> Tensor:
        return log_joint(z, which % n)

    starts = _starts(log_joint, posterior, search.points(posterior, starts_of_prior), n_starts)
    reached = climb(
        of_start, starts.flatten(0, 1), metric.repeat(n_starts, 1, 1), FIRST_STEPS, search.tolerance
    )
    log_p = reached.log_p.view(n_starts, n)
    highest = _highest(reached.z.view_as(starts), log_p, search.n_modes, lambda far: far < NEAR)
    chosen = (highest * n + rows).flatten()
    worth_it = (highest != highest[0]) & (log_p[highest, rows] > log_p.amax(0) - NEGLIGIBLE)
    worth_it[0] = True
    continuing = chosen[worth_it.flatten()]
    of_continuing = of_rows(of_start, continuing)
    ended = _ended(of_continuing, reached.taken(continuing), search.tolerance)
    found = _normals_at(of_continuing, ended)
    place = torch.where(worth_it, worth_it.flatten().cumsum(0).view_as(highest) - 1, rows)
    return [found[place[i]] for i in range(search.n_modes)]


def at_mode(
    log_joint: LogJoint, start: Tensor, posterior: Normals, tolerance: float = ROUGH
) -> Normals:
    """The normal at the mode of p(x, z) that a climb from the start (N, K) of each row finds."""
    reached = climb(log_joint, start, _first_metric(posterior), MAX_STEPS, tolerance)
    return _normals_at(log_joint, reached)


def _ended(log_joint: LogJoint, reached: Climb, tolerance: float) -> Climb:
    """The climbs after those that have not ended continue."""
    rows = torch.nonzero(reached.continues)[:, 0]
    if len(rows) == 0:
        return reached
    some = reached.taken(rows)
    further = climb(of_rows(log_joint, rows), some.z, some.metric, MAX_STEPS, tolerance)
    parts = zip(reached, further, strict=True)
    return Climb(*(part.index_copy(0, rows, new) for part, new in parts))


def _normals_at(log_joint: LogJoint, ended: Climb) -> Normals:
    """The normals where climbs have ended, in many dimensions moved towards most of the mass."""
    found = laplace(log_joint, ended.z, ended.log_p)
    return found if found.mean.shape[-1] <= FEW_COMPONENTS else centred(log_joint, found)


def _first_metric(posterior: Normals) -> Tensor:
    """The metric of a climb's first step, (N, K, K): the posterior's covariance, and a little."""
    covariance = posterior.root @ posterior.root.mT
    return covariance + NARROWEST**2 * identity(covariance.shape[-1], covariance)


def _starts(
    log_joint: LogJoint, posterior: Normals, points: Sequence[Tensor], n_starts: int
) -> Tensor:
    """The mean of the posterior and the highest of the points. -> (n_starts, N, K)."""
    n = len(posterior.mean)
    rows = torch.arange(n, device=posterior.mean.device)
    log_p = torch.cat([log_joint(part, rows) for part in points])
    z = torch.cat([part.expand(-1, n, -1) for part in points])

    def of_region(far: Tensor) -> Tensor:
        return far <= far.kthvalue(len(z) // n_starts, dim=0).values

    highest = _highest(z, log_p, n_starts - 1, of_region)
    return torch.cat([posterior.mean[None], z[highest, rows]])


def _highest(z: Tensor, log_p: Tensor, n: int, is_near: Callable[[Tensor], Tensor]) -> Tensor:
    """The numbers of the n highest codes, none near a higher one. (S, N, K), (S, N) -> (n, N).

    ``is_near`` decides this from the distances (S, N) to one of them. If all codes are near one of
    them, the first is repeated.
    """
    rows = torch.arange(z.shape[1], device=z.device)
    found = [log_p.argmax(0)]
    while len(found) < n:
        far = torch.linalg.vector_norm(z - z[found[-1], rows], dim=-1)
        log_p = log_p.masked_fill(is_near(far), -torch.inf)
        best = log_p.argmax(0)
        found.append(torch.where(log_p[best, rows] > -torch.inf, best, found[0]))
    return torch.stack(found)


def climb(
    log_joint: LogJoint, start: Tensor, metric: Tensor, max_steps: int, tolerance: float = FINE
) -> Climb:
    """Climb from each of N starts to a mode of p(x, z), with these metrics. (N, K), (N, K, K).

    The method of Broyden, Fletcher, Goldfarb and Shanno ([2]_, section 6.1). A step is ``metric``
    times the gradient. The change of the gradient then brings the metric closer to the inverse of
    the negative Hessian.
    """
    mode, metric = start.clone(), metric.clone()
    active = torch.arange(len(start), device=start.device)
    failures = torch.zeros_like(active)
    lengths = start.new_tensor(STEP_LENGTHS)[:, None, None]

    def at(rows: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = gradient_of(log_joint, mode[rows][None], rows)
        return value[0], gradient[0]

    log_p, gradient = at(active)
    for _ in range(max_steps):
        if len(active) == 0:
            break
        before = mode[active]
        tried = rounded(before + lengths * torch.einsum("nkj,nj->nk", metric[active], gradient))
        highest, length = log_joint(tried, active).max(0)
        gain, is_longest = highest - log_p[active], length == 0
        rises = gain > 0
        numbers = torch.arange(len(active), device=start.device)
        after = torch.where(rises[:, None], tried[length, numbers], before)
        mode[active] = after
        log_p[active] = torch.where(rises, highest, log_p[active])
        failures[active] += ~rises
        still_active = torch.where(
            rises, (gain > tolerance) | is_longest, failures[active] < MAX_FAILURES
        ).nonzero()[:, 0]
        active, gradient, rises, is_longest, step = (
            part.index_select(0, still_active)
            for part in (active, gradient, rises, is_longest, after - before)
        )
        metric[active[~rises]] *= SHORTER
        risen = rises.nonzero()[:, 0]  # where a climb made no step, its gradient is known
        if len(risen):
            moved = active[risen]
            _, gradient_there = at(moved)
            metric[moved] = _bfgs(metric[moved], step[risen], gradient[risen] - gradient_there)
            metric[moved[is_longest[risen]]] *= LONGER
            gradient[risen] = gradient_there
    continues = torch.zeros_like(failures, dtype=torch.bool).index_fill(0, active, True)
    return Climb(mode, metric, log_p, continues)


def _bfgs(metric: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """The metric after a step (N, K) with this change of the downward gradient. (N, K, K).

    It is not changed if there was no step, or if the curvature along the step has the wrong sign.
    """
    along = (step * change).sum(-1)
    least = SMALLEST_COSINE * step.norm(dim=-1) * change.norm(dim=-1)
    curved = along > least.clamp(min=torch.finfo(along.dtype).tiny)
    share = torch.where(curved, 1 / along, 0.0)[:, None, None]
    rest = identity(step.shape[-1], step) - share * step[:, :, None] * change[:, None, :]
    return rest @ metric @ rest.mT + share * step[:, :, None] * step[:, None, :]


def laplace(log_joint: LogJoint, mode: Tensor, log_p: Tensor) -> Normals:
    """The normals at modes (N, K) of p(x, z), whose log is ``log_p`` (N,) there.

    Their covariance is the inverse of the negative Hessian ([1]_), but in no direction wider than
    N(0, I). A last Newton step is taken if log p(x, z) increases.
    """
    rows = torch.arange(len(mode), device=mode.device)
    gradient, curvature, axes = curvature_of(log_joint, mode, rows)
    std = curvature.clamp(min=1.0).rsqrt().unsqueeze(-2)
    # the symmetric root, which does not depend on the choice of axes of equal curvature
    root, whiten = (axes * std) @ axes.mT, (axes / std) @ axes.mT
    last = rounded(mode + torch.einsum("nkj,nij,ni->nk", root, root, gradient))
    mode = torch.where((log_joint(last[None], rows)[0] > log_p)[:, None], last, mode)
    return Normals(mode, root, whiten)
