"""Normal density of real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from skvae._rules import Rule, number, one_of
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._base import Array, Constants, Parameters
from skvae.likelihoods._missing import MissingNormal
from skvae.likelihoods._numerics import LOG_SPEED, float32
from skvae.likelihoods._sample import ColumnSample
from skvae.likelihoods._standardised import _Standardised
from skvae.objectives import LOG_2PI

# The floor of sigma as a fraction of the spread of all columns that share a unit: a pixel that was
# black in all training images is not certain to be black.
SMALLEST_IN_UNIT = 0.05
SMALLEST_SCALE, LARGEST_SCALE = 1e-100, 1e100  # of a given sigma
SMALLEST_RATIO = 1e-30  # of a given sigma to the spread of a column, so that float32 holds it


class _Normal(_Standardised):
    """Standardised columns with normal noise."""

    has_location: ClassVar[bool] = True

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # -1/2 ((x - mean) / sigma)^2 - log sigma - 1/2 log 2 pi
        sigma = self.sigma(parameters)
        return -0.5 * ((x - outputs) / sigma).square() - (sigma.log() + 0.5 * LOG_2PI)

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        log_sigma, free_sigma = parameters["log_sigma"], self.free_sigma(parameters)
        sigma = torch.hypot(free_sigma, parameters["floor"])
        standard = (x - outputs) / sigma

        def log_prob() -> Tensor:
            # faster than self.log_prob: IWAE calls it in each step
            constant = -0.5 * LOG_2PI - sigma.log()
            return torch.addcmul(constant, standard, standard, value=-0.5)

        def backward(gradient: Tensor) -> Tensor:
            by_standard = gradient * standard
            if log_sigma.grad is not None:
                less_by_log = torch.addcmul(gradient, by_standard, standard, value=-1).sum((0, 1))
                # d log sigma / d log free_sigma
                share = (free_sigma / sigma).square()
                less_by_log = (less_by_log * share).sum_to_size(log_sigma.shape)
                log_sigma.grad.sub_(less_by_log, alpha=LOG_SPEED)
            return by_standard / sigma

        return log_prob, backward

    def missing(
        self, outputs: Tensor, parameters: Parameters, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Later]:
        # with the mean of p(x|z, missing), and the larger variance of p(x|z)
        found = MissingNormal(outputs, self.sigma(parameters), cells, bias, slope)
        return found.log_prob, found.given_missing

    def missing_vjp(
        self, outputs: Tensor, parameters: Parameters, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Backward]:
        log_sigma, sigma = parameters["log_sigma"], self.sigma(parameters)
        found = MissingNormal(outputs, sigma, cells, bias, slope)

        def backward(gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            by_outputs, by_bias, by_slope, by_log_sigma = found.backward(gradient)
            if log_sigma.grad is not None:
                share = (self.free_sigma(parameters) / sigma).square()
                by_log_sigma = (by_log_sigma * share).sum_to_size(log_sigma.shape)
                log_sigma.grad.add_(by_log_sigma, alpha=LOG_SPEED)
            return by_outputs, by_bias, by_slope

        return found.log_prob, backward

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        return outputs + self.sigma(parameters) * torch.empty_like(outputs).normal_(
            generator=generator
        )


@dataclass
class Gaussian(_Normal):
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
    A learned sigma stays above 1 % of its column's standard deviation, and above the rounding of
    the column, which is its smallest gap between two values over sqrt(12). Otherwise values that
    repeat would raise the density without bound. Columns that share a unit, as pixels do, have
    another floor: 5 % of the root mean square of their standard deviations.

    Training has a limit where it ends sooner than a normal column would: one of as many rows would
    go beyond with a probability of 99 %. Draws beyond a limit, or beyond named ``bounds``, are
    reflected at it.

    A constant column shows no rounding: its values are taken to be whole numbers, or multiples of
    the constant if that is below 1. Its draws and means are the constant, until ``partial_fit``
    sees another value.
    """

    vjp = _Normal.vjp
    missing = _Normal.missing
    missing_vjp = _Normal.missing_vjp
    replayable: ClassVar[bool] = True

    scale: str | float = "column"

    rules: ClassVar[Mapping[str, Rule]] = {
        "scale": one_of("column", "shared") | number(SMALLEST_SCALE, LARGEST_SCALE)
    }

    @property
    def has_location(self) -> bool:  # type: ignore[override]
        """Whether sigma is learned for each column, so that training may use another noise."""
        return self.scale == "column"

    @property
    def may_share_unit(self) -> bool:  # type: ignore[override]
        return self.has_location

    @property
    def is_equivariant(self) -> bool:  # type: ignore[override]
        return self.has_location

    @classmethod
    def auto_score(cls, column: ColumnSample) -> float | None:
        return None if column.is_category else 0.0

    def in_unit(self, constants: Constants, unit: Array | float) -> Constants:
        floor = SMALLEST_IN_UNIT * unit / constants["spread"]
        return constants | {"floor": np.maximum(constants["floor"], floor)}

    def fit(self, x: Array, weight: Array) -> Constants:
        constants = super().fit(x, weight)
        # a shared or fixed noise applies to constant columns too
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
