"""Poisson mass of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from skvae.likelihoods._base import Parameters
from skvae.likelihoods._counts import _Counts, poisson
from skvae.likelihoods._numerics import stirling_remainder


@dataclass
class Poisson(_Counts):
    """Poisson mass of counts, the log of the rate from the decoder.

    Parameters
    ----------
    library_size : bool, default=False
        Whether a row's rates are shares of its sum, as for counts of cells x genes, where the sum
        shows how deeply a cell was sequenced. log p(x) is then conditional on the row's sum, and
        means and draws have the mean sum. No value may be missing, and ``score_cells``, which
        leaves out one value at a time, is not defined.
    """

    replayable: ClassVar[bool] = True

    library_size: bool = False

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # x log r - r - log x! = x log(r / x) - (r - x) - remainder(x)
        r = self._rate_of(x, outputs, parameters)
        return x * (r / x.clamp(min=1.0)).log() - (r - x) - stirling_remainder(x)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        return poisson(self.rate(outputs, parameters, None), generator)
