"""Mass of categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from skvae.likelihoods._base import Constants, Likelihood
from skvae.likelihoods._clusters import ClusteredCategorical
from skvae.likelihoods._levels import _Softmax, _Values
from skvae.likelihoods._sample import ColumnSample

# More levels are modelled in clusters. A power of two, since columns of up to twice as many levels
# are modelled together, and above the number of levels that are clusters of their own.
MOST_LEVELS = 1024


@dataclass
class Categorical(_Softmax, _Values):
    """Mass of each value seen in training, a softmax of the decoder's outputs.

    For categories, and for numbers that stand for them. Its mode takes the place of the mean. A
    value that training has not seen counts as missing.

    With more than 1,024 values, the 512 most frequent ones have outputs of their own. The others
    are in clusters of 256, with an output for each cluster and a learned vector of 16 numbers for
    each value [5]_.
    """

    vjp = _Softmax.vjp
    missing = _Softmax.missing
    missing_vjp = _Softmax.missing_vjp
    takes_float32: ClassVar[bool] = True
    replayable: ClassVar[bool] = True

    @classmethod
    def auto_score(cls, column: ColumnSample) -> float | None:
        return 2.0 if column.is_category else None

    def at_size(self, constants: Constants) -> Likelihood:
        is_large = self.n_levels(constants) > MOST_LEVELS
        return ClusteredCategorical() if is_large else self
