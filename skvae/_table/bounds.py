"""The bounds of columns of numbers: those that the user names, and what they forbid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae._rules import Rule, number
from skvae._table.columns import Columns
from skvae._table.container import Container
from skvae._table.names import find_columns
from skvae._warn import warn

Array = NDArray[Any]

LARGEST = float(np.finfo(np.float64).max)
PAIR = Rule(
    "a pair (low, high), each None for no bound",
    lambda value: isinstance(value, tuple | list) and len(value) == 2,
)
NUMBERS = Rule("numbers, or None for no bound", lambda pair: all(map(_is_bound, pair)))


def with_bounds(columns: Columns, container: Container, bounds: str | Mapping[Any, Any]) -> Columns:
    """The columns with the bounds that the user names.

    Raises ValueError for columns that are unknown or hold categories, for bounds that are no values
    of their column or do not increase, and for training values beyond them.
    """
    if not isinstance(bounds, Mapping):
        return columns
    named = columns.bounds
    places = find_columns(columns.names, bounds, "bounds")
    for place, (name, pair) in zip(places, bounds.items(), strict=True):
        one = columns.likelihoods[columns.names[place]]
        if one.takes_levels:
            raise ValueError(
                f"'bounds' names the column {name!r}, but {type(one).__name__} models it, whose "
                "draws are the categories of training. Leave it out of 'bounds'."
            )
        named[place] = _numbers(container, place, name, pair)
    bounded = columns.bounded(named)
    low, high = bounded.bounds.T
    for place in map(int, np.flatnonzero(low > high)):
        name = columns.names[place]
        raise ValueError(
            f"The bounds of column {name!r} hold no value of its grid; got {bounds[name]!r}."
        )
    check_training(bounded, container)
    return bounded


def _numbers(container: Container, place: int, name: Any, pair: Any) -> Array:
    """The bounds of a column as numbers, infinite for none. (2,)."""
    what = f"The bounds of column {name!r}"
    PAIR.check(what, pair)
    if not container.holds_times(place):
        NUMBERS.check(what, pair)
    try:
        bounds = container.bounds(place, pair)
    except ValueError as error:  # of times
        raise ValueError(f"{what} are not values of the column. {error}") from error
    if not bounds[0] < bounds[1]:
        raise ValueError(f"{what} must increase, as in (0, 1); got {pair!r}.")
    return container.inside(place, bounds)


def _is_bound(value: Any) -> bool:
    """Whether a value is a number, maybe infinite, or None."""
    if isinstance(value, Decimal):
        return not value.is_nan()
    is_infinite = isinstance(value, float | np.floating) and bool(np.isinf(value))
    return value is None or is_infinite or number(-LARGEST, LARGEST).holds(value)


def check_training(columns: Columns, container: Container) -> None:
    """Raise ValueError if training holds values beyond the bounds that the user named."""
    bounds = columns.bounds
    for place, value in _beyond(columns, columns.ranges.T, bounds):
        raise ValueError(
            f"Column {columns.names[place]!r} holds {container.shown(place, value)}, but its "
            f"bounds are {_span(container, place, bounds)}. Correct the value, mark it as missing "
            "by NaN, or widen 'bounds'."
        )


def check_given(columns: Columns, container: Container, table: Array) -> None:
    """Check given values (n, d), with NaN for those that are not given.

    Raises ValueError for a value beyond the bounds that the user named. Warns once for each column
    with values beyond all of training.
    """
    bounds, ranges = columns.bounds, columns.ranges
    for place, value in _beyond(columns, table, bounds):
        raise ValueError(
            f"'given' holds {container.shown(place, value)} in column {columns.names[place]!r}, "
            f"but its bounds are {_span(container, place, bounds)}. Give a value within them, or "
            "fit with wider 'bounds'."
        )
    for place, value in _beyond(columns, table, ranges):
        warn(
            f"'given' holds {container.shown(place, value)} in column {columns.names[place]!r}, "
            f"but training held values {_span(container, place, ranges)}. The model extrapolates: "
            "check the value."
        )


def _beyond(columns: Columns, table: Array, limits: Array) -> Iterator[tuple[int, float]]:
    """The place of each column with values (n, d) beyond limits (d, 2), and the first of them."""
    beyond = columns.beyond(table, limits)
    for place in map(int, np.flatnonzero(beyond.any(axis=0))):
        yield place, float(table[beyond[:, place], place][0])


def _span(container: Container, place: int, limits: Array) -> str:
    """The limits of a column, among those of all (d, 2), in words."""
    low, high = (container.shown(place, end) for end in limits[place])
    if np.isinf(limits[place]).any():
        return f"at least {low}" if np.isinf(limits[place, 1]) else f"at most {high}"
    return f"from {low} to {high}"


def bounds_of(columns: Columns, container: Container) -> dict[Any, tuple[Any, Any]]:
    """The limits of draws of each column of numbers, by name."""
    limits = columns.limits
    return {
        name: (container.bound(place, limits[place, 0]), container.bound(place, limits[place, 1]))
        for place, (name, one) in enumerate(columns.likelihoods.items())
        if not one.takes_levels
    }
