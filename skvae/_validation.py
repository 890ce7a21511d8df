"""What may come in: scikit-learn's checks, and those that numpy's conversions would swallow."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data


def validate_table(estimator: Any, X: Any, *, reset: bool, min_rows: int = 1) -> NDArray[Any]:
    """``X`` as a finite numeric array (n, n_features) in a dtype of its own.

    Raises ValueError or TypeError for NaN, infinities, complex numbers, dates, strings (also of
    digits), masked cells, sparse matrices, the wrong shape or the wrong feature names.
    """
    refuse_lossy(X)
    X = validate_data(
        estimator, X, reset=reset, dtype="numeric", ensure_min_samples=min_rows, copy=False
    )
    return X if X.dtype.kind in "fiub" else check_array(X, dtype=np.float64, input_name="X")


def refuse_lossy(X: Any) -> None:
    """Raise where turning ``X`` into numbers would lose or invent something."""
    if np.ma.isMaskedArray(X) and np.ma.is_masked(X):
        raise ValueError(
            f"X is a masked array with {np.ma.count_masked(X)} masked cells, and their mask would "
            "be lost. Fill them (X.filled(...)) or drop their rows first."
        )
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        for name, dtype in frame.schema.items():
            if dtype.is_temporal() or dtype in (nw.String, nw.Categorical, nw.Enum):
                raise ValueError(
                    f"Column {name!r} has dtype {dtype}, but VAETransformer takes numbers. Encode "
                    "or drop it first, with a ColumnTransformer for example."
                )
            if dtype == nw.Object:
                _refuse_objects(frame[name].to_numpy())
        return
    kind = getattr(getattr(X, "dtype", None), "kind", None)
    if kind is not None and kind in "mMUSV":
        raise ValueError(
            f"X has dtype {X.dtype}, but VAETransformer takes numbers. Convert it to float first."
        )
    if kind == "O" or isinstance(X, (list, tuple)):
        _refuse_objects(X)


def _refuse_objects(cells: Any) -> None:
    for cell in np.asarray(cells, dtype=object).flat:
        if isinstance(cell, (str, bytes, date, timedelta, np.datetime64, np.timedelta64)):
            raise ValueError(
                f"X holds {cell!r}, a {type(cell).__name__}, but VAETransformer takes numbers. "
                "Convert it to float first."
            )


def validate_weight(sample_weight: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    """``sample_weight`` as non-negative float64 (n,), not all of them zero."""
    weight: NDArray[np.float64] = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise ValueError("Every sample_weight is zero; at least one row must count.")
    return weight
