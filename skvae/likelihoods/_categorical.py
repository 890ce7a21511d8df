"""Mass of categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from skvae.likelihoods._levels import _Softmax, _Values
from skvae.likelihoods._sample import ColumnSample


@dataclass
class Categorical(_Softmax, _Values):
    """Mass of each value seen in training, a softmax of the decoder's outputs.

    For categories, and for numbers that stand for them. Its mode takes the place of the mean. A
    value that training has not seen counts as missing.
    """

    vjp = _Softmax.vjp
    replayable: ClassVar[bool] = True

    @classmethod
    def auto_score(cls, column: ColumnSample) -> float | None:
        return 2.0 if column.is_category else None
