"""Every parameter of every public call, with values of a wrong kind or beyond all reason."""

import inspect
import re
from fractions import Fraction

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.likelihoods import LIKELIHOODS
from skvae.networks import MLP
from skvae.priors import Mixture

HUGE = 10**400
ODD = {
    "true": True,
    "minus one": -1,
    "a number of text": "3",
    "no axes": np.array(1),
    "nan": float("nan"),
    "inf": float("inf"),
    "1e308": 1e308,
    "2^63": 2**63,
    "10^400": HUGE,
    "fraction": Fraction(1, 2),
    "complex": 1j,
    "type": object,
    "bytes": b"1",
    "dict of nothing known": {"no column": "3"},
}
# what is lawful and harmless among these
FLAGS = (
    *("whiten", "self_masking", "early_stopping", "warm_start", "missing", "sample_posterior"),
    *("skip", "binarize", "library_size", "learned"),
)
FINE = {
    **{name: {"true"} for name in FLAGS},
    **{name: {"2^63", "10^400"} for name in ("batch_size", "n_iter_no_change")},
    "gradient_clip": {"2^63"},
    "tol": {"2^63"},
    "sample_weight": {"1e308", "2^63"},
    "scale": {"2^63"},
    "df": {"1e308", "2^63", "10^400"},
    "verbose": {"true", "2^63", "10^400"},
    **{name: {"a number of text"} for name in ("checkpoint", "path")},
}
QUICK = {"hidden_layer_sizes": 4, "max_iter": 2, "random_state": 0}
ESTIMATORS = {
    VAETransformer: QUICK,
    VAEImputer: {"estimator": VAETransformer(2, **QUICK)},
    VAEOutlierDetector: {"estimator": VAETransformer(2, **QUICK)},
}
# that sklearn's errors do not name as we do
WORDS = {"X": "2D array|Complex", "X_val": "2D array|Complex", "Z": "2D array"}
INHERITED = {"get_params", "set_params", "get_metadata_routing", "set_output", "set_callbacks"}
RNG = np.random.default_rng(0)
TABLE = RNG.integers(0, 2, size=(40, 3)).astype(float)
GAPPY = np.where(RNG.random((40, 3)) < 0.1, np.nan, TABLE)


@pytest.fixture(scope="module")
def fitted():
    return {kind: kind(**settings).fit(TABLE) for kind, settings in ESTIMATORS.items()}


def of_constructor(kind):
    for name in kind().get_params(deep=False):
        yield kind, "__init__", name


def of_methods(kind):
    for method, function in inspect.getmembers(kind, inspect.isfunction):
        if method.startswith("_") or method in INHERITED or method.endswith("_request"):
            continue
        for name, parameter in inspect.signature(function).parameters.items():
            ignored = name in ("self", "y", "input_features")
            if not ignored and parameter.kind is not parameter.VAR_KEYWORD:
                yield kind, method, name


PARTS = {"likelihood": LIKELIHOODS.values(), "prior": [Mixture], "encoder": [MLP], "decoder": [MLP]}
FIELDS = [
    (where, kind, name)
    for where, kinds in PARTS.items()
    for kind in kinds
    for name in kind().get_params()
]
PARAMETERS = [
    case for kind in ESTIMATORS for of in (of_constructor, of_methods) for case in of(kind)
]


def call(fitted, kind, method, name, value):
    if method == "__init__":
        return kind(**{**ESTIMATORS[kind], name: value}).fit(TABLE)
    estimator = kind(**ESTIMATORS[kind]) if "fit" in method else fitted[kind]
    expected = inspect.signature(getattr(kind, method)).parameters
    codes = dict.fromkeys("ABZ", TABLE[:, :2])
    arguments = {"X": GAPPY, "n_imputations": 2, "column": 0, "component": 0, "path": "file"}
    arguments = {key: value_ for key, value_ in (arguments | codes).items() if key in expected}
    return getattr(estimator, method)(**{**arguments, name: value})


