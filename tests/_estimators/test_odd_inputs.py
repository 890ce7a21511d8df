"""Odd and invalid inputs of every public method: what each of them gives, before and after fit."""

import copy
import datetime
import decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore")  # what is warned of is tested elsewhere

RNG = np.random.default_rng(0)
T = RNG.normal(size=(20, 3)) @ RNG.normal(size=(3, 3)) + 0.2 * RNG.normal(size=(20, 3))
FRAME = pd.DataFrame(T, columns=["a", "b", "c"])
MIXED = pd.DataFrame(
    {"kind": pd.Categorical(np.where(T[:, 0] > 0, "x", "y")), "b": T[:, 1], "c": T[:, 2]}
)
CORNER = np.eye(20, 3, dtype=bool)  # a cell in each column
SETTINGS = {"hidden_layer_sizes": 4, "max_iter": 1, "random_state": 0}


class Given:
    """An array only by its protocol."""

    def __array__(self, dtype=None, copy=None):
        return np.array(T, dtype=dtype)


class Case(NamedTuple):
    """An input, and the outcome of methods: None for success, or an error and its message.

    ``fit`` is the outcome of fits, ``use`` that of the methods that take rows, ``given`` that of
    conditional samples, and ``codes`` that of methods that take codes. ``model`` names the table
    of the fit before: an array, a frame of the same numbers, or one with a category.
    """

    X: Any
    fit: Any = None
    use: Any = None
    given: Any = None
    codes: Any = None
    model: str = "array"
    more: Any = None  # of training further, unless use is an error


def invalid(X, error, message, **outcomes):
    """A case that is invalid for all methods; outcomes replace that."""
    same = dict.fromkeys(("fit", "use", "given", "codes"), (error, message))
    return Case(X, **same | outcomes)


def read_only():
    X = T.copy()
    X.flags.writeable = False
    return X


def objects(first):
    X = T[:4].astype(object)
    X[0, 0] = first
    return X


NAN = np.where(CORNER, np.nan, T)
SHAPE, GIVEN, NUMBERS = (
    r"Expected 2D array",
    r"array of 3 columns; got a .* of shape",
    "held numbers",
)
FLAT = (ValueError, rf"{SHAPE}, got 1D array instead"), (ValueError, rf"{SHAPE} for Z")
SCALAR = (ValueError, rf"{SHAPE}, got scalar array instead")
NO_CODES = (ValueError, "Z contains NaN")
NO_NUMBERS = (ValueError, "could not convert string to float")
FEW, NO_VALUE = (ValueError, "minimum of 2"), (ValueError, "Column 0 holds no value")
COMPLEX = (ValueError, "Complex data not supported")
IMAGES = (ValueError, r"X has \d axes and the shape \(5, .*Flatten each row.* of shape \(5, \d+\)")
SPARSE = (TypeError, "dense data is required")
LAZY = (TypeError, "Collect it first")
TOO_FAR = (ValueError, "too far from the rows that the first fit saw")


def shape(X, kind=FLAT[0], **outcomes):
    """A case without rows and columns."""
    return Case(X, kind, kind, (ValueError, GIVEN), FLAT[1], **outcomes)


def infinite(X, shown, **outcomes):
    error = (ValueError, rf"holds infinity: {shown} in column .*, row 0. Mark the cell as missing")
    return Case(X, error, error, error, (ValueError, "Z contains infinity"), **outcomes)


def of_objects(first, message, codes=(TypeError, "float")):
    error = (TypeError, rf"Column 0 holds .*{message}")
    return Case(objects(first), error, error, error, codes)


def sparse(X, **outcomes):
    return Case(X, codes=SPARSE, **outcomes)


def frame(X, **outcomes):
    return Case(X, model="frame", **outcomes)


def mixed(X, **outcomes):
    return Case(X, model="mixed", **{"codes": NO_NUMBERS} | outcomes)


