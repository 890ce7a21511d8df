"""Find the columns of numbers that share a unit, such as the pixels of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae.likelihoods._bernoulli import has_both_values
from skvae.likelihoods._numerics import standardisation

Array = NDArray[Any]

FEWEST_COLUMNS = 8
SHARE = 0.3  # smallest share of the varying columns that must reach both ends of the scale


def shared_unit(X: Array, spread: Array, numeric: NDArray[np.bool_]) -> tuple[Array, float]:
    """The standard deviations of columns that share a unit, in that unit, and the unit.

    -> (d,), (). The unit is the root mean square of the columns' standard deviations. Columns that
    do not share it get NaN.

    Columns share a unit if many have the same smallest and the same largest value, the ends of a
    scale such as 0 and 255. All columns whose values are within these ends share it. PCA takes such
    columns unscaled, so a column that hardly varies has little effect.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        A sample of the rows, with NaN for missing values.
    spread : ndarray of shape (d,)
        The standard deviations of the columns.
    numeric : ndarray of bool of shape (d,)
        Which columns may share a unit.
    """
    found = np.full(X.shape[1], np.nan)
    candidates = numeric & ~np.isnan(X).all(axis=0)
    if candidates.sum() < FEWEST_COLUMNS:
        return found, np.nan
    low, high = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan)
    low[candidates] = np.nanmin(X[:, candidates], axis=0)
    high[candidates] = np.nanmax(X[:, candidates], axis=0)
    varies = low < high
    if varies.sum() < FEWEST_COLUMNS:
        return found, np.nan
    bottom, top = _mode(low[varies]), _mode(high[varies])
    if np.mean((low[varies] == bottom) & (high[varies] == top)) < SHARE:
        return found, np.nan
    members = (low >= bottom) & (high <= top)
    largest = spread[members].max()  # keeps the squares of 1e200 finite
    unit = float(largest * np.sqrt(np.mean(np.square(spread[members] / largest))))
    found[members] = spread[members] / unit
    return found, unit


def _mode(values: Array) -> float:
    distinct, times = np.unique(values, return_counts=True)
    return float(distinct[times.argmax()])


def hold_only_0_and_1(X: Array) -> NDArray[np.bool_]:
    """Which columns (n, d) hold no other values. (d,)."""
    found: NDArray[np.bool_] = np.all((X == 0) | (X == 1) | np.isnan(X), axis=0)
    return found


def yes_no_columns(X: Array, weight: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which columns (n, d) hold only 0 and 1, neither of them rare. (d,)."""
    observed = ~np.isnan(X)
    found = hold_only_0_and_1(X) & observed.any(axis=0)
    for place in np.flatnonzero(found):
        rows = observed[:, place]
        found[place] = has_both_values(X[rows, place], weight[rows])
    return found


def spreads(X: Array, weight: NDArray[np.float64]) -> Array:
    """The standard deviation of the finite values of each column, 0 if it has none. -> (d,)."""
    found = np.zeros(X.shape[1])
    finite = np.isfinite(X)
    complete = finite.all(axis=0) & (len(X) > 0)
    if complete.any():
        found[complete] = standardisation(X[:, complete], weight)[1]
    for place in np.flatnonzero(finite.any(axis=0) & ~complete):
        rows = finite[:, place]
        found[place] = standardisation(X[rows][:, [place]], weight[rows])[1][0]
    return found
