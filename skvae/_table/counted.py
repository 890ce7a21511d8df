"""Columns of whole numbers of ticks, as numbers of units from an origin in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae._table.grid import Grid

Array = NDArray[Any]

# Up to this many steps from the origin, a number of units in float64 determines the step:
# MOST_UNITS if a step is a unit, and MOST_STEPS if the conversion to units rounds.
MOST_UNITS, MOST_STEPS = 2**53, 2**50


@dataclass
class Counted:
    """Whole numbers of ticks as numbers of units from an origin.

    float64 could not represent the ticks themselves beyond 2^53.

    Attributes
    ----------
    origin : int
        The value of the number 0, in units.
    step : int
        The number of ticks in a step, such as a day. All values of training are whole numbers of
        steps.
    per_unit : int
        The number of ticks in a unit.
    bounds : (int, int)
        The lowest and the highest tick that the column may hold.
    """

    origin: int
    step: int
    per_unit: int
    bounds: tuple[int, int]

    @property
    def grid(self) -> Grid:
        """The numbers that the column can represent."""
        return Grid(self.step / self.per_unit)

    @property
    def start(self) -> int:
        """The origin in ticks."""
        return self.origin * self.per_unit

    @property
    def most_steps(self) -> int:
        """The number of steps from the origin that float64 can count."""
        return MOST_UNITS if self.step == self.per_unit else MOST_STEPS

    def nearest(self, x: Array) -> NDArray[np.float64]:
        """The numbers closest to ``x`` that are whole numbers of steps within the bounds."""
        steps = self.steps(x)
        if self.step >= self.per_unit:
            return steps * (self.step // self.per_unit)
        return steps / (self.per_unit // self.step)

    def steps(self, x: Array) -> NDArray[np.float64]:
        """The whole numbers of steps from the origin that are closest to the numbers ``x``."""
        if self.step >= self.per_unit:
            found = x / (self.step // self.per_unit)
        else:
            found = x * (self.per_unit // self.step)
        low, high = self.bounds
        lowest = -((self.start - low) // self.step)
        highest = (high - self.start) // self.step
        within = found.clip(max(lowest, -self.most_steps), min(highest, self.most_steps))
        return np.asarray(np.rint(within), dtype=np.float64)

    def reach(self, first: int, last: int) -> int:
        """The number of steps from the origin to the farther one of two ticks."""
        return max(abs(first - self.start), abs(last - self.start)) // self.step


def misses(x: Array, nearest: Array) -> NDArray[np.bool_]:
    """Which numbers differ from the nearest ones that a column can represent, beyond rounding."""
    found: NDArray[np.bool_] = np.abs(nearest - x) > 2 * np.spacing(np.abs(x))
    return found
