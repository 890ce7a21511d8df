"""Stricter constraints of parameters, for values that scikit-learn's accept and fit does not."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from skvae._rules import is_number, is_whole


class Number(Interval):
    """An interval of numbers that excludes True, False and ``fractions.Fraction``."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether the value is a number in the interval."""
        if not (is_whole if self.type is Integral else is_number)(val):
            return False
        # comparing a float16 with a larger bound would overflow
        return (float(val) if isinstance(val, np.floating) else val) in self


RANDOM_STATE = [Number(Integral, 0, 2**32 - 1, closed="both"), np.random.RandomState, None]


def whole(least: int, most: int | None = None) -> Number:
    """Integers from ``least`` to ``most``."""
    return Number(Integral, least, most, closed="left" if most is None else "both")


def number(least: float, most: float | None = None, closed: str = "both") -> Number:
    """Numbers from ``least`` to ``most``; ``closed`` says which bounds are included."""
    return Number(Real, least, most, closed=closed)
