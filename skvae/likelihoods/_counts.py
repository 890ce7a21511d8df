"""Masses of counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from skvae._rules import TRUTH, Rule
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

LARGEST_COUNT = 1e9  # a CUDA device draws counts of 32 bits
LARGEST_LOG_RATE = 16.0  # above that of the column's mean
DISPERSION_RANGE = (1e-4, 1e6)


class _Counts(Likelihood):
    """What the likelihoods of counts share: a rate for each cell."""

    support: ClassVar[str] = "the whole numbers from 0 to 10^9"
    library_size: bool = False
    rules: ClassVar[Mapping[str, Rule]] = {"library_size": TRUTH}

    @property
    def needs_all(self) -> bool:
        return self.library_size

    def inside(self, x: Array, constants: Constants) -> Array:
        inside: Array = (x >= 0) & (x <= LARGEST_COUNT) & (x == np.floor(x))
        return inside

    def fit(self, x: Array, weight: Array) -> Constants:
        mean, deviation = standardisation(x, weight)
        center, spread = standardisation(np.log1p(x), weight)
        return {
            # a column of zeros has a rate below one in the rows there are
            "mean": np.maximum(mean, 0.5 / len(x)),
            "variance": np.square(deviation),
            "center": center,
            "spread": np.where(spread > 0, spread, 1.0),
        }

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        found = {name: float32(constants[name]) for name in ("center", "spread")}
        return found | {"log_mean": float32(np.log(constants["mean"]))}

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        return ((torch.log1p(x) - parameters["center"]) / parameters["spread"]).unsqueeze(-1)

    def rate(self, outputs: Tensor, parameters: Parameters, library: Tensor | None) -> Tensor:
        """The mean of each cell. (S, N, d) -> (S, N, d).

        With library sizes (N, 1): their shares. None takes the mean library size.
        """
        log_rate = outputs.clamp(max=LARGEST_LOG_RATE) + parameters["log_mean"]
        if not self.library_size:
            return log_rate.exp()
        mean = parameters["log_mean"].exp().sum()
        return torch.softmax(log_rate, dim=-1) * (mean if library is None else library)

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return self.rate(outputs, parameters, None)

    def _rate_of(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        library = x.sum(-1, keepdim=True).clamp(min=1.0) if self.library_size else None
        return self.rate(outputs, parameters, library).clamp(min=1e-10)


@dataclass
class Poisson(_Counts):
    """Poisson mass of counts, the log of the rate from the decoder.

    Parameters
    ----------
    library_size : bool, default=False
        Whether a row's rates are shares of its sum, as for counts of cells x genes, where a row's
        sum tells how deeply it was read. log p(x) is then given the row's sum; means and draws
        have the mean sum. No cell may be missing.
    """

    library_size: bool = False

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # x log r - r - log x! = x log(r / x) - (r - x) - rest(x)
        r = self._rate_of(x, outputs, parameters)
        return x * (r / x.clamp(min=1.0)).log() - (r - x) - stirling_rest(x)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        return poisson(self.rate(outputs, parameters, None), generator)


@dataclass
class NegativeBinomial(_Counts):
    """Negative binomial mass of counts that vary more than a Poisson's.

    The log of the mean m comes from the decoder. The dispersion r is learned for each column: the
    variance is m + m^2 / r.

    Parameters
    ----------
    library_size : bool, default=False
        Whether a row's means are shares of its sum; see :class:`Poisson`.
    """

    library_size: bool = False

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        mean, variance = constants["mean"], constants["variance"]
        dispersion = np.square(mean) / np.maximum(variance - mean, 1e-3 * mean)
        log_dispersion = np.log(dispersion.clip(0.1, 10.0)) / SIGMA_SPEED
        learned: Tensor = nn.Parameter(float32(log_dispersion))
        return super().parameters(constants) | {"log_dispersion": learned}

    def dispersion(self, parameters: Parameters) -> Tensor:
        """r of each column, (d,)."""
        low, high = DISPERSION_RANGE
        # not cut off at the ends, where there would be no gradient to come back by
        return low + 1 / ((-SIGMA_SPEED * parameters["log_dispersion"]).exp() + 1 / high)

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # log G(x+r) - log G(r) - log x! - r log(1 + m/r) - x log(1 + r/m)
        m, r = self._rate_of(x, outputs, parameters), self.dispersion(parameters)
        rests = stirling_rest(x + r) - stirling_rest(r) - stirling_rest(x)
        constant = rests + x * torch.log1p(r / x.clamp(min=1.0)) + (r - 1) * torch.log1p(x / r)
        return constant - r * torch.log1p(m / r) - x * torch.log1p(r / m)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        # Poisson of a Gamma(r, r / m) rate
        m, r = self.rate(outputs, parameters, None), self.dispersion(parameters)
        gamma = torch._standard_gamma(r.expand_as(m).contiguous(), generator=generator)
        return poisson(gamma * m / r, generator)


def poisson(rate: Tensor, generator: Generator) -> Tensor:
    """Draws of counts, none beyond the largest."""
    draws = torch.poisson(rate.clamp(max=LARGEST_COUNT), generator=generator)
    return draws.clamp(max=LARGEST_COUNT)
