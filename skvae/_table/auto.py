"""What likelihood="auto" takes for a column, by its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae.likelihoods import Bernoulli, Categorical, Gaussian, Histogram, Likelihood

Array = NDArray[Any]

SAMPLE_ROWS = 10_000  # that are looked at
RARE = 0.05  # below this share of the rows a value is no sign of a yes/no column
FEW_VALUES = 10
MIN_ROWS = 1000  # a histogram has a mass to learn for each bin
MAX_COLUMNS = 100  # and a column of the networks
SPIKE = 0.05  # share of the rows that a single value holds
SKEW = 2.0


def choose(
    X: Array,
    weight: NDArray[np.float64],
    n_rows: float,
    *,
    is_category: Sequence[bool],
    is_bool: Sequence[bool],
    is_binary: Sequence[bool] | NDArray[np.bool_],
    wanted: Sequence[bool],
) -> list[Likelihood | None]:
    """A likelihood for each column that wants one, None for the others.

    Categorical for categories. Bernoulli for a column of yes and no: of bools, or of nothing but 0
    and 1, each in at least ``RARE`` of the rows (a count that happened to stay below 2 is rarely
    1), or in a table of nothing but 0 and 1. Histogram for columns that no normal fits, where there
    are rows enough; Gaussian for the others.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        A sample of the rows.
    weight : ndarray of shape (n,)
    n_rows : float
        Of the whole table.
    is_category, is_bool, is_binary, wanted : sequence of bool of length d
        Which columns hold categories, bools, nothing but 0 and 1 in the whole table, and which
        want a likelihood.
    """
    numeric = ~np.asarray(is_category, dtype=bool)
    binary = np.asarray(is_binary)
    all_binary = bool(binary[numeric].all())
    enough = n_rows >= MIN_ROWS and numeric.sum() <= MAX_COLUMNS
    found: list[Likelihood | None] = []
    for place, x in enumerate(X.T):
        if not wanted[place]:
            found.append(None)
            continue
        there = ~np.isnan(x)
        value, w = x[there], weight[there]
        if not numeric[place]:
            found.append(Categorical())
        elif not len(value):
            found.append(Gaussian())
        elif is_bool[place] or (binary[place] and (all_binary or _is_yes_no(value, w))):
            found.append(Bernoulli())
        elif enough and not is_smooth(value, w):
            found.append(Histogram())
        else:
            found.append(Gaussian())
    return found


def _is_yes_no(x: Array, weight: Array) -> bool:
    ones = weight @ x / weight.sum()
    return bool(min(ones, 1 - ones) >= RARE)


def is_smooth(x: Array, weight: Array) -> bool:
    """Whether a normal around what the codes tell could make the values of a column. (n,), (n,)."""
    values, place = np.unique(x, return_inverse=True)
    if len(values) == 1:
        return True
    share = np.bincount(place, weights=weight) / weight.sum()
    values = values / np.abs(values).max()  # keeps the powers of 1e200 finite
    mean = share @ values
    spread = np.sqrt(share @ np.square(values - mean))
    skew = share @ np.power((values - mean) / spread, 3)
    return bool(len(values) > FEW_VALUES and share.max() < SPIKE and abs(skew) < SKEW)
