"""What the likelihoods of real numbers share: standardised columns and a learned scale."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from skvae.likelihoods._base import Array, Constants, Likelihood, Parameters
from skvae.likelihoods._numerics import LOG_SPEED, float32, smallest_gap, standardisation

SMALLEST_SIGMA = 1e-2  # as a fraction of a column's standard deviation
RESOLUTION_ROWS = 10_000  # rows that are searched for the rounding of a column


class _Standardised(Likelihood):
    """Real numbers, in working units of mean 0 and standard deviation 1.

    The decoder yields a location for each column. The scale sigma of the noise around it is
    learned for each column, and has a floor.
    """

    is_density: ClassVar[bool] = True

    def fit(self, x: Array, weight: Array) -> Constants:
        return with_floor(x, *standardisation(x, weight))

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        other = (x != constants["location"]) & ~np.isnan(x)
        return constants | {"varies": constants["varies"] | other.any(axis=0)}

    def to_working(self, x: Array, constants: Constants) -> Array:
        return (x - constants["location"]) / constants["spread"]

    def from_working(self, x: Array, constants: Constants) -> Array:
        # draws of a constant column are the constant
        found: Array = x * (constants["spread"] * constants["varies"]) + constants["location"]
        return found

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        return -np.log(constants["spread"])[None, :]

    def log_unit(self, x: Array, constants: Constants) -> Array:
        return np.log(constants["spread"])[None, :]

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        spread = constants["spread"]
        return {
            "log_sigma": nn.Parameter(float32(np.zeros_like(spread))),
            "log_unit": float32(np.zeros_like(spread)),
            "floor": float32(constants["floor"]),
        }

    def fit_noise(self, variance: Tensor, parameters: Parameters) -> None:
        log_sigma, floor = parameters["log_sigma"], parameters["floor"]
        if log_sigma.shape == variance.shape:
            free = (variance - floor.square()).clamp(min=SMALLEST_SIGMA**2)
            log_sigma.data.copy_((0.5 * free.log() - parameters["log_unit"]) / LOG_SPEED)

    def sigma(self, parameters: Parameters) -> Tensor:
        """The scale of the noise in working units, (d,)."""
        # not the larger of the two: a sigma below its floor would have no gradient
        return torch.hypot(self.free_sigma(parameters), parameters["floor"])

    def free_sigma(self, parameters: Parameters) -> Tensor:
        """Sigma without its floor, (d,)."""
        log_sigma, log_unit = parameters["log_sigma"], parameters["log_unit"]
        return torch.add(log_unit, log_sigma, alpha=LOG_SPEED).exp()

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return outputs


def with_floor(x: Array, location: Array, spread: Array) -> Constants:
    """The constants of standardised columns (n, d): no spread is 0, and sigma has a floor."""
    gap = np.array([smallest_gap(column) for column in x[:RESOLUTION_ROWS].T])
    floor = np.maximum(SMALLEST_SIGMA * spread, gap / np.sqrt(12))
    constant = spread == 0
    size = np.abs(location[constant])
    spread[constant] = np.where(size == 0, 1.0, np.minimum(size, 1.0))
    floor[constant] = spread[constant] / np.sqrt(12)
    return {
        "location": location,
        "spread": spread,
        "varies": ~constant,
        "floor": floor / spread,
    }
