"""The resolution of columns of numbers: the grid on which all values of a column lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skvae._floats import float_errors_ignored
from skvae._rules import NOTHING, POSITIVE, one_of
from skvae._table.names import find_columns
from skvae.likelihoods._numerics import LARGEST_WHOLE, are_whole

Array = NDArray[Any]

# Errors of values as a share of the largest one, in float64 and after a conversion to float32.
ROUNDING, ROUNDING_32 = 2.0**-50, 2.0**-21
# Before a mean was subtracted, the largest value may have been this many times the range.
LARGEST_SHIFT = 64
MOST_DECIMALS = 12
SMALLEST, LARGEST = 1e-280, 1e300  # of values whose grid is looked for
# How many times as large as the errors a step must be, since all numbers lie on very fine grids.
CLEAR = 16.0
# Probability that values would lie on the grid by chance, below which it is taken for real.
BY_CHANCE = 1e-8
# The largest error of a number of steps.
CERTAIN = 0.1
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

    The values may be whole numbers, decimal numbers, or either after scaling and a shift, in which
    the same grid is found up to its units. Exceptions are whole numbers of a very large range, and
    columns of few rows, whose grid is that of their last decimal. At least two different values are
    needed.
    """
    values = np.unique(x)
    # two values alone show a grid only if they are repeated, as no continuous values are
    if len(values) < 2 or (len(values) == 2 and len(x) == 2):
        return None
    if are_whole(values):
        return _grid_of_whole(values, 0, len(x))
    with float_errors_ignored("over"):
        largest, span = float(np.abs(values).max()), float(values[-1] - values[0])
        is_float32 = np.array_equal(values.astype(np.float32), values)
    if largest < SMALLEST or span > LARGEST:  # rounding errors underflow, or distances overflow
        return None
    error = ROUNDING * max(largest, LARGEST_SHIFT * span)
    decimal, scaled = _decimal_grid(values, ROUNDING * largest, len(x)), _scaled_grid(values, error)
    # of decimal numbers with many places, no grid would be found after scaling
    if decimal is not None and scaled is not None:
        return decimal
    if is_float32:
        # in float64, any numbers of float32 are multiples of a small power of 2
        error = ROUNDING_32 * largest
        decimal, scaled = _decimal_grid(values, error, len(x)), _scaled_grid(values, error)
        if decimal is not None:
            return decimal
    if scaled is None:
        return None
    # two values define the grid, and as many steps are possible as there are between them
    n, tolerance = len(values) - 2, 4 * error / scaled.step
    return scaled if n == 0 or _is_real(tolerance, n, n_tried=span / scaled.step) else None


def grid_of_step(x: Array, step: float) -> Grid | None:
    """The grid with this step that holds all values, None if none does. (n,) without NaN."""
    offset = float(x[0] - step * np.rint(x[0] / step)) if len(x) else 0.0
    offset = 0.0 if abs(offset) < CLOSE * step else offset
    decimals = max(0, -int(Decimal(repr(step)).normalize().as_tuple().exponent))
    is_decimal = offset == 0 and decimals <= MOST_DECIMALS
    grid = Grid(step, offset, decimals if is_decimal else -1)
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
    wanted: list[str | float | None] = ["auto"] * len(names)
    places = find_columns(names, resolution, "resolution")
    for place, (name, step) in zip(places, resolution.items(), strict=True):
        rule.check(f"The resolution of column {name!r}", step)
        wanted[place] = step
    return wanted


def refuse_step(name: Any, wanted: str | float | None) -> None:
    """Raise ValueError for a step that the user wants for a column of categories."""
    if wanted is not None and not isinstance(wanted, str):
        raise ValueError(
            f"'resolution' names {name!r}, which is modelled as categories, between which there "
            "is no step. Leave it out of 'resolution'."
        )


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


def _decimal_grid(values: Array, error: float, n_rows: int) -> Grid | None:
    """The coarsest grid of numbers with few decimals, for sorted values with this error."""
    for decimals in range(1, MOST_DECIMALS + 1):
        unit = 10.0**decimals
        tolerance = error * unit
        if CLEAR * tolerance > 1:
            return None
        whole = np.rint(values * unit)
        if np.abs(values * unit - whole).max() <= tolerance:
            is_real = _is_real(tolerance, len(values))
            return _grid_of_whole(whole, decimals, n_rows) if is_real else None
    return None


