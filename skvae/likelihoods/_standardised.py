"""What the likelihoods of real numbers share: standardised columns and a learned scale."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import log_ndtr
from torch import Tensor, nn

from skvae._floats import float_errors_ignored
from skvae.likelihoods._base import Array, Constants, Likelihood, Parameters
from skvae.likelihoods._numerics import LOG_SPEED, float32, smallest_gap, standardisation, widened

SMALLEST_SIGMA = 1e-2  # as a fraction of a column's standard deviation
RESOLUTION_ROWS = 10_000  # rows that are searched for the rounding of a column
# An extreme value of training is a limit if all values of a normal column of as many rows would
# stay within it with at most this probability.
BY_CHANCE = 0.01


class _Standardised(Likelihood):
    """Real numbers, in working units of mean 0 and standard deviation 1.

    The decoder yields a location for each column. The scale sigma of the noise around it is
    learned for each column, and has a floor. Draws beyond a limit of training are reflected at it.
    """

    def fit(self, x: Array, weight: Array) -> Constants:
        return constants_of(x, weight, *standardisation(x, weight))

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        other = (x != constants["location"]) & ~np.isnan(x)
        varies = constants["varies"] | other.any(axis=0)
        return constants | {"varies": varies, "limits": widened(constants["limits"], x)}

    def to_working(self, x: Array, constants: Constants) -> Array:
        return (x - constants["location"]) / constants["spread"]

    def from_working(self, x: Array, constants: Constants) -> Array:
        found, (low, high) = self._in_units(x, constants), constants["limits"].T
        with float_errors_ignored("over"):  # at limits near the largest float64
            found = np.minimum(np.maximum(found, low - (found - low)), high + (high - found))
        within: Array = found.clip(low, high)
        return within

    def from_mean(self, x: Array, constants: Constants) -> Array:
        return self._in_units(x, constants)

    def _in_units(self, x: Array, constants: Constants) -> Array:
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


def constants_of(x: Array, weight: Array, location: Array, spread: Array) -> Constants:
    """The constants of standardised columns (n, d): no spread is 0, and sigma has a floor."""
    gap = np.array([smallest_gap(column) for column in x[:RESOLUTION_ROWS].T])
    floor = np.maximum(SMALLEST_SIGMA * spread, gap / np.sqrt(12))
    constant = spread == 0
    size = np.abs(location[constant])
    spread[constant] = np.where(size == 0, 1.0, np.minimum(size, 1.0))
    floor[constant] = spread[constant] / np.sqrt(12)
    limits = limits_of(x, 0.5 * gap, weight.sum(), location, spread)
    limits[constant] = -np.inf, np.inf
    return {
        "location": location,
        "spread": spread,
        "varies": ~constant,
        "floor": floor / spread,
        "limits": limits,
    }


def limits_of(x: Array, rounding: Array, n_rows: float, location: Array, spread: Array) -> Array:
    """The smallest and the largest values (n, d) where they are limits, otherwise infinite. (d, 2).

    They are limits where a normal column would have had more extreme values, even if its values
    were rounded by up to ``rounding`` (d,). The probability that none of n values of a standard
    normal is below z is (1 - Phi(z))^n.
    """
    low, high = x.min(axis=0), x.max(axis=0)
    limit = np.log(BY_CHANCE) / n_rows
    ends_low = log_ndtr((location - low + rounding) / spread) < limit
    ends_high = log_ndtr((high + rounding - location) / spread) < limit
    return np.stack([np.where(ends_low, low, -np.inf), np.where(ends_high, high, np.inf)], axis=1)
