"""Columns of one likelihood, between the caller's units and working units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae._floats import float_errors_ignored
from skvae._table.grid import Grids
from skvae.likelihoods import Constants, Likelihood

Array = NDArray[Any]


@dataclass
class ColumnGroup:
    """Columns of one likelihood: their places in the table and their constants, each (d, ...).

    If the likelihood is equivariant, it sees values on a grid as whole numbers of steps. In any
    case log p is per unit of the caller's column, and draws lie on the grid.

    ``emphasis`` (d,) is the standard deviation of each column, divided by the root mean square of
    those of all columns that share the unit. It is None for columns that share no unit.

    Columns whose support comes from the rows of training, and not from the user, are ``lenient``
    (d,). A later value outside the support counts there as the nearest value inside, with a
    probability of half a row among the ``n_rows`` of training.

    ``bounds`` (d, 2) are those that the user named for draws and means, NaN for other columns.
    """

    likelihood: Likelihood
    places: NDArray[np.intp]
    constants: Constants
    grids: Grids
    lenient: NDArray[np.bool_]
    n_rows: float
    bounds: Array
    emphasis: Array | None = None

    def in_unit(self, unit: Array | float, emphasis: Array) -> ColumnGroup:
        """The group in a shared unit, with the columns' standard deviations in it (d,)."""
        if self.likelihood.is_equivariant:
            unit = unit / self.grids.unit
        constants = self.likelihood.in_unit(self.constants, unit)
        return replace(self, constants=constants, emphasis=emphasis)

    def updated(self, x: Array) -> ColumnGroup:
        """The group for training that continues on the rows ``x`` (n, d)."""
        constants = self.likelihood.update_constants(self.steps(x), self.constants)
        return replace(self, constants=constants)

    def bounded(self, bounds: Array) -> ColumnGroup:
        """The group with bounds (d, 2) in the caller's units, NaN for a column without."""
        bounds = self.grids.inside(bounds)
        limits = self.steps(bounds.T).T
        constants = self.likelihood.with_limits(self.constants, limits)
        return replace(self, constants=constants, bounds=bounds)

    def opened(self, ends: Array) -> ColumnGroup:
        """The group without limits of draws at some ends (d, 2) bool, except named ones."""
        found = self.likelihood.without_limits(self.constants, ends & np.isnan(self.bounds))
        return replace(self, constants=found)

    @property
    def limits(self) -> Array:
        """The smallest and the largest draw in the caller's units, infinite for none. (d, 2)."""
        found = self.likelihood.limits(self.constants).T
        found = self.grids.snapped(found) if self.likelihood.is_equivariant else found
        return np.where(np.isnan(self.bounds), found.T, self.bounds)

    def steps(self, x: Array) -> Array:
        """The values as the likelihood sees them."""
        return self.grids.steps(x) if self.likelihood.is_equivariant else x

    def without_unit(self, x: Array, lowest: Array, spread: Array) -> Array:
        """Values (n, d) less the lowest of training, in steps or spreads; levels as they are."""
        if self.likelihood.takes_levels:
            return x
        steps = self.grids.steps(x) - self.grids.steps(lowest[None])
        return np.where(np.isnan(self.grids.step), (x - lowest) / spread, steps)

    @property
    def _log_step(self) -> Array | float:
        return np.log(self.grids.unit) if self.likelihood.is_equivariant else 0.0

    def seen(self, x: Array) -> tuple[Array, NDArray[np.bool_]]:
        """The values as the likelihood sees them, and which lie in its support. 2 x (n, d)."""
        steps = self.steps(x)
        with float_errors_ignored("invalid"):
            inside: NDArray[np.bool_] = self.likelihood.in_support(steps, self.constants)
        return steps, inside

    @property
    def may_hold_unseen(self) -> bool:
        """Whether ``unseen`` may mark a value."""
        limited = type(self.likelihood).in_support is not Likelihood.in_support
        return self.likelihood.takes_levels or (limited and bool(self.lenient.any()))

    def unseen(self, x: Array) -> NDArray[np.bool_]:
        """Which values are levels that training has not seen, or unforeseen. (n, d) bool."""
        if self.likelihood.takes_levels:
            return np.isnan(self.likelihood.to_working(x, self.constants)) & ~np.isnan(x)
        _, unforeseen = self.foreseen(x, *self.seen(x))
        return np.zeros(x.shape, dtype=bool) if unforeseen is None else unforeseen

    def foreseen(
        self, x: Array, steps: Array, inside: NDArray[np.bool_]
    ) -> tuple[Array, NDArray[np.bool_] | None]:
        """The result of ``seen`` as working units need it, and which values are unforeseen, if any.

        Unforeseen are finite values of lenient columns outside the support. The nearest values
        inside take their place.
        """
        if inside.all():
            return steps, None
        unforeseen: NDArray[np.bool_] = self.lenient & ~inside & np.isfinite(x)
        if not unforeseen.any():
            return steps, None
        nearest = self.likelihood.nearest(steps, self.constants)
        return np.where(unforeseen, nearest, steps), unforeseen

    def to_working(self, x: Array, steps: Array, inside: NDArray[np.bool_]) -> Array:
        """Caller's units, and the result of ``seen``, to working units. (n, d) -> (n, d)."""
        steps, _ = self.foreseen(x, steps, inside)
        return self.likelihood.to_working(steps, self.constants)

    def from_working(self, u: Array) -> Array:
        """Draws in working units to caller's units, on the grid. (n, d) -> (n, d)."""
        found = self.likelihood.from_working(u, self.constants)
        if self.likelihood.is_equivariant:
            return self._clipped(self.grids.snapped(found))
        snapped = self.grids.snapped(self.grids.steps(found))
        # rounding may leave the support, as from 0.3 to 0: the next value on the grid is inside
        outside = ~self.likelihood.in_support(snapped, self.constants)
        inside = np.where(outside, snapped + np.sign(found - snapped) * self.grids.unit, snapped)
        return self._clipped(inside)

    def from_mean(self, u: Array) -> Array:
        """Means in the model's units to caller's units, within bounds. (n, d) -> (n, d)."""
        return self._clipped(self.unbounded_mean(u))

    def _clipped(self, x: Array) -> Array:
        """Values (n, d) within the bounds that the user named. -> (n, d)."""
        named = ~np.isnan(self.bounds)
        if not named.any():
            return x
        return x.clip(*np.where(named, self.bounds, [-np.inf, np.inf]).T)

    def unbounded_mean(self, u: Array) -> Array:
        """As ``from_mean``, but a smooth function. (n, d) -> (n, d)."""
        found = self.likelihood.from_mean(u, self.constants)
        return self.grids.values(found) if self.likelihood.is_equivariant else found

    def log_jacobian(self, x: Array) -> Array:
        """The log of d working / d caller at each value. (n, d)."""
        steps, unforeseen = self.foreseen(x, *self.seen(x))
        found = self.likelihood.log_jacobian(steps, self.constants) - self._log_step
        return found if unforeseen is None else found + np.log(0.5 / self.n_rows) * unforeseen

    def log_unit(self, x: Array) -> Array:
        """The log of the unit of each value's density. (n, d)."""
        steps, _ = self.foreseen(x, *self.seen(x))
        return self.likelihood.log_unit(steps, self.constants) + self._log_step

    def check_cells_can_be_left_out(self, names: Sequence[str]) -> None:
        """Raise ValueError if log p of a row without one of its values is not defined."""
        if self.likelihood.needs_complete_rows:
            raise ValueError(
                "score_cells leaves out one value of a row at a time, but column "
                f"{names[self.places[0]]!r} is modelled by {self.likelihood}, which depends on all "
                "values of a row. Fit with a likelihood that does not, such as one with "
                "library_size=False."
            )

    @property
    def has_jacobian(self) -> bool:
        """Whether ``log_jacobian`` may be anything but 0."""
        return self.likelihood.has_jacobian or self.may_hold_unseen

    @property
    def columns(self) -> NDArray[np.intp] | slice:
        """The places as an index: a slice for neighbours, which avoids a copy."""
        return neighbours(self.places)


