"""Normals that are moved from a mode of p(x, z) to where most of the mass is.

In many dimensions the mode of a skewed density is far from most of its mass, in units of its
standard deviations.

Pure functions of tensors; the axes are S codes, N rows, K latent dimensions.

References
----------
.. [1] M. Opper and C. Archambeau, "The Variational Gaussian Approximation Revisited", Neural
       Computation 21 (3), 2009.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from skvae._inference.derivatives import LogJoint, gradient_of, rounded
from skvae._inference.normals import Normals
from skvae._torch.random import shared_noise

# Codes of a mean gradient, in pairs of opposite ones; steps, and the longest, in standard
# deviations.
N_CODES, N_STEPS, LONGEST = 8, 2, 1.5


def centred(log_joint: LogJoint, normals: Normals) -> Normals:
    """The normals with means at which the mean gradient of log p(x, z) is about 0.

    Of the normals with this covariance, that is the one with the smallest KL divergence from
    p(z|x), or a stationary point ([1]_). A step is the covariance times the mean gradient, which is
    Newton's method if the mean curvature is that at the mode.
    """
    rows = torch.arange(len(normals.mean), device=normals.mean.device)
    half = shared_noise(normals.mean.shape[-1], normals.mean)[: N_CODES // 2]
    noise = torch.cat([half, -half])
    for _ in range(N_STEPS):
        _, gradient = gradient_of(log_joint, rounded(normals.sample(noise)), rows)
        step = torch.einsum("nkj,nk->nj", normals.root, gradient.mean(0))  # in standard deviations
        step = torch.where(step.isfinite().all(-1, keepdim=True), step, 0.0)
        step *= (LONGEST / step.norm(dim=-1, keepdim=True)).clamp(max=1.0)
        mean = normals.mean + torch.einsum("nkj,nj->nk", normals.root, step)
        normals = replace(normals, mean=rounded(mean))
    return normals
