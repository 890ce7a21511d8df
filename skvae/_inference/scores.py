"""log p(x) of rows, and draws of z given rows, by importance sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._blocks import DRAWS_AT_ONCE
from skvae._inference.modes import LogJoint
from skvae._inference.normals import Normals
from skvae._inference.proposals import Pool, is_good
from skvae._model.cells import Cells
from skvae._model.vae import VAE
from skvae.objectives import importance_weighted_bound

# Rows with uneven weights or missing values get at least this number of draws at modes, since the
# search for modes takes longer than these draws. With fewer than FEWEST_TO_ADAPT draws from the
# posterior there is no search.
FEWEST_AT_MODES, FEWEST_TO_ADAPT = 256, 16


def draws_at_modes(n_draws: int) -> int:
    """The number of draws at modes that belongs to this number of draws from the posterior."""
    return max(n_draws, FEWEST_AT_MODES) if n_draws >= FEWEST_TO_ADAPT else 0


def log_likelihood(model: VAE, cells: Cells, noise: Tensor, spare: Tensor) -> Tensor:
    """The importance-weighted bound on log p(x). N rows, (S, 1, K), (S', 1, K) -> (N,).

    ``noise`` is for draws from the encoder's posterior, ``spare`` for draws from normals at modes
    of p(x, z), which are added for rows with uneven weights or missing values. Without ``spare``
    none are added. The bound is 0 for a row without observed values. If no draw has a density above
    0, it is -inf, or NaN if log p(x, z) is NaN even at z = 0.
    """
    pool = _pool(model, cells, noise)
    log_weight = pool.log_weight()
    bound = importance_weighted_bound(log_weight)
    possible = bound > -torch.inf
    bad = ~is_good(log_weight)
    if cells.observed is not None:
        bound = torch.where(cells.observed.any(dim=-1), bound, 0.0)
        # the weights of a posterior that is too narrow are even, and do not reveal missed modes
        bad = (bad | ~cells.observed.all(dim=-1)) & cells.observed.any(dim=-1)
    bad &= possible
    if len(spare) and bool(bad.any()):
        joined = pool[bad].with_modes(spare, log_joint(model, cells[bad]))
        bound[bad] = importance_weighted_bound(joined.log_weight())
    if not bool(possible.all()):
        origin = noise.new_zeros(1, 1, noise.shape[-1])
        undefined = _log_joint(model, cells, origin)[0].isnan()
        bound[undefined & ~possible] = torch.nan
    return bound


def weighted_draws(model: VAE, cells: Cells, noise: Tensor, spare: Tensor) -> tuple[Tensor, Tensor]:
    """Draws of z and their log importance weights for p(z|x). -> (S + S', N, K), (S + S', N).

    The draws are from the encoder's posterior and from normals at modes, as in ``log_likelihood``.
    """
    pool = _pool(model, cells, noise).with_modes(spare, log_joint(model, cells))
    return pool.z, pool.log_weight()


def _pool(model: VAE, cells: Cells, noise: Tensor) -> Pool:
    posterior = Normals.diagonal(*model.encode(cells))
    return Pool.around(posterior, noise, log_joint(model, cells))


def log_joint(model: VAE, cells: Cells) -> LogJoint:
    """log p(x, z) of codes (S, n, K) or (S, 1, K) for the rows with the numbers (n,).

    NaN is replaced by -inf, for example for codes so large that the decoder overflows. Taking a
    density as 0 can only lower the bound.
    """

    def of_codes(z: Tensor, rows: Tensor) -> Tensor:
        found = _log_joint(model, cells.take(rows), z)
        return torch.where(found.isnan(), -torch.inf, found)

    return of_codes


def _log_joint(model: VAE, cells: Cells, z: Tensor) -> Tensor:
    """log p(x, z). n rows, (S, n, K) or (S, 1, K) -> (S, n)."""
    parts = []
    for part in z.split(DRAWS_AT_ONCE):
        decoded = model.decode(part, cells.context)
        outputs = [out.expand(-1, len(cells), -1) for out in decoded]
        parts.append(model.log_prob(cells, outputs) + model.log_prior(part, cells.context))
    return torch.cat(parts)
