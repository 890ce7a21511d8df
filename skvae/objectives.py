r"""The mathematics of stochastic gradient variational Bayes.

The functions here are pure functions of tensors. Noise is an argument, and nothing is averaged over
rows. The axes are S draws, N rows and K latent dimensions. Results are in nats.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor

from skvae._interrupts import interrupts_held
from skvae._rules import Rule, number
from skvae._torch.vjp import Backward, Later
from skvae._value import Value

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class LogPrior:
    """log p(z) of codes, (..., K) -> (...), in nats: a function, and its ``vjp``."""

    log_prob: Callable[[Tensor], Tensor]
    vjp: Callable[[Tensor], tuple[Tensor, Backward]]

    def __call__(self, z: Tensor) -> Tensor:
        return self.log_prob(z)


def kl_to_standard_normal(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL[N(mean, std^2) || N(0, 1)] of each latent dimension. (N, K) -> (N, K).

    The KL divergence of the whole posterior is the sum over K ([1]_, appendix B).
    """
    # 1/2 (mean^2 + std^2 - 1) - log std
    std = log_std.exp()
    less = torch.addcmul(log_std, mean, mean, value=-0.5)
    return -0.5 - torch.addcmul(less, std, std, value=-0.5)


def elbo(log_px: Tensor, kl: Tensor, *, beta: float = 1.0, free_bits: float = 0.0) -> Tensor:
    """The evidence lower bound of each draw and row. (S, N) or (N,), (N, K) -> the same.

    log p(x|z) - beta * sum_k max(free_bits, kl_k)

    ``beta`` is the weight of the KL divergence [3]_. If the divergence of a dimension is below
    ``free_bits`` nats, it counts as ``free_bits``, so that it has no gradient ([4]_, appendix C.8).
    This applies to each row, whereas [4]_ averages over the minibatch first.
    """
    if free_bits > 0:
        kl = kl.clamp(min=free_bits)
    return torch.sub(log_px, kl.sum(-1), alpha=beta)


def importance_weighted_bound(log_weight: Tensor) -> Tensor:
    """The importance-weighted bound on log p(x) of S draws, equation 8 of [2]_. (S, N) -> (N,).

    log 1/S sum_s w_s,  w_s = p(x|z_s) p(z_s) / q(z_s|x)
    """
    return torch.logsumexp(log_weight, dim=0) - math.log(len(log_weight))


