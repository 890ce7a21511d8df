"""Student's t density of real numbers with outliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from skvae._rules import NOTHING, Rule, number
from skvae._torch.operations import standard_gamma
from skvae.likelihoods._base import Array, Constants, Parameters
from skvae.likelihoods._numerics import LOG_SPEED, float32, standardisation
from skvae.likelihoods._standardised import _Standardised, constants_of
from skvae.objectives import LOG_2PI

IQR_OF_NORMAL = 1.349  # interquartile range of a standard normal
SMALLEST_IQR = 1e-9  # to the standard deviation, so that float32 holds the outliers' squares
START_DF = 5.0
SMALLEST_DF, LARGEST_DF = 0.01, 1e30


@dataclass
class StudentT(_Standardised):
    """Student's t around the decoder's output, for real values with outliers.

    Its centre takes the place of the mean, including for ``df <= 1``, where no mean exists.

    Parameters
    ----------
    df : float, default=None
        Degrees of freedom: 1 gives the Cauchy distribution, and many approach the normal one. None
        learns them for each column, above 1.

    Notes
    -----
    Columns are standardised inside by their median and their interquartile range, which outliers
    do not move. The scale is learned for each column, with the floor of :class:`Gaussian`.

    Training starts without its locations (``has_location`` is False): outliers would dominate a
    mean of the working units.
    """

    replayable: ClassVar[bool] = True
    is_equivariant: ClassVar[bool] = True

    df: float | None = None

    rules: ClassVar[Mapping[str, Rule]] = {"df": NOTHING | number(SMALLEST_DF)}

    def fit(self, x: Array, weight: Array) -> Constants:
        location, spread = standardisation(x, weight)
        low, middle, high = np.quantile(
            x, [0.25, 0.5, 0.75], axis=0, weights=weight, method="inverted_cdf"
        )
        robust = (high - low) / IQR_OF_NORMAL
        usable = robust > SMALLEST_IQR * spread
        location = np.where(usable, middle, location)
        return constants_of(x, weight, location, np.where(usable, robust, spread))

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        d = constants["spread"].shape
        if self.df is None:
            excess: Tensor = nn.Parameter(float32(np.full(d, START_DF)) / LOG_SPEED)
        else:
            excess = float32(np.full(d, float(min(self.df, LARGEST_DF))))
        return super().parameters(constants) | {"excess_df": excess}

    def degrees(self, parameters: Parameters) -> Tensor:
        """Degrees of freedom of each column, (d,)."""
        if self.df is not None:
            return parameters["excess_df"]
        return 1 + nn.functional.softplus(LOG_SPEED * parameters["excess_df"])

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
        half = (0.5 * self.degrees(parameters)).expand_as(outputs)
        gamma = standard_gamma(half, generator)
        normal = torch.empty_like(outputs).normal_(generator=generator)
        return outputs + self.sigma(parameters) * normal * (half / gamma).sqrt()


def log_gamma_step(a: Tensor) -> Tensor:
    """log Gamma(a + 1/2) - log Gamma(a) - 1/2 log a, which vanishes as a grows."""
    small, large = a.clamp(max=20.0), a.clamp(min=20.0)
    square = large.square()
    series = -1 / 8 + (1 / 192 - (1 / 640 - 17 / (14336 * square)) / square) / square
    exact = torch.lgamma(small + 0.5) - torch.lgamma(small) - 0.5 * small.log()
    return torch.where(a < 20.0, exact, series / large)
