"""Choose the likelihood of each column from its values, for likelihood="auto"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from skvae.likelihoods import LIKELIHOODS, ColumnSample, Likelihood

Array = NDArray[Any]

SAMPLE_ROWS = 10_000  # rows from which the likelihoods are chosen


def choose(
    X: Array,
    weight: NDArray[np.float64],
    n_rows: float,
    *,
    is_category: Sequence[bool],
    is_bool: Sequence[bool],
    is_binary: Sequence[bool] | NDArray[np.bool_],
    shares_unit: Sequence[bool] | NDArray[np.bool_],
    wanted: Sequence[bool],
) -> list[Likelihood | None]:
    """Choose a likelihood for each wanted column; None for the others.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        A sample of the rows, in steps of the columns' grids.
    weight : ndarray of shape (n,)
    n_rows : float
        The number of rows in the whole table.
    is_category, is_bool, is_binary, shares_unit, wanted : sequence of bool of length d
        Which columns hold categories, bools, only 0 and 1 in the whole table, share a unit, and
        need a likelihood.
    """
    numeric = ~np.asarray(is_category, dtype=bool)
    is_table_binary = bool(np.asarray(is_binary)[numeric].all())
    found: list[Likelihood | None] = []
    numbers = [standardised(x, weight) * numeric for x in (X, normal_scores(X))]
    for place, x in enumerate(X.T):
        observed = ~np.isnan(x)
        others, scores = (
            np.delete(x if observed.all() else x[observed], place, axis=1) if wanted[place] else x
            for x in numbers
        )
        column = ColumnSample(
            values=x[observed],
            weight=weight[observed],
            is_category=bool(is_category[place]),
            is_bool=bool(is_bool[place]),
            is_binary=bool(is_binary[place]),
            is_table_binary=is_table_binary,
            shares_unit=bool(shares_unit[place]),
            n_rows=n_rows,
            n_numeric=int(numeric.sum()),
            others=others,
            scores_of_others=scores,
        )
        found.append(best(column) if wanted[place] else None)
    return found


def normal_scores(X: Array) -> Array:
    """The normal quantile of the rank of each value in its column (n, d); NaN stays."""
    rank = rankdata(X, axis=0, nan_policy="omit")
    n_observed = np.maximum(1, (~np.isnan(X)).sum(axis=0))
    scores: Array = ndtri((rank - 0.5) / n_observed)
    return scores


def standardised(X: Array, weight: NDArray[np.float64]) -> Array:
    """Columns (n, d) of mean 0 and variance 1, with 0 for missing and infinite values."""
    finite = np.isfinite(X)
    largest = np.where(finite, np.abs(X), 0.0).max(axis=0, initial=0.0)
    X = np.where(finite, X, 0.0) / np.where(largest > 0, largest, 1.0)  # keeps squares finite
    mean = X.sum(axis=0) / np.maximum(1, finite.sum(axis=0))
    X = np.where(finite, X - mean, 0.0)
    spread = np.sqrt(np.average(np.square(X), axis=0, weights=weight))
    found: Array = X / np.where(spread > 0, spread, 1.0)
    return found


def best(column: ColumnSample) -> Likelihood:
    """The likelihood with the highest ``auto_score``; the first one in a tie."""
    scores = {kind: kind.auto_score(column) for kind in LIKELIHOODS.values()}
    known = {kind: score for kind, score in scores.items() if score is not None}
    return max(known, key=lambda kind: known[kind])()
