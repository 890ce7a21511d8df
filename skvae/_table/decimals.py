"""Columns of decimal numbers with a number of places, such as prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skvae._table.cells import is_missing, numbers_of
from skvae._table.frames import Column
from skvae._table.grid import Grid

Array = NDArray[Any]

DIGITS = 2000  # more than any float64 has before and after the point


@dataclass
class Decimals:
    """Decimal numbers, which are numbers in float64.

    Attributes
    ----------
    places : int
        The number of digits after the decimal point.
    digits : int or None
        The number of digits of the dtype; None for a column of objects.
    """

    places: int
    digits: int | None = None

    @classmethod
    def of_cells(cls, cells: Sequence[Decimal]) -> Self:
        """As many places as the cell that has most of them."""
        exponents = [cell.as_tuple().exponent for cell in cells if cell.is_finite()]
        return cls(max([0, *(-int(exponent) for exponent in exponents)]))

    @property
    def grid(self) -> Grid:
        """The numbers that the column can represent."""
        return Grid(10.0**-self.places, decimals=self.places)

    @property
    def text(self) -> str:
        """What the column holds, for messages."""
        return f"decimal numbers of {self.places} places"

    def widened(self, column: Column) -> Self:
        """With the places of a later column too, if the dtype does not limit them."""
        if self.digits is not None:
            return self
        cells = [Decimal(str(cell)) for cell in column.objects() if not is_missing(cell)]
        return replace(self, places=max(self.places, self.of_cells(cells).places))

    def numbers(self, column: Column) -> Array:
        """The numbers of a column, NaN for missing values. (n,)."""
        return numbers_of(column)

    def nearest(self, x: Array) -> NDArray[np.float64]:
        """The numbers closest to ``x`` that the column can represent."""
        return np.array([float(value) for value in self.values(x)])

    def values(self, x: Array) -> Array:
        """The decimal numbers closest to ``x``. (n,)."""
        found = np.empty(len(x), dtype=object)
        with localcontext(prec=DIGITS):
            step = Decimal(1).scaleb(-self.places)
            digits = DIGITS // 2 if self.digits is None else self.digits
            most = Decimal(10) ** (digits - self.places) - step
            for row, number in enumerate(x.tolist()):
                value = Decimal(number).quantize(step) + 0  # no negative zero
                found[row] = max(-most, min(value, most))
        return found
