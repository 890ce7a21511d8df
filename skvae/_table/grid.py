"""The resolution of columns of numbers: the grid on which all values of a column lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skvae._rules import NOTHING, POSITIVE, one_of

Array = NDArray[Any]

# Errors of values that were computed in float64, or that passed through float32, as a share of the
# largest value of their column.
ROUNDING, ROUNDING_32 = 2.0**-50, 2.0**-21
MOST_DECIMALS = 12
LARGEST_WHOLE = 2.0**53
# A step that is not a decimal number must be this many times as large as the errors, and at most
# MOST_STEPS of them must cover the column, since all numbers lie on some very fine grid.
CLEAR, MOST_STEPS = 1000.0, 2.0**30
# Probability that values would lie on the grid by chance, below which it is taken for real.
BY_CHANCE = 1e-9
# Distance from the grid, in steps, below which a value lies on it.
CLOSE = 1e-3


class Grid(NamedTuple):
    """The numbers offset + k * step for whole k.

    ``decimals`` is the number of decimals of all of them, -1 if they are not decimal numbers. The
    offset is 0 if 0 lies on the grid.
    """

    step: float
    offset: float = 0.0
    decimals: int = -1


def find_grid(x: Array) -> Grid | None:
    """The coarsest grid that holds all values, None if they lie on none. (n,) without NaN.

    First the values are tried as decimal numbers, then as whole numbers that were scaled and
    shifted. Both allow for errors of rounding. At least two different values are needed.
    """
    values = np.unique(x)
    if len(values) < 2:
        return None
    roundings = [ROUNDING]
    with np.errstate(over="ignore"):
        if np.array_equal(values.astype(np.float32), values):
            roundings.append(ROUNDING_32)
    for rounding in roundings:
        error = rounding * float(np.abs(values).max())
        grid = _decimal_grid(values, error) or _scaled_grid(values, error)
        if grid is not None:
            return grid
    return None


def grid_of_step(x: Array, step: float) -> Grid | None:
    """The grid with this step that holds all values, None if none does. (n,) without NaN."""
    offset = float(x[0] - step * np.rint(x[0] / step)) if len(x) else 0.0
    offset = 0.0 if abs(offset) < CLOSE * step else offset
    decimals = next((p for p in range(MOST_DECIMALS + 1) if (step * 10**p).is_integer()), -1)
    grid = Grid(step, offset, decimals if offset == 0 else -1)
    return grid if Grids.of([grid]).holds(x[:, None]).all() else None


def wanted_steps(
    names: Sequence[Any], resolution: str | Mapping[Any, float | None] | None
) -> list[str | float | None]:
    """For each column the step that the user wants: a number, None for no grid, or "auto".

    Raises ValueError for unknown names, and for steps that are not positive numbers.
    """
    if not isinstance(resolution, Mapping):
        return [resolution] * len(names)
    rule = one_of("auto") | POSITIVE | NOTHING
    for name, step in resolution.items():
        if name not in names:
            raise ValueError(
                f"'resolution' names the column {name!r}, but the columns are {list(names)}."
            )
        rule.check(f"The resolution of column {name!r}", step)
    return [resolution.get(name, "auto") for name in names]


def resolved_grid(name: Any, wanted: str | float | None, x: Array) -> Grid | None:
    """The grid of the observed values of a column (n,) with NaN for missing ones.

    Raises ValueError if the values do not lie on the grid that the user wants.
    """
    observed = x[~np.isnan(x)]
    if wanted is None or isinstance(wanted, str):
        return None if wanted is None else find_grid(observed)
    grid = grid_of_step(observed, float(wanted))
    if grid is None:
        steps = (observed - observed[0]) / float(wanted)
        off = observed[np.abs(steps - np.rint(steps)).argmax()]
        raise ValueError(
            f"The resolution of column {name!r} must be a step between all its values; "
            f"got {wanted!r}, but {observed[0]:g} and {off:g} are no whole number of steps apart. "
            "Give a smaller step, or None for a column that was not rounded."
        )
    return grid


def _decimal_grid(values: Array, error: float) -> Grid | None:
    """The coarsest grid of numbers with few decimals, for sorted values with this error."""
    for decimals in range(MOST_DECIMALS + 1):
        unit = 10.0**decimals
        tolerance = error * unit
        largest = float(np.abs(values).max()) * unit
        if largest > LARGEST_WHOLE or not _is_real(tolerance, len(values)):
            return None
        whole = np.rint(values * unit)
        if np.abs(values * unit - whole).max() <= tolerance:
            number = whole.astype(np.int64)
            step = int(np.gcd.reduce(number - number[0]))
            if not _is_real(0.5 / step, len(values) - 1):
                step = 1  # too few values to tell that no others occur
            return Grid(step / unit, int(number[0]) % step / unit, decimals)
    return None


def _scaled_grid(values: Array, error: float) -> Grid | None:
    """The coarsest grid of any step, for sorted values with this error.

    Euclid's algorithm: a step that leaves a remainder is replaced by the smallest remainder.
    """
    distance = values - values[0]
    step, tolerance = float(np.diff(values).min()), 4 * error
    while step > max(CLEAR * error, distance[-1] / MOST_STEPS):
        step, rest = _refined(distance, step)
        if rest.max() <= tolerance:
            # an integer multiple closest to 0, so that 0 is on the grid if it can be
            offset = float(values[0] - step * np.rint(values[0] / step))
            offset = 0.0 if abs(offset) <= tolerance else offset
            return Grid(step, offset) if _is_real(tolerance / step, len(values) - 2) else None
        left = rest[rest > tolerance]
        if not len(left):  # the distances are too large for their squares
            return None
        step = float(left.min())
    return None


def _refined(distance: Array, step: float) -> tuple[float, Array]:
    """The step that fits the sorted distances best, and what it leaves of them. (n,) -> (n,).

    The number of steps to a far value is known only if the step is accurate, so that it is fitted
    to near values first.
    """
    reach = step
    while reach < distance[-1]:
        reach *= 64
        near = distance[: np.searchsorted(distance, reach, side="right")]
        number = np.rint(near / step)
        if number.any():  # not only the first value, whose distance is 0
            step = float(number @ near / (number @ number))
    return step, np.abs(distance - step * np.rint(distance / step))


def _is_real(tolerance: float, n: int) -> bool:
    """Whether n values rarely lie within a distance from a grid of step 1 by chance."""
    return bool(n * np.log(2 * tolerance) < np.log(BY_CHANCE))


@dataclass
class Grids:
    """The grids of columns, NaN for columns without one; each (d,)."""

    step: Array
    offset: Array
    decimals: Array

    @classmethod
    def of(cls, grids: Sequence[Grid | None]) -> Grids:
        """The grids of columns, in their order."""
        rows = [(np.nan, 0.0, -1) if grid is None else grid for grid in grids]
        step, offset, decimals = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        return cls(step, offset, decimals.astype(np.intp))

    @classmethod
    def joined(cls, several: list[Grids]) -> Grids:
        """The grids of several groups of columns together."""
        return cls(
            np.concatenate([grids.step for grids in several]),
            np.concatenate([grids.offset for grids in several]),
            np.concatenate([grids.decimals for grids in several]),
        )

    def __getitem__(self, columns: Any) -> Grids:
        return Grids(self.step[columns], self.offset[columns], self.decimals[columns])

    @property
    def unit(self) -> Array:
        """The step of each column, 1 for a column without a grid. (d,)."""
        return np.where(np.isnan(self.step), 1.0, self.step)

    def steps(self, x: Array) -> Array:
        """The numbers of steps from the offset; values of other columns are kept. (n, d)."""
        on = ~np.isnan(self.step)
        if not on.any():
            return x
        with np.errstate(over="ignore", invalid="ignore"):
            found = (x - self.offset) / self.unit  # x itself without a grid
            whole = np.rint(found)
            close = np.abs(found - whole) < CLOSE
        found = np.where(close & on, whole, found)
        if np.isinf(found).any():  # a finite value stays finite
            largest = np.finfo(np.float64).max
            found = np.where(np.isfinite(x), found.clip(-largest, largest), found)
        return found

    def values(self, steps: Array) -> Array:
        """The values at any numbers of steps. (n, d) -> (n, d)."""
        on = ~np.isnan(self.step)
        return np.where(on, self.offset + steps * self.unit, steps) if on.any() else steps

    def snapped(self, steps: Array) -> Array:
        """The values on the grids nearest to any numbers of steps. (n, d) -> (n, d)."""
        out = np.where(np.isnan(self.step), steps, self.values(np.rint(steps)))
        for i in np.flatnonzero(self.decimals >= 0):
            # the float64 nearest to a decimal number, as a user would write it
            out[:, i] = np.round(out[:, i], self.decimals[i])
        return out

    def inside(self, bounds: Array) -> Array:
        """Bounds (d, 2), each moved inwards to the next number on the grid. -> (d, 2).

        A bound on the grid, up to rounding, becomes the number there. One of a column without a
        grid stays.
        """
        steps = self.steps(bounds.T)
        whole = np.stack([np.ceil(steps[0]), np.floor(steps[1])])
        # float64 holds no numbers between larger steps
        moves = ~np.isnan(self.step) & (np.abs(steps) < LARGEST_WHOLE)
        with np.errstate(over="ignore", invalid="ignore"):
            found: Array = np.where(moves, self.snapped(whole), bounds.T).T
        return found

    def beyond(self, x: Array, limits: Array) -> Array:
        """Which values (n, d) lie beyond limits (d, 2), except by rounding. (n, d) bool."""
        steps, (low, high) = self.steps(x), self.steps(limits.T)
        found: Array = (steps < low) | (steps > high)
        return found

    def holds(self, x: Array) -> Array:
        """Whether values lie on their grids, True in a column without one. (n, d) bool."""
        steps = self.steps(x)
        with np.errstate(invalid="ignore"):
            found: Array = np.isnan(self.step) | np.isnan(x) | (steps == np.rint(steps))
        return found
