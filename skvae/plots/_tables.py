"""Tables of any kind as data frames, and the choice of their columns."""

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype
from scipy.sparse import issparse

from skvae._rules import whole
from skvae._table.container import as_pandas
from skvae._table.frames import as_frame
from skvae.plots._shared import fitted_model, undo_steps

NUMBERS = ("floating", "integer", "mixed-integer-float", "boolean", "decimal", "empty")
DATES = ("datetime", "datetime64", "date")
DURATIONS = ("timedelta", "timedelta64")
PERIODS = ("period",)


def first_rows(X, n_rows):
    """The first rows of a table of any kind; all for None."""
    frame = as_frame(X)
    if frame is not None:
        return frame[:n_rows].to_native()
    return X.tocsr()[:n_rows] if issparse(X) else X[:n_rows]


def dense(X):
    """A table of any kind as an array."""
    return X.toarray() if issparse(X) else np.asarray(X)


def as_table(X):
    """A table of any kind as a pandas frame. The columns of an array are x0, x1, ..."""
    if as_frame(X) is not None:
        return as_pandas(X, like=X)
    table = pd.DataFrame(dense(X))
    return table.set_axis([f"x{place}" for place in range(table.shape[1])], axis=1).infer_objects()


def numbers_in(column):
    """A column of numbers, bools or times as floats, NaN where missing; None for categories.

    Dates are in days, as matplotlib counts them, durations in days, and periods are ordinals.
    """
    kind = infer_dtype(column)
    if kind in DATES:
        from matplotlib.dates import date2num

        times = pd.to_datetime(column, utc=True).dt.tz_localize(None)
        return np.where(times.isna(), np.nan, date2num(times.to_numpy()))
    if kind in DURATIONS:
        return (pd.to_timedelta(column) / pd.Timedelta(days=1)).to_numpy(float)
    if kind in PERIODS:
        periods = pd.PeriodIndex(column)
        return np.where(periods.isna(), np.nan, periods.asi8)
    return as_floats(column) if kind in NUMBERS else None


def as_floats(table):
    """Numbers of any kind as floats, NaN where they are missing."""
    return np.where(pd.isna(table), np.nan, table).astype(float)


def sampled_like(estimator, real, n_samples, random_state):
    """As many sampled rows as real ones, or ``n_samples``, with the names of their columns."""
    n_samples = len(real) if n_samples is None else n_samples
    rows = fitted_model(estimator).sample(n_samples, random_state=random_state)
    return as_table(undo_steps(estimator, rows)).set_axis(real.columns, axis=1)


def places_of(features, names, most, is_shown=None):
    """Positions of columns given by position or name; the first ``most`` ones for None.

    ``is_shown`` says of each column whether it holds numbers, if a display shows only these.
    """
    is_shown = [True] * len(names) if is_shown is None else is_shown
    if features is None:
        places = np.flatnonzero(is_shown)[:most].tolist()
        if not places:
            raise ValueError(
                "'X' must have a column of numbers, as panels show numbers; got columns of other "
                f"values only: {names}."
            )
        return places
    if isinstance(features, str) or not np.iterable(features):
        features = [features]
    places = [_place(feature, names) for feature in features]
    if not places:
        raise ValueError(f"'features' must be names or positions of columns; got {features!r}.")
    for place in places:
        if not is_shown[place]:
            raise ValueError(
                f"'features' must be columns of numbers; got {names[place]!r}, which holds other "
                "values, such as categories or dates. Leave it out."
            )
    return places


def _place(feature, names):
    """The position of a column given by position or name."""
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    if whole(0, len(names) - 1).holds(feature):
        return int(feature)
    raise ValueError(
        f"'features' must be names of columns or positions from 0 to {len(names) - 1}; got "
        f"{feature!r}. The columns are {names}."
    )
