"""What may come in: scikit-learn's checks, and those that numpy's conversions would swallow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from skvae._container import Container, as_frame


def validate_table(
    estimator: Any, X: Any, container: Container, *, reset: bool, min_rows: int = 1
) -> NDArray[Any]:
    """``X`` as numbers (n, n_features) in a dtype of its own, NaN where a cell is missing.

    Raises ValueError or TypeError for infinities, complex numbers, dates, masked cells, sparse
    matrices, the wrong shape or the wrong feature names.
    """
    refuse_lossy(X)
    checks: dict[str, Any] = {
        "dtype": None,
        "ensure_all_finite": "allow-nan",
        "ensure_min_samples": min_rows,
        "copy": False,
    }
    if as_frame(X) is None:
        table = validate_data(estimator, container.numbers(X), reset=reset, **checks)
    else:  # its names and their number, then its numbers
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        numbers = container.numbers(X)
        table = check_array(numbers, estimator=estimator, input_name="X", **checks)
    if table.dtype.kind in "fiub":
        return table
    return check_array(table, dtype=np.float64, ensure_all_finite="allow-nan", input_name="X")


def refuse_lossy(X: Any) -> None:
    """Raise where turning ``X`` into numbers would lose or invent something."""
    if np.ma.isMaskedArray(X) and np.ma.is_masked(X):
        raise ValueError(
            f"X is a masked array with {np.ma.count_masked(X)} masked cells, and their mask would "
            "be lost. Mark them as missing, X.astype(float).filled(numpy.nan), or drop their rows."
        )
    kind = getattr(getattr(X, "dtype", None), "kind", "")
    if kind and kind in "mMV":
        raise ValueError(
            f"X has dtype {X.dtype}, which is neither numbers nor categories. Convert it first."
        )


def validate_weight(sample_weight: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    """``sample_weight`` as non-negative float64 (n,), not all of them zero."""
    weight: NDArray[np.float64] = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise ValueError("Every sample_weight is zero; at least one row must count.")
    return weight
