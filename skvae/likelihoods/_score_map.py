"""The map of a column, with atoms, to normal scores.

A column is a mixture of *atoms*, values with a mass of their own, and of a continuous part. In the
order of the values, the map spreads them over a standard normal variable u: an atom takes an
interval of it, whose probability is the share of the atom.

Whole numbers are mapped by their places among the numbers that are no atoms, as in ``_bins``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from skvae.likelihoods._bins import first_place_above, places
from skvae.likelihoods._numerics import are_whole, atom_cell, pick
from skvae.likelihoods._spline import Spline

Array = NDArray[Any]

LARGEST_SCORE = 37.0  # its normal probability is a positive float64; u - s is constant beyond


class ScoreMap(NamedTuple):
    """The map u(x) of the values of a column.

    Attributes
    ----------
    spline : Spline
        The scores of the standardised places of the continuous part.
    atoms, mass : ndarray of shape (A,)
        The atoms and their shares.
    low, high : ndarray of shape (A,)
        The interval of u of each atom.
    location, spread : float
        Mean and standard deviation of the column.
    whole : bool
        Whether all values are whole numbers.
    cell : float
        The width over which the mass of an atom is spread, to be a density.
    """

    spline: Spline
    atoms: Array
    mass: Array
    low: Array
    high: Array
    location: float
    spread: float
    whole: bool
    cell: float

    @classmethod
    def fit(
        cls,
        values: Array,
        share: Array,
        n_rows: float,
        *,
        is_atom: Array,
        n_knots: int,
        location: float,
        spread: float,
    ) -> ScoreMap:
        """The map for different, sorted values (n,) with these shares of the rows."""
        whole = are_whole(values)
        atoms, mass = values[is_atom], share[is_atom]
        skipped = atoms if whole else atoms[:0]
        rest, weight = places(values[~is_atom], skipped), share[~is_atom]
        if not len(rest):  # values between the atoms may occur later
            rest, weight = places(values[[0, -1]], skipped), np.ones(2)
        free = max(float(share[~is_atom].sum()), 0.5 / n_rows)
        mass = mass * ((1 - free) / mass.sum()) if len(mass) else mass
        spline = Spline.fit(
            (rest - location) / spread,
            weight / weight.sum(),
            free * n_rows,
            n_knots,
            whole / spread,
        )
        cell = 1.0 if whole else atom_cell(values, is_atom, spread)
        found = cls(spline, atoms, mass, atoms, atoms, location, spread, whole, cell)
        at = found._score(first_place_above(atoms) - 0.5 if whole else atoms)
        k = np.arange(len(atoms))
        return found._replace(low=found._joined(at, k), high=found._joined(at, k + 1))

    @property
    def middle(self) -> Array:
        """The u in the middle of the share of each atom. (A,)."""
        below = 0.5 * (ndtr(self.low) + ndtr(self.high))
        above = 0.5 * (ndtr(-self.low) + ndtr(-self.high))
        return _normal_quantile(below, above)

    def find(self, x: Array) -> tuple[Array, Array]:
        """Which values are atoms, and the number of atoms below each value. 2 x (n,)."""
        below = np.searchsorted(self.atoms, x)
        if not len(self.atoms):
            return np.zeros_like(x, dtype=bool), below
        return pick(self.atoms, np.minimum(below, len(self.atoms) - 1)) == x, below

    def to_u(self, x: Array) -> Array:
        """The u of each value, the middle of its interval for an atom. (n,) -> (n,)."""
        is_atom, below = self.find(x)
        u = self._joined(self._score(self._place(x)), below)
        if not len(self.atoms):
            return u
        # in float32 too, a value beside an atom is no atom
        low, high = self.low.astype(np.float32), self.high.astype(np.float32)
        first = pick(np.r_[-np.inf, high], below)
        last = pick(np.r_[np.nextafter(low, np.float32(-np.inf)), np.inf], below)
        middle = pick(self.middle, np.minimum(below, len(self.atoms) - 1))
        return np.where(is_atom, middle, u.clip(first, last))

    def log_jacobian(self, x: Array) -> Array:
        """log du/dx; for atoms, minus the log of the cell. (n,) -> (n,)."""
        is_atom, below = self.find(x)
        place = self._place(x)
        found: Array = self.spline.log_slope(self._standard(place)) - np.log(self.spread)
        if len(self.atoms):
            s = self._score(place).clip(-LARGEST_SCORE, LARGEST_SCORE)
            u = self._joined(s, below)
            found += np.log1p(-self.mass.sum()) - 0.5 * (s * s - u * u)
        return np.where(is_atom, -np.log(self.cell), found)

    def from_u(self, u: Array) -> Array:
        """The value at each u. (n,) -> (n,)."""
        below = np.searchsorted(self.high, u, side="right")
        s = self._continuous(u, below)
        value = self.location + self.spread * self.spline.inverse(s)
        if self.whole:
            value = np.rint(value)
            value += np.searchsorted(first_place_above(self.atoms), value, side="right")
        if len(self.atoms):
            nearest = np.minimum(below, len(self.atoms) - 1)
            is_atom = (below < len(self.atoms)) & (u >= self.low[nearest])
            value = np.where(is_atom, self.atoms[nearest], value)
        return value

    def _place(self, x: Array) -> Array:
        return places(x, self.atoms) if self.whole else x

    def _standard(self, place: Array) -> Array:
        found: Array = (place - self.location) / self.spread
        return found

    def _score(self, place: Array) -> Array:
        return self.spline.score(self._standard(place))

    def _joined(self, s: Array, n_below: Array) -> Array:
        """The u at the score s of the continuous part, above this number of atoms. (n,)."""
        if not len(self.atoms):
            return s
        free, lower, upper = self._masses(n_below)
        near = s.clip(-LARGEST_SCORE, LARGEST_SCORE)
        u: Array = _normal_quantile(free * ndtr(near) + lower, free * ndtr(-near) + upper)
        u += s - near
        return u

    def _continuous(self, u: Array, n_below: Array) -> Array:
        """The inverse of ``_joined``. (n,)."""
        if not len(self.atoms):
            return u
        free, lower, upper = self._masses(n_below)
        return _normal_quantile((ndtr(u) - lower) / free, (ndtr(-u) - upper) / free)

    def _masses(self, n_below: Array) -> tuple[float, Array, Array]:
        """The mass of the continuous part, and those of the atoms below and above. (n,)."""
        total = np.r_[0.0, np.cumsum(self.mass)]
        lower = pick(total, n_below)
        return 1 - total[-1], lower, total[-1] - lower


def _normal_quantile(below: Array, above: Array) -> Array:
    """The standard normal number with these probabilities on its two sides. (n,) -> (n,)."""
    smaller = ndtri(np.minimum(below, above).clip(0, 0.5))
    u: Array = np.where(below < above, smaller, -smaller)
    return u.clip(-LARGEST_SCORE, LARGEST_SCORE)
