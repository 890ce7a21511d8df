"""Densities of real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from skvae._rules import NOTHING, Rule, number, one_of
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._base import (
    Array,
    Constants,
    Likelihood,
    Parameters,
    float32,
    smallest_gap,
    standardisation,
)
from skvae.objectives import LOG_2PI

SMALLEST_SIGMA = 1e-2  # as a fraction of a column's standard deviation
# As a fraction of the spread of all columns in a unit: a pixel that was black in all training
# images is not certain to be black.
SMALLEST_IN_UNIT = 0.05
# Adam moves a parameter by about the learning rate a step, too slow for a sigma that has to fall
# tenfold: what is learned is log sigma / SIGMA_SPEED.
SIGMA_SPEED = 10.0
RESOLUTION_ROWS = 10_000  # rows that are searched for the rounding of a column
IQR_OF_NORMAL = 1.349  # interquartile range of a standard normal
SMALLEST_IQR = 1e-9  # to the standard deviation, so that float32 holds the outliers' squares
START_DF = 5.0
SMALLEST_DF, LARGEST_DF = 0.01, 1e30
# of a finite amount; 2^-1074 is the smallest, which arithmetic may take for 0
LOG_RANGE = (-1074 * np.log(2), np.log(np.finfo(np.float64).max))
LARGEST_LOG_MEAN = 80.0  # so that float32 holds its exponential
SMALLEST_SCALE, LARGEST_SCALE = 1e-100, 1e100  # of a given sigma
SMALLEST_RATIO = 1e-30  # of a given sigma to the spread of a column, so that float32 holds it


class _Standardised(Likelihood):
    """What the likelihoods of real values share: standardised columns, and a normal noise."""

    support: ClassVar[str] = "the finite real numbers"
    is_density: ClassVar[bool] = True
    has_location: ClassVar[bool] = True

    def inside(self, x: Array, constants: Constants) -> Array:
        return np.isfinite(x)

    def fit(self, x: Array, weight: Array) -> Constants:
        return with_floor(x, *standardisation(x, weight))

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        other = (x != constants["location"]) & ~np.isnan(x)
        return constants | {"varies": constants["varies"] | other.any(axis=0)}

    def to_working(self, x: Array, constants: Constants) -> Array:
        return (x - constants["location"]) / constants["spread"]

    def from_working(self, x: Array, constants: Constants) -> Array:
        # what was constant comes back so
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
            log_sigma.data.copy_((0.5 * free.log() - parameters["log_unit"]) / SIGMA_SPEED)

    def sigma(self, parameters: Parameters) -> Tensor:
        """Scale of the noise, in working units, (d,)."""
        # not the larger of the two: a sigma below its floor would have no gradient to come back by
        return torch.hypot(self.free_sigma(parameters), parameters["floor"])

    def free_sigma(self, parameters: Parameters) -> Tensor:
        """What is learned of sigma, (d,)."""
        log_sigma, log_unit = parameters["log_sigma"], parameters["log_unit"]
        return torch.add(log_unit, log_sigma, alpha=SIGMA_SPEED).exp()

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # -1/2 ((x - mean) / sigma)^2 - log sigma - 1/2 log 2 pi
        sigma = self.sigma(parameters)
        return -0.5 * ((x - outputs) / sigma).square() - (sigma.log() + 0.5 * LOG_2PI)

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        log_sigma, free_sigma = parameters["log_sigma"], self.free_sigma(parameters)
        sigma = torch.hypot(free_sigma, parameters["floor"])
        standard = (x - outputs) / sigma

        def log_prob() -> Tensor:
            # faster than self.log_prob, and IWAE asks in each step
            constant = -0.5 * LOG_2PI - sigma.log()
            return torch.addcmul(constant, standard, standard, value=-0.5)

        def backward(gradient: Tensor) -> Tensor:
            by_standard = gradient * standard
            if log_sigma.grad is not None:
                less_by_log = torch.addcmul(gradient, by_standard, standard, value=-1).sum((0, 1))
                # log sigma by log sigma without its floor
                share = (free_sigma / sigma).square()
                less_by_log = (less_by_log * share).sum_to_size(log_sigma.shape)
                log_sigma.grad.sub_(less_by_log, alpha=SIGMA_SPEED)
            return by_standard / sigma

        return log_prob, backward

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return outputs

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        return outputs + self.sigma(parameters) * torch.empty_like(outputs).normal_(
            generator=generator
        )


@dataclass
class Gaussian(_Standardised):
    """Normal density around the decoder's output, for any real values.

    Columns are standardised inside: the networks see values of mean 0 and standard
    deviation 1, densities and draws are in the caller's units.

    Parameters
    ----------
    scale : {"column", "shared"} or float, default="column"
        The standard deviation sigma of the noise. "column" learns one for each column,
        "shared" learns a single one for all columns [3]_; a number is sigma itself, held fixed.
        Shared and fixed sigmas are in the caller's units.

    Notes
    -----
    A learned sigma stays above 1 % of its column's standard deviation and above the rounding of the
    column, its smallest gap between two values over sqrt(12): values that repeat would else raise
    the density without bound. A constant column shows no rounding: its values are taken to be whole
    numbers, or multiples of the constant where that is below 1. Its draws and means are the
    constant, until ``partial_fit`` sees another value. Columns that share a unit, as pixels do,
    have another floor: 5 % of the root mean square of their standard deviations.
    """

    scale: str | float = "column"

    rules: ClassVar[Mapping[str, Rule]] = {
        "scale": one_of("column", "shared") | number(SMALLEST_SCALE, LARGEST_SCALE)
    }

    @property
    def has_location(self) -> bool:  # type: ignore[override]
        """Whether codes may be found by another noise: not where it is given, or shared anyway."""
        return self.scale == "column"

    @property
    def may_share_unit(self) -> bool:  # type: ignore[override]
        return self.has_location

    def in_unit(self, constants: Constants, unit: float) -> Constants:
        floor = SMALLEST_IN_UNIT * unit / constants["spread"]
        return constants | {"floor": np.maximum(constants["floor"], floor)}

    def fit(self, x: Array, weight: Array) -> Constants:
        constants = super().fit(x, weight)
        # a noise that is shared or given is for constants too
        return constants | {"varies": constants["varies"] | (self.scale != "column")}

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        found, spread = super().parameters(constants), constants["spread"]
        if self.scale == "column":
            return found
        if self.scale == "shared":
            found["log_sigma"] = nn.Parameter(float32(np.zeros(1)))
            relative = spread / spread.max()
            unit = np.sqrt(np.mean(np.square(relative))) / relative
        else:
            found["log_sigma"] = float32(np.zeros(1))
            found["floor"] = float32(np.zeros_like(spread))
            unit = float(self.scale) / spread
        log_unit = np.log(unit.clip(SMALLEST_RATIO, 1 / SMALLEST_RATIO))
        return found | {"log_unit": float32(log_unit)}


@dataclass
class LogNormal(_Standardised):
    """Normal density of log x, for positive amounts.

    The logarithms are standardised inside; sigma is learned for each column, as by
    :class:`Gaussian` with ``scale="column"``.
    """

    support: ClassVar[str] = "the positive numbers"

    def inside(self, x: Array, constants: Constants) -> Array:
        inside: Array = (x > 0) & np.isfinite(x)
        return inside

    def fit(self, x: Array, weight: Array) -> Constants:
        return super().fit(np.log(x), weight)

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        with np.errstate(divide="ignore", invalid="ignore"):  # the support is checked elsewhere
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
        # over e^location: means of draws of z are averaged, not their logarithms
        spread = parameters["spread"]
        log_mean = spread * (outputs + 0.5 * spread * self.sigma(parameters).square())
        return log_mean.clamp(-LARGEST_LOG_MEAN, LARGEST_LOG_MEAN).exp()


@dataclass
class StudentT(_Standardised):
    """Student's t around the decoder's output, for real values with outliers.

    Where a mean is asked for, it gives the centre, also where there is no mean, for ``df <= 1``.

    Parameters
    ----------
    df : float, default=None
        Degrees of freedom: 1 is Cauchy, many are normal. None learns them for each column, above 1.

    Notes
    -----
    Columns are standardised inside by their median and their interquartile range, which outliers
    do not move. The scale is learned for each column, with a floor as that of :class:`Gaussian`.
    """

    # a mean of its working units would be that of outliers
    has_location: ClassVar[bool] = False

    df: float | None = None

    rules: ClassVar[Mapping[str, Rule]] = {"df": NOTHING | number(SMALLEST_DF)}

    def fit(self, x: Array, weight: Array) -> Constants:
        location, spread = standardisation(x, weight)
        low, middle, high = np.quantile(
            x, [0.25, 0.5, 0.75], axis=0, weights=weight, method="inverted_cdf"
        )
        robust = (high - low) / IQR_OF_NORMAL
        usable = robust > SMALLEST_IQR * spread
        return with_floor(x, np.where(usable, middle, location), np.where(usable, robust, spread))

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        d = constants["spread"].shape
        if self.df is None:
            excess: Tensor = nn.Parameter(float32(np.full(d, START_DF)) / SIGMA_SPEED)
        else:
            excess = float32(np.full(d, float(min(self.df, LARGEST_DF))))
        return super().parameters(constants) | {"excess_df": excess}

    def degrees(self, parameters: Parameters) -> Tensor:
        """Degrees of freedom of each column, (d,)."""
        if self.df is not None:
            return parameters["excess_df"]
        return 1 + nn.functional.softplus(SIGMA_SPEED * parameters["excess_df"])

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        return torch.asinh(x).unsqueeze(-1)

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # log G((v+1)/2) - log G(v/2) - log(v pi)/2 - log s - (v+1)/2 log(1 + ((x-m)/s)^2 / v)
        v, sigma = self.degrees(parameters), self.sigma(parameters)
        square = ((x - outputs) / sigma).square()
        constant = log_gamma_step(0.5 * v) - 0.5 * LOG_2PI - sigma.log()
        return constant - 0.5 * (v + 1) * torch.log1p(square / v)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        # normal / sqrt(chi^2_v / v), chi^2_v = 2 Gamma(v / 2)
        half = (0.5 * self.degrees(parameters)).expand_as(outputs).contiguous()
        gamma = torch._standard_gamma(half, generator=generator)
        normal = torch.empty_like(outputs).normal_(generator=generator)
        return outputs + self.sigma(parameters) * normal * (half / gamma).sqrt()


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


def log_gamma_step(a: Tensor) -> Tensor:
    """log Gamma(a + 1/2) - log Gamma(a) - 1/2 log a, which vanishes as a grows."""
    small, large = a.clamp(max=20.0), a.clamp(min=20.0)
    square = large.square()
    series = -1 / 8 + (1 / 192 - (1 / 640 - 17 / (14336 * square)) / square) / square
    exact = torch.lgamma(small + 0.5) - torch.lgamma(small) - 0.5 * small.log()
    return torch.where(a < 20.0, exact, series / large)