METHODS = {
    (kind, method)
    for kind, method, _ in PARAMETERS
    if not method.startswith(("_", "fit", "partial"))
}
METHODS |= {(VAETransformer, "loadings"), (VAETransformer, "get_feature_names_out")}


@pytest.mark.parametrize(("kind", "method"), sorted(METHODS, key=str))
def test_every_method_before_fit_says_so(kind, method):
    estimator = kind()
    expected = inspect.signature(getattr(estimator, method)).parameters
    arguments = dict.fromkeys("ABXZ", TABLE) | {"column": 0, "component": 0, "path": "file"}
    arguments = {name: arguments[name] for name in arguments if name in expected}
    with pytest.raises(NotFittedError):
        getattr(estimator, method)(**arguments)


def named(part):
    return part if isinstance(part, str) else part.__name__


def taken(call, message):
    """Which odd values a call takes; all others it must refuse, with the message."""
    found = set()
    for label, value in ODD.items():
        try:
            call(value)
            found.add(label)
        except (ValueError, TypeError) as error:
            if not re.search(message, str(error)):
                raise
    return found


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("kind", "method", "name"), PARAMETERS, ids=named)
def test_a_value_out_of_bounds_is_named(fitted, kind, method, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where files are written
    found = taken(lambda value: call(fitted, kind, method, name, value), WORDS.get(name, name))
    assert found == FINE.get(name, set())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("where", "kind", "name"), FIELDS, ids=named)
def test_a_field_out_of_bounds_is_named(where, kind, name):
    def fit(value):
        VAETransformer(2, **QUICK | {where: kind(**{name: value})}).fit(TABLE)

    # of normals there are no more than the rows allow
    is_size = (kind, name) == (Mixture, "n_components")
    fine = {"2^63", "10^400"} if is_size else FINE.get(name, set())
    assert taken(fit, f"'{name}' of {kind.__name__} must be .*; got") == fine


@pytest.mark.parametrize("value", [True, -1, 1e308, np.array(1), [1], {}, object])
def test_a_choice_for_a_column_that_is_no_likelihood_is_named(value):
    with pytest.raises(ValueError, match="'likelihood' of column 0 must be"):
        VAETransformer(2, **QUICK, likelihood={0: value}).fit(TABLE)


@pytest.mark.parametrize("weight", [np.full(40, np.inf), np.full(40, np.nan), ["heavy"] * 40])
def test_weights_out_of_bounds_are_refused(fitted, weight):
    for method in (VAETransformer(**QUICK).fit, fitted[VAETransformer].score):
        with pytest.raises(ValueError, match=r"sample_weight|could not convert"):
            method(TABLE, sample_weight=weight)


def test_numbers_of_numpy_are_those_of_python():
    plain = {"n_components": 2, "n_draws": 200, "batch_size": 200, "beta": 0.5, "alpha": 0.25}
    kinds = {int: np.uint8, float: np.float16}
    numpy = {name: kinds[type(value)](value) for name, value in plain.items()}
    one, other = (VAETransformer(**QUICK | settings).fit(TABLE) for settings in (plain, numpy))
    assert one.loss_curve_ == other.loss_curve_
    scores = [one.score(TABLE, n_importance=n) for n in (200, np.uint8(200))]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_components": 0.9}, "whole number from 1 to .*, not a share of the variance as in PCA"),
        ({"prior": "gmm"}, r"one of 'normal', 'mixture' or a Prior such as Mixture\(\)"),
        ({"activation": "swish"}, "one of 'elu', 'relu', 'silu', 'gelu', 'tanh', 'identity'"),
        ({"objective": VAETransformer}, r"one of 'elbo', 'iwae' or an Objective such as ELBO\(\)"),
    ],
)
def test_an_error_names_what_is_allowed(setting, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(**QUICK | setting).fit(np.eye(4))
