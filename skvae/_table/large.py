"""Columns of whole numbers that float64 cannot represent, such as ids or times in nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from skvae._table.cells import is_missing, numbers_of
from skvae._table.counted import MOST_UNITS, Counted
from skvae._table.frames import Column, of_objects

Array = NDArray[Any]

UNLIMITED = 2**1000  # bounds of Python's whole numbers


@dataclass
class LargeNumbers(Counted):
    """Whole numbers as distances from the smallest one of training.

    Attributes
    ----------
    dtype : numpy dtype
        Of 64 bits, or object for wider numbers and for a column of objects.
    """

    dtype: np.dtype[Any]

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """The numbers of a column that ``fit`` saw; None if float64 represents all of them.

        Raises ValueError if it does not represent the distances between them either.
        """
        if not of_objects(column.native_dtype):
            x = numbers_of(column)
            if not (np.abs(x) >= MOST_UNITS).any():
                return None
        seen = [int(cell) for cell in column.objects() if not is_missing(cell)]
        first, last = min(seen, default=0), max(seen, default=0)
        if max(abs(first), abs(last)) <= MOST_UNITS:
            return None
        dtype, bounds = np.dtype(object), (-UNLIMITED, UNLIMITED)
        if (name := str(column.dtype).lower()) in ("int64", "uint64"):
            dtype, bounds = np.dtype(name), (np.iinfo(name).min, np.iinfo(name).max)
        step = 1 if last - first <= MOST_UNITS else _power_of_ten(seen)
        found = cls(first, step, 1, bounds, dtype)
        if found.reach(first, last) > found.most_steps:
            raise ValueError(
                f"Column {column.name!r} holds whole numbers from {first} to {last}, and float64 "
                f"represents whole numbers at most {MOST_UNITS} apart exactly. Drop the column if "
                "it is an id. Otherwise round it to a power of ten, or convert it to floats."
            )
        return found

    @property
    def text(self) -> str:
        """What the column holds, for messages."""
        return "whole values" if self.step == 1 else f"multiples of {self.step}"

    def widened(self, column: Column) -> Self:
        """The same, since draws of large numbers stay whole."""
        return self

    def numbers(self, column: Column) -> NDArray[np.float64]:
        """The distances from the origin, NaN for missing values. (n,)."""
        found = numbers_of(column).astype(np.float64)
        if column.dtype.is_float():
            return found - self.origin
        is_64_bits = column.dtype in (nw.Int64, nw.UInt64) and not np.isnan(found).any()
        cells = column.cells.to_numpy() if is_64_bits else column.objects()
        if cells.dtype.kind in "iu" and _fits(self.origin, cells.dtype):
            # exact where the difference fits in 64 bits, which the values of a column rarely exceed
            distance = found - self.origin
            exact = (cells - cells.dtype.type(self.origin)).astype(np.int64)
            return np.where(np.abs(distance) < 2.0**62, exact, distance)
        for place in np.flatnonzero(~np.isnan(found)):
            cell = cells[place]
            found[place] = (int(cell) if isinstance(cell, Integral) else cell) - self.origin
        return found

    def values(self, x: Array) -> Array:
        """The whole numbers closest to those at the distances ``x``."""
        steps = self.steps(x).astype(np.int64).astype(object)
        return (steps * self.step + self.origin).astype(self.dtype)


def _power_of_ten(numbers: list[int]) -> int:
    """The largest power of ten of which all numbers are multiples."""
    step = 1
    while not any(number % (10 * step) for number in numbers):
        step *= 10
    return step


def _fits(number: int, dtype: np.dtype[Any]) -> bool:
    """Whether a dtype of whole numbers represents a number."""
    return bool(np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)
