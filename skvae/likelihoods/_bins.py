"""The bins of a histogram, of one column.

Whole numbers are binned by their *places*: a number less the number of atoms below it. The places
of all numbers that are not atoms are consecutive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from skvae._floats import float_errors_ignored
from skvae.likelihoods._numerics import smallest_gap

Array = NDArray[Any]

FEWEST_BINS = 3
NEAR_ROWS, PEAK_CHANCE = 20, 1e-3  # of `is_peak`
SMALLEST_UNIT = 1e-300  # of a column, so that a tenth of it is not 0
SMALLEST_SCALE = 1e-9  # of a tail, as a fraction of what the bins span


def places(x: Array, atoms: Array) -> Array:
    """Each number less the number of ``atoms`` below it. (n,), (A,) -> (n,)."""
    place: Array = x - np.searchsorted(atoms, x)
    return place


def first_place_above(atoms: Array) -> Array:
    """The smallest place of a number above each of the sorted atoms. (A,) -> (A,)."""
    above: Array = atoms - np.arange(len(atoms))
    return above


def is_peak(values: Array, rows: Array) -> Array:
    """Which of the sorted values (n,) too many rows (n,) hold for a density that is smooth there.

    The ``NEAR_ROWS`` rows nearest to a value, half of them above it, spread over some steps. By
    chance, a step would hold as many rows as the value with a probability below ``PEAK_CHANCE``. A
    step is the smallest difference between two values.
    """
    before = np.r_[0.0, np.cumsum(rows)]
    # the values that hold the last of so many rows below, and the first of so many above
    first = np.searchsorted(before, before[:-1] - NEAR_ROWS / 2, side="right") - 1
    last = np.searchsorted(before, before[1:] + NEAR_ROWS / 2, side="left") - 1
    first, last = first.clip(0), last.clip(max=len(values) - 1)
    with float_errors_ignored("over"):
        n_steps = (values[last] - values[first]) / (smallest_gap(values) or 1.0)
    others = before[last + 1] - before[first] - rows
    # the probability that a Poisson number is at least k
    found: Array = gammainc(rows, others / np.maximum(n_steps, 1)) < PEAK_CHANCE
    return found


def resolution(values: Array, ends: tuple[float, float], whole: bool) -> float:
    """The smallest difference between values that a bin represents. -> ()."""
    gap = 1.0 if whole else smallest_gap(values) or 1.0
    rounding = 2 * float(np.spacing(max(abs(end) for end in ends)))
    return max(gap, rounding, SMALLEST_UNIT)


def bin_edges(
    values: Array, share: Array, n_bins: int, ends: tuple[float, float], unit: float, whole: bool
) -> Array:
    """The edges between bins, the first and last of which are unbounded. -> (E,).

    Parameters
    ----------
    values, share : ndarray of shape (n,)
        Sorted values (places of whole numbers) and their shares of the rows.
    n_bins : int
        Below ``FEWEST_BINS`` a single inner bin spans ``ends``.
    ends : (float, float)
        The smallest and the largest value, atoms included.
    unit : float
        The ``resolution``.
    whole : bool
        Whether training held whole numbers only.
    """
    first, last = ends
    if n_bins >= FEWEST_BINS:
        return quantile_edges(values, share, n_bins, whole)
    return np.unique([first - unit / 2, last + unit / 2])


def quantile_edges(values: Array, share: Array, n_bins: int, whole: bool) -> Array:
    """Edges of bins of about equal shares, half way between two values. -> (n_bins - 1,).

    Fewer where values repeat.
    """
    levels = np.arange(1, n_bins) / n_bins * (1 - 1e-12)  # less the rounding error of the sums
    quantiles = np.quantile(values, levels, weights=share, method="inverted_cdf")
    at = np.unique(np.minimum(np.searchsorted(values, quantiles), len(values) - 2))
    edges = 0.5 * (values[at] + values[at + 1])
    return np.unique(np.floor(edges) + 0.5) if whole else edges


def bin_masses(values: Array, share: Array, edges: Array) -> Array:
    """The share of the rows in each bin. (n,), (n,), (E,) -> (E + 1,)."""
    bin_of = np.searchsorted(edges, values, side="right")
    return np.bincount(bin_of, weights=share, minlength=len(edges) + 1)


def tail_scales(values: Array, share: Array, edges: Array, unit: float) -> Array:
    """The scales of both exponential tails, their mean distance from the outer edges. -> (2,)."""
    span = max(edges[-1] - edges[0], unit)
    excesses = edges[0] - values, values - edges[-1]
    return np.array([_tail_scale(excess, share, span) for excess in excesses])


def _tail_scale(excess: Array, share: Array, span: float) -> float:
    """The mean of the positive excesses. (n,), (n,) -> ()."""
    beyond = excess > 0
    if not beyond.any():
        return 0.1 * span
    return max(float(np.average(excess[beyond], weights=share[beyond])), SMALLEST_SCALE * span)


def bin_sizes(edges: Array, scale: Array, whole: bool) -> Array:
    """The mass of each bin, divided by the density at its start. -> (E + 1,)."""
    size: Array = np.r_[scale[0], np.diff(edges), scale[1]]
    if whole:
        # the sum of e^(-distance / scale) over 1/2, 3/2, ...
        size[[0, -1]] = 0.5 / np.sinh(0.5 / scale)
    return size


def bin_means(edges: Array, scale: Array, atoms: Array, whole: bool) -> Array:
    """The mean of the values in each bin, which contain no ``atoms``. -> (E + 1,)."""
    # of 1/2, 3/2, ... with the masses e^(-distance / scale)
    reach = 0.5 / np.tanh(0.5 / scale) if whole else scale
    mean: Array = np.r_[edges[0] - reach[0], 0.5 * (edges[:-1] + edges[1:]), edges[-1] + reach[1]]
    # a value is its place plus the atoms below it: for each atom, the share of the bin above it
    above, width = first_place_above(atoms), np.diff(edges)[:, None]
    mean[0] -= np.expm1(-(edges[0] + 0.5 - above).clip(0) / scale[0]).sum()
    mean[1:-1] += (np.clip(edges[1:, None] + 0.5 - above, 0, width) / width).sum(axis=1)
    mean[-1] += np.exp(-(above - 0.5 - edges[-1]).clip(0) / scale[1]).sum()
    return mean
