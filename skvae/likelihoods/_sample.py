"""The sample of a column from which likelihood="auto" chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skvae.likelihoods._numerics import normal_scores, standardisation

Array = NDArray[Any]

FEW_VALUES = 10
SPIKE, SPIKE_ROWS = 0.05, 30  # the smallest share and number of rows that hold a spike
MOST_COMPARED = 500  # columns that each column is compared with
MOST_OTHERS = 32  # of them in a regression, the most correlated ones
SMALLEST_NOISE = 1e-4  # of a column of variance 1


class DistinctValues(NamedTuple):
    """The different values of a column, and how many rows hold each.

    Attributes
    ----------
    values : ndarray of shape (m,)
        Sorted.
    share : ndarray of shape (m,)
        The share of the weight of the rows that hold each value.
    n_rows : float
        The weight of all rows.
    place : ndarray of shape (n,)
        The place of each row's value in ``values``.
    """

    values: Array
    share: Array
    n_rows: float
    place: Array

    @classmethod
    def of(cls, x: Array, weight: Array) -> DistinctValues:
        """The different values among those of n rows. (n,), (n,)."""
        values, place = np.unique(x, return_inverse=True)
        n_rows = float(weight.sum())
        return cls(values, np.bincount(place, weights=weight) / n_rows, n_rows, place)


@dataclass
class ColumnSample:
    """A sample of a column, and facts about the whole table.

    Attributes
    ----------
    values : ndarray of shape (n,)
        The observed values in a sample of the rows, in steps of the column's grid if it has one;
        there may be none. Categories are numbered.
    weight : ndarray of shape (n,)
        The weights of these rows.
    is_category, is_bool : bool
        Whether the column holds categories, or bools.
    is_binary : bool
        Whether all values of the whole column are 0 or 1.
    is_table_binary : bool
        Whether this holds for all columns of numbers in the table.
    shares_unit : bool
        Whether the column shares a unit with others, as pixels do.
    n_numeric : int
        The number of columns of numbers in the table.
    others : Others
        All columns of numbers in the sample.
    place : int
        The place of the column among them.
    observed : ndarray of bool of shape (m,)
        Which rows of the sample hold ``values``.
    """

    values: Array
    weight: Array
    is_category: bool
    is_bool: bool
    is_binary: bool
    is_table_binary: bool
    shares_unit: bool
    n_numeric: int
    others: Others
    place: int
    observed: NDArray[np.bool_]

    @cached_property
    def distinct(self) -> DistinctValues:
        """The different values."""
        return DistinctValues.of(self.values, self.weight)

    def unexplained(self, x: Array, *, scores: bool) -> float:
        """The share of the variance of ``x`` (n,) that regression on other columns leaves.

        The regression is linear in the values of the other columns, or in their normal scores.
        """
        share = self.weight / self.weight.sum()
        location, spread = standardisation(x[:, None], share)
        target = np.zeros(len(self.observed))
        target[self.observed] = share * (x - location) / (spread if spread > 0 else 1.0)
        table = self.others.scores if scores else self.others.values
        correlation = target @ table
        order = np.argsort(-np.abs(correlation))
        most = order[self.others.places[order] != self.place][:MOST_OTHERS]
        others, correlation = table[:, most][self.observed], correlation[most]
        covariance = (others.T * share) @ others + SMALLEST_NOISE * np.eye(len(most))
        explained = correlation @ np.linalg.solve(covariance, correlation)
        return max(1 - float(explained), SMALLEST_NOISE)


class Others:
    """The columns of numbers in a sample of rows (m, s), and 0 for categories.

    Of a wide table these are only some of the columns, evenly spaced, since each column is compared
    with all of them.

    Parameters
    ----------
    X : ndarray of shape (m, d)
        NaN for missing values, and throughout for categories.
    weight : ndarray of shape (m,)

    Attributes
    ----------
    places : ndarray of int of shape (s,)
        The places of the columns in the table.
    """

    def __init__(self, X: Array, weight: Array) -> None:
        self.places = np.arange(0, X.shape[1], -(-X.shape[1] // MOST_COMPARED))
        self.X, self.weight = X[:, self.places], weight

    @cached_property
    def values(self) -> Array:
        """The values, standardised; 0 for missing ones. (m, s)."""
        return self._by_column(lambda x, share: x)

    @cached_property
    def scores(self) -> Array:
        """The normal scores, standardised; 0 for missing values. (m, s)."""

        def scores_of(x: Array, share: Array) -> Array:
            distinct = DistinctValues.of(x, share)
            return normal_scores(distinct.values, distinct.share)[distinct.place]

        return self._by_column(scores_of)

    def _by_column(self, change: Callable[[Array, Array], Array]) -> Array:
        out = np.zeros(self.X.shape)
        for x, place in zip(self.X.T, out.T, strict=True):
            observed = np.isfinite(x)
            if observed.any():
                share = self.weight[observed] / self.weight[observed].sum()
                changed = change(x[observed], share)
                location, spread = standardisation(changed[:, None], share)
                place[observed] = (changed - location) / (spread if spread > 0 else 1.0)
        return out


def is_smooth(column: DistinctValues) -> bool:
    """Whether a smooth density can explain the values of a column.

    It cannot explain a value that many rows hold, unless all hold it.
    """
    most = column.share.max() * column.n_rows
    return bool(len(column.values) == 1 or most < max(SPIKE * column.n_rows, SPIKE_ROWS))
