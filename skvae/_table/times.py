"""Columns of dates, durations and periods as numbers, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Self

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skvae._table.cells import is_missing
from skvae._table.counted import Counted, misses
from skvae._table.frames import Column

Array = NDArray[Any]

# The units of dtypes, and the durations to which columns are recorded, in nanoseconds
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
DURATIONS = {
    "days": 86400 * 10**9,
    "hours": 3600 * 10**9,
    "minutes": 60 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
    "nanoseconds": 1,
}
LARGEST_TICK, NOT_A_TIME = 2**63 - 1, -(2**63)
# The years 1 and 9999, the limits of Python's datetime, in seconds since 1970
FIRST_SECOND, LAST_SECOND = -62135596800, 253402300799

DATES, ZONED, DURATIONS_OF_TIME = "dates", "dates with a time zone", "durations"
# For each kind: the types of its cells, how pandas reads one, and how it converts a column
READERS: dict[str, tuple[tuple[type, ...], Callable[[Any], Any], str]] = {
    DATES: ((date, np.datetime64), pd.Timestamp, "pandas.to_datetime, without a time zone"),
    ZONED: ((date, np.datetime64), pd.Timestamp, "pandas.to_datetime with utc=True"),
    DURATIONS_OF_TIME: ((timedelta, np.timedelta64), pd.Timedelta, "pandas.to_timedelta"),
}
READER_OF_PERIODS = (
    (pd.Period,),
    lambda cell: cell,
    "pandas.Period, or a column by column.dt.to_period(frequency)",
)


@dataclass
class Times(Counted):
    """Times as numbers of seconds, or of periods, from an origin.

    The origin is the earliest date of training. That of durations is 0.

    Attributes
    ----------
    kind : str
        Dates with or without a time zone, durations, or periods of a frequency.
    unit : str
        The unit of the dtype; "" for periods.
    """

    kind: str
    unit: str

    @classmethod
    def of(cls, column: Column, kind: str) -> Self:
        """The times of a column that ``fit`` saw.

        Raises ValueError if float64 cannot represent the seconds between them.
        """
        unit = _unit(column)
        per_unit = _per_unit(unit)
        ticks, missing = _ticks(column)
        seen = ticks[~missing] if not missing.all() else np.zeros(1, dtype=np.int64)
        first, last = int(seen.min()), int(seen.max())
        bounds = -LARGEST_TICK, LARGEST_TICK
        origin = 0
        if kind != DURATIONS_OF_TIME:
            origin = max(first // per_unit, -(LARGEST_TICK // per_unit))
        if kind in (DATES, ZONED):
            bounds = (
                max(bounds[0], min(first, FIRST_SECOND * per_unit)),
                min(bounds[1], max(last, LAST_SECOND * per_unit)),
            )
        step = next(step for step in _steps(unit) if not (seen % step).any())
        found = cls(origin, step, per_unit, bounds, kind, unit)
        if found.reach(first, last) > found.most_steps:
            cells = column.objects()[~missing]
            raise ValueError(
                f"Column {column.name!r} holds {found.text}, and float64 can count "
                f"{found.most_steps} of them; got {found.reach(first, last)} up to {max(cells)}. "
                "Round it to a longer duration, as in column.dt.round('us'), or leave out its "
                "extreme values."
            )
        return found

    @property
    def text(self) -> str:
        """What the column holds, for messages."""
        if not self.unit:
            return self.kind
        length = self.step * NANOSECONDS[self.unit]
        [name] = [name for name, duration in DURATIONS.items() if duration == length]
        return f"{self.kind} of whole {name}"

    def widened(self, column: Column) -> Self:
        """With the longest step that divides this one and the times of a later column."""
        x = self.numbers(column)
        finer = [replace(self, step=step) for step in _steps(self.unit) if step <= self.step]
        return next((one for one in finer if not misses(x, one.nearest(x)).any()), finer[-1])

    def numbers(self, column: Column) -> NDArray[np.float64]:
        """The numbers of a column, NaN for missing times. (n,)."""
        kind = kind_of_times(column)
        if kind == self.kind:
            ticks, missing = _ticks(column)
            per_unit = _per_unit(_unit(column))
            units, rest = np.divmod(ticks, per_unit)
        elif kind is None:
            per_unit = NANOSECONDS["s"]
            units, rest, missing = self._read_cells(column)
        else:
            raise ValueError(
                f"Column {column.name!r} holds {kind}, but it held {self.kind} in training."
            )
        units = units - self.origin
        # -1 + 0.999 would lose digits of -0.001
        is_before = (units < 0) & (rest > 0)
        found: NDArray[np.float64] = (units + is_before) + (rest - per_unit * is_before) / per_unit
        found[missing] = np.nan
        return found

    def values(self, x: Array) -> Array:
        """The times closest to the numbers: numpy's dates or durations, or ordinals of periods."""
        # the product may overflow 64 bits, which the sum undoes
        ticks = self.steps(x).astype(np.int64) * self.step + self.start
        if not self.unit:
            return ticks
        return ticks.view(f"{'m' if self.kind == DURATIONS_OF_TIME else 'M'}8[{self.unit}]")

    def _read_cells(
        self, column: Column
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """The units, the nanoseconds beyond them, and which are missing, of a column of objects."""
        cells = column.objects()
        missing = np.array([_is_no_time(cell) for cell in cells], dtype=bool)
        units, rest = np.zeros((2, len(cells)), dtype=np.int64)
        for place in np.flatnonzero(~missing):
            units[place], rest[place] = self._read(column.name, cells[place])
        return units, rest, missing

    def _read(self, name: Any, cell: Any) -> tuple[int, int]:
        """The units of a cell, and the nanoseconds beyond them."""
        types, read, remedy = READERS.get(self.kind, READER_OF_PERIODS)
        time = read(cell) if isinstance(cell, types) else None
        if time is None or _kind_of_cell(time) != self.kind:
            raise ValueError(
                f"Column {name!r} holds {cell!r}, but it held {self.kind} in training. Convert it "
                f"by {remedy}."
            )
        if isinstance(time, pd.Period):
            return time.ordinal, 0
        ticks = int(time.asm8.astype(np.int64))
        return divmod(ticks * NANOSECONDS[time.unit], NANOSECONDS["s"])


def kind_of_times(column: Column) -> str | None:
    """What kind of times a column holds by its dtype; None if it holds no times."""
    dtype, native = column.dtype, column.native_dtype
    if isinstance(native, pd.PeriodDtype):
        return _periods_of(native)
    if dtype == nw.Datetime:
        return DATES if dtype.time_zone is None else ZONED
    return DATES if dtype == nw.Date else DURATIONS_OF_TIME if dtype == nw.Duration else None


def _kind_of_cell(cell: Any) -> str:
    if isinstance(cell, pd.Period):
        return _periods_of(pd.PeriodDtype(cell.freq))
    if isinstance(cell, pd.Timedelta):
        return DURATIONS_OF_TIME
    return DATES if cell.tzinfo is None else ZONED


def _periods_of(dtype: pd.PeriodDtype) -> str:
    return f"periods of dtype {dtype}"


def _is_no_time(cell: Any) -> bool:
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(cell))
    return cell is pd.NaT or is_missing(cell)


def _unit(column: Column) -> str:
    """The unit of the ticks of a column; "" for periods."""
    if isinstance(column.native_dtype, pd.PeriodDtype):
        return ""
    return "ms" if column.dtype == nw.Date else str(column.dtype.time_unit)


def _per_unit(unit: str) -> int:
    return NANOSECONDS["s"] // NANOSECONDS[unit] if unit else 1


def _steps(unit: str) -> list[int]:
    """The steps to which a column may be recorded, in its ticks, the longest first."""
    if not unit:
        return [1]
    tick = NANOSECONDS[unit]
    return [length // tick for length in DURATIONS.values() if length >= tick]


def _ticks(column: Column) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ticks since 1970, ticks of durations, or ordinals of periods, and which are missing."""
    cells = column.cells
    if not _unit(column):
        ordinals = cells.to_native().array.asi8
        return ordinals, ordinals == NOT_A_TIME
    stamps = (cells.cast(nw.Datetime("ms")) if column.dtype == nw.Date else cells).to_numpy()
    return stamps.astype(np.int64), np.isnat(stamps)
