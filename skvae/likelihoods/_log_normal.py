"""Log-normal density of positive amounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from skvae._floats import float_errors_ignored
from skvae.likelihoods._base import Array, Constants, Parameters
from skvae.likelihoods._gaussian import _Normal
from skvae.likelihoods._numerics import float32

# of the smallest amount; processors may round the denormal numbers below it to 0
LOG_RANGE = (-1074 * np.log(2), np.log(np.finfo(np.float64).max))
LARGEST_LOG_MEAN = 80.0  # so that float32 holds its exponential


@dataclass
class LogNormal(_Normal):
    """Normal density of log x, for positive amounts.

    The logarithms are standardised inside. Sigma is learned for each column, as by
    :class:`Gaussian` with ``scale="column"``.
    """

    vjp = _Normal.vjp
    missing = _Normal.missing
    missing_vjp = _Normal.missing_vjp
    replayable: ClassVar[bool] = True
    support: ClassVar[str] = "the positive numbers"

    def in_support(self, x: Array, constants: Constants) -> Array:
        inside: Array = (x > 0) & np.isfinite(x)
        return inside

    def fit(self, x: Array, weight: Array) -> Constants:
        return super().fit(np.log(x), weight)

    def limits(self, constants: Constants) -> Array:
        with float_errors_ignored("over"):
            amounts: Array = np.exp(constants["limits"])
        return amounts

    def with_limits(self, constants: Constants, limits: Array) -> Constants:
        with float_errors_ignored("divide"):
            return super().with_limits(constants, np.log(limits.clip(min=0)))

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        with float_errors_ignored("divide", "invalid"):  # the support is checked elsewhere
            return super().update_constants(np.log(x), constants)

    def to_working(self, x: Array, constants: Constants) -> Array:
        return super().to_working(np.log(x), constants)

    def from_working(self, x: Array, constants: Constants) -> Array:
        amount: Array = np.exp(super().from_working(x, constants).clip(*LOG_RANGE))
        return amount

    def from_mean(self, x: Array, constants: Constants) -> Array:
        log_mean = np.where(constants["varies"], np.log(x), 0.0) + constants["location"]
        mean: Array = np.exp(log_mean.clip(*LOG_RANGE))
        return mean

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        found: Array = super().log_jacobian(x, constants) - np.log(x)
        return found

    def log_unit(self, x: Array, constants: Constants) -> Array:
        found: Array = super().log_unit(x, constants) + constants["location"]
        return found

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        return super().parameters(constants) | {"spread": float32(constants["spread"])}

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        # divided by e^location; the means of draws of z are averaged, not their logarithms
        spread = parameters["spread"]
        log_mean = spread * (outputs + 0.5 * spread * self.sigma(parameters).square())
        return log_mean.clamp(-LARGEST_LOG_MEAN, LARGEST_LOG_MEAN).exp()
