"""One column predicted from the others, and the probability of each of its values."""

import copy
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fits import QUICK, assert_same_state, mixed
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.exceptions import NotFittedError

from skvae import Parts, VAETransformer

FEW = {"kind": ["w", "x", "y"], "flag": [False, True], "grade": [1, 2, 5], "bit": [0, 1]}


@pytest.fixture(scope="module")
def table():
    frame = mixed().assign(
        kind=lambda t: t["kind"].cat.reorder_categories(["y", "w", "x"]),
        grade=lambda t: np.array([1, 2, 5])[np.digitize(t["a"], [-0.5, 0.5])],
        bit=lambda t: (t["b"] < 3).astype(int),
    )
    return frame.mask(np.random.default_rng(1).random(frame.shape) < 0.1).astype(
        {"kind": frame["kind"].dtype, "flag": "boolean", "grade": "Int64", "bit": "Int64"}
    )


@pytest.fixture(scope="module")
def vae(table):
    settings = {"hidden_layer_sizes": (16,), "max_iter": 20, "random_state": 0}
    return VAETransformer(2, likelihood={"grade": "ordinal"}, **settings).fit(table[100:])


@pytest.fixture(scope="module")
def rows(table):
    return table[:30]


def test_columns_of_few_values_have_sorted_categories(vae):
    assert {name: values.tolist() for name, values in vae.categories_.items()} == FEW


@pytest.mark.parametrize("column", FEW)
def test_probabilities_are_those_of_bayes(vae, rows, column):
    found = vae.predict_column_proba(rows, column)
    dtype = rows[column].dtype
    scores = [
        vae.score_samples(
            rows.assign(**{column: pd.Series([value] * len(rows), rows.index, dtype=dtype)}),
            n_importance=2048,
        )
        for value in FEW[column]
    ]
    np.testing.assert_allclose(found, softmax(scores, axis=0).T, atol=0.01)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    assert np.ptp(found[:, 0]) > 0.2


@pytest.mark.parametrize("column", ["a", "kind", "flag", "spiky", "grade", "bit", "b"])
def test_predictions_are_the_imputed_values(vae, rows, column):
    expected = vae.impute(rows.assign(**{column: None}))[column]
    np.testing.assert_array_equal(vae.predict_column(rows, column), expected)


@pytest.mark.parametrize("n_rows", [1, 7])
def test_the_prediction_of_a_row_does_not_depend_on_other_rows(vae, rows, n_rows):
    together = vae.predict_column_proba(rows, "kind")
    part = vae.predict_column_proba(rows[::-1][:n_rows], "kind")
    np.testing.assert_allclose(part, together[::-1][:n_rows], rtol=1e-9)


OTHERS = {
    "missing": lambda rows: rows.assign(kind=None),
    "a level not seen": lambda rows: rows.assign(kind="nonsense"),
    "of another type": lambda rows: rows.assign(kind=np.inf),
    "absent": lambda rows: rows.drop(columns="kind"),
    "absent from polars": lambda rows: pl.from_pandas(rows.drop(columns="kind")),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_the_values_of_the_column_have_no_effect(vae, rows, other):
    expected, X = vae.predict_column_proba(rows, "kind"), other(rows)
    before = copy.deepcopy(X)
    np.testing.assert_array_equal(vae.predict_column_proba(X, "kind"), expected)
    assert X.equals(before)


@pytest.mark.parametrize("store", [np.asarray, csr_array, lambda X: Parts([X[:4], X[4:]])])
def test_columns_of_an_array_are_named_by_position(store):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X[:, 1] = np.where(X[:, 0] + 0.1 * X[:, 1] > 0, 7.5, 2.0)
    vae = VAETransformer(1, likelihood={1: "categorical"}, max_iter=30, random_state=0).fit(X)
    unchanged = copy.deepcopy(vae)
    assert (vae.predict_column(store(X), 1) == X[:, 1]).mean() > 0.9
    assert {key: values.tolist() for key, values in vae.categories_.items()} == {1: [2.0, 7.5]}
    expected = vae.predict_column_proba(X, 1)
    X[:, 1] = np.inf
    np.testing.assert_array_equal(vae.predict_column_proba(store(X), 1), expected)
    assert_same_state(vae, unchanged)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("a", r"Column 'a' is modelled by Gaussian.*Use predict_column .*\{'a': 'categorical'\}"),
        ("spiky", "Column 'spiky' is modelled by Histogram"),
        ("income", "'column' names 'income', but the columns are"),
        (0, "'column' names 0, but the columns are"),
    ],
)
def test_a_column_without_probabilities_is_refused(vae, rows, column, message):
    with pytest.raises(ValueError, match=message):
        vae.predict_column_proba(rows, column)


def test_the_other_columns_are_checked(vae, rows):
    with pytest.raises(ValueError, match=r"now missing:\n- a\n$"):
        vae.predict_column(rows.drop(columns=["kind", "a"]), "kind")
    with pytest.raises(ValueError, match="X has 4 features, but fit saw 7"):
        vae.predict_column(rows.to_numpy(dtype=object)[:, :4], "kind")
    with pytest.warns(UserWarning, match="Column 'kind' holds values that training has not seen"):
        vae.predict_column(rows.assign(kind="nonsense"), "flag")
    with pytest.raises(NotFittedError):
        VAETransformer(**QUICK).predict_column(rows, "kind")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.date_range("2020-01-01", periods=40)),
        pd.Series(pd.date_range("2020-01-01", periods=40, tz="Europe/Paris")),
        pd.Series(pd.to_timedelta(np.arange(40), unit="h")),
        pd.Series(pd.period_range("2020-01", periods=40, freq="M")),
        pd.Series([Decimal(i) / 4 for i in range(40)], dtype=object),
        pd.Series(2**60 + np.arange(40)),
    ],
    ids=lambda column: str(column.dtype),
)
def test_other_kinds_of_columns_come_back_as_they_were(column):
    table = pd.DataFrame({"x": column, "y": np.arange(40.0)})
    vae = VAETransformer(1, **QUICK).fit(table)
    found = vae.predict_column(table, "x")
    expected = vae.impute(table.assign(x=column.mask(np.full(40, True))))["x"]
    np.testing.assert_array_equal(found, expected.to_numpy())
