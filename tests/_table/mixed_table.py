"""A small table of columns of many kinds, and its fitted columns."""

import numpy as np

from skvae._table.columns import Columns

RNG = np.random.default_rng(0)
N = 50
# real, grey, yes/no, category, real, grey, category of more levels: likelihoods that take turns
X = np.column_stack(
    [
        RNG.normal(100, 3, N),
        RNG.random(N),
        RNG.integers(0, 2, N),
        RNG.integers(0, 3, N),
        RNG.normal(-2, 0.1, N),
        RNG.random(N),
        RNG.permutation(N) % 9,
    ]
)
NAMES = ["height", "red", "member", "colour", "depth", "blue", "town"]
IS_CATEGORY = [name in ("colour", "town") for name in NAMES]
NO_BOOLS = [False] * len(NAMES)
MIXED = {"red": "continuous_bernoulli", "blue": "continuous_bernoulli"}
INDEX, WEIGHT = np.arange(N), RNG.random(N)
REAL = [0, 1, 4, 5]
GAPS = X.copy()
GAPS[RNG.random(X.shape) < 0.2] = np.nan


def fit(
    X=X,
    index=INDEX,
    weight=WEIGHT,
    names=NAMES,
    likelihood=MIXED,
    is_category=IS_CATEGORY,
    is_bool=NO_BOOLS,
):
    return Columns.fit(
        X,
        index,
        weight,
        names=names,
        likelihood=likelihood,
        is_category=is_category,
        is_bool=is_bool,
    )


def fit_numbers(X, names=None, **how):
    """Of a table without categories, all rows weighing the same."""
    n, d = X.shape
    no = [False] * d
    names = range(d) if names is None else names
    how = {"likelihood": "auto", "weight": np.ones(n), "is_bool": no} | how
    return fit(X, np.arange(n), names=names, is_category=no, **how)