CASES = {
    # shapes
    "no rows": Case(
        T[:0],
        FEW,
        *[(ValueError, r"0 sample\(s\).* minimum of 1")] * 3,
    ),
    "no columns": Case(
        T[:, :0],
        *[(ValueError, "0 feature")] * 2,
        (ValueError, GIVEN),
        (ValueError, "0 feature"),
    ),
    "one row": Case(T[:1], FEW),
    "two rows": Case(T[:2]),
    "one axis": shape(T[0]),
    "no axis": shape(np.array(1.0), SCALAR),
    "images": Case(np.zeros((5, 8, 8)), IMAGES, IMAGES, (ValueError, GIVEN), FLAT[1]),
    "colour images": Case(np.zeros((5, 3, 8, 8)), IMAGES, IMAGES, (ValueError, GIVEN), FLAT[1]),
    "list of images": Case(list(np.zeros((5, 8, 8))), IMAGES, IMAGES, (ValueError, GIVEN), FLAT[1]),
    "two columns": Case(
        T[:, :2],
        None,
        (ValueError, "X has 2 features, but .* 3 features"),
        (ValueError, GIVEN),
        (ValueError, "must hold codes, .* has 2 columns, .* n_components=3"),
    ),
    "four columns": Case(
        np.c_[T, T[:, 0]],
        None,
        (ValueError, "X has 4 features, but .* 3 features"),
        (ValueError, GIVEN),
        (ValueError, "must hold codes, .* has 4 columns"),
    ),
    # values
    "missing": Case(NAN, codes=NO_CODES),
    "only missing": Case(np.full((4, 3), np.nan), NO_VALUE, codes=NO_CODES),
    "column of missing": Case(np.where([1, 0, 0], np.nan, T), NO_VALUE, codes=NO_CODES),
    "infinity": infinite(np.where(CORNER, np.inf, T), "inf"),
    "minus infinity": infinite(np.where(CORNER, -np.inf, T), "-inf"),
    "huge": Case(1e30 * T, more=TOO_FAR),
    "tiny": Case(1e-300 * T),
    "constant": Case(np.full((4, 3), 7.0)),
    "rounded by float64": Case(
        np.array([[2**53 + 1, 1, 2], [3, 4, 5]]),
        *[(ValueError, "9007199254740993 in column 0, row 0, which float64 would round")] * 2,
    ),
    # dtypes
    "float16": Case(T.astype(np.float16)),
    "float32": Case(T.astype(np.float32)),
    "longdouble": Case(T.astype(np.longdouble)),
    "int8": Case((9 * T).astype(np.int8)),
    "int64": Case((9 * T).astype(np.int64)),
    "uint8": Case((9 * np.abs(T)).astype(np.uint8)),
    "uint64": Case(np.full((4, 3), 2**63, dtype=np.uint64), more=TOO_FAR),
    "bool": Case(T > 0),
    "big-endian": Case(T.astype(">f8")),
    "big-endian float32": Case(T.astype(">f4")),
    "complex": Case(T + 1j, COMPLEX, COMPLEX, (TypeError, "real and imaginary"), COMPLEX),
    "datetime64": Case(
        np.full((4, 3), "2020-01-01", dtype="M8[D]"),
        *[(ValueError, "neither numbers nor categories.*belong in a data frame")] * 2,
        (TypeError, "pandas.to_datetime"),
    ),
    "timedelta64": Case(
        np.full((4, 3), 1, dtype="m8[s]"),
        *[(ValueError, "neither numbers nor categories.*belong in a data frame")] * 2,
        (TypeError, "pandas.to_timedelta"),
    ),
    "records": Case(
        np.zeros(4, dtype=[("a", float), ("b", float)]),
        *[(ValueError, "neither numbers nor categories")] * 2,
        (ValueError, GIVEN),
        FLAT[1],
    ),
    "bytes": Case(T.astype("S"), *[(TypeError, "Decode the column to strings")] * 3),
    "numbers as strings": Case(T.astype(str), None, *[(ValueError, NUMBERS)] * 2),
    "words": Case(np.full((4, 3), "x"), None, *[(ValueError, NUMBERS)] * 2, NO_NUMBERS),
    # memory
    "Fortran order": Case(np.asfortranarray(T)),
    "strided": Case(np.repeat(T, 2, axis=0)[::2]),
    "reversed": Case(T[::-1, ::-1]),
    "broadcast": Case(np.broadcast_to(T[0], (4, 3))),
    "read-only": Case(read_only()),
    "array protocol": Case(Given()),
    # objects
    "objects": Case(T.astype(object)),
    "None in objects": Case(np.where(CORNER, None, T), codes=NO_CODES),
    "decimals": Case(np.full((4, 3), decimal.Decimal("1.5"))),
    "strings and numbers": Case(
        objects("1"), (ValueError, "Column 0 mixes strings"), *[(ValueError, NUMBERS)] * 2
    ),
    "dicts": of_objects({}, "Give each key a column"),
    "lists": of_objects([1, 2], "Give each item a column", (ValueError, "with a sequence")),
    "complex objects": of_objects(1j, "Split the column into real"),
    "dates": of_objects(datetime.date(2020, 1, 1), "pandas.to_datetime"),
    # masked arrays and matrices
    "masked": Case(np.ma.masked_array(T, CORNER), codes=NO_CODES),
    "nothing masked": Case(np.ma.masked_array(T)),
    "all masked": Case(np.ma.masked_all((4, 3)), NO_VALUE, codes=NO_CODES),
    "matrix": Case(
        T.view(np.matrix), *[(TypeError, "np.asarray")] * 2, codes=(TypeError, "np.asarray")
    ),
    # sparse tables
    "csr": sparse(sp.csr_array(T)),
    "csc": sparse(sp.csc_array(T)),
    "coo": sparse(sp.coo_array(T)),
    "dok": sparse(sp.dok_array(T)),
    "lil": sparse(sp.lil_array(T)),
    "dia": sparse(sp.dia_array(T)),
    "bsr": sparse(sp.bsr_array(T)),
    "csr_matrix": sparse(sp.csr_matrix(T)),
    "missing in csr": sparse(sp.csr_array(NAN)),
    "infinity in csr": infinite(sp.csr_array(np.where(CORNER, np.inf, T)), "inf")._replace(
        codes=SPARSE
    ),
    "no rows of csr": sparse(
        sp.csr_array((0, 3)), fit=FEW, use=(ValueError, "0 sample"), given=(ValueError, "0 sample")
    ),
    # sequences and other objects
    "list": Case(T.tolist()),
    "tuple": Case(tuple(map(tuple, T))),
    "list of arrays": Case(list(T)),
    "None in lists": Case([[None, 1.0, 2.0], [3.0, 4.0, 5.0]], codes=NO_CODES),
    "ragged": invalid([[1, 2, 3], [4, 5]], ValueError, "inhomogeneous", given=(ValueError, GIVEN)),
    "list of numbers": shape([1.0, 2.0, 3.0]),
    "list of strings": shape(["abc", "def"]),
    "list of dicts": shape([{"a": 1}, {"a": 2}]),
    "empty list": shape([]),
    "range": shape(range(3)),
    "generator": shape((row for row in T), SCALAR),
    "set": shape({1, 2}, SCALAR),
    "number": shape(1.0, SCALAR),
    "string": shape("table", SCALAR),
    "function": shape(len, SCALAR),
    "nothing": shape(None, SCALAR)._replace(given=None),
    "dict": shape({0: [1, 2]}, SCALAR)._replace(given=(ValueError, "several values")),
    # torch
    "tensor": Case(torch.tensor(T)),
    "float32 tensor": Case(torch.tensor(T).float()),
    "tensor with a gradient": invalid(
        torch.tensor(T, requires_grad=True), RuntimeError, r"detach\(\)"
    ),
    "bfloat16 tensor": invalid(torch.tensor(T).bfloat16(), TypeError, "BFloat16"),
    "sparse tensor": invalid(torch.tensor(T).to_sparse(), TypeError, r"to_dense\(\)"),
    "meta tensor": invalid(torch.zeros(4, 3, device="meta"), TypeError, "meta"),
    "tensor of images": Case(torch.zeros(5, 8, 8), IMAGES, IMAGES, (ValueError, GIVEN), FLAT[1]),
    # data frames
    "frame": frame(FRAME),
    "array for a frame": frame(T),
    "list for a frame": frame(T.tolist()),
    "array protocol for a frame": frame(Given()),
    "matrix for a frame": frame(
        T.view(np.matrix),
        fit=(TypeError, "np.asarray"),
        use=(TypeError, "np.asarray"),
        codes=(TypeError, "np.asarray"),
    ),
    "csr for a frame": frame(sp.csr_array(T), codes=SPARSE),
    "dok for a frame": frame(sp.dok_array(T), codes=SPARSE),
    "one column twice": invalid(
        FRAME.set_axis(["a", "b", "a"], axis=1), ValueError, "2 columns named 'a'", model="frame"
    ),
    "another column": frame(
        FRAME.assign(d=1.0),
        use=(ValueError, "unseen at fit time"),
        given=(ValueError, "'given' names 'd'"),
        codes=(ValueError, "has 4 columns"),
    ),
    "one column less": frame(
        FRAME[["b", "c"]],
        use=(ValueError, "yet now missing"),
        codes=(ValueError, "has 2 columns"),
    ),
    "another order": frame(FRAME[["b", "a", "c"]], use=(ValueError, "same order")),
    "another name": frame(
        FRAME.rename(columns={"a": "z"}),
        use=(ValueError, "unseen at fit time"),
        given=(ValueError, "'given' names 'z'"),
    ),
    "names and numbers": frame(
        FRAME.set_axis(["a", 1, 2], axis=1),
        fit=(TypeError, "string names"),
        use=(TypeError, "string names"),
        given=(ValueError, "'given' names 1"),
    ),
    "no rows in a frame": frame(
        FRAME[:0], fit=FEW, **dict.fromkeys(("use", "given", "codes"), (ValueError, "0 sample"))
    ),
    "no columns in a frame": frame(
        pd.DataFrame(index=range(4)),
        fit=(ValueError, "0 feature"),
        use=(ValueError, "X has 0 features|yet now missing"),
        codes=(ValueError, "at least one array"),
    ),
    "other index": frame(FRAME.set_axis([f"row {i}" for i in range(20)])),
    "index of equal labels": frame(FRAME.set_axis([0] * 20)),
    "Float64": frame(FRAME.astype("Float64")),
    "missing Float64": frame(FRAME.astype("Float64").mask(CORNER), codes=NO_CODES),
    "Int64": frame((9 * FRAME).astype(int).astype("Int64")),
    "boolean": frame((FRAME > 0).astype("boolean")),
    "frame of objects": frame(FRAME.astype(object)),
    "categories of numbers": frame(FRAME.round().astype("category")),
    "strings in a frame": frame(
        FRAME.astype(str), use=(ValueError, NUMBERS), given=(ValueError, NUMBERS)
    ),
    "sparse frame": frame(FRAME.astype(pd.SparseDtype(float, 0.0)), codes=SPARSE),
    "dates in a frame": frame(
        pd.DataFrame(dict.fromkeys("abc", pd.date_range("2020", periods=20))),
        use=(ValueError, "datetime64.*held numbers"),
        given=(ValueError, "datetime64.*held numbers"),
    ),
    "lists in a frame": frame(
        pd.DataFrame(dict.fromkeys("abc", [[1]] * 4)),
        **dict.fromkeys(("fit", "use", "given"), (TypeError, "Give each item a column")),
        codes=(ValueError, "with a sequence"),
    ),
    "frame backed by arrow": frame(FRAME.convert_dtypes(dtype_backend="pyarrow")),
    "series": frame(
        FRAME["a"],
        fit=(ValueError, "2-dimensional container"),
        use=(ValueError, "2-dimensional container"),
        given=(ValueError, "'given' names 0, but the columns are"),
        codes=FLAT[1],
    ),
    "polars": frame(pl.DataFrame(FRAME.to_dict("list"))),
    "null in polars": frame(
        pl.DataFrame({"a": [1.0, None], "b": [1.0, 2.0], "c": [3.0, 4.0]}), codes=NO_CODES
    ),
    "lazy frame": frame(
        pl.DataFrame(FRAME.to_dict("list")).lazy(),
        fit=LAZY,
        use=LAZY,
        given=(ValueError, GIVEN),
        codes=FLAT[1],
    ),
    "pyarrow": frame(pa.table(FRAME)),
    "null in pyarrow": frame(
        pa.table({"a": [1.0, None], "b": [1.0, 2.0], "c": [3.0, 4.0]}), codes=NO_CODES
    ),
    "one column twice in pyarrow": invalid(
        pa.table([[1.0], [2.0], [3.0]], names=["a", "b", "a"]),
        ValueError,
        "2 columns named 'a'",
        model="frame",
    ),
    # categories
    "categories": mixed(MIXED),
    "categories of objects": mixed(MIXED.astype({"kind": object})),
    "missing category": mixed(MIXED.assign(kind=MIXED["kind"].mask(CORNER[:, 0]))),
    "unseen category": mixed(
        MIXED.assign(kind="z"), given=(ValueError, "'z'.*not seen|unseen|in training")
    ),
    "one unseen category": mixed(
        MIXED.assign(kind=MIXED["kind"].astype(object).mask(CORNER[:, 0], "z")),
        given=(ValueError, "'z'.*not seen|unseen|in training"),
    ),
    "declared category": mixed(MIXED.assign(kind=MIXED["kind"].cat.add_categories("z"))),
}

