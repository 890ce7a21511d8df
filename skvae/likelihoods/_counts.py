"""What the likelihoods of counts share: a rate for each value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from skvae._rules import TRUTH, Rule
from skvae.likelihoods._base import Array, Constants, Likelihood, Parameters
from skvae.likelihoods._numerics import float32, standardisation

LARGEST_COUNT = 1e9  # a CUDA device draws counts of 32 bits
LARGEST_LOG_RATE = 16.0  # above that of the column's mean


class _Counts(Likelihood):
    """Whole numbers, whose rates come from the decoder."""

    support: ClassVar[str] = "the whole numbers from 0 to 10^9"
    library_size: bool = False
    rules: ClassVar[Mapping[str, Rule]] = {"library_size": TRUTH}

    @property
    def needs_complete_rows(self) -> bool:
        return self.library_size

    def in_support(self, x: Array, constants: Constants) -> Array:
        inside: Array = (x >= 0) & (x <= LARGEST_COUNT) & (x == np.floor(x))
        return inside

    def fit(self, x: Array, weight: Array) -> Constants:
        mean, deviation = standardisation(x, weight)
        center, spread = standardisation(np.log1p(x), weight)
        return {
            # the rate of a column of zeros is half a count in all rows
            "mean": np.maximum(mean, 0.5 / weight.sum()),
            "variance": np.square(deviation),
            "center": center,
            "spread": np.where(spread > 0, spread, 1.0),
        }

    def limits(self, constants: Constants) -> Array:
        return np.array([[0.0, LARGEST_COUNT]])

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        found = {name: float32(constants[name]) for name in ("center", "spread")}
        return found | {"log_mean": float32(np.log(constants["mean"]))}

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        return ((torch.log1p(x) - parameters["center"]) / parameters["spread"]).unsqueeze(-1)

    def rate(self, outputs: Tensor, parameters: Parameters, library: Tensor | None) -> Tensor:
        """The mean of each value. (S, N, d) -> (S, N, d).

        With ``library_size``, rates are shares of the row sums ``library`` (N, 1), or of the mean
        row sum for None.
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


def poisson(rate: Tensor, generator: Generator) -> Tensor:
    """Poisson draws, at most ``LARGEST_COUNT``."""
    draws = torch.poisson(rate.clamp(max=LARGEST_COUNT), generator=generator)
    return draws.clamp(max=LARGEST_COUNT)
