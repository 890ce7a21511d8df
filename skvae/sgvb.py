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
.. [5] M. F. Bugallo et al., "Adaptive Importance Sampling: The Past, the Present, and
       the Future", IEEE Signal Processing Magazine 34 (4), 2017.
.. [6] E. Veach and L. Guibas, "Optimally Combining Sampling Techniques for Monte Carlo
       Rendering", SIGGRAPH 1995.
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


# A proposal is good where its draws are worth at least this share of their number.
GOOD_SHARE = 0.25
MIN_EFFECTIVE_DRAWS = 8
FEWEST_TO_ADAPT = 4 * MIN_EFFECTIVE_DRAWS

Normals = list[tuple[Tensor, Tensor]]  # means and log standard deviations, (N, K) each


def proposal_is_good(log_weight: Tensor) -> Tensor:
    """Whether draws are of even enough weight to be relied on. (S, N) -> (N,) bool."""
    return effective_draws(log_weight) >= GOOD_SHARE * len(log_weight)


def adapted_proposal(
    log_joint: Callable[[Tensor], Tensor], mean: Tensor, log_std: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """A normal moved from the encoder's posterior to where p(x, z) is. -> (N, K), (N, K).

    The posterior N(mean, std^2) of the encoder can miss the true one, most of all for rows that it
    was not trained on, and :func:`importance_weighted_bound` is then far too low. Half of the
    draws, from posteriors of 1, 2 and 4 times the width and from the prior, are weighed by
    p(x, z) and move the proposal to their moments; the other half, of 1.5 times its width, moves
    it again [5]_.

    Parameters
    ----------
    log_joint : callable
        log p(x, z) of codes, (S, N, K) -> (S, N).
    mean, log_std : Tensor of shape (N, K)
        Of the posterior.
    noise : Tensor of shape (S, 1, K)
        Standard normal.
    """
    first, second = noise.chunk(2)
    prior = (torch.zeros_like(mean), torch.zeros_like(log_std))
    around = [(mean, log_std + math.log(factor)) for factor in (1, 2, 4)]
    mean, log_std = tempered_moments(*_weighed([*around, prior], first, log_joint))
    return tempered_moments(*_weighed([(mean, log_std + math.log(1.5))], second, log_joint))


def _weighed(
    normals: Normals, noise: Tensor, log_joint: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Draws, a stretch of the noise from each normal, and their log weights."""
    stretches = noise.tensor_split(len(normals))
    draws = [reparameterize(*normal, part) for normal, part in zip(normals, stretches, strict=True)]
    return torch.cat(draws), log_mixture_weight([log_joint(z) for z in draws], draws, normals)


def log_mixture_weight(log_joint: list[Tensor], draws: list[Tensor], normals: Normals) -> Tensor:
    """Log importance weights of draws from several normals, taken as one mixture.

    Each normal has a share in the mixture like that of its draws (the balance heuristic [6]_), so
    that one that misses p(x, z) costs its draws and no more.
    [(S_i, N)], [(S_i, N, K)] -> (sum S_i, N).
    """
    z = torch.cat(draws)
    log_parts = [
        math.log(len(own) / len(z)) + log_normal(z, *normal)
        for own, normal in zip(draws, normals, strict=True)
    ]
    return torch.cat(log_joint) - torch.logsumexp(torch.stack(log_parts), dim=0)


def effective_draws(log_weight: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2, between 1 and S. (S, N) -> (N,)."""
    return 1 / torch.softmax(log_weight, dim=0).square().sum(0)


def tempered_moments(z: Tensor, log_weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log std of weighted draws. (S, N, K), (S, N) -> (N, K), (N, K).

    Weights are raised to the largest power in [0, 1], found by bisection, that leaves
    ``MIN_EFFECTIVE_DRAWS``: a single draw has no spread.
    """
    low, high = torch.zeros_like(log_weight[0]), torch.ones_like(log_weight[0])
    power = high
    for _ in range(12):
        enough = effective_draws(power * log_weight) >= MIN_EFFECTIVE_DRAWS
        low, high = torch.where(enough, power, low), torch.where(enough, high, power)
        power = (low + high) / 2
    weight = torch.softmax(low * log_weight, dim=0).unsqueeze(-1)
    mean = (weight * z).sum(0)
    variance = (weight * (z - mean).square()).sum(0)
    return mean, 0.5 * variance.clamp(min=1e-20).log()


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
