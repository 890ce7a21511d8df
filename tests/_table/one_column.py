"""Data frames of one column, named x, for the tests of columns."""

import pandas as pd
import polars as pl

NAN = float("nan")
BIG = 2**53 + 1  # float64 has no such number


def pandas(values, dtype=None, index=None):
    return pd.DataFrame({"x": pd.Series(values, dtype=dtype, index=index)})


def polars(values, dtype=None):
    return pl.DataFrame({"x": pl.Series(values, dtype=dtype)})


def category(*categories, ordered=False):
    return pd.CategoricalDtype(categories or None, ordered=ordered)


def values(table):
    """The cells of the column; the rows of an array."""
    column = table["x"] if not hasattr(table, "tolist") else table
    return next(
        getattr(column, name)()
        for name in ("to_pylist", "to_list", "tolist")
        if hasattr(column, name)
    )
