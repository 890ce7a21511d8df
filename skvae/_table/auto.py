"""Choose the likelihood of each column from its values, for likelihood="auto"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae.likelihoods import LIKELIHOODS, ColumnSample, Likelihood
from skvae.likelihoods._sample import Others

Array = NDArray[Any]

SAMPLE_ROWS = 10_000  # rows from which the likelihoods are chosen


def choose(
    X: Array,
    weight: NDArray[np.float64],
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
    is_category, is_bool, is_binary, shares_unit, wanted : sequence of bool of length d
        Which columns hold categories, bools, only 0 and 1 in the whole table, share a unit, and
        need a likelihood.
    """
    numeric = ~np.asarray(is_category, dtype=bool)
    is_table_binary = bool(np.asarray(is_binary)[numeric].all())
    found: list[Likelihood | None] = []
    others = Others(np.where(numeric, X, np.nan), weight)
    for place, x in enumerate(X.T):
        observed = ~np.isnan(x)
        column = ColumnSample(
            values=x[observed],
            weight=weight[observed],
            is_category=bool(is_category[place]),
            is_bool=bool(is_bool[place]),
            is_binary=bool(is_binary[place]),
            is_table_binary=is_table_binary,
            shares_unit=bool(shares_unit[place]),
            n_numeric=int(numeric.sum()),
            others=others,
            place=place,
            observed=observed,
        )
        found.append(best(column) if wanted[place] else None)
    return found


def best(column: ColumnSample) -> Likelihood:
    """The likelihood with the highest ``auto_score``; the first one in a tie."""
    scores = {kind: kind.auto_score(column) for kind in LIKELIHOODS.values()}
    known = {kind: score for kind, score in scores.items() if score is not None}
    return max(known, key=lambda kind: known[kind])()
