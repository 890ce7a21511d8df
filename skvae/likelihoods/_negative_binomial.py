"""Negative binomial mass of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from skvae._torch.operations import standard_gamma
from skvae.likelihoods._base import Constants, Parameters
from skvae.likelihoods._counts import _Counts, poisson
from skvae.likelihoods._numerics import LOG_SPEED, float32, stirling_remainder

DISPERSION_RANGE = (1e-4, 1e6)


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

    replayable: ClassVar[bool] = True

    library_size: bool = False

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        mean, variance = constants["mean"], constants["variance"]
        dispersion = np.square(mean) / np.maximum(variance - mean, 1e-3 * mean)
        log_dispersion = np.log(dispersion.clip(0.1, 10.0)) / LOG_SPEED
        learned: Tensor = nn.Parameter(float32(log_dispersion))
        return super().parameters(constants) | {"log_dispersion": learned}

    def dispersion(self, parameters: Parameters) -> Tensor:
        """r of each column, (d,)."""
        low, high = DISPERSION_RANGE
        # smooth bounds: there would be no gradient beyond sharp ones
        return low + 1 / ((-LOG_SPEED * parameters["log_dispersion"]).exp() + 1 / high)

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # log G(x+r) - log G(r) - log x! - r log(1 + m/r) - x log(1 + r/m)
        m, r = self._rate_of(x, outputs, parameters), self.dispersion(parameters)
        remainders = stirling_remainder(x + r) - stirling_remainder(r) - stirling_remainder(x)
        constant = remainders + x * torch.log1p(r / x.clamp(min=1.0)) + (r - 1) * torch.log1p(x / r)
        return constant - r * torch.log1p(m / r) - x * torch.log1p(r / m)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        # Poisson of a Gamma(r, r / m) rate
        m, r = self.rate(outputs, parameters, None), self.dispersion(parameters)
        gamma = standard_gamma(r.expand_as(m), generator)
        return poisson(gamma * m / r, generator)
