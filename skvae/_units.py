"""Which columns of numbers are in the same unit, as the pixels of an image are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae.likelihoods._base import standardisation

Array = NDArray[Any]

FEWEST_COLUMNS = 8
SHARE = 0.3  # of the columns that vary which reach both ends of the scale


def emphasis(X: Array, weight: NDArray[np.float64], numeric: NDArray[np.bool_]) -> Array:
    """The spread of each column to that of all columns in its unit. (n, d), (n,), (d,) -> (d,).

    The standard deviation over the root mean square of those of all columns in the unit, NaN for
    columns that share no unit. Columns are in one unit where many have the same smallest and the
    same largest value, the ends of a scale such as 0 and 255; those that stay within belong to it.
    PCA takes such columns as they are: a column that hardly varies then counts for little.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        A sample of the rows, NaN where a value is missing.
    weight : ndarray of shape (n,)
    numeric : ndarray of bool of shape (d,)
        Which columns may share a unit.
    """
    found = np.full(X.shape[1], np.nan)
    candidates = numeric & ~np.isnan(X).all(axis=0)
    if candidates.sum() < FEWEST_COLUMNS:
        return found
    low, high = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan)
    low[candidates] = np.nanmin(X[:, candidates], axis=0)
    high[candidates] = np.nanmax(X[:, candidates], axis=0)
    varies = low < high
    if varies.sum() < FEWEST_COLUMNS:
        return found
    bottom, top = _mode(low[varies]), _mode(high[varies])
    if np.mean((low[varies] == bottom) & (high[varies] == top)) < SHARE:
        return found
    members = (low >= bottom) & (high <= top)
    spread = np.array([_spread(column, weight) for column in X[:, members].T])
    found[members] = spread / np.sqrt(np.mean(np.square(spread)))
    return found


def _mode(values: Array) -> float:
    distinct, times = np.unique(values, return_counts=True)
    return float(distinct[times.argmax()])


def _spread(x: Array, weight: Array) -> float:
    there = ~np.isnan(x)
    return float(standardisation(x[there, None], weight[there])[1][0])
