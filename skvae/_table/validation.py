"""Validate input: scikit-learn's checks, and checks for errors that numpy's conversions hide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from skvae._blocks import CHECKED_CELLS, chunks
from skvae._floats import float_errors_ignored
from skvae._rules import NOTHING, number
from skvae._table.container import Container
from skvae._table.counted import MOST_UNITS
from skvae._table.frames import Column, as_frame, columns_of
from skvae._table.masked import fill_masked
from skvae._table.names import find_columns
from skvae._table.source import RowSource
from skvae._table.sparse import SparseTable

MOST_COPIES = 1e12  # largest weight read as repetitions of a row; larger ones are proportions
WEIGHT = NOTHING | number(0, float(np.finfo(np.float64).max))
# The dtypes of codes. In the other byte order, float32 would otherwise be computed in float64.
FLOATS = [np.float64, np.float32, np.dtype(np.float32).newbyteorder()]
# Arrays of any library become numpy arrays, even if scikit-learn's array API dispatch is enabled.
as_numpy = config_context(array_api_dispatch=False)


@as_numpy
def validate_table(
    estimator: Any, X: Any, container: Container, *, reset: bool, min_rows: int = 1
) -> Any:
    """``X`` as numbers (n, n_features), with NaN for missing values. Its numeric dtype is kept.

    Raises ValueError or TypeError for infinities, complex numbers, arrays of dates, whole numbers
    that float64 rounds, lazy frames, a wrong shape or wrong feature names.
    """
    frame = as_frame(X)
    refuse_lossy(X)
    refuse_images(X)
    checks: dict[str, Any] = {
        "dtype": None,
        "ensure_all_finite": False,
        "ensure_min_samples": min_rows,
        "copy": False,
    }
    if issparse(X) or isinstance(X, RowSource):
        table = _checked_numbers(estimator, X, container, reset=reset, **checks)
    elif frame is None:
        table = validate_data(estimator, container.numbers(X), reset=reset, **checks)
    else:  # first the names and number of columns, then the numbers
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        numbers = container.numbers(X)
        table = check_array(numbers, estimator=estimator, input_name="X", **checks)
    if table.dtype.kind not in "fiub":
        table = check_array(table, dtype=np.float64, ensure_all_finite=False, input_name="X")
    names = container.column_names(table.shape[1])
    refuse_infinite(table, "X", names)
    refuse_rounding(table, names)
    return table


def _checked_numbers(
    estimator: Any, X: Any, container: Container, *, reset: bool, **checks: Any
) -> SparseTable | RowSource:
    """Validate a table that is sparse or read in blocks. Such a table holds only numbers."""
    for field in container.fields or []:
        if field.levels is not None:
            raise TypeError(
                f"X is {'sparse' if issparse(X) else 'read in blocks'}, and column {field.name!r} "
                "held categories in fit. Give the table in the form that fit saw."
            )
    if issparse(X):
        return SparseTable(validate_data(estimator, X, reset=reset, accept_sparse="csr", **checks))
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if len(X) < checks["ensure_min_samples"]:
        raise ValueError(
            f"Found {len(X)} rows in X, but at least {checks['ensure_min_samples']} are required."
        )
    if X.shape[1] == 0:
        raise ValueError("Found 0 columns in X, but at least 1 is required.")
    source: RowSource = X
    return source


@as_numpy
def validate_given(given: Any, container: Container, n_columns: int) -> NDArray[np.float64]:
    """The given values of rows as numbers, with NaN for values that are not given.

    ``given`` holds them by column name, also as a Series, or as a table. Raises ValueError for
    names that are not columns, for several values of one column in a mapping, for infinities, and
    for categories that ``fit`` did not see.
    """
    names = container.column_names(n_columns)
    if isinstance(given, pd.Series):  # a row of a data frame
        if not given.index.is_unique:
            twice = given.index[given.index.duplicated()][0]
            raise ValueError(f"'given' holds several values for column {twice!r}. Give one.")
        given = given.to_dict()
    if isinstance(given, Mapping) and not issparse(given):
        several = [name for name, value in given.items() if np.ndim(value) > 0]
        if several:
            raise ValueError(
                f"'given' holds several values for column {several[0]!r}. Give one for each "
                "column, or a table of the rows."
            )
        columns = [Column(name, _objects([value])) for name, value in given.items()]
    elif as_frame(given) is not None:
        columns = columns_of(given) or []
    else:
        dense = given.toarray() if issparse(given) else fill_masked(given)
        cells = np.asarray(dense, dtype=object)
        if cells.ndim != 2 or cells.shape[1] != len(names):
            raise ValueError(
                f"'given' must be a dict, a data frame, or an array of {len(names)} columns; "
                f"got a {type(given).__name__} of shape {cells.shape}."
            )
        columns = [Column(name, column) for name, column in zip(names, cells.T, strict=True)]
    places = find_columns(names, [column.name for column in columns], "given")
    n_rows = len(columns[0].cells) if columns else 1 if isinstance(given, Mapping) else len(given)
    known = dict(zip(places, columns, strict=True))
    absent = _objects([None] * n_rows)
    table: NDArray[np.float64] = check_array(
        container.numbers_of(
            [known.get(place, Column(name, absent)) for place, name in enumerate(names)],
            n_rows,
            strict=True,
        ),
        dtype=np.float64,
        ensure_all_finite=False,
        input_name="given",
    )
    refuse_infinite(table, "given", names)
    return table


def _objects(cells: Sequence[Any]) -> NDArray[Any]:
    return np.fromiter(cells, dtype=object, count=len(cells))


def refuse_lossy(X: Any) -> None:
    """Raise if converting ``X`` to numbers would lose or invent information."""
    if not isinstance(X, np.ndarray) and isinstance(
        nw.from_native(X, pass_through=True), nw.LazyFrame
    ):
        raise TypeError("X is a lazy frame, whose rows are not computed yet. Collect it first.")
    kind = getattr(getattr(X, "dtype", None), "kind", "")
    if kind and kind in "mMV":
        raise ValueError(
            f"X has dtype {X.dtype}, which is neither numbers nor categories. Convert "
            "it first; columns of dates and durations belong in a data frame."
        )
    if isinstance(X, np.matrix):
        raise TypeError("X is an np.matrix, whose rows are matrices too. Pass np.asarray(X).")


def refuse_images(X: Any) -> None:
    """Raise if ``X`` has more than two axes."""
    shape = tuple(getattr(X, "shape", ()))
    if isinstance(X, (list, tuple)) and len(X) > 0:
        shape = (len(X), *np.shape(X[0]))
    if len(shape) > 2:
        raise ValueError(
            f"X has {len(shape)} axes and the shape {shape}, and a table has two axes. Flatten "
            f"each row, such as an image: numpy.reshape(X, (len(X), -1)), of shape "
            f"({shape[0]}, {math.prod(shape[1:])})."
        )


def refuse_infinite(table: Any, what: str, names: Sequence[Any]) -> None:
    """Raise for the first infinity in a table of numbers, with the name of its column."""
    for rows in chunks(len(table), CHECKED_CELLS // max(1, table.shape[1])):
        block = table[rows]
        with float_errors_ignored("over", "invalid"):
            total = block.sum(dtype=np.float64)
        if np.isfinite(total):  # then so are all values, as in most tables
            continue
        infinite = np.isinf(block)
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            raise ValueError(
                f"{what} holds infinity: {block[row, column]} in column {names[column]!r}, "
                f"row {rows.start + row}. Mark the cell as missing by NaN, or clip it."
            )


def refuse_rounding(table: Any, names: Sequence[Any]) -> None:
    """Raise for the first whole number of 64 bits that float64 would round."""
    if table.dtype.kind not in "iu" or table.dtype.itemsize < np.dtype(np.float64).itemsize:
        return
    for rows in chunks(len(table), CHECKED_CELLS // max(1, table.shape[1])):
        block = table[rows]
        if block.min() >= -MOST_UNITS and block.max() <= MOST_UNITS:
            continue
        with float_errors_ignored("invalid"):  # 2**63 has no place in int64
            rounded = block.astype(np.float64).astype(block.dtype) != block
        if rounded.any():
            row, column = np.argwhere(rounded)[0]
            raise ValueError(
                f"X holds {block[row, column]} in column {names[column]!r}, row {rows.start + row}"
                ", which float64 would round. Give a data frame, whose columns of whole numbers "
                "are read exactly, drop the column if it is an id, or convert X to floats."
            )


@as_numpy
def validate_codes(Z: Any, name: str = "Z") -> NDArray[Any]:
    """``Z`` as a writeable array (n, n_components) of finite float32 or float64."""
    shape = np.shape(Z)
    if len(shape) != 2:
        flat = f" Pass numpy.reshape({name}, (-1, {shape[-1]}))." if shape else ""
        raise ValueError(
            f"Expected 2D array for {name}, a row of codes for each row; got a "
            f"{type(Z).__name__} of shape {shape}.{flat}"
        )
    codes: NDArray[Any] = check_array(
        fill_masked(Z), dtype=FLOATS, force_writeable=True, input_name=name
    )
    return codes


@as_numpy
def validate_weight(sample_weight: Any, X: Any) -> NDArray[np.float64]:
    """The number of rows that each row of ``X`` stands for. -> (n,).

    Whole numbers are repetitions. Other weights are proportions: they are scaled to sum to Kish's
    effective sample size, (sum w)^2 / sum w^2, which is at most n. Raises ValueError for weights
    that are negative, missing, masked or infinite, or all 0, or if there is not one for each row.
    """
    if np.asarray(sample_weight).ndim == 0:
        WEIGHT.check(
            "'sample_weight', where it is no array of a weight for each row,", sample_weight
        )
    if sample_weight is not None:
        _refuse_bad_weights(sample_weight)
    weight: NDArray[np.float64] = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if not weight.any():
        raise ValueError("Every sample_weight is zero; at least one row must count.")
    largest = weight.max()
    if largest <= MOST_COPIES and np.all(weight == np.floor(weight)):
        return weight
    share = weight / largest  # sums of 1e308 overflow
    ordered = np.sort(share)  # so that rounding does not depend on the order of the rows
    return share * (ordered.sum() / np.square(ordered).sum())


def _refuse_bad_weights(sample_weight: Any) -> None:
    """Raise ValueError for the first weight that is not finite or is negative, with its row."""
    weight = np.atleast_1d(
        check_array(
            fill_masked(sample_weight),
            dtype=np.float64,
            ensure_2d=False,
            ensure_all_finite=False,
            ensure_min_samples=0,
            input_name="sample_weight",
        )
    )
    is_bad = ~(np.isfinite(weight) & (weight >= 0))
    if is_bad.any():
        row = np.argwhere(is_bad)[0][0]
        raise ValueError(
            f"sample_weight holds {weight[row]} in row {row}, but weights must be finite and not "
            "negative. Give 0 to leave a row out; a masked weight counts as nan."
        )


def replace_rows_of_no_weight(X: Any, sample_weight: Any, *, in_arrays: bool = False) -> Any:
    """``X`` with another row in place of each row of weight 0, which has no effect on ``fit``.

    The other rows keep their numbers. A source of rows is returned unchanged. So is an array of
    numbers unless ``in_arrays``, since what its columns hold does not depend on its values.
    """
    is_array = getattr(getattr(X, "dtype", None), "kind", "O") in "fiub"
    if sample_weight is None or isinstance(X, RowSource) or (is_array and not in_arrays):
        return X
    counts = validate_weight(sample_weight, X) > 0
    if counts.all():
        return X
    return _safe_indexing(X, np.where(counts, np.arange(len(counts)), counts.argmax()))
