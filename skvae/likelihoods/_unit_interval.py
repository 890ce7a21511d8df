"""What the likelihoods of values in [0, 1] share."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from skvae.likelihoods._base import Array, Constants, Likelihood


class _UnitInterval(Likelihood):
    """Values in [0, 1], which are their own working units."""

    support: ClassVar[str] = "the interval [0, 1]"

    def in_support(self, x: Array, constants: Constants) -> Array:
        inside: Array = (x >= 0) & (x <= 1)
        return inside

    def limits(self, constants: Constants) -> Array:
        return np.array([[0.0, 1.0]])

    def nearest(self, x: Array, constants: Constants) -> Array:
        return x.clip(0, 1)
