"""VAEImputer: VAETransformer.impute as a step of a Pipeline."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skvae import VAEImputer, VAETransformer

TEXT = str(pd.Series(["a"], dtype="str").dtype)  # object before pandas 3
QUICK = {"hidden_layer_sizes": (16,), "max_iter": 3}


@pytest.fixture(scope="module")
def table():
    frame = load_wine(as_frame=True).data
    frame = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.2)
    frame["kind"] = pd.Categorical(np.where(frame["alcohol"] > 13, "strong", "light"))
    frame.loc[::9, "kind"] = None
    return frame


def test_fills_what_the_model_imputes(table):
    imputer = VAEImputer(VAETransformer(2, **QUICK), random_state=3).fit(table)
    expected = VAETransformer(2, **QUICK, random_state=3).fit(table).impute(table)
    pd.testing.assert_frame_equal(imputer.transform(table), expected)
    assert not expected.isna().any().any()
    assert imputer.n_features_in_ == 14
    assert list(imputer.get_feature_names_out()) == list(table.columns)


def test_draws_completed_tables(table):
    numbers = table.iloc[:, :13]
    imputer = VAEImputer(VAETransformer(2, **QUICK), sample_posterior=True, random_state=3)
    imputer.fit(numbers)
    drawn = imputer.transform(numbers)
    pd.testing.assert_frame_equal(drawn, imputer.transform(numbers))
    assert not drawn.equals(imputer.set_params(sample_posterior=False).transform(numbers))
    tables = imputer.impute(numbers, n_imputations=2)
    expected = imputer.estimator_.impute(numbers, n_imputations=2, random_state=3)
    for one, other in zip(tables, expected, strict=True):
        pd.testing.assert_frame_equal(one, other)
    missing = numbers.isna().to_numpy()
    assert (tables[0] != tables[1]).to_numpy()[missing].mean() > 0.9
    assert np.array_equal(tables[0].to_numpy()[~missing], numbers.to_numpy()[~missing])
    assert imputer.loss_curve_ == imputer.estimator_.loss_curve_


@pytest.mark.parametrize(("n_columns", "n_components"), [(1, 1), (5, 3), (40, 12)])
def test_the_default_model_has_half_as_many_components_as_columns(n_columns, n_components):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1)) + 0.3 * rng.normal(size=(60, n_columns))
    X[::3, 0] = np.nan
    imputer = VAEImputer(random_state=0).fit(X)
    assert imputer.estimator_.n_components == n_components
    assert np.isfinite(imputer.transform(X)).all()


def test_the_estimator_given_is_left_alone(table):
    model = VAETransformer(2, **QUICK)
    imputer = VAEImputer(model, random_state=0).fit(table)
    assert imputer.estimator is model
    assert not hasattr(model, "module_")
    assert model.random_state is None
    own = VAEImputer(VAETransformer(2, **QUICK, random_state=5)).fit(table)
    assert own.estimator_.random_state == 5


def test_stands_in_a_pipeline_and_a_search(table):
    numbers, y = table.iloc[:, :13], load_wine().target
    pipeline = make_pipeline(
        VAEImputer(VAETransformer(2, **QUICK), random_state=0),
        RandomForestClassifier(20, random_state=0),
    )
    search = GridSearchCV(pipeline, {"vaeimputer__estimator__n_components": [1, 2]}, cv=2)
    assert search.fit(numbers, y).score(numbers, y) > 0.8


def polars_frame(columns):
    kinds = {"small": pl.Int8, "width": pl.Float32, "colour": pl.Categorical, "price": pl.Decimal}
    return pl.DataFrame(columns, schema_overrides=kinds)


def arrow_table(columns):
    pa = pytest.importorskip("pyarrow")
    kinds = {"small": pa.int8(), "width": pa.float32(), "price": pa.decimal128(5, 2)}
    arrays = {name: pa.array(column, kinds.get(name)) for name, column in columns.items()}
    return pa.table(arrays | {"colour": arrays["colour"].dictionary_encode()})


@pytest.mark.parametrize("make", [polars_frame, arrow_table])
def test_columns_keep_their_kind_in_a_pandas_frame(make):
    columns = {
        "small": [1, 2, None, 4] * 10,
        "width": [0.5, None, 2.5, 1.0] * 10,
        "price": [Decimal("1.50"), None, Decimal("2.25"), Decimal("3.75")] * 10,
        "yes": [True, None, False, True] * 10,
        "text": ["a", "b", None, "b"] * 10,
        "colour": ["red", None, "blue", "red"] * 10,
    }
    X = make(columns)
    imputer = VAEImputer(VAETransformer(1, **QUICK), random_state=0).fit(X)
    filled = imputer.set_output(transform="pandas").transform(X)
    kinds = {"small": "int8", "width": "float32", "price": "float64", "yes": "bool", "text": TEXT}
    assert filled.dtypes.astype(str).to_dict() == kinds | {"colour": "category"}
    for name, column in columns.items():
        held = [(a, b) for a, b in zip(column, filled[name], strict=True) if a is not None]
        assert all(float(a) == b if isinstance(a, Decimal) else a == b for a, b in held)
    assert not filled.isna().any().any()


def test_a_pandas_frame_of_an_array_of_objects():
    X = np.array([[1.5, "a"], [None, "b"], [2.5, None]] * 5, dtype=object)
    like = pd.DataFrame(X, index=np.arange(15) + 7)
    imputer = VAEImputer(VAETransformer(1, **QUICK), random_state=0).fit(X)
    filled = imputer.set_output(transform="pandas").transform(like)
    assert filled.dtypes.astype(str).tolist() == ["float64", TEXT]
    assert filled.index.equals(like.index)


def test_names_come_and_go_with_the_table(table):
    imputer = VAEImputer(VAETransformer(1, **QUICK), random_state=0).fit(table.iloc[:, :3])
    assert hasattr(imputer, "feature_names_in_")
    assert not hasattr(imputer.fit(table.iloc[:, :3].to_numpy()), "feature_names_in_")


@pytest.mark.parametrize("estimator", ["vae", LogisticRegression()])
def test_the_estimator_must_be_a_vae(estimator, table):
    with pytest.raises(ValueError, match="'estimator' parameter of VAEImputer"):
        VAEImputer(estimator).fit(table)


def test_needs_a_fit():
    with pytest.raises(NotFittedError):
        VAEImputer().transform([[1.0]])
