"""log p(x) of rows, and draws of z given rows, by importance sampling."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skvae._blocks import CHUNK_BYTES, codes_at_once
from skvae._inference.abandon import check_needed
from skvae._inference.derivatives import LogJoint
from skvae._inference.effort import Effort
from skvae._inference.modes import Search
from skvae._inference.normals import Normals
from skvae._inference.proposals import Pool, Weighted, weighted_draws
from skvae._model.cells import Cells
from skvae._model.vae import VAE
from skvae.objectives import importance_weighted_bound


def log_likelihood(model: VAE, cells: Cells, noise: Tensor, *, effort: Effort) -> Tensor:
    """An estimate of log p(x) by importance sampling. N rows, (S, 1, K) -> (N,).

    It is 0 for a row without observed values. If no draw has a density above 0, it is -inf,
    or NaN if log p(x, z) is NaN even at z = 0.
    """
    bound = noise.new_zeros(len(cells))
    for rows, _, log_weight in weighted_codes(model, cells, noise, effort=effort):
        bound[rows] = importance_weighted_bound(log_weight)
    if cells.observed is not None:
        bound = torch.where(cells.observed.any(dim=-1), bound, 0.0)
    possible = bound > -torch.inf
    if not bool(possible.all()):
        origin = noise.new_zeros(1, 1, noise.shape[-1])
        rows = torch.arange(len(cells), device=noise.device)
        undefined = log_joint(model, cells, undefined=torch.nan)(origin, rows)[0].isnan()
        bound[undefined & ~possible] = torch.nan
    return bound


def weighted_codes(
    model: VAE, cells: Cells, noise: Tensor, *, effort: Effort
) -> Iterator[Weighted]:
    """Draws of z with log importance weights for p(z|x), of rows as they have enough draws.

    Noise (S, 1, K), with S = ``effort.n_noise``. Each row has its turn once.
    """
    posterior = Normals.diagonal(*model.encode(cells))
    of_codes = log_joint(model, cells)
    every = torch.arange(len(cells), device=noise.device)
    if effort.is_small or len(cells) == 0:
        pool = Pool.of([posterior], [noise], of_codes)
        yield every, pool.z, pool.weights()[0]
        return
    k, incomplete = noise.shape[-1], cells.missing.any(dim=-1)
    together = CHUNK_BYTES // (model.code_bytes * Search.thorough(k).n_together(k))
    for rows, has_gaps in (every[~incomplete], False), (every[incomplete], True):
        if len(rows):
            yield from weighted_draws(
                of_codes,
                posterior[rows],
                noise,
                effort,
                rows=rows,
                has_gaps=has_gaps,
                starts=model.prior.search_starts(),
                together=together,
            )


def log_joint(model: VAE, cells: Cells, *, undefined: float = -torch.inf) -> LogJoint:
    """log p(x, z) of codes (S, n, K) or (S, 1, K) for the rows with the numbers (n,).

    NaN is replaced by ``undefined``, for example for codes so large that the decoder overflows.
    Taking a density as 0 lowers the estimate.
    """
    width = model.width

    def of_codes(z: Tensor, rows: Tensor) -> Tensor:
        check_needed()
        own, parts = cells.take(rows), []
        for part in z.split(codes_at_once(len(own), width)):
            outputs = [out.expand(-1, len(own), -1) for out in model.decode(part, own.context)]
            parts.append(model.log_prob(own, outputs) + model.log_prior(part, own.context))
        found = torch.cat(parts).to(z.dtype)  # that of a custom density may differ
        return torch.where(found.isnan(), undefined, found)

    return of_codes
