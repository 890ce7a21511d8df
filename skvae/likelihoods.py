r"""Observation models p(x|z), one density or mass per column.

A likelihood is a value: what the user chose. It has two sides.

*The table's side* is numpy in float64. ``inside`` tells the support, ``fit`` learns the
constants of a block of columns, ``to_working`` and ``from_working`` change between the
caller's units and the working units in which the networks see a column, and
``log_jacobian`` is the log of d working / d caller, which brings densities back to the
caller's units.

*The model's side* is torch, in working units. The decoder yields ``n_outputs`` numbers
per column, of shape (S, N, n_outputs * d) for S draws, N rows and d columns;
``parameters`` are the learned tensors that do not depend on z.

To add a likelihood: a class, and its row in ``LIKELIHOODS``.

References
----------
.. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014,
       appendix C.
.. [2] G. Loaiza-Ganem and J. P. Cunningham, "The continuous Bernoulli: fixing a
       pervasive error in variational autoencoders", NeurIPS 2019.
.. [3] O. Rybkin, K. Daniilidis and S. Levine, "Simple and Effective VAE Training with
       Calibrated Decoders", ICML 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skvae._value import Value
from skvae.sgvb import LOG_2PI

Array = NDArray[Any]
Constants = dict[str, Array]


class Likelihood(Value):
    """Base of the observation models; the default working units are the caller's."""

    support: ClassVar[str]
    n_outputs: ClassVar[int] = 1

    # -- the table's side ---------------------------------------------------------

    def inside(self, x: Array) -> Array:
        """Which values lie in the support. (n, d) -> (n, d) bool."""
        raise NotImplementedError

    def fit(self, x: Array, weight: Array) -> Constants:
        """Constants of the columns of ``x`` (n, d) with row weights (n,); each (d,)."""
        return {}

    def to_working(self, x: Array, constants: Constants) -> Array:
        """Caller's units to working units, (n, d) -> (n, d)."""
        return x

    def from_working(self, x: Array, constants: Constants) -> Array:
        """Working units to caller's units, (n, d) -> (n, d)."""
        return x

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        """The log of d working / d caller at each cell of ``x``, (n, d) or broadcasting to it."""
        return np.zeros((1, x.shape[1]))

    # -- the model's side ---------------------------------------------------------

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        """Start values of the learned tensors that do not depend on z."""
        return {}

    def draw_target(self, x: Tensor, generator: Generator) -> Tensor:
        """What a training step should see for the rows ``x``, (N, d) -> (N, d)."""
        return x

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """log p(x|z) of each cell. (N, d), (S, N, P) -> (S, N, d)."""
        raise NotImplementedError

    def mean(self, outputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """E[x|z]. (S, N, P) -> (S, N, d)."""
        raise NotImplementedError

    def sample(
        self, outputs: Tensor, parameters: Mapping[str, Tensor], generator: Generator
    ) -> Tensor:
        """A draw of x given z. (S, N, P) -> (S, N, d)."""
        raise NotImplementedError


SMALLEST_SIGMA = 1e-2  # as a fraction of a column's standard deviation
# Adam moves a parameter by about the learning rate a step, too slow for a sigma that has to fall
# tenfold: what is learned is log sigma / SIGMA_SPEED.
SIGMA_SPEED = 10.0
RESOLUTION_ROWS = 10_000  # rows that are searched for the rounding of a column
SMALLEST_RATIO = 1e-30  # of a given sigma to the spread of a column, so that float32 holds it


@dataclass
class Gaussian(Likelihood):
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
    numbers, or multiples of the constant where that is below 1.
    """

    scale: str | float = "column"

    support: ClassVar[str] = "the finite real numbers"

    def inside(self, x: Array) -> Array:
        return np.isfinite(x)

    def fit(self, x: Array, weight: Array) -> Constants:
        # Dividing by the largest magnitude first keeps the squares of 1e200 finite.
        largest = np.abs(x).max(axis=0)
        largest[largest == 0] = 1.0
        share = weight / weight.sum()
        location = largest * (share @ (x / largest))
        spread = largest * np.sqrt(share @ np.square((x - location) / largest))
        gap = np.array([smallest_gap(column) for column in x[:RESOLUTION_ROWS].T])
        floor = np.maximum(SMALLEST_SIGMA * spread, gap / np.sqrt(12))
        constant = x.min(axis=0) == x.max(axis=0)
        value = x[0, constant]
        location[constant] = value
        spread[constant] = np.where(value == 0, 1.0, np.minimum(np.abs(value), 1.0))
        floor[constant] = spread[constant] / np.sqrt(12)
        return {"location": location, "spread": spread, "floor": floor / spread}

    def to_working(self, x: Array, constants: Constants) -> Array:
        return (x - constants["location"]) / constants["spread"]

    def from_working(self, x: Array, constants: Constants) -> Array:
        return x * constants["spread"] + constants["location"]

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        return -np.log(constants["spread"])[None, :]

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        spread, floor = constants["spread"], constants["floor"]
        if self.scale == "column":
            log_sigma: Tensor = nn.Parameter(_float32(np.zeros_like(spread)))
            unit = np.ones_like(spread)
        elif self.scale == "shared":
            log_sigma = nn.Parameter(_float32(np.zeros(1)))
            relative = spread / spread.max()
            unit = np.sqrt(np.mean(np.square(relative))) / relative
        elif isinstance(self.scale, Real) and self.scale is not True and 0 < self.scale < np.inf:
            log_sigma = _float32(np.zeros(1))
            unit, floor = self.scale / spread, np.zeros_like(spread)
        else:
            raise ValueError(
                "The 'scale' of Gaussian must be 'column', 'shared' or a positive number; "
                f"got {self.scale!r}."
            )
        unit = unit.clip(SMALLEST_RATIO, 1 / SMALLEST_RATIO)
        return {"log_sigma": log_sigma, "unit": _float32(unit), "floor": _float32(floor)}

    def sigma(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Standard deviation of the noise, in working units, (d,)."""
        sigma = (SIGMA_SPEED * parameters["log_sigma"]).exp() * parameters["unit"]
        # not the larger of the two: a sigma below its floor would have no gradient to come back by
        return torch.hypot(sigma, parameters["floor"])

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        # -1/2 ((x - mean) / sigma)^2 - log sigma - 1/2 log 2 pi
        sigma = self.sigma(parameters)
        return -0.5 * ((x - outputs) / sigma).square() - (sigma.log() + 0.5 * LOG_2PI)

    def mean(self, outputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        return outputs

    def sample(
        self, outputs: Tensor, parameters: Mapping[str, Tensor], generator: Generator
    ) -> Tensor:
        return outputs + self.sigma(parameters) * torch.empty_like(outputs).normal_(
            generator=generator
        )


class _UnitInterval(Likelihood):
    """What the likelihoods of values in [0, 1] share."""

    support: ClassVar[str] = "the interval [0, 1]"

    def inside(self, x: Array) -> Array:
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

    binarize: bool = False

    def draw_target(self, x: Tensor, generator: Generator) -> Tensor:
        return torch.bernoulli(x, generator=generator) if self.binarize else x

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        # x l - log(1 + e^l)
        return x * outputs - F.softplus(outputs)

    def mean(self, outputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        return torch.sigmoid(outputs)

    def sample(
        self, outputs: Tensor, parameters: Mapping[str, Tensor], generator: Generator
    ) -> Tensor:
        return torch.bernoulli(torch.sigmoid(outputs), generator=generator)


@dataclass
class ContinuousBernoulli(_UnitInterval):
    """Density proportional to e^(l x) on [0, 1], l from the decoder [2]_.

    A proper density for grey levels, and so comparable between models; l = 0 is uniform.
    """

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        # l (x - 1/2) - log(sinh(l/2) / (l/2)), since the integral of e^(lx) is (e^l - 1) / l
        return outputs * (x - 0.5) - _log_sinhc(0.5 * outputs)

    def mean(self, outputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        # the derivative of the log normaliser: 1/2 + 1/2 (coth h - 1/h), h = l/2
        h = 0.5 * outputs
        small = h.abs() < 0.1
        safe = torch.where(small, torch.ones_like(h), h)
        langevin = torch.where(small, h / 3 - h**3 / 45, 1 / torch.tanh(safe) - 1 / safe)
        return 0.5 + 0.5 * langevin

    def sample(
        self, outputs: Tensor, parameters: Mapping[str, Tensor], generator: Generator
    ) -> Tensor:
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


def smallest_gap(x: Array) -> float:
    """The smallest distance between two different values, 0 where there is one. (n,) -> ()."""
    return float(np.diff(np.unique(x)).min(initial=np.inf)) if x.min() < x.max() else 0.0


def _float32(array: Array) -> Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32, device="cpu")


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
}