MODELS = {"array": T, "frame": FRAME, "mixed": MIXED}
LAST = {"array": 2, "frame": "c", "mixed": "c"}  # the column that is predicted
OF_ROWS = {
    "transform": lambda vae, X, last: vae.transform(X),
    "latent_distribution": lambda vae, X, last: vae.latent_distribution(X),
    "reconstruct": lambda vae, X, last: vae.reconstruct(X),
    "impute": lambda vae, X, last: vae.impute(X),
    "draws": lambda vae, X, last: vae.impute(X, n_imputations=2, random_state=0),
    "predict_column": lambda vae, X, last: vae.predict_column(X, last),
    "score_samples": lambda vae, X, last: vae.score_samples(X, n_importance=1),
    "elbo": lambda vae, X, last: vae.elbo(X, n_draws=1),
    "score": lambda vae, X, last: vae.score(X, n_importance=1),
    "score_cells": lambda vae, X, last: vae.score_cells(X, n_importance=1),
    "traverse": lambda vae, X, last: vae.traverse(X, 0, 2),
}


@pytest.fixture(scope="module")
def models():
    """By name, a model, an imputer and a detector."""

    def fitted(X):
        vae = VAETransformer(3, **SETTINGS).fit(X)
        return vae, VAEImputer(clone(vae)).fit(X), VAEOutlierDetector(clone(vae)).fit(X)

    return {name: fitted(X) for name, X in MODELS.items()}