def _grid_of_whole(number: Array, decimals: int, n_rows: int) -> Grid:
    """The coarsest grid of sorted whole numbers of units of the last decimal."""
    whole = number.astype(np.int64)
    step = int(np.gcd.reduce(whole - whole[0]))
    if not _is_real(0.5 / step, n_rows - 1):
        step = 1  # too few rows to tell that no others occur
    unit = 10.0**decimals
    return Grid(step / unit, int(whole[0]) % step / unit, decimals)


def _scaled_grid(values: Array, error: float) -> Grid | None:
    """The coarsest grid of any step, for sorted values with this error."""
    gaps = np.diff(values)
    step = _common_divisor(np.sort(gaps), 2 * error, CLEAR * error)
    if step is None:
        return None
    distance, number = values[1:] - values[0], np.cumsum(np.rint(gaps / step))
    step = _fitted_step(distance, number)
    if np.abs(distance - step * number).max() > 4 * error:
        return None
    # an integer multiple closest to 0, so that 0 is on the grid if it can be
    offset = float(values[0] - step * np.rint(values[0] / step))
    return Grid(step, 0.0 if abs(offset) <= 4 * error else offset)


def _common_divisor(gaps: Array, error: float, least: float) -> float | None:
    """The largest step of which sorted gaps with this error are multiples, None below ``least``.

    The step is first the smallest gap. A gap that is no multiple of it divides it into parts. The
    step is fitted to the gaps that are multiples, which makes it more accurate, so that the number
    of steps in larger gaps is certain.
    """
    step, accuracy = float(gaps[0]), error
    n_fitted = 0
    while True:
        n_certain = int(np.searchsorted(gaps, CERTAIN * step * (step / accuracy), side="right"))
        if n_certain <= n_fitted:
            return None
        number = np.rint(gaps[:n_certain] / step)
        off = np.abs(gaps[:n_certain] - number * step) > error + number * accuracy
        n_fitted = int(off.argmax()) if off.any() else n_certain
        if n_fitted > 0:
            fitted = number[:n_fitted]
            step = _fitted_step(gaps[:n_fitted], fitted)
            accuracy = error * float(fitted.sum() / np.square(fitted).sum())
        if n_fitted == len(gaps):
            return step
        if off.any():
            n_parts = _parts(step, accuracy, float(gaps[n_fitted]), error)
            if n_parts is None or step < n_parts * least:
                return None
            step, accuracy = step / n_parts, accuracy / n_parts
            n_fitted = 0


def _parts(step: float, accuracy: float, gap: float, error: float) -> int | None:
    """The number of parts of a step of which a gap is a multiple, None if that is not certain.

    Euclid's algorithm. A remainder is a sum of whole multiples of the gap and the step, and these
    are known exactly. Where the sum is 0, the multiple of the gap is the number of parts.
    """
    before, rest = (gap, 1.0, 0.0), (step, 0.0, 1.0)
    while True:
        quotient = round(before[0] / rest[0])
        size, of_gap, of_step = (a - quotient * b for a, b in zip(before, rest, strict=True))
        tolerance = abs(of_gap) * error + abs(of_step) * accuracy
        if tolerance > CERTAIN * abs(rest[0]):
            return None
        if abs(size) <= tolerance:
            n_parts = abs(int(of_gap))
            # the gap was found to be no multiple, so that one part is no certain answer
            return n_parts if n_parts > 1 else None
        before, rest = rest, (size, of_gap, of_step)


def _fitted_step(distance: Array, number: Array) -> float:
    """The step that fits best if distances (n,) are these numbers of steps. -> ()."""
    share = number / number[-1]  # the products of 1e200 stay finite
    return float(share @ (distance / number[-1]) / (share @ share))


def _is_real(tolerance: float, n: int, n_tried: float = 1.0) -> bool:
    """Whether n values rarely lie near a grid by chance, within a share of its step.

    ``n_tried`` is the number of grids that were possible.
    """
    return bool(n * np.log(2 * tolerance) + np.log(n_tried) < np.log(BY_CHANCE))


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
        with float_errors_ignored("over", "invalid"):
            found = (x - self.offset) / self.unit  # x itself without a grid
            whole = np.rint(found)
            close = np.abs(found - whole) < CLOSE
        found = np.where(close & on, whole, found)
        largest = np.finfo(np.float64).max
        return np.where(np.isinf(x), found, found.clip(-largest, largest))  # finite stays finite

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
        with float_errors_ignored("over", "invalid"):
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
        with float_errors_ignored("invalid"):
            found: Array = np.isnan(self.step) | np.isnan(x) | (steps == np.rint(steps))
        return found
