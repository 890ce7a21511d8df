r"""Proposals for importance sampling of log p(x), and their weighted draws.

The encoder's posterior is a poor approximation of p(z|x) for many rows, most of all if values are
missing that training always observed. Normals at modes of p(x, z) are better, and importance
weights correct what they miss.

Pure functions of tensors; the axes are S draws, N rows, K latent dimensions.

References
----------
.. [1] E. Veach and L. Guibas, "Optimally Combining Sampling Techniques for Monte Carlo
       Rendering", SIGGRAPH 1995.
.. [2] A. Owen and Y. Zhou, "Safe and Effective Importance Sampling", Journal of the American
       Statistical Association 95 (449), 2000.
.. [3] A. B. Owen, "Monte Carlo Theory, Methods and Examples", 2013, section 9.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from skvae._blocks import chunks
from skvae._inference.derivatives import LogJoint, of_rows
from skvae._inference.effort import WORST_SHARE, Effort
from skvae._inference.modes import HIGHEST_TWO, NEAREST, WIDE, Search, at_mode, at_modes
from skvae._inference.normals import Normals
from skvae._inference.second_mode import second_mode

# Of the regression on control variates, relative to their variance: normals may be the same.
RIDGE, TINY, LEAST_FACTOR = 1e-6, 1e-30, 0.1

# The numbers of rows (n,), draws of z for them (s, n, K), and the log weights of these (s, n).
Weighted = tuple[Tensor, Tensor, Tensor]

# Only in very few dimensions do draws from a wide normal find other modes. In more dimensions the
# normal at the mode is widened by 1 + WIDER / K, beyond which few of its draws would be of use.
WIDE_DIMENSIONS, WIDER = 4, 2.0
WIDTHS = (1.0, 1.7)  # of normals at modes that are hard to find; the wider ones cover skewness


def effective_size(log_weight: Tensor) -> Tensor:
    """The effective sample size (sum w)^2 / sum w^2 ([3]_), between 1 and S. (S, N) -> (N,).

    0 if all weights are 0.
    """
    possible = log_weight.amax(0) > -torch.inf
    share = torch.softmax(torch.where(possible, log_weight, 0.0), dim=0)
    return torch.where(possible, 1 / share.square().sum(0), 0.0)


def is_good(log_weight: Tensor) -> Tensor:
    """Whether the weights of the draws are even enough to be reliable. (S, N) -> (N,) bool."""
    return effective_size(log_weight) >= WORST_SHARE * len(log_weight)


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
    def empty(cls, normals: Sequence[Normals]) -> Self:
        """No draws yet."""
        mean = normals[0].mean
        return cls(
            list(normals),
            [mean.new_empty(0, *mean.shape) for _ in normals],
            [mean.new_empty(0, len(mean)) for _ in normals],
        )

    def drawn(self, noises: Sequence[Tensor], log_joint: LogJoint) -> Pool:
        """This pool with further draws from the same normals."""
        new = Pool.of(self.normals, noises, log_joint)
        draws = [torch.cat(pair) for pair in zip(self.draws, new.draws, strict=True)]
        log_p = [torch.cat(pair) for pair in zip(self.log_p, new.log_p, strict=True)]
        return Pool(self.normals, draws, log_p)

    def drawn_at(self, modes: Sequence[Normals], noise: Tensor, log_joint: LogJoint) -> Pool:
        """This pool with draws from normals at modes that it missed. (S, 1, K)."""
        normals = [mode.widened(width) for width in WIDTHS for mode in modes]
        found = Pool.of(normals, noise.tensor_split(len(normals)), log_joint)
        return Pool(
            self.normals + found.normals, self.draws + found.draws, self.log_p + found.log_p
        )

    def __getitem__(self, rows: Tensor | slice) -> Pool:
        return Pool(
            [normal[rows] for normal in self.normals],
            [z[:, rows] for z in self.draws],
            [log_p[:, rows] for log_p in self.log_p],
        )

    @property
    def z(self) -> Tensor:
        """All draws. (S, N, K)."""
        return torch.cat(self.draws)

    @property
    def n_draws(self) -> int:
        """The number of draws of each row."""
        return sum(map(len, self.draws))

    def of_highest(self, log_weight: Tensor) -> Tensor:
        """The draw of each row with the highest weight. (S, N) -> (N, K)."""
        best = log_weight.argmax(0)
        return self.z[best, torch.arange(len(best), device=best.device)]

    def weights(self) -> tuple[Tensor, Tensor]:
        """Log importance weights (S, N), and the standard error of the log of their mean (N,).

        The draws count as draws from one mixture, in which the share of each normal is its share of
        the draws (the balance heuristic [1]_). A normal that misses p(x, z) then wastes its own
        draws and has no other effect. A draw has weight 0 if every normal rounds to density 0
        there.

        The ratios of the normals to the mixture are control variates, since their means are known
        to be 1 [2]_. The weights are calibrated so that their weighted means are: the mean weight
        is then exact if p(x, z) is proportional to one of the normals. Factors of the calibration
        below 0.1, which occur only with very few draws, are raised to it. The standard error is
        that of the residuals, for independent draws. That of quasi-random draws is smaller, and
        that of weights with heavy tails is larger.
        """
        z = self.z
        shares = [len(own) / len(z) for own in self.draws]
        log_parts = torch.stack([normal.log_prob(z) for normal in self.normals])
        log_share = z.new_tensor(shares).log()[:, None, None]
        density = torch.logsumexp(log_share + log_parts, dim=0)
        reached = density > -torch.inf
        log_weight = torch.where(reached, torch.cat(self.log_p) - density, -torch.inf)
        # (N, S, J), of mean 0; that of the first normal follows from the others
        ratios = torch.where(reached, (log_parts[1:] - density).exp() - 1, 0.0).permute(2, 1, 0)
        mean = ratios.mean(1, keepdim=True)
        deviations = ratios - mean
        gram = deviations.mT @ deviations
        scale = gram.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
        gram += torch.diag_embed((RIDGE * scale + TINY).expand(-1, gram.shape[-1]))
        factor = 1 - len(z) * (deviations @ torch.linalg.solve(gram, mean.mT))[..., 0].T
        calibrated = log_weight + factor.clamp(min=LEAST_FACTOR).log()

        highest = log_weight.amax(0).nan_to_num(neginf=0.0)
        weight = (log_weight - highest).exp().T.unsqueeze(-1)
        centered = weight - weight.mean(1, keepdim=True)
        slopes = torch.linalg.solve(gram, deviations.mT @ centered)
        rest = (centered - deviations @ slopes).square().sum(1)[:, 0] / max(len(z) - len(shares), 1)
        total = (calibrated - highest).exp().mean(0)
        return calibrated, (rest / len(z)).sqrt() / total


def normals_of(
    posterior: Normals,
    log_joint: LogJoint,
    starts: Tensor | None,
    *,
    has_gaps: bool,
    looks_around: bool = False,
) -> list[Normals]:
    """The proposals of a row: its posterior, one mode or two, and a wider normal."""
    k = posterior.mean.shape[-1]
    few = k <= WIDE_DIMENSIONS
    # An encoder that saw complete rows in training may be far off for others. In very few
    # dimensions there often is another mode, and points come close to it.
    search = HIGHEST_TWO if has_gaps or few else NEAREST
    modes = at_modes(log_joint, posterior, starts, search)
    if looks_around and has_gaps and few:
        modes[1] = second_mode(log_joint, *modes)
    center = modes[0] if has_gaps or not few else posterior
    return [posterior, *modes, center.widened(WIDE if few else 1 + WIDER / k)]


def weighted_draws(
    log_joint: LogJoint,
    posterior: Normals,
    noise: Tensor,
    effort: Effort,
    *,
    rows: Tensor,
    has_gaps: bool,
    starts: Tensor | None = None,
    together: int = 64,
) -> Iterator[Weighted]:
    """Draws with importance weights for p(z|x), of rows as they have enough draws.

    Rows whose weights are still uneven after all draws get further ones: at the mode to which a
    climb from the draw of the highest weight leads, and where that is not enough, at the modes of a
    thorough search.

    Parameters
    ----------
    log_joint : LogJoint
    posterior : Normals
        Of n rows.
    noise : Tensor of shape (S, 1, K)
        With S = ``effort.n_noise``.
    effort : Effort
    rows : Tensor of int of shape (n,)
        The numbers of the rows.
    has_gaps : bool
        Whether values are missing in the rows.
    starts : Tensor of shape (C, K), default=None
        Codes of the prior from which modes may be sought.
    together : int, default=64
        The number of rows of a thorough search at a time.
    """

    def judged(pool: Pool, *, is_last: bool) -> tuple[Tensor, Tensor]:
        log_weight, error = pool.weights()
        enough = error <= effort.error
        if is_last:
            enough |= is_good(log_weight)
        return log_weight, enough

    normals = normals_of(
        posterior,
        of_rows(log_joint, rows),
        starts,
        has_gaps=has_gaps,
        looks_around=effort.looks_around,
    )
    spare, own = effort.split(noise)
    at_highest, at_others = spare.tensor_split(2)
    pool = Pool.empty(normals)
    for first, second, third, fourth in effort.stages(own, has_gaps=has_gaps):
        middle = [second, third] if len(normals) == 4 else [torch.cat([second, third])]
        pool = pool.drawn([first, *middle, fourth], of_rows(log_joint, rows))
        log_weight, enough = judged(pool, is_last=pool.n_draws == effort.most)
        if bool(enough.any()):
            yield rows[enough], pool.z[:, enough], log_weight[:, enough]
            rows, pool, log_weight = rows[~enough], pool[~enough], log_weight[:, ~enough]
        if len(rows) == 0:
            return
    mode = at_mode(of_rows(log_joint, rows), pool.of_highest(log_weight), pool.normals[0])
    pool = pool.drawn_at([mode], at_highest, of_rows(log_joint, rows))
    log_weight, enough = judged(pool, is_last=True)
    if bool(enough.any()):
        yield rows[enough], pool.z[:, enough], log_weight[:, enough]
        rows, pool = rows[~enough], pool[~enough]
    search = Search.thorough(noise.shape[-1])
    for some in chunks(len(rows), together):
        of_some = of_rows(log_joint, rows[some])
        modes = at_modes(of_some, pool.normals[0][some], starts, search)
        found = pool[some].drawn_at(modes, at_others, of_some)
        yield rows[some], found.z, found.weights()[0]