def neighbours(places: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Places as a slice if they are consecutive, which selects columns without a copy."""
    if (np.diff(places) == 1).all():
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def by_size(one: Likelihood, fitted: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    """Join groups of about the same ``size``, their constants padded with NaN."""
    of_size: dict[int, list[ColumnGroup]] = {}
    for group in fitted:
        size = one.size(group.constants)
        of_size.setdefault(int(np.ceil(np.log2(size))), []).append(group)
    groups = []
    for _, alike in sorted(of_size.items()):
        places = np.concatenate([group.places for group in alike])
        names = alike[0].constants
        constants = {name: stack([group.constants[name] for group in alike]) for name in names}
        grids = Grids.joined([group.grids for group in alike])
        order = np.argsort(places)
        constants = {name: array[order] for name, array in constants.items()}
        lenient = np.concatenate([group.lenient for group in alike])
        bounds = np.concatenate([group.bounds for group in alike])
        joined = replace(alike[0], places=places[order], constants=constants)
        joined = replace(joined, grids=grids[order], bounds=bounds[order])
        groups.append(replace(joined, lenient=lenient[order]))
    return groups


def stack(arrays: Sequence[Array]) -> Array:
    """Concatenate arrays (d_i, ...), their second axis padded with NaN to the longest."""
    if arrays[0].ndim > 1:
        longest = max(array.shape[1] for array in arrays)
        arrays = [
            np.pad(a, ((0, 0), (0, longest - a.shape[1])), constant_values=np.nan) for a in arrays
        ]
    return np.concatenate(arrays)
