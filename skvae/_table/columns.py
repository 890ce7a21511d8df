"""Convert columns between the caller's units and the working units of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from skvae._blocks import SAMPLE_CELLS
from skvae._floats import float_errors_ignored
from skvae._table.auto import SAMPLE_ROWS
from skvae._table.choice import LikelihoodChoice
from skvae._table.decision import Decision, decide
from skvae._table.fields import warn_unknown
from skvae._table.grid import ROUNDING_32, Grids, resolved_grid
from skvae._table.group import ColumnGroup, by_size
from skvae._table.names import find_columns
from skvae._table.reading import column_blocks, row_blocks
from skvae._table.units import spreads
from skvae._table.unseen import SeenLevels, unseen_values
from skvae._warn import warn
from skvae.likelihoods import Constants, Likelihood
from skvae.likelihoods._numerics import widened

Array = NDArray[Any]
_T = TypeVar("_T")

FEWEST_SAMPLE_ROWS = 1000
# Working values are clipped to the largest number of their dtype to this power. The outputs of
# networks are then finite, but the squares in the densities are not, so the densities are 0.
LARGEST_POWER = 0.75
# A value may mark a missing one if it is this many times as large as half of its column.
EXTREME = 1e12


class Columns:
    """The columns of a table: which likelihood models each, and in which units.

    The table holds numbers. Missing values are NaN, and categories are numbered from 0. In working
    units the columns are ordered by group, with one likelihood for each group.

    Attributes
    ----------
    names : list of str
    groups : list of ColumnGroup
    gaps : list of int
        Columns, in working order, with missing values in training.
    spread : ndarray of shape (d,)
        The standard deviation of each column, by its place in the table.
    ranges : ndarray of shape (d, 2)
        The smallest and the largest training value of each column, by its place in the table.
        ``bounds`` are those that the user named, and ``limits`` those of draws.
    origin : ndarray of shape (d,)
        The smallest value of each column in the first fit, 0 if it had none.
    """

    def __init__(
        self,
        names: Sequence[str],
        groups: Sequence[ColumnGroup],
        gaps: Sequence[int],
        spread: Array,
        ranges: Array,
        origin: Array,
    ) -> None:
        self.names = list(names)
        self.groups = list(groups)
        self.gaps = list(gaps)
        self.spread = spread
        self.ranges = ranges
        self.origin = origin

    @classmethod
    def fit(
        cls,
        X: Array,
        index: NDArray[np.intp],
        weight: NDArray[np.float64],
        *,
        names: Sequence[str],
        likelihood: LikelihoodChoice,
        is_category: Sequence[bool],
        is_bool: Sequence[bool],
        resolution: str | Mapping[Any, float | None] | None = "auto",
    ) -> Columns:
        """Choose and fit the likelihoods on the rows ``index`` of ``X``, and find the grids.

        ``weight`` is the number of rows that each of them stands for.
        """
        nothing = np.zeros(len(names))
        columns = cls(names, [], [], nothing, np.full((len(names), 2), np.nan), nothing)
        # rows are ordered by their hashes, so the first rows are a random sample
        n_sample = max(FEWEST_SAMPLE_ROWS, min(SAMPLE_ROWS, SAMPLE_CELLS // len(names)))
        sample = np.asarray(X[index[:n_sample]], dtype=np.float64)
        columns.spread = spreads(sample, weight[:n_sample])
        decision = decide(
            sample,
            weight,
            (x for _, x in row_blocks(X, index)),
            columns.spread,
            names=names,
            likelihood=likelihood,
            resolution=resolution,
            is_category=is_category,
            is_bool=is_bool,
        )
        chosen, shared = decision.likelihoods, ~np.isnan(decision.emphasis)
        missing = np.zeros(len(names), dtype=bool)
        typical = np.median(np.nan_to_num(np.abs(sample[:FEWEST_SAMPLE_ROWS])), axis=0)
        order = np.argsort(index)
        for one, in_unit in _distinct(list(zip(chosen, shared.tolist(), strict=True))):
            alike = np.flatnonzero([other == one for other in chosen] & (shared == in_unit))
            fitted = []
            for places, x in column_blocks(X, index, order, alike):
                missing[places] = np.isnan(x).any(axis=0)
                columns.ranges[places] = widened(columns.ranges[places], x)
                grids = columns._grids(x, places, decision)
                fitted += columns._fit_block(one, x, weight, places, grids, decision.lenient)
                columns._warn_of_extremes(x, index, places, EXTREME * typical)
            groups = by_size(one, fitted)
            if in_unit:
                groups = [g.in_unit(decision.unit, decision.emphasis[g.places]) for g in groups]
            columns.groups += groups
        columns.gaps = [int(i) for i in np.flatnonzero(missing[columns.order])]
        lowest = columns.ranges[:, 0]
        columns.origin = np.where(np.isfinite(lowest), lowest, 0.0)
        return columns

    def continued(self, X: Array, index: NDArray[np.intp]) -> Columns:
        """The columns for training that continues on the rows ``index`` of ``X``."""
        groups, ranges = self.groups, self.ranges
        for _, x in row_blocks(X, index):
            groups = [group.updated(x[:, group.columns]) for group in groups]
            ranges = widened(ranges, x)
        return Columns(self.names, groups, self.gaps, self.spread, ranges, self.origin)

    def bounded(self, bounds: Array) -> Columns:
        """The columns with bounds (d, 2) of draws and means, NaN for a column without."""
        groups = [group.bounded(bounds[group.places]) for group in self.groups]
        return self._with(groups)

    def opened(self, ends: NDArray[np.bool_]) -> Columns:
        """The columns without limits of draws at some ends (d, 2), in working order."""
        starts = np.cumsum([len(group.places) for group in self.groups])[:-1]
        pairs = zip(self.groups, np.split(ends, starts), strict=True)
        groups = [group.opened(own) for group, own in pairs]
        return self._with(groups)

    def _with(self, groups: Sequence[ColumnGroup]) -> Columns:
        return Columns(self.names, groups, self.gaps, self.spread, self.ranges, self.origin)

    @property
    def order(self) -> list[int]:
        """The place in the table of each column in working order."""
        return [int(place) for group in self.groups for place in group.places]

    def _grids(self, x: Array, places: NDArray[np.intp], decision: Decision) -> Grids:
        """The grids of columns (n, d), looked for again where they held in the sample only."""
        grids = [decision.grids[place] for place in places]
        for i in np.flatnonzero(~Grids.of(grids).holds(x).all(axis=0)):
            grids[i] = resolved_grid(self.names[places[i]], decision.steps[places[i]], x[:, i])
        return Grids.of(grids)

    def _fit_block(
        self,
        one: Likelihood,
        x: Array,
        weight: NDArray[np.float64],
        places: NDArray[np.intp],
        grids: Grids,
        lenient: NDArray[np.bool_],
    ) -> list[ColumnGroup]:
        """Fit a block of columns: complete columns together, and each of the others alone."""
        n_rows, none = weight.sum(), np.full((len(places), 2), np.nan)
        whole = ColumnGroup(one, places, {}, grids, np.zeros_like(places, dtype=bool), n_rows, none)
        self._check_support(whole, x, whole.seen(x)[1])

        def group(some: NDArray[np.bool_], constants: Constants) -> ColumnGroup:
            own = lenient[places[some]]
            return ColumnGroup(one, places[some], constants, grids[some], own, n_rows, none[some])

        x = grids.steps(x) if one.is_equivariant else x
        together = np.zeros(x.shape[1], dtype=np.bool_)
        if not one.ragged:
            together |= ~np.isnan(x).any(axis=0)
        fitted = []
        if together.any():
            cells = x if together.all() else x[:, together]
            fitted.append(group(together, one.fit(cells, weight)))
        for column in np.flatnonzero(~together):
            there = ~np.isnan(x[:, column])
            if not there.any():
                raise ValueError(
                    f"Column {self.names[places[column]]!r} holds no value in any row. Drop it."
                )
            constants = one.fit(x[there, column, None], weight[there])
            alone = np.zeros_like(together)
            alone[column] = True
            fitted.append(group(alone, constants))
        return fitted

    def _warn_of_extremes(
        self, x: Array, index: NDArray[np.intp], places: NDArray[np.intp], limit: Array
    ) -> None:
        """Warn about values (n, d) so large that the other values of their column vanish."""
        limit = limit[places]
        for i in np.flatnonzero(limit > 0):
            size = np.nan_to_num(np.abs(x[:, i]))
            row = int(size.argmax())
            if size[row] > limit[i]:
                warn(
                    f"Column {self.names[places[i]]!r} holds {x[row, i]:g} in row {index[row]}, "
                    f"over {EXTREME:.0e} times as large as half of its values, which may be "
                    "indistinguishable beside it. If it marks missing values, replace them by NaN: "
                    f"numpy.where(abs(X) > {limit[i]:.0e}, numpy.nan, X)."
                )

    def refuse_row(self, X: Array, row: int) -> None:
        """Raise ValueError for a row too extreme to train on, naming its most extreme value."""
        x = np.asarray(X[row : row + 1], dtype=np.float64)[0]
        place = int(np.nan_to_num(np.abs(x) / np.where(self.spread > 0, self.spread, 1.0)).argmax())
        raise ValueError(
            f"Column {self.names[place]!r} holds {x[place]:g} in row {row}, too far from the rows "
            "that the first fit saw to train or validate on. If it marks a missing value, replace "
            "it by NaN. Otherwise correct it, or leave out the row."
        )

    def foreseen(self, X: Any, shown: Callable[[int, float], str], *, strict: bool = False) -> Any:
        """``X`` with NaN in place of levels that training has not seen.

        Warns once for each column with such levels, or with numbers outside the support of a
        lenient column. Raises ValueError instead if ``strict``. Returns ``X`` itself
        if there are no such levels. ``shown(place, number)`` is a number in words.
        """
        unseen = unseen_values(X, self.groups)
        levels = {
            place
            for group in self.groups
            if group.likelihood.takes_levels
            for place in group.places
        }
        for place, values in unseen.items():
            if place not in levels:
                self._report_unforeseen(place, shown(place, values[0]), strict=strict)
            elif strict:
                raise ValueError(
                    f"Column {self.names[place]!r} holds {values[0]}, which training has not seen."
                )
            else:
                warn_unknown(self.names[place], values.tolist())
        return SeenLevels(X, self.groups) if levels & unseen.keys() else X

    def _report_unforeseen(self, place: int, value: str, *, strict: bool) -> None:
        message = (
            f"Column {self.names[place]!r} holds {value}, unlike the training rows by which "
            "'auto' chose its likelihood or its resolution."
        )
        if strict:
            raise ValueError(
                f"{message} Correct the value, or fit with a likelihood of any numbers for the "
                "column, such as 'gaussian'."
            )
        warn(
            f"{message} Such values count as the nearest value that it allows, and as very "
            "unlikely. If they are possible, fit with a likelihood of any numbers for the column, "
            "such as 'gaussian', or with rows that hold them."
        )

    def to_working(self, X: Array, index: NDArray[np.intp] | None, dtype: Any) -> Array:
        """Rows ``index`` of ``X`` (all for None) in working units. -> (n, d)."""
        out = np.empty((len(X) if index is None else len(index), len(self.names)), dtype=dtype)
        largest = float(np.finfo(dtype).max) ** LARGEST_POWER
        for rows, x in row_blocks(X, index):
            for group, place in self._slices():
                cells = x[:, group.columns]
                steps, inside = group.seen(cells)
                self._check_support(group, cells, inside)
                with float_errors_ignored("over"):
                    working = group.to_working(cells, steps, inside)
                out[rows, place] = working.clip(-largest, largest)
        return out

    def without_units(self, X: Array, index: NDArray[np.intp]) -> Array:
        """Rows ``index`` of ``X`` in steps of their grids, or in standard deviations, in float32.

        They are counted from the ``origin``. They are the same, up to the rounding of float64, for
        any unit and shift of a column.
        """
        out = np.empty((len(index), len(self.names)), dtype=np.float32)
        spread = np.where(self.spread > 0, self.spread, 1.0)
        for rows, x in row_blocks(X, index):
            own = np.empty(x.shape)
            with float_errors_ignored("over", "invalid"):
                for group in self.groups:
                    places, cells = group.places, x[:, group.columns]
                    own[:, places] = group.without_unit(cells, self.origin[places], spread[places])
                out[rows] = own
        return out

    def from_working(self, U: Array) -> NDArray[np.float64]:
        """Draws in working units, converted to the caller's units. (n, d) -> (n, d)."""
        return self._back(U, ColumnGroup.from_working)

    def from_mean(self, U: Array) -> NDArray[np.float64]:
        """Means in the model's units, converted to the caller's units. (n, d) -> (n, d)."""
        return self._back(U, ColumnGroup.from_mean)

    def _back(self, U: Array, change: Callable[..., Array]) -> NDArray[np.float64]:
        out = np.empty(U.shape, dtype=np.float64)
        for rows, u in row_blocks(U, None):
            for group, place in self._slices():
                out[rows, group.places] = change(group, u[:, place])
        return out

    def mean_slope_unit(self, group: ColumnGroup) -> Array:
        """The change of the caller's mean when the model's mean changes by 1. -> (d,).

        In standard deviations of the column. It is 1 for levels, whose statistics are
        probabilities.
        """
        n = len(group.places)
        if group.likelihood.takes_levels:
            return np.ones(n)
        low, high = (group.unbounded_mean(np.full((1, n), u))[0] for u in (1.0, 2.0))
        spread = self.spread[group.places]
        return (high - low) / np.where(spread > 0, spread, np.inf)

    def log_jacobian(self, X: Array, index: NDArray[np.intp] | None) -> NDArray[np.float64]:
        """log(d working / d caller), summed over the observed values of a row. -> (n,)."""
        out = np.zeros(len(X) if index is None else len(index))
        groups = [group for group in self.groups if group.has_jacobian]
        if not groups:
            return out
        for rows, x in row_blocks(X, index):
            for group in groups:
                cells = x[:, group.columns]
                part = group.log_jacobian(cells)
                missing = np.isnan(cells)
                part = np.where(missing, 0.0, part) if missing.any() else part
                out[rows] += part.sum(axis=1)
        return out

    def log_unit(self, X: Array) -> NDArray[np.float64]:
        """The log of the unit of each density, 0 for a mass or a missing value. -> (n, d)."""
        out = np.empty(X.shape)
        for rows, x in row_blocks(X, None):
            for group in self.groups:
                cells = x[:, group.columns]
                unit = group.log_unit(cells)
                out[rows, group.places] = np.where(np.isnan(cells), 0.0, unit)
        return out

    def sum_of_log_units(self, X: Array) -> NDArray[np.float64]:
        """``log_unit``, summed over the values of a row. -> (n,)."""
        out = np.empty(len(X))
        for rows, x in row_blocks(X, None):
            out[rows] = self.log_unit(x).sum(axis=1)
        return out

    @property
    def likelihoods(self) -> dict[str, Likelihood]:
        """The likelihood of each column, by name."""
        of = {place: group.likelihood for group in self.groups for place in group.places}
        return {name: of[place] for place, name in enumerate(self.names)}

    @property
    def resolutions(self) -> dict[str, float | None]:
        """The step of the grid on which each column lies, by name; None for a column without."""
        steps = {
            place: None if np.isnan(step) else float(step)
            for group in self.groups
            for place, step in zip(group.places, group.grids.step, strict=True)
        }
        return {name: steps[place] for place, name in enumerate(self.names)}

    @property
    def bounds(self) -> Array:
        """The bounds that the user named, NaN for other columns, by place. (d, 2)."""
        return self._by_place([group.bounds for group in self.groups])

    @property
    def limits(self) -> Array:
        """The smallest and the largest draw of each column, infinite for none, by place. (d, 2)."""
        return self._by_place([group.limits for group in self.groups])

    def _by_place(self, of_groups: Sequence[Array]) -> Array:
        out = np.empty_like(self.ranges)
        out[self.order] = np.concatenate(of_groups)
        return out

    def beyond(self, X: Array, limits: Array) -> NDArray[np.bool_]:
        """Which values (n, d) lie beyond limits (d, 2), except by rounding. (n, d) bool."""
        out = np.zeros(X.shape, dtype=bool)
        for group in self.groups:
            places = group.places
            out[:, places] = group.grids.beyond(X[:, places], limits[places])
        return out

    def beyond_training(self, X: Array) -> NDArray[np.bool_]:
        """Which values (n, d) lie beyond all of training, also if one was in float32. (n, d)."""
        slack = ROUNDING_32 * np.abs(self.ranges).max(axis=1, keepdims=True)
        return self.beyond(X.astype(np.float64), self.ranges + slack * [-1, 1])

    def place_of(self, name: Any) -> int:
        """The place of a column in the table. Raises ValueError for an unknown name."""
        return find_columns(self.names, [name], "column")[0]

    def group_of(self, place: int) -> tuple[int, int]:
        """The number of the group of the column at ``place``, and its number in that group."""
        (g,) = (g for g, group in enumerate(self.groups) if place in group.places)
        return g, int(np.flatnonzero(self.groups[g].places == place)[0])

    @property
    def values(self) -> dict[int, Array]:
        """The values of each column that has a mass for each of a few values, by its place."""
        found = {}
        for group in self.groups:
            values = group.likelihood.values(group.constants)
            if values is None:
                continue
            each = np.broadcast_to(values, (len(group.places), values.shape[1]))
            for place, own in zip(group.places, each, strict=True):
                found[int(place)] = own[~np.isnan(own)]
        return dict(sorted(found.items()))

    def _check_support(self, group: ColumnGroup, x: Array, inside: NDArray[np.bool_]) -> None:
        likelihood, places = group.likelihood, group.places
        if likelihood.needs_complete_rows and np.isnan(x).any():
            row, column = np.argwhere(np.isnan(x))[0]
            raise ValueError(
                f"Column {self.names[places[column]]!r} has a missing value, and {likelihood} "
                "depends on all values of a row. Fill it, or fit with a likelihood that does not, "
                "such as one with library_size=False."
            )
        if not inside.all():
            inside = inside | np.isnan(x) | (group.lenient & np.isfinite(x))
        if not inside.all():
            row, column = np.argwhere(~inside)[0]
            raise ValueError(
                f"Column {self.names[places[column]]!r} is modelled by "
                f"{type(likelihood).__name__}, whose support is {likelihood.support}, but it "
                f"holds {x[row, column]}. Fit with a likelihood that accepts any number, as in "
                f"likelihood={{{self.names[places[column]]!r}: 'gaussian'}}, or change the value."
            )

    def check_cells_can_be_left_out(self) -> None:
        """Raise ValueError if log p of a row without one of its values is not defined."""
        for group in self.groups:
            group.check_cells_can_be_left_out(self.names)

    def _slices(self) -> Iterator[tuple[ColumnGroup, slice]]:
        start = 0
        for group in self.groups:
            stop = start + len(group.places)
            yield group, slice(start, stop)
            start = stop


def _distinct(values: Sequence[_T]) -> list[_T]:
    found: list[_T] = []  # few, and not all can be hashed
    for value in values:
        if value not in found:
            found.append(value)
    return found
