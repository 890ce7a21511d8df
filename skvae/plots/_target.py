"""A target of rows: classes or a quantity."""

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from skvae.plots._tables import DATES

MOST_WHOLE_NUMBERS = 20  # distinct whole numbers; with more, y is a quantity

NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
DURATIONS = ("timedelta", "timedelta64")
CLASSES = ("string", "boolean", "categorical", "empty")


def checked_target(y, n_rows):
    """``y`` as a pandas Series of one kind of values, one for each row. Durations are in days."""
    if getattr(y, "ndim", 1) != 1:
        raise ValueError(f"'y' must be one-dimensional; got shape {y.shape}. Pass one column.")
    name = getattr(y, "name", None)
    y = pd.Series(y, name=name).reset_index(drop=True)
    if len(y) != n_rows:
        raise ValueError(
            f"'y' must have one value for each of the {n_rows} rows of X; got {len(y)} values."
        )
    if infer_dtype(y) in DURATIONS:
        days = pd.to_timedelta(y) / pd.Timedelta(days=1)
        y = days.rename("days" if name is None else f"{name} (days)")
    if infer_dtype(y) not in NUMBERS + CLASSES + DATES:
        types = sorted({type(value).__name__ for value in y.dropna()})
        raise ValueError(
            "'y' must hold only numbers, strings, booleans, dates or durations; "
            f"got values of type {', '.join(types)}. Convert them to one kind, such as strings."
        )
    return y


def classes_of(y):
    """Names of the classes in ``y``, and the number of each row's; None and numbers if it has none.

    Missing values are a class of their own, the last, but NaN in a quantity.
    """
    kind = infer_dtype(y)
    if kind in DATES:
        from matplotlib.dates import date2num

        return None, date2num(pd.to_datetime(y).to_numpy())
    if kind in NUMBERS:
        values = y.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        distinct = np.unique(values[~np.isnan(values)])
        are_whole = all(map(float.is_integer, distinct.tolist()))
        if len(distinct) > MOST_WHOLE_NUMBERS or not are_whole:
            return None, values
        if kind != "integer":
            y = pd.Series(values).astype("Int64")  # so that a class is "1" and not "1.0"
    y = y.astype("category").cat.remove_unused_categories()
    classes, places = [str(level) for level in y.cat.categories], y.cat.codes.to_numpy()
    if np.any(places < 0):
        places = np.where(places < 0, len(classes), places)
        classes.append("missing")
    return classes, places