@dataclass(frozen=True)
class Draws:
    """Draws z = mean + std * noise (S, N, K) from posteriors with mean and std (N, K).

    ``log_prior`` is the log density of the prior of training; None for N(0, I).
    """

    mean: Tensor
    log_std: Tensor
    std: Tensor
    noise: Tensor
    z: Tensor
    log_prior: LogPrior | None = None

    @classmethod
    def of(
        cls, mean: Tensor, log_std: Tensor, noise: Tensor, log_prior: LogPrior | None = None
    ) -> Self:
        """Draw with standard normal noise (S, N, K) or (S, 1, K) ([1]_, section 2.4)."""
        std = log_std.exp()
        return cls(mean, log_std, std, noise, torch.addcmul(mean, std, noise), log_prior)

    def kl(self) -> Tensor:
        """The KL divergence of the posteriors from the prior. -> (N, K), or (N, 1).

        For N(0, I), it is that of each dimension, in closed form. For other priors, it is that of
        all dimensions together, estimated by the draws.
        """
        return self._kl

    @cached_property
    def _kl(self) -> Tensor:
        if self.log_prior is None:
            return kl_to_standard_normal(self.mean, self.log_std)
        return _mean_ratio(self.log_ratio())

    def take_kl(self, other: Draws) -> None:
        """Keep the KL divergence that the same draws have computed, if they have."""
        if "_kl" in vars(other):  # a learned prior's takes long to compute again
            vars(self)["_kl"] = other.kl().detach()

    def log_ratio(self) -> Tensor:
        """log q(z|x) - log p(z) of each draw. -> (S, N)."""
        if self.log_prior is None:
            # from the noise, since z - mean would lose its digits if std is small
            return (0.5 * (self.z.square() - self.noise.square()) - self.log_std).sum(-1)
        return self._log_q() - self.log_prior(self.z)

    def log_ratio_vjp(self) -> tuple[Tensor, Backward]:
        """``log_ratio``, and its backward function to z. Its gradient by each log_std is -1.

        It is also kept for ``kl``, since that of a learned prior takes long to compute again.
        """
        if self.log_prior is None:
            return self.log_ratio(), lambda gradient: gradient.unsqueeze(-1) * self.z
        log_p, into_z = self.log_prior.vjp(self.z)
        log_ratio = self._log_q() - log_p.to(self.z.dtype)  # that of a custom prior may differ
        vars(self)["_kl"] = _mean_ratio(log_ratio)
        return log_ratio, lambda gradient: into_z(-gradient.to(log_p.dtype))

    def _log_q(self) -> Tensor:
        """log q(z|x) of each draw. -> (S, N)."""
        return (-0.5 * (self.noise.square() + LOG_2PI) - self.log_std).sum(-1)

    def pulled_back(self, by_z: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients by mean and std of a function with gradient ``by_z``. -> 2 x (N, K)."""
        return by_z.sum(0), (by_z * self.noise).sum(0)


def _mean_ratio(log_ratio: Tensor) -> Tensor:
    """The KL divergence, estimated by draws. (S, N) -> (N, 1)."""
    return log_ratio.mean(0).unsqueeze(-1)


# Maps the gradient by z, through p(x|z), to the total gradients by mean and log_std.
IntoCodes = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass
class Objective(Value):
    """Base class of the objectives. Training maximises a bound on log p(x) for each row.

    A subclass implements ``bound``. Its gradient is computed by autograd, unless the subclass
    overrides ``vjp``. A subclass does not inherit ``vjp`` and ``replayable``, since they may be
    wrong once it overrides ``bound``.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the KL divergence in the bound. It rises from 0 to this value during
        ``kl_warmup``.
    free_bits : float, default=0.0
        Floor of the KL divergence of each component, in nats, as in ``elbo``.

    Attributes
    ----------
    label : str
        The name in plots.
    replayable : bool
        Whether a GPU may record the operations of ``vjp`` once and replay them, as that of
        :class:`~skvae.networks.NetworkModule`.
    """

    label: ClassVar[str] = "objective"
    replayable: ClassVar[bool] = False
    not_inherited: ClassVar[frozenset[str]] = frozenset({"vjp", "replayable"})
    rules: ClassVar[Mapping[str, Rule]] = {"beta": number(0), "free_bits": number(0)}

    beta: float = 1.0
    free_bits: float = 0.0

    def bound(self, log_px: Tensor, draws: Draws) -> Tensor:
        """Compute the bound on log p(x) of each row, in nats. (S, N) -> (N,).

        Parameters
        ----------
        log_px : Tensor of shape (S, N)
            log p(x|z) of each draw and row.
        draws : Draws
            The posteriors q(z|x) of the rows, and S draws z of each.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no method bound(log_px, draws). Every objective needs it."
        )

    def vjp(self, log_px: Later, draws: Draws, *, scale: float) -> tuple[Later, Tensor, IntoCodes]:
        """The bound, the gradient of ``scale`` times its sum by log_px, and its ``IntoCodes``.

        ``log_px`` and the bound are functions, so that they are computed only if needed. The
        gradient is computed by autograd. A subclass can override this method with a gradient in
        closed form, which is faster.
        """
        with (
            interrupts_held() as hold,
            torch.inference_mode(False),
            torch.enable_grad(),
            hold.lifted(),
        ):
            # clones, since autograd cannot record tensors of inference mode
            given = log_px(), draws.mean, draws.log_std
            leaves = [tensor.clone().detach().requires_grad_() for tensor in given]
            recorded = Draws.of(leaves[1], leaves[2], draws.noise.clone(), draws.log_prior)
            bound = self.bound(leaves[0], recorded)
            (scale * bound.sum()).backward()  # adds to the gradients of a prior too
        draws.take_kl(recorded)
        by_log_px, by_mean, by_log_std = (
            torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves
        )

        def into_codes(by_z: Tensor) -> tuple[Tensor, Tensor]:
            # the gradients through p(x|z), and those of the bound itself
            through_mean, through_std = draws.pulled_back(by_z)
            return through_mean + by_mean, through_std * draws.std + by_log_std

        return bound.detach, by_log_px, into_codes


