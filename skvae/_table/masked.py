"""Masked arrays, in which masked values are missing values."""

from __future__ import annotations

from typing import Any

import numpy as np


def fill_masked(X: Any) -> Any:
    """A masked array, or a list of masked arrays, as an array with NaN for masked values.

    Floats keep their dtype, other numbers become float64, and any other dtype becomes object.
    Anything that is not masked is returned unchanged.
    """
    if isinstance(X, (list, tuple)) and any(map(np.ma.isMaskedArray, X)):
        X = np.ma.array(X)
    if not np.ma.isMaskedArray(X):
        return X
    if not np.ma.is_masked(X):
        return X.data
    kind = X.dtype.kind
    dtype = X.dtype if kind in "fc" else np.float64 if kind in "iub" else object
    return np.ma.filled(X.astype(dtype), np.nan)
