"""The sample of a column from which likelihood="auto" chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae.likelihoods._numerics import standardisation

Array = NDArray[Any]

FEW_VALUES = 10
SPIKE = 0.05  # share of the rows that a single value holds
MOST_OTHERS = 32  # columns in a regression, the most correlated ones
SMALLEST_NOISE = 1e-4  # of a column of variance 1


@dataclass
class ColumnSample:
    """A sample of a column, and what is known of the whole table.

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
    n_rows : float
        The number of rows in the table.
    n_numeric : int
        The number of columns of numbers in the table.
    others, scores_of_others : ndarray of shape (n, d)
        The other columns of numbers in these rows, and their normal scores. Both are standardised,
        and 0 for missing values.
    """

    values: Array
    weight: Array
    is_category: bool
    is_bool: bool
    is_binary: bool
    is_table_binary: bool
    shares_unit: bool
    n_rows: float
    n_numeric: int
    others: Array
    scores_of_others: Array

    def unexplained(self, x: Array, others: Array) -> float:
        """The share of the variance of ``x`` (n,) that a linear regression on ``others`` leaves."""
        share = self.weight / self.weight.sum()
        location, spread = standardisation(x[:, None], share)
        x = (x - location) / (spread if spread > 0 else 1.0)
        correlation = (share * x) @ others
        most = np.argsort(-np.abs(correlation))[:MOST_OTHERS]
        correlation, others = correlation[most], others[:, most]
        covariance = (others.T * share) @ others + SMALLEST_NOISE * np.eye(len(most))
        explained = correlation @ np.linalg.solve(covariance, correlation)
        return max(1 - float(explained), SMALLEST_NOISE)


def is_smooth(x: Array, weight: Array) -> bool:
    """Whether a smooth density can explain the values of a column. (n,), (n,).

    It cannot explain few values, or a value that holds many rows.
    """
    values, place = np.unique(x, return_inverse=True)
    if len(values) == 1:
        return True
    share = np.bincount(place, weights=weight) / weight.sum()
    return bool(len(values) > FEW_VALUES and share.max() < SPIKE)
