"""A smooth map of the distribution of numbers to a standard normal distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from skvae._floats import float_errors_ignored
from skvae.likelihoods._numerics import pick

Array = NDArray[Any]

FEWEST_KNOTS = 3
# The share of the rows in a tail, and the number of rows that are enough for one.
TAIL_SHARE, TAIL_ROWS = 0.05, 200.0
# The slope at an outer knot is that of this share of the segments, since one alone is noisy.
END_SEGMENTS = 1 / 16
# Of a tail: that of a log-normal distribution is the standard deviation of its logarithms.
LARGEST_GROWTH = 4.0
# How much larger the score of an extreme value may be than that of its rank.
EXTREME_RISE = 1.0
# The share by which the slope of a place may fall from the outer knot to the extreme value.
LARGEST_FALL = 0.5


class Spline(NamedTuple):
    """A smooth, increasing map s(x) of numbers to normal scores.

    Between the knots it is a rational quadratic spline [1]_, whose slopes are those of PCHIP.
    Beyond them x is an exponential function of s, as in Tukey's g distribution: for the excess e
    over the last knot, which has the slope a,

        s = s_K + log(1 + g a e) / g.

    The growth g of each tail is fitted to its mean. If g is negative, the map is linear beyond the
    extreme value of training, so that any number has a score.

    Attributes
    ----------
    knots, scores, slopes : ndarray of shape (K,)
    growth, reach : ndarray of shape (2,)
        Of the left and of the right tail: g, and the excess of the extreme value.

    References
    ----------
    .. [1] J. A. Gregory and R. Delbourgo, "Piecewise Rational Quadratic Interpolation to Monotonic
           Data", IMA Journal of Numerical Analysis 2 (2), 1982.
    """

    knots: Array
    scores: Array
    slopes: Array
    growth: Array
    reach: Array

    @classmethod
    def fit(cls, x: Array, share: Array, n_rows: float, n_knots: int, cell: float) -> Spline:
        """The map of sorted, different numbers (n,) with these shares, of mean 0 and variance 1.

        ``cell`` is the distance between numbers if they lie on a grid, otherwise 0.
        """
        knots, scores = _knots(x, share, n_rows, n_knots, cell)
        slopes = _slopes(knots, scores)
        left = _fitted_tail(knots[0] - x[::-1], share[::-1], -scores[0], slopes[0], cell)
        right = _fitted_tail(x - knots[-1], share, scores[-1], slopes[-1], cell)
        growth, reach = np.array([left, right]).T
        return cls(knots, scores, slopes, growth, reach)

    def score(self, x: Array) -> Array:
        """s(x). (n,) -> (n,)."""
        i, width, rise, left, right = self._segment(np.searchsorted(self.knots, x))
        t = ((x - pick(self.knots, i)) / width).clip(0, 1)
        slope, u = rise / width, t * (1 - t)
        ratio = (slope * t * t + left * u) / (slope + (left + right - 2 * slope) * u)
        found: Array = pick(self.scores, i) + rise * ratio
        found += self._tail(x - self.knots[-1], 1) - self._tail(self.knots[0] - x, 0)
        return found

    def inverse(self, s: Array) -> Array:
        """x(s). (n,) -> (n,)."""
        i, width, rise, left, right = self._segment(np.searchsorted(self.scores, s))
        y = (s - self.scores[i]).clip(0, rise)
        slope = rise / width
        bend = y * (left + right - 2 * slope)
        # a t^2 + b t + c = 0
        a, b, c = rise * (slope - left) + bend, rise * left - bend, -slope * y
        t = -2 * c / (b + np.sqrt((b * b - 4 * a * c).clip(0)))
        found: Array = self.knots[i] + t * width
        found += self._inverse_tail(s - self.scores[-1], 1)
        found -= self._inverse_tail(self.scores[0] - s, 0)
        return found

    def log_slope(self, x: Array) -> Array:
        """log ds/dx. (n,) -> (n,)."""
        i, width, rise, left, right = self._segment(np.searchsorted(self.knots, x))
        t = ((x - self.knots[i]) / width).clip(0, 1)
        slope, u = rise / width, t * (1 - t)
        over = right * t * t + 2 * slope * u + left * (1 - t) ** 2
        under = slope + (left + right - 2 * slope) * u
        found: Array = 2 * np.log(slope) + np.log(over) - 2 * np.log(under)
        for excess, side in ((self.knots[0] - x, 0), (x - self.knots[-1], 1)):
            inside = self._within(excess.clip(0), side)
            found -= np.log1p(self.growth[side] * self._end_slope(side) * inside)
        return found

    def _segment(self, above: Array) -> tuple[Array, Array, Array, Array, Array]:
        """The number of a segment, its width and rise, and the slopes at its two ends."""
        i = (above - 1).clip(0, len(self.knots) - 2)
        width, rise = pick(np.diff(self.knots), i), pick(np.diff(self.scores), i)
        return i, width, rise, pick(self.slopes, i), pick(self.slopes, i + 1)

    def _end_slope(self, side: int) -> float:
        return float(self.slopes[-side])

    def _within(self, excess: Array, side: int) -> Array:
        """The part of an excess in which the tail is an exponential function."""
        limit = self.reach[side] if self.growth[side] < 0 else np.inf
        inside: Array = np.minimum(excess, limit)
        return inside

    def _tail(self, excess: Array, side: int) -> Array:
        """How far the score rises over an excess, 0 if it is negative."""
        g, a, excess = self.growth[side], self._end_slope(side), excess.clip(0)
        inside = self._within(excess, side)
        rest = a * (excess - inside) / (1 + g * a * inside)
        rise: Array = rise_of(a * inside, g) + rest
        return rise

    def _inverse_tail(self, rise: Array, side: int) -> Array:
        """The excess over which the score rises this far, 0 if it is negative."""
        g, a, rise = self.growth[side], self._end_slope(side), rise.clip(0)
        inside = np.minimum(rise, rise_of(a * self.reach[side], g) if g < 0 else np.inf)
        rest = (rise - inside) * (1 + min(g, 0.0) * a * self.reach[side])
        with float_errors_ignored("over"):
            excess: Array = (excess_of(inside, g) + rest) / a
        return excess


def rise_of(excess: Any, growth: float) -> Any:
    """The rise of the score over an excess, in units of the slope at the knot."""
    return np.log1p(growth * excess) / growth if growth else excess


def excess_of(rise: Any, growth: float) -> Any:
    """The inverse of ``rise_of``."""
    return np.expm1(growth * rise) / growth if growth else rise


def _knots(x: Array, share: Array, n_rows: float, n_knots: int, cell: float) -> tuple[Array, Array]:
    """Quantiles half way between two numbers, and their scores. 2 x (K,)."""
    levels = np.arange(1, n_knots) / max(n_knots, 1)
    tail = max(1 / max(n_knots, 1), min(TAIL_SHARE, TAIL_ROWS / n_rows))
    levels = np.r_[tail, levels[(levels > tail) & (levels < 1 - tail)], 1 - tail]
    total = np.cumsum(share)
    at = np.unique(np.searchsorted(total, levels * (1 - 1e-12)).clip(0, max(len(x) - 2, 0)))
    if min(n_knots, len(at)) >= FEWEST_KNOTS:
        knots = x[at] + 0.5 * (cell or x[at + 1] - x[at])
        keep = np.r_[True, np.diff(knots) > 0]
        if keep.sum() >= FEWEST_KNOTS:
            return knots[keep], ndtri(total[at][keep])
    mean = share @ x
    spread = max(float(np.sqrt(share @ np.square(x - mean))), 0.5 * cell, 1e-9)
    return mean + np.array([-spread, spread]), np.array([-1.0, 1.0])


def _slopes(knots: Array, scores: Array) -> Array:
    """The slope at each knot: weighted harmonic means of those beside it. (K,)."""
    width = np.diff(knots)
    slope = np.diff(scores) / width
    before, after = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    inner = (before + after) / (before / slope[:-1] + after / slope[1:])
    n = max(1, int(END_SEGMENTS * len(slope)))
    first, last = (
        (scores[b] - scores[a]) / (knots[b] - knots[a]) for a, b in ((0, n), (-1 - n, -1))
    )
    found: Array = np.r_[first, inner, last]
    return found


def _fitted_tail(
    excess: Array, share: Array, score: float, slope: float, cell: float
) -> tuple[float, float]:
    """The growth of a tail whose mean excess is that of the data, and the largest excess.

    It is larger if the score of the extreme value would otherwise be too far from the others.

    ``excess`` (n,) over the last knot is sorted, and ``share`` (n,) are the shares of all rows.
    """
    tail = excess > 0
    if not tail.any():
        return 0.0, 0.0
    excess, share = slope * excess[tail], share[tail]
    above = np.cumsum(share[::-1])[::-1] - 0.5 * share
    rise = (-ndtri(above) - score).clip(0)

    largest = float(excess[-1]) + 0.5 * slope * cell

    def of_mean(growth: float) -> float:
        return float(share @ (excess_of(rise, growth) - excess))

    def of_extreme(growth: float) -> float:
        return float(rise[-1] + EXTREME_RISE - rise_of(largest, growth))

    low, high = -LARGEST_FALL / largest, LARGEST_GROWTH
    with float_errors_ignored("over"):
        growth = _root(of_mean, low, high)
    if of_extreme(growth) < 0:
        growth = _root(of_extreme, growth, high)
    return growth, largest / slope


def _root(miss: Callable[[float], float], low: float, high: float) -> float:
    """The root of an increasing function, or the bound nearest to it."""
    if miss(low) >= 0:
        return low
    if miss(high) <= 0:
        return high
    return float(brentq(miss, low, high))
