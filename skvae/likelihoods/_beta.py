"""Beta density of shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.special import expit, logit
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skvae._torch.operations import standard_gamma
from skvae.likelihoods._base import Array, Constants, Likelihood, Parameters
from skvae.likelihoods._numerics import LOG_SPEED, float32, standardisation, stirling_remainder

LARGEST_PRECISION = 1e6
START_PRECISION = 1e4  # at most
SMALLEST_SHAPE = 1e-4  # both stay above it where the mean saturates


@dataclass
class Beta(Likelihood):
    """Beta density on the open interval (0, 1), for shares and rates.

    The decoder yields the logit of the mean mu; the precision phi, that of
    Beta(mu phi, (1 - mu) phi), is learned for each column. The working units are logits, in which
    float32 distinguishes shares near 1.
    """

    support: ClassVar[str] = "the open interval (0, 1)"
    is_density: ClassVar[bool] = True
    replayable: ClassVar[bool] = True

    def in_support(self, x: Array, constants: Constants) -> Array:
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
        # in the open interval, also after rounding to float32
        share: Array = expit(x).clip(np.finfo(np.float32).tiny, np.nextafter(np.float32(1), 0))
        return share

    def from_mean(self, x: Array, constants: Constants) -> Array:
        return x

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        found: Array = -np.log(x) - np.log1p(-x)
        return found

    def limits(self, constants: Constants) -> Array:
        return np.array([[0.0, 1.0]])

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        log_precision = float32(np.log(constants["precision"]) / LOG_SPEED)
        found = {name: float32(constants[name]) for name in ("mean", "center", "spread")}
        return found | {"log_precision": nn.Parameter(log_precision)}

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        return ((x - parameters["center"]) / parameters["spread"]).unsqueeze(-1)

    def shapes(self, outputs: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Both parameters of the density, (S, N, d) each."""
        # a smooth upper bound: there would be no gradient beyond a sharp one
        precision = 1 / ((-LOG_SPEED * parameters["log_precision"]).exp() + 1 / LARGEST_PRECISION)
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
        remainders = stirling_remainder(a + b) - stirling_remainder(a) - stirling_remainder(b)
        return ratios + remainders - (1 / a + 1 / b).log()

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
    return standard_gamma(shape + 1, generator).log() - exponential / shape
