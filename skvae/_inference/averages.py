"""Means, modes and masses of values, averaged over weighted codes.

S codes of each of N rows, (S, N, K), have weights (S, N) that sum to 1. With the N rows as
``cells``, averages are those for their context and their missing values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from skvae._blocks import DRAWS_AT_ONCE, STATISTICS_ELEMENTS, chunks, codes_at_once
from skvae._model.cells import Cells, join, split
from skvae._model.vae import VAE


def decoded_mean(model: VAE, z: Tensor) -> Tensor:
    """E[x|z] in the units of means; for categories, the mode. (N, K) -> (N, D)."""
    return weighted_mean(model, z[None], z.new_ones(1, len(z)))


def weighted_mean(model: VAE, z: Tensor, weight: Tensor, cells: Cells | None = None) -> Tensor:
    """E[x] over the codes; for categories, the mode. -> (N, D).

    Groups of columns without a missing value in ``cells`` have the mean of any code, which takes
    less time.
    """
    wanted = None if cells is None else cells.missing

    def means(numbers: Sequence[int], z: Tensor, weight: Tensor, rows: slice) -> dict[int, Tensor]:
        found = _statistics(model, numbers, z, weight, cells, rows)
        return {i: model.groups[i].likelihood.summary(found[i]) for i in numbers}

    @cache
    def any_means() -> dict[int, Tensor]:
        numbers, one = range(len(model.groups)), slice(0, 1)
        return means(numbers, z[one], torch.ones_like(weight[one]), one)

    def of_rows(rows: slice) -> Tensor:
        n = len(z[0, rows])
        numbers = _wanted_groups(model, None if wanted is None else wanted[rows])
        found = means(numbers, z, weight, rows)
        for number in set(range(len(model.groups))) - found.keys():
            found[number] = any_means()[number].expand(n, -1)
        return join([found[number] for number in range(len(model.groups))])

    blocks = _blocks(model, _wanted_groups(model, wanted), *weight.shape)
    return torch.cat([of_rows(rows) for rows in blocks])


def weighted_masses(
    model: VAE, number: int, z: Tensor, weight: Tensor, cells: Cells | None = None
) -> Tensor:
    """p(x) over the codes, of each value of the columns in a group. -> (N, d, L)."""
    masses = model.groups[number].likelihood.masses
    blocks = _blocks(model, [number], *weight.shape)
    return torch.cat(
        [masses(_statistics(model, [number], z, weight, cells, rows)[number]) for rows in blocks]
    )


def _wanted_groups(model: VAE, wanted: Tensor | None) -> list[int]:
    """The numbers of the groups of columns with a wanted value (N, D)."""
    if wanted is None:
        return list(range(len(model.groups)))
    parts = split(wanted, model.n_columns)
    return [number for number, part in enumerate(parts) if bool(part.any())]


def _blocks(model: VAE, numbers: Sequence[int], n_draws: int, n_rows: int) -> Iterator[slice]:
    """Blocks of rows, at least one, for which the statistics of these groups fit in memory."""
    of_code = sum(model.groups[number].n_statistics for number in numbers)
    of_row = max(1, of_code) * min(n_draws, DRAWS_AT_ONCE)
    return chunks(max(1, n_rows), STATISTICS_ELEMENTS // of_row)


def _statistics(
    model: VAE,
    numbers: Sequence[int],
    z: Tensor,
    weight: Tensor,
    cells: Cells | None,
    rows: slice,
) -> dict[int, Tensor]:
    """The statistics of groups over the codes of some rows, by their numbers. -> (n, d, M) each."""
    if not numbers:
        return {}
    z, weight = z[:, rows], weight[:, rows]
    cells = None if cells is None else cells[rows]
    totals = dict.fromkeys(numbers, z.new_zeros(()))
    at_once = min(DRAWS_AT_ONCE, codes_at_once(weight.shape[1], model.width))
    for some, share in zip(z.split(at_once), weight.split(at_once), strict=True):
        outputs = model.decode_for(cells, some)
        for number in numbers:
            statistics = model.groups[number].statistics(outputs[number]).to(share.dtype)
            totals[number] = totals[number] + torch.einsum("sn,sndm->ndm", share, statistics)
    return totals
