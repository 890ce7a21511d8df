"""What comes in: numbers with gaps, in the words of scikit-learn where they are wrong."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from skvae._table.container import Container
from skvae._table.validation import (
    replace_rows_of_no_weight,
    validate_given,
    validate_table,
    validate_weight,
)

NAN = float("nan")
VALUES = np.array([[1.0, NAN], [0.0, 2.5], [NAN, NAN]])
FRAME = pd.DataFrame({"a": [3, 1], "b": ["x", None]})


class Estimator(BaseEstimator):
    """One that has seen ``X``."""

    def __init__(self, X=None):
        if X is not None:
            self.container = Container.of(X)
            validate_table(self, X, self.container, reset=True)


def read(X, **how):
    return validate_table(Estimator(), X, Container.of(X), reset=True, **how)


# -- tables -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_an_array_of_numbers_with_gaps_is_taken_as_it_is(dtype):
    X = VALUES.astype(dtype)
    assert np.shares_memory(read(X), X)
    assert read(X).dtype == dtype


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, bool])
def test_whole_numbers_are_taken_as_they_are(dtype):
    X = np.array([[0, 1], [1, 1]], dtype)
    assert np.shares_memory(read(X), X)


SAME = {
    "lists": VALUES.tolist(),
    "objects": VALUES.astype(object),
    "lists with None": [[1, None], [0, 2.5], [pd.NA, NAN]],
    "pandas": pd.DataFrame(VALUES, columns=["a", "b"]),
    "nullable": pd.DataFrame(VALUES).convert_dtypes(),
    "pandas objects": pd.DataFrame(VALUES, dtype=object),
    "polars": pl.DataFrame(VALUES, schema=["a", "b"]),
    "masked": np.ma.masked_invalid(VALUES),
    "masked objects": np.ma.array(VALUES.astype(object), mask=np.isnan(VALUES)),
    "lists with masks": list(np.ma.masked_equal(np.nan_to_num(VALUES, nan=7), 7)),
    "objects with masked": np.array([[1, np.ma.masked], [0, 2.5], [pd.NA, NAN]], object),
    "polars nulls": pl.DataFrame({"a": [1, 0, None], "b": [None, 2.5, None]}),
}


@pytest.mark.parametrize("X", SAME.values(), ids=SAME)
def test_tables_of_the_same_numbers(X):
    table = read(X)
    assert table.dtype == np.float64
    np.testing.assert_array_equal(table, VALUES)


def test_names_and_number_of_columns_are_set():
    assert list(Estimator(FRAME).feature_names_in_) == ["a", "b"]
    assert Estimator(FRAME).n_features_in_ == 2
    assert not hasattr(Estimator(VALUES), "feature_names_in_")
    assert not hasattr(Estimator(pd.DataFrame(VALUES)), "feature_names_in_")


def test_rows_are_counted():
    assert read(VALUES[:1]).shape == (1, 2)
    with pytest.raises(ValueError, match=r"1 sample\(s\).*minimum of 2 is required by Estimator"):
        read(VALUES[:1], min_rows=2)


EMPTY = {
    "rows": np.empty((0, 2)),
    "rows of objects": np.empty((0, 2), object),
    "columns": np.empty((3, 0)),
    "columns of objects": np.empty((3, 0), object),
    "list": [],
    "rows of pandas": pd.DataFrame({"a": [], "b": []}, dtype=float),
    "rows of strings": pd.DataFrame({"a": pd.Series([], dtype=str)}),
    "columns of pandas": pd.DataFrame(index=range(3)),
    "rows of polars": pl.DataFrame({"a": [], "b": []}, schema={"a": pl.Int8, "b": pl.String}),
    "columns of polars": pl.DataFrame(),
    "one axis": np.ones(3),
    "one axis of objects": np.array([1, "a"], object),
    "number": 3.0,
    "nothing": None,
    "string": "table",
}


@pytest.mark.parametrize("X", EMPTY.values(), ids=EMPTY)
def test_invalid_tables_raise_the_errors_of_scikit_learn(X):
    words = "(Expected|Found) .*(array|container)"
    with pytest.raises(ValueError, match=words) as ours:
        read(X)
    # which has no words of its own for a pandas frame without columns
    cells = X.to_numpy() if isinstance(X, pd.DataFrame) else X
    with pytest.raises(ValueError, match=words) as theirs:
        check_array(cells, estimator=Estimator(), dtype=None)
    assert str(ours.value).split("\n")[0] == str(theirs.value).split("\n")[0]


@pytest.mark.parametrize("X", [np.ones((5, 8, 8)), [np.ones((8, 8))] * 5], ids=["array", "list"])
def test_images_are_to_be_flattened(X):
    with pytest.raises(ValueError, match=r"3 axes and the shape \(5, 8, 8\).* of shape \(5, 64\)"):
        read(X)


# -- what would be lost -----------------------------------------------------------

INF = float("inf")
REFUSED = {
    "infinity": ([[1.0, -INF]], "infinity: -inf in column 1, row 0"),
    "infinity beside a gap": ([[np.nan, INF]], "infinity: inf in column 1, row 0"),
    "infinities of both signs": ([[INF, -INF]], "infinity: inf in column 0, row 0"),
    "infinity in a frame": (pd.DataFrame({"a": [1.0, INF]}), "inf in column 'a', row 1.*NaN"),
    "infinity under a number": (pd.DataFrame({10: [1.0], 20: [INF]}), "in column 20, row 0"),
    "infinity far down": (np.r_[np.zeros(90_000), INF][:, None], "in column 0, row 90000"),
    "infinity beside strings": (pd.DataFrame({"a": [1.0, INF], "b": ["x", "y"]}), "infinity"),
    "infinity among objects": (np.array([["x", INF]], object), "infinity"),
    "infinity in polars": (pl.DataFrame({"a": [1.0, INF]}), "infinity"),
    "complex": (np.array([[1j]]), "Complex"),
    "dates": (np.array([["2020-01-01"]], "M8[D]"), r"datetime64\[D\], which is neither"),
    "spans": (np.array([[1]], "m8[s]"), r"timedelta64\[s\], which is neither"),
    "records": (np.zeros((1, 1), "i4,i4"), "which is neither"),
    "series": (pd.Series([1.0, 2.0]), "2-dimensional container"),
    "lazy": (pl.LazyFrame({"a": [1.0]}), "lazy frame.*Collect it"),
    "ragged": ([[1.0], [2.0, 3.0]], "inhomogeneous"),
    "names of two kinds": (pd.DataFrame({"a": [1.0], 1: [2.0]}), "string names"),
}


@pytest.mark.parametrize(("X", "message"), REFUSED.values(), ids=REFUSED)
def test_tables_that_conversion_would_change_are_refused(X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read(X)


def test_a_mask_without_masked_cells_is_no_copy():
    assert np.shares_memory(read(np.ma.masked_array(VALUES)), VALUES)


GIVEN = {
    "masked": np.ma.array([[1, 2]], mask=[[False, True]]),
    "list of masked rows": [np.ma.array([1.0, 2.0], mask=[False, True])],
    "masked in a dict": {0: 1.0, 1: np.ma.masked},
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_masked_cells_of_given_are_missing(given):
    found = validate_given(given, Container.of(VALUES), 2)
    np.testing.assert_array_equal(found, [[1.0, NAN]])


def test_masked_cells_of_given_categories_are_missing():
    given = np.ma.array([[3, "x"], [1, "other"]], mask=[[True, False], [False, True]], dtype=object)
    found = validate_given(given, Container.of(FRAME), 2)
    np.testing.assert_array_equal(found, [[NAN, 0.0], [1.0, NAN]])


# -- after fit --------------------------------------------------------------------

SEEN_ARRAY = np.array([[1.0, 2.0], [3.0, 4.0]])
SEEN_FRAME = pd.DataFrame(SEEN_ARRAY, columns=["a", "b"])


@pytest.mark.parametrize("seen", [SEEN_ARRAY, SEEN_FRAME, pl.DataFrame(SEEN_ARRAY, ["a", "b"])])
@pytest.mark.parametrize("X", [SEEN_ARRAY, SEEN_FRAME, pl.DataFrame(SEEN_ARRAY, ["a", "b"])])
def test_arrays_and_frames_serve_for_each_other(seen, X):
    estimator = Estimator(seen)
    named = [not isinstance(table, np.ndarray) for table in (seen, X)]
    message = {
        (True, False): "X does not have valid feature names, but Estimator was fitted with",
        (False, True): "X has feature names, but Estimator was fitted without",
    }.get(tuple(named))
    if message is None:
        found = validate_table(estimator, X, estimator.container, reset=False)
    else:
        with pytest.warns(UserWarning, match=message):
            found = validate_table(estimator, X, estimator.container, reset=False)
    np.testing.assert_array_equal(found, SEEN_ARRAY)


@pytest.mark.parametrize(
    ("seen", "X", "message"),
    [
        (SEEN_ARRAY, SEEN_ARRAY[:, :1], "X has 1 features, but Estimator is expecting 2 features"),
        (SEEN_FRAME, SEEN_ARRAY[:, :1], "X has 1 features, but"),
        (FRAME, [[1], [2]], "X has 1 features, but"),
        (SEEN_FRAME, SEEN_FRAME[["a"]], "Feature names seen at fit time, yet now missing:\n- b"),
        (SEEN_FRAME, SEEN_FRAME[["b", "a"]], "must be in the same order"),
        (SEEN_FRAME, SEEN_FRAME.rename(columns={"a": "c"}), "unseen at fit time:\n- c"),
        (pl.DataFrame(SEEN_ARRAY, ["a", "b"]), pl.DataFrame(SEEN_ARRAY, ["b", "a"]), "same order"),
    ],
)
def test_other_columns_are_refused(seen, X, message):
    estimator = Estimator(seen)
    with pytest.raises(ValueError, match=message):
        validate_table(estimator, X, estimator.container, reset=False)


# -- weights ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (None, [1, 1, 1]),
        ([0, 2, 5], [0, 2, 5]),  # repetitions
        (3, [3, 3, 3]),
        (0.3, [1, 1, 1]),
        # (sum w)^2 / sum w^2 = 25/17 rows
        ([0, 2, 0.5], [0, 20 / 17, 5 / 17]),
        ([0, 2e-308, 5e-309], [0, 20 / 17, 5 / 17]),
        ([0, 1.6e308, 4e307], [0, 20 / 17, 5 / 17]),
        ([1e308] * 3, [1, 1, 1]),
        ([5e-324] * 3, [1, 1, 1]),
        ([1, 1, 1e-6], [1, 1, 1e-6]),
    ],
)
def test_weights_are_numbers_of_rows(weight, expected):
    found = validate_weight(weight, VALUES)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_fractional_weights_sum_to_the_effective_sample_size():
    weight = 0.05 * np.random.default_rng(0).integers(1, 20, size=200)
    found = validate_weight(weight, weight)
    assert found.sum() == pytest.approx(weight.sum() ** 2 / np.square(weight).sum())
    assert found.sum() < 200
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(validate_weight(weight[order], weight), found[order])


WEIGHTLESS = {
    "pandas": pd.DataFrame({"a": ["x", "y", "z"], "b": [1.0, 2.0, 3.0]}),
    "polars": pl.DataFrame({"a": ["x", "y", "z"], "b": [1.0, 2.0, 3.0]}),
    "objects": np.array([["x", 1.0], ["y", 2.0], ["z", 3.0]], dtype=object),
    "lists": [["x", 1.0], ["y", 2.0], ["z", 3.0]],
}


@pytest.mark.parametrize("X", WEIGHTLESS.values(), ids=WEIGHTLESS)
def test_rows_of_no_weight_are_replaced_in_tables_of_categories(X):
    table = replace_rows_of_no_weight(X, pd.Series([2, 0, 1]))
    assert np.asarray(table, dtype=object).tolist() == [["x", 1.0], ["x", 1.0], ["z", 3.0]]
    assert replace_rows_of_no_weight(X, [2, 1, 1]) is X
    assert replace_rows_of_no_weight(X, None) is X


def test_a_table_of_numbers_keeps_its_rows_of_no_weight():
    assert replace_rows_of_no_weight(VALUES, [1, 0, 1]) is VALUES
    replaced = replace_rows_of_no_weight(VALUES, [0, 1, 1], in_arrays=True)
    np.testing.assert_array_equal(replaced, VALUES[[1, 1, 2]])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([0, 0, 0], "Every sample_weight is zero|at least one non-zero"),
        ([1, -1, 1], r"sample_weight holds -1\.0 in row 1, but weights must be finite"),
        ([1, NAN, 1], "sample_weight holds nan in row 1"),
        ([1, 1, INF], "sample_weight holds inf in row 2"),
        (NAN, "sample_weight.* must be None or a finite number from 0 to .*; got nan"),
        (np.ma.masked_equal([1, 2, 1], 2), "sample_weight holds nan in row 1, .* masked"),
        ([1, 1], "sample_weight.shape"),
        ([[1, 1, 1]], "1D array"),
    ],
)
def test_invalid_weights_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        validate_weight(weight, VALUES)