def check(outcome, call, *args):
    if outcome is None:
        call(*args)
    else:
        error, message = outcome
        with pytest.raises(error, match=f"(?s){message}"):
            call(*args)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_fits(case):
    vae = VAETransformer(2, **SETTINGS)
    for fit in (vae.fit, vae.partial_fit):
        check(case.fit, fit, case.X)
        if case.fit is not None:
            assert vars(vae) == vars(clone(vae))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_uses_of_a_fitted_model(case, models):
    vae, imputer, detector = models[case.model]
    last, reference = LAST[case.model], MODELS[case.model][:3]
    before = vae.score_samples(reference)
    for call in OF_ROWS.values():
        check(case.use, call, vae, case.X, last)
    for call in (imputer.transform, detector.predict):
        check(case.use, call, case.X)
    check(case.use or case.more, copy.deepcopy(vae).partial_fit, case.X)
    check(case.given, lambda: vae.sample(given=case.X, random_state=0))
    check(case.codes, lambda: vae.inverse_transform(case.X))
    np.testing.assert_array_equal(vae.score_samples(reference), before)


UNFITTED = OF_ROWS | {
    "sample": lambda vae, X, last: vae.sample(given=X),
    "inverse_transform": lambda vae, X, last: vae.inverse_transform(X),
    "interpolate": lambda vae, X, last: vae.interpolate(X, X),
    "imputer": lambda vae, X, last: VAEImputer(vae).transform(X),
    "detector": lambda vae, X, last: VAEOutlierDetector(vae).predict(X),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_uses_before_fit(case):
    vae = VAETransformer(3, **SETTINGS)
    for call in UNFITTED.values():
        with pytest.raises(NotFittedError):
            call(vae, case.X, LAST[case.model])


def test_rows_of_a_table_are_no_codes(models):
    vae = VAETransformer(2, **SETTINGS).fit(T)
    for call in (vae.inverse_transform, lambda A: vae.interpolate(A, A)):
        with pytest.raises(ValueError, match=r"must hold codes.*rows of a table, pass transform\("):
            call(T)
