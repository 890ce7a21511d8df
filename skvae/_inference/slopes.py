"""The slopes of the decoder, which show how each component changes each column."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from skvae._blocks import CHUNK_BYTES
from skvae._model.vae import VAE

STEP = 0.1  # of the central differences


def slopes_in_prior(model: VAE, noise: Tensor, generator: Generator) -> list[Tensor]:
    """The mean slopes over codes with the mean and the variance of the prior of training.

    They are for a change of each component by one standard deviation of that prior. Standard normal
    noise (N, K) -> (K, d, M) of each group.
    """
    center, spread = model.prior_moments(generator, own=True)
    slopes = mean_slopes(model, center + spread * noise)
    shown = spread.index_select(-1, model.components.order)
    return [slope * shown.view(-1, 1, 1) for slope in slopes]


@torch.no_grad()
def mean_slopes(model: VAE, z: Tensor, context: Tensor | None = None) -> list[Tensor]:
    """The mean derivative of E[x|z], or of the mass of each level, by each component of z.

    Central differences, averaged over the codes (N, K) and their context (N, C). The codes have the
    order and the signs of the networks' own components, the results those that users see.
    -> (K, d, M) of each group.
    """
    z = model.components.shown(z)
    steps = STEP * torch.eye(model.n_components, dtype=z.dtype, device=z.device)
    widest = max(max(parameter.shape, default=1) for parameter in model.parameters())
    found: list[list[Tensor]] = [[] for _ in model.groups]
    for some in steps.split(max(1, CHUNK_BYTES // (2 * len(z) * widest * z.element_size()))):
        at = torch.cat([z + some.unsqueeze(1), z - some.unsqueeze(1)])  # (2 S, N, K)
        outputs = model.decode(at, context)
        for kept, group, output in zip(found, model.groups, outputs, strict=True):
            above, below = group.mean_statistics(output).chunk(2)
            kept.append((above - below) / (2 * STEP))
    return [torch.cat(kept) for kept in found]
