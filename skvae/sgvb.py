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


# Moments of a latent dimension need about so many draws; fewer are relied on only in part.
DRAWS_PER_DIMENSION = 16
# A proposal is good where its draws are worth at least this share of their number.
GOOD_SHARE = 0.25
MIN_EFFECTIVE_DRAWS = 8
FEWEST_TO_ADAPT = 4 * MIN_EFFECTIVE_DRAWS


def proposal_is_good(log_weight: Tensor) -> Tensor:
    """Whether draws are of even enough weight to be relied on. (S, N) -> (N,) bool."""
    return effective_draws(log_weight) >= GOOD_SHARE * len(log_weight)


def adaptive_bound(
    log_joint: Callable[[Tensor], Tensor], mean: Tensor, log_std: Tensor, noise: Tensor
) -> Tensor:
    """A bound on log p(x) by importance sampling that adapts its proposal. -> (N,).

    The encoder's posterior N(mean, std^2) can miss the true one, most of all for rows that it was
    not trained on, and :func:`importance_weighted_bound` is then far too low. Here a quarter of the
    draws, from posteriors of 1, 2 and 4 times the width and from the prior, moves the proposal to
    where p(x, z) is; a second quarter, of 1 and 2 times its width, moves it again [5]_; and the
    other half is drawn from it and weighed. The bound holds for a proposal that is independent of
    the draws that are weighed, as the stretches of a scrambled sequence nearly are.

    Parameters
    ----------
    log_joint : callable
        log p(x, z) of codes, (S, N, K) -> (S, N).
    mean, log_std : Tensor of shape (N, K)
        Of the posterior.
    noise : Tensor of shape (S, 1, K)
        Standard normal, ``FEWEST_TO_ADAPT`` or more draws.
    """
    first, second, last = noise.tensor_split([len(noise) // 4, len(noise) // 2])
    prior = (torch.zeros_like(mean), torch.zeros_like(log_std))
    around = [(mean, log_std + math.log(factor)) for factor in (1, 2, 4)]
    mean, log_std = tempered_moments(*weigh(log_joint, [*around, prior], first))
    around = [(mean, log_std + math.log(factor)) for factor in (1, 2)]
    moved = tempered_moments(*weigh(log_joint, around, second))
    return importance_weighted_bound(weigh(log_joint, [moved], last)[1])


def weigh(
    log_joint: Callable[[Tensor], Tensor], components: list[tuple[Tensor, Tensor]], noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Draws from an equal mixture of normals and their log importance weights.

    Each component (N, K), (N, K) takes a stretch of the noise (S, 1, K). -> (S, N, K), (S, N).
    """
    stretches = noise.tensor_split(len(components))
    z = torch.cat(
        [reparameterize(*normal, part) for normal, part in zip(components, stretches, strict=True)]
    )
    log_parts = [
        math.log(len(part) / len(noise)) + log_normal(z, *normal)
        for normal, part in zip(components, stretches, strict=True)
    ]
    return z, log_joint(z) - torch.logsumexp(torch.stack(log_parts), dim=0)


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
