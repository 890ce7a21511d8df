"""The slopes of the decoder, which show how each component changes each column."""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._model.vae import VAE

STEP = 0.1  # of the central differences


@torch.no_grad()
def mean_slopes(model: VAE, z: Tensor, context: Tensor | None = None) -> list[Tensor]:
    """The mean derivative of E[x|z], or of the mass of each level, by each component of z.

    Central differences, averaged over the codes (N, K) and their context (N, C). The codes have the
    order and the signs of the networks' own components, the results those that users see.
    -> (K, d, M) of each group.
    """
    z = z.index_select(-1, model.components.order) * model.components.sign

    def statistics(at: Tensor) -> list[Tensor]:
        outputs = model.decode(at.unsqueeze(0), context)
        pairs = zip(model.groups, outputs, strict=True)
        return [group.mean_statistics(out[0]) for group, out in pairs]

    found: list[list[Tensor]] = [[] for _ in model.groups]
    for step in STEP * torch.eye(model.n_components, dtype=z.dtype, device=z.device):
        above, below = statistics(z + step), statistics(z - step)
        for kept, high, low in zip(found, above, below, strict=True):
            kept.append((high - low) / (2 * STEP))
    return [torch.stack(kept) for kept in found]