@dataclass
class ELBO(Objective):
    """The evidence lower bound, averaged over draws, with the KL divergence in closed form."""

    label = "ELBO"
    replayable = True

    def bound(self, log_px: Tensor, draws: Draws) -> Tensor:
        # indexing is faster than the mean of a single draw
        log_px = log_px[0] if len(log_px) == 1 else log_px.mean(0)
        return elbo(log_px, draws.kl(), beta=self.beta, free_bits=self.free_bits)

    def vjp(self, log_px: Later, draws: Draws, *, scale: float) -> tuple[Later, Tensor, IntoCodes]:
        std, n_draws = draws.std, len(draws.z)
        by_log_px = std.new_full(draws.z.shape[:-1], scale / n_draws)
        into_z = None if draws.log_prior is None else draws.log_ratio_vjp()[1]
        by_kl = std.new_full((), -self.beta * scale)
        if self.free_bits > 0:
            by_kl = by_kl * (draws.kl() >= self.free_bits)

        def into_codes(by_z: Tensor) -> tuple[Tensor, Tensor]:
            if into_z is None:
                by_mean, by_std = draws.pulled_back(by_z)
                # the gradient of kl is mean by mean, and std^2 - 1 by log_std
                by_mean = torch.addcmul(by_mean, by_kl, draws.mean)
                return by_mean, torch.addcmul(by_std, by_kl, std) * std - by_kl
            # kl is the mean of log_ratio over draws
            by_ratio = (by_kl / n_draws).expand(len(std), 1).T.expand_as(by_log_px)
            by_mean, by_std = draws.pulled_back(by_z + into_z(by_ratio))
            return by_mean, by_std * std - by_kl

        return lambda: self.bound(log_px(), draws), by_log_px, into_codes


@dataclass
class IWAE(Objective):
    """The importance-weighted bound, with log q(z|x) - log p(z) multiplied by beta."""

    label = "IWAE bound"
    replayable = True

    def check(self) -> None:
        super().check()
        if self.free_bits > 0:
            raise ValueError(
                f"free_bits={self.free_bits} is a floor on the KL divergence in objective='elbo'; "
                "objective='iwae' has none. Set free_bits=0 or objective='elbo'."
            )

    def bound(self, log_px: Tensor, draws: Draws) -> Tensor:
        return importance_weighted_bound(log_px - self.beta * draws.log_ratio())

    def vjp(self, log_px: Later, draws: Draws, *, scale: float) -> tuple[Later, Tensor, IntoCodes]:
        log_ratio, into_z = draws.log_ratio_vjp()
        log_weight = log_px() - self.beta * log_ratio
        # the weights of the draws of a row sum to scale
        weight = scale * torch.softmax(log_weight, dim=0)

        def into_codes(by_z: Tensor) -> tuple[Tensor, Tensor]:
            by_mean, by_std = draws.pulled_back(by_z + into_z(-self.beta * weight))
            return by_mean, by_std * draws.std + self.beta * scale

        return lambda: importance_weighted_bound(log_weight), weight, into_codes


OBJECTIVES: dict[str, type[Objective]] = {"elbo": ELBO, "iwae": IWAE}
