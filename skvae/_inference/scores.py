"""log p(x) of rows and draws of z given rows, by importance weights."""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._blocks import DRAWS_AT_ONCE
from skvae._inference.modes import LogJoint
from skvae._inference.normals import Normals
from skvae._inference.proposals import FEWEST_TO_ADAPT, Pool, is_good
from skvae._model.cells import Cells
from skvae._model.vae import VAE
from skvae.objectives import importance_weighted_bound


def log_likelihood(model: VAE, cells: Cells, noise: Tensor) -> Tensor:
    """The importance-weighted bound on log p(x). N rows, (2 S, 1, K) -> (N,).

    Half of the noise is for draws from the encoder's posterior. For rows whose weights are uneven,
    and for rows with missing values, draws by the other half are added, from normals at modes of
    p(x, z).
    """
    own, spare = noise.chunk(2)
    pool = _pool(model, cells, own)
    log_weight = pool.log_weight()
    bound = importance_weighted_bound(log_weight)
    bad = ~is_good(log_weight) & bound.isfinite()
    if cells.observed is not None:
        # the weights of a posterior that is too narrow are even, and do not show what it misses
        bad |= ~cells.observed.all(dim=-1)
    if len(spare) >= FEWEST_TO_ADAPT and bool(bad.any()):
        joined = pool[bad].with_modes(spare, log_joint(model, cells[bad]))
        bound[bad] = importance_weighted_bound(joined.log_weight())
    return bound


def posterior_draws(model: VAE, cells: Cells, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Draws of z and their log importance weights for p(z|x). -> (S', N, K), (S', N).

    From the encoder's posterior and from normals at modes, as in ``log_likelihood``.
    """
    own, spare = noise.chunk(2)
    pool = _pool(model, cells, own).with_modes(spare, log_joint(model, cells))
    return pool.z, pool.log_weight()


def _pool(model: VAE, cells: Cells, noise: Tensor) -> Pool:
    posterior = Normals.diagonal(*model.encode(cells))
    return Pool.around(posterior, noise, log_joint(model, cells))


def log_joint(model: VAE, cells: Cells) -> LogJoint:
    """log p(x, z) of codes (S, n, K) or (S, 1, K) for the rows with the numbers (n,)."""

    def of_codes(z: Tensor, rows: Tensor) -> Tensor:
        taken = cells.take(rows)
        parts = []
        for part in z.split(DRAWS_AT_ONCE):
            outputs = [out.expand(-1, len(rows), -1) for out in model.decode(part)]
            parts.append(model.log_prob(taken, outputs) + model.prior.log_prob(part))
        found = torch.cat(parts)
        return torch.where(found.isnan(), -torch.inf, found)  # the maximum of NaN is NaN

    return of_codes
