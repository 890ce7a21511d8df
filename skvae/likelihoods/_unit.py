"""Masses and densities of values between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.special import expit, logit
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skvae._rules import TRUTH, Rule
from skvae._torch.fused import kernels
from skvae._torch.random import draw_bernoulli
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._base import (
    Array,
    Constants,
    Likelihood,
    Parameters,
    float32,
    standardisation,
    stirling_rest,
)
from skvae.likelihoods._real import SIGMA_SPEED

LARGEST_PRECISION = 1e6
START_PRECISION = 1e4  # at most
SMALLEST_SHAPE = 1e-4  # both stay above it where the mean saturates


class _UnitInterval(Likelihood):
    """What the likelihoods of values in [0, 1] share."""

    support: ClassVar[str] = "the interval [0, 1]"

    def inside(self, x: Array, constants: Constants) -> Array:
        inside: Array = (x >= 0) & (x <= 1)
        return inside


@dataclass
class Bernoulli(_UnitInterval):
    """Mass of a yes or no, its logit from the decoder, for values in [0, 1].

    A value strictly between 0 and 1 counts as that share of a yes: x log p + (1 - x)
    log(1 - p) [1]_. That is a loss, not a density: for log-likelihoods of grey levels take
    :class:`ContinuousBernoulli`, or draw them to 0 or 1.

    Parameters
    ----------
    binarize : bool, default=False
        Draw every training value to 0 or 1, afresh at each step, with its grey level as the
        probability of a 1 (dynamic binarisation). Data that is scored is taken as it is.
    """

    takes_bfloat16: ClassVar[bool] = True

    binarize: bool = False

    rules: ClassVar[Mapping[str, Rule]] = {"binarize": TRUTH}

    def draw_target(self, x: Tensor, generator: Generator) -> Tensor:
        return draw_bernoulli(x, x, generator) if self.binarize else x

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # x l - log(1 + e^l)
        return torch.addcmul(F.softplus(outputs).neg_(), x, outputs)

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        def backward(gradient: Tensor) -> Tensor:
            fused = kernels()
            fits = x.dtype == gradient.dtype == torch.float32 and gradient.stride(-1) == 0
            if fused is not None and fits and outputs.dtype in fused.DTYPES:
                parts = x.contiguous(), outputs.contiguous()
                return fused.bernoulli_gradient(*parts, gradient[..., 0])
            mean = torch.sigmoid(outputs.to(x.dtype))
            return torch.sub(x, mean, out=mean).mul_(gradient)

        return lambda: self.log_prob(x, outputs.to(x.dtype), parameters), backward

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return torch.sigmoid(outputs)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        p = self.mean(outputs, parameters)
        return (torch.empty_like(p).uniform_(generator=generator) < p).to(p.dtype)


@dataclass
class ContinuousBernoulli(_UnitInterval):
    """Density proportional to e^(l x) on [0, 1], l from the decoder [2]_.

    A proper density for grey levels, and so comparable between models; l = 0 is uniform.
    """

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # l (x - 1/2) - log(sinh(l/2) / (l/2)), since the integral of e^(lx) is (e^l - 1) / l
        return outputs * (x - 0.5) - _log_sinhc(0.5 * outputs)

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        # the derivative of the log normaliser: 1/2 + 1/2 (coth h - 1/h), h = l/2
        h = 0.5 * outputs
        small = h.abs() < 0.1
        safe = torch.where(small, torch.ones_like(h), h)
        langevin = torch.where(small, h / 3 - h**3 / 45, 1 / torch.tanh(safe) - 1 / safe)
        return 0.5 + 0.5 * langevin

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        # The inverse of F(x) = (e^(lx) - 1) / (e^l - 1) for l < 0; x -> 1 - x flips the sign of l.
        u = torch.empty_like(outputs).uniform_(generator=generator)
        slope = -outputs.abs().clamp(min=1e-4)
        draw = torch.log1p(u * torch.expm1(slope)) / slope
        return torch.where(outputs < 0, draw, 1 - draw).clamp(0, 1)


def _log_sinhc(h: Tensor) -> Tensor:
    """log(sinh(h) / h), smooth through 0."""
    small = h.abs() < 0.1
    a = torch.where(small, torch.ones_like(h), h.abs())
    large = a + torch.log1p(-torch.exp(-2 * a)) - torch.log(2 * a)
    return torch.where(small, h.square() / 6 - h**4 / 180, large)


@dataclass
class Beta(Likelihood):
    """Beta density on the open interval (0, 1), for shares and rates.

    The decoder yields the logit of the mean mu; the precision phi, that of
    Beta(mu phi, (1 - mu) phi), is learned for each column. The working units are logits, in which
    float32 tells shares near 1 apart.
    """

    support: ClassVar[str] = "the open interval (0, 1)"
    is_density: ClassVar[bool] = True

    def inside(self, x: Array, constants: Constants) -> Array:
        inside: Array = (x > 0) & (x < 1)
        return inside

    def fit(self, x: Array, weight: Array) -> Constants:
        mean, deviation = standardisation(x, weight)
        center, spread = standardisation(logit(x), weight)
        # the variance of Beta(mu phi, (1 - mu) phi) is mu (1 - mu) / (1 + phi)
        largest = mean * (1 - mean)
        variance = np.maximum(np.square(deviation), largest / LARGEST_PRECISION)
        precision = largest / np.maximum(variance, np.finfo(np.float64).tiny) - 1
        return {
            "mean": logit(mean),
            "precision": precision.clip(0.1, START_PRECISION),
            "center": center,
            "spread": np.where(spread > 0, spread, 1.0),
        }

    def to_working(self, x: Array, constants: Constants) -> Array:
        working: Array = logit(x)
        return working

    def from_working(self, x: Array, constants: Constants) -> Array:
        # inside also where they are rounded to float32
        share: Array = expit(x).clip(np.finfo(np.float32).tiny, np.nextafter(np.float32(1), 0))
        return share

    def from_mean(self, x: Array, constants: Constants) -> Array:
        return x

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        found: Array = -np.log(x) - np.log1p(-x)
        return found

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        log_precision = float32(np.log(constants["precision"]) / SIGMA_SPEED)
        found = {name: float32(constants[name]) for name in ("mean", "center", "spread")}
        return found | {"log_precision": nn.Parameter(log_precision)}

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        return ((x - parameters["center"]) / parameters["spread"]).unsqueeze(-1)

    def shapes(self, outputs: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Both parameters of the density, (S, N, d) each."""
        # not cut off at the largest, where there would be no gradient to come back by
        precision = 1 / ((-SIGMA_SPEED * parameters["log_precision"]).exp() + 1 / LARGEST_PRECISION)
        mean = outputs + parameters["mean"]
        return (
            torch.sigmoid(mean) * precision + SMALLEST_SHAPE,
            torch.sigmoid(-mean) * precision + SMALLEST_SHAPE,
        )

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # of the logit: a log s + b log(1 - s) - log B(a, b), s the share
        a, b = self.shapes(outputs, parameters)
        ratios = a * (F.logsigmoid(x) + torch.log1p(b / a)) + b * (
            F.logsigmoid(-x) + torch.log1p(a / b)
        )
        rests = stirling_rest(a + b) - stirling_rest(a) - stirling_rest(b)
        return ratios + rests - (1 / a + 1 / b).log()

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        a, b = self.shapes(outputs, parameters)
        return a / (a + b)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        a, b = (_log_gamma_draw(c, generator) for c in self.shapes(outputs, parameters))
        return a - b


def _log_gamma_draw(shape: Tensor, generator: Generator) -> Tensor:
    """The log of a draw of Gamma(shape), finite for the smallest shape."""
    # Gamma(c) is Gamma(c + 1) u^(1/c), and -log u is exponential
    exponential = torch.empty_like(shape).exponential_(generator=generator)
    return torch._standard_gamma(shape + 1, generator=generator).log() - exponential / shape
