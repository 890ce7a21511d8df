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


def log_likelihood(model: VAE, cells: Cells, noise: Tensor, *, n_spare: int) -> Tensor:
    """The importance-weighted bound on log p(x). N rows, (S, 1, K) -> (N,).

    The first ``n_spare`` of the noise are for draws from normals at modes of p(x, z), which are
    added for rows with uneven weights or missing values. The others are for draws from the
    encoder's posterior. The bound is 0 for a row without observed values. If no draw has a density
    above 0, it is -inf, or NaN if log p(x, z) is NaN even at z = 0.
    """
    # a power of two of draws at the start keeps the balance of a quasi-random sequence
    spare, own = noise.split([n_spare, len(noise) - n_spare])
    posterior = Normals.diagonal(*model.encode(cells))
    pool = Pool.around(posterior, own, log_joint(model, cells))
    log_weight = pool.log_weight()
    bound = importance_weighted_bound(log_weight)
    possible = bound > -torch.inf
    bad = ~is_good(log_weight)
    if cells.observed is not None:
        bound = torch.where(cells.observed.any(dim=-1), bound, 0.0)
        # the weights of a posterior that is too narrow are even, and do not reveal missed modes
        bad = (bad | ~cells.observed.all(dim=-1)) & cells.observed.any(dim=-1)
    bad &= possible
    if n_spare and bool(bad.any()):
        joined = pool[bad].with_modes(spare, log_joint(model, cells[bad]))
        bound[bad] = importance_weighted_bound(joined.log_weight())
    if not bool(possible.all()):
        origin = noise.new_zeros(1, 1, noise.shape[-1])
        rows = torch.arange(len(cells), device=noise.device)
        undefined = log_joint(model, cells, undefined=torch.nan)(origin, rows)[0].isnan()
        bound[undefined & ~possible] = torch.nan
    return bound


def weighted_draws(model: VAE, cells: Cells, noise: Tensor, spare: Tensor) -> tuple[Tensor, Tensor]:
    """Draws of z and their log importance weights for p(z|x). -> (S + S', N, K), (S + S', N).

    The draws are from the encoder's posterior and from normals at modes, as in ``log_likelihood``.
    """
    of_codes = log_joint(model, cells)
    pool = Pool.around(Normals.diagonal(*model.encode(cells)), noise, of_codes)
    pool = pool.with_modes(spare, of_codes)
    return pool.z, pool.log_weight()


def log_joint(model: VAE, cells: Cells, *, undefined: float = -torch.inf) -> LogJoint:
    """log p(x, z) of codes (S, n, K) or (S, 1, K) for the rows with the numbers (n,).

    NaN is replaced by ``undefined``, for example for codes so large that the decoder overflows.
    Taking a density as 0 can only lower the bound.
    """

    def of_codes(z: Tensor, rows: Tensor) -> Tensor:
        own, parts = cells.take(rows), []
        for part in z.split(DRAWS_AT_ONCE):
            outputs = [out.expand(-1, len(own), -1) for out in model.decode(part, own.context)]
            parts.append(model.log_prob(own, outputs) + model.log_prior(part, own.context))
        found = torch.cat(parts)
        return torch.where(found.isnan(), undefined, found)

    return of_codes
