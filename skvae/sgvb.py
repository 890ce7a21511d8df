r"""The mathematics of stochastic gradient variational Bayes.

Pure functions of tensors: noise comes in as an argument, nothing is averaged over
rows. The axes are S draws, N rows, K latent dimensions; results are in nats.

References
----------
.. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
.. [2] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted
       Autoencoders", ICLR 2016.
.. [3] I. Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a
       Constrained Variational Framework", ICLR 2017.
.. [4] D. P. Kingma et al., "Improving Variational Inference with Inverse
       Autoregressive Flow", NeurIPS 2016 (free bits).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def reparameterize(mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    """Draws from the posterior, z = mean + std * noise. (N, K), (S, N, K) -> (S, N, K).

    The reparameterisation of [1]_, section 2.4: ``noise`` is standard normal.
    """
    return mean + log_std.exp() * noise


def log_normal(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log N(z; mean, diag(exp(2 log_std))), summed over K. (..., K) -> (...)."""
    # -1/2 sum(((z - mean) / std)^2 + 2 log std + log 2 pi)
    standard = (z - mean) * (-log_std).exp()
    return -0.5 * (standard.square() + 2 * log_std + LOG_2PI).sum(-1)


def log_standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I), summed over K. (..., K) -> (...)."""
    return -0.5 * (z.square() + LOG_2PI).sum(-1)


def kl_to_standard_normal(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL[N(mean, std^2) || N(0, 1)] of each latent dimension. (N, K) -> (N, K).

    [1]_, appendix B; the KL of the whole posterior is the sum over K.
    """
    # 1/2 (mean^2 + std^2 - 1) - log std
    return 0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std


def elbo(log_px: Tensor, kl: Tensor, *, beta: float = 1.0, free_bits: float = 0.0) -> Tensor:
    """The evidence lower bound of each draw and row. (S, N), (N, K) -> (S, N).

    log p(x|z) - beta * sum_k max(free_bits, kl_k)

    ``beta`` weighs the divergence [3]_. A dimension whose divergence is below
    ``free_bits`` nats is charged that much, so nothing pulls it further down ([4]_,
    appendix C.8; here row by row, where [4]_ averages over the minibatch first).
    """
    if free_bits > 0:
        kl = kl.clamp(min=free_bits)
    return log_px - beta * kl.sum(-1)


def importance_weighted_bound(log_weight: Tensor) -> Tensor:
    """The S-draw bound on log p(x), equation 8 of [2]_. (S, N) -> (N,).

    log 1/S sum_s w_s,  w_s = p(x|z_s) p(z_s) / q(z_s|x)
    """
    return torch.logsumexp(log_weight, dim=0) - math.log(len(log_weight))


def elbo_objective(
    log_px: Tensor, z: Tensor, mean: Tensor, log_std: Tensor, *, beta: float, free_bits: float
) -> Tensor:
    """The ELBO averaged over draws, its KL in closed form. -> (N,)."""
    kl = kl_to_standard_normal(mean, log_std)
    return elbo(log_px, kl, beta=beta, free_bits=free_bits).mean(0)


def iwae_objective(
    log_px: Tensor, z: Tensor, mean: Tensor, log_std: Tensor, *, beta: float, free_bits: float
) -> Tensor:
    """The importance-weighted bound, log q(z|x) - log p(z) weighed by beta. -> (N,).

    Free bits are a floor on a divergence that this bound does not contain.
    """
    log_ratio = log_normal(z, mean, log_std) - log_standard_normal(z)
    return importance_weighted_bound(log_px - beta * log_ratio)


Objective = Callable[..., Tensor]
OBJECTIVES: dict[str, Objective] = {"elbo": elbo_objective, "iwae": iwae_objective}
