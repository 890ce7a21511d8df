"""Results are the same under any setting of torch, numpy, warnings and scikit-learn."""

import contextlib
import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore:Posterior collapse")

RNG = np.random.default_rng(0)
Z = RNG.normal(size=60)
TABLE = pd.DataFrame(
    {
        "size": Z + 0.3 * RNG.normal(size=60),
        "weight": 5 - 2 * Z + RNG.normal(size=60),
        "kind": pd.Categorical(np.where(Z + RNG.normal(size=60) > 0, "x", "y")),
        "count": RNG.poisson(np.exp(0.5 * Z)),
    }
)
GAPS = TABLE.mask(RNG.random(TABLE.shape) < 0.2)
FEW = GAPS[:6]
SETTINGS = {"hidden_layer_sizes": 8, "max_iter": 2, "random_state": 0}


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def options():
    """Contexts of scikit-learn, one for each value of each of its options."""
    values = {
        "working_memory": [1],
        "display": ["text"],
        "pairwise_dist_chunk_size": [1],
        "transform_output": ["pandas", "polars"],
        "sparse_interface": ["sparray"],
    }
    for name, value in sklearn.get_config().items():
        others = [not value] if isinstance(value, bool) else values.get(name, [])
        if name == "array_api_dispatch":
            continue  # an environment variable must be set too: tested elsewhere
        for other in others:
            yield f"{name}={other}", lambda n=name, o=other: sklearn.config_context(**{n: o})


HOSTILE = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "meta": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic algorithms": deterministic,
    "numpy raises": lambda: np.errstate(all="raise"),
    "warnings are errors": warnings_as_errors,
    **dict(options()),
}


def state():
    """What a user may set. Generators are watched in all tests."""
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.empty(0).device,
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "errors": np.geterr(),
        "filters": list(warnings.filters),
        "config": sklearn.get_config(),
    }


FITS = {
    "fit": lambda vae: vae.fit(GAPS).score_samples(FEW),
    "fit of an array": lambda vae: vae.fit(TABLE[["size", "weight"]].to_numpy()).scale_,
    "fit_transform": lambda vae: vae.fit_transform(TABLE),
    "partial_fit": lambda vae: vae.partial_fit(GAPS).partial_fit(GAPS).transform(FEW),
    "VAEImputer": lambda vae: VAEImputer(vae).fit(GAPS).transform(FEW),
    "VAEOutlierDetector": lambda vae: VAEOutlierDetector(vae).fit(GAPS).score_samples(FEW),
}
USES = {
    "transform": lambda vae: vae.transform(FEW),
    "latent_distribution": lambda vae: np.stack(vae.latent_distribution(FEW)),
    "inverse_transform": lambda vae: vae.inverse_transform(np.ones((2, 2))),
    "reconstruct": lambda vae: vae.reconstruct(FEW),
    "impute": lambda vae: vae.impute(FEW),
    "draws": lambda vae: vae.impute(FEW, n_imputations=2, random_state=0)[1],
    "predict_column": lambda vae: vae.predict_column(FEW, "kind"),
    "predict_column_proba": lambda vae: vae.predict_column_proba(FEW, "kind"),
    "sample": lambda vae: vae.sample(5, random_state=0),
    "sample_codes": lambda vae: vae.sample_codes(5, random_state=0),
    "sample given": lambda vae: vae.sample(2, given={"kind": "x"}, random_state=0),
    "sample missing": lambda vae: vae.sample(5, missing=True, random_state=0),
    "score_samples": lambda vae: vae.score_samples(FEW),
    "score": lambda vae: vae.score(FEW),
    "elbo": lambda vae: vae.elbo(FEW),
    "score_cells": lambda vae: vae.score_cells(FEW[:2]),
    "interpolate": lambda vae: vae.interpolate([0.0, 1.0], [2.0, -1.0], 4),
    "traverse": lambda vae: vae.traverse(FEW, 0, 3),
    "grid": lambda vae: vae.grid(3),
    "loadings": lambda vae: vae.loadings(),
    "copy": lambda vae: copy.deepcopy(vae).impute(FEW),
    "pickle": lambda vae: pickle.loads(pickle.dumps(vae)).impute(FEW),
    "further training": lambda vae: copy.deepcopy(vae).partial_fit(GAPS).transform(FEW),
}


def comparable(result):
    """The values of a result in any container."""
    return pd.DataFrame(np.atleast_2d(np.asarray(result)).reshape(len(np.atleast_1d(result)), -1))


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, **SETTINGS).fit(GAPS)


@pytest.fixture(scope="module")
def expected(vae):
    """By name, the results without any setting."""
    new = {name: comparable(fit(VAETransformer(2, **SETTINGS))) for name, fit in FITS.items()}
    return new | {name: comparable(use(vae)) for name, use in USES.items()}


@pytest.mark.parametrize("setting", HOSTILE.values(), ids=HOSTILE)
def test_results_and_settings_are_the_same(setting, vae, expected):
    found, changed = {}, {}
    with setting():
        before = state()
        for calls, model in (FITS, clone(vae)), (USES, vae):
            for name, call in calls.items():
                found[name] = call(model if calls is USES else clone(model))
                after = state()
                changed[name] = [key for key in before if before[key] != after[key]]
    assert not {name: keys for name, keys in changed.items() if keys}
    for name, result in found.items():
        pd.testing.assert_frame_equal(comparable(result), expected[name], obj=name)


OPTIMISED = """
import numpy as np
from skvae import VAEImputer, VAETransformer
assert False, "python -O skips this"
X = np.random.default_rng(0).normal(size=(40, 3)) @ np.ones((3, 3))
X[::4, 0] = np.nan
vae = VAETransformer(1, hidden_layer_sizes=8, max_iter=2, random_state=0).fit(X)
print(vae.score_samples(X).tolist(), vae.impute(X)[::4, 0].tolist())
try:
    vae.transform(X[:, :2])
except ValueError as error:
    print(error)
"""


def test_assertions_are_not_needed():
    run = [
        subprocess.check_output([sys.executable, *option, "-c", code], text=True)
        for option, code in [
            (["-O", "-W", "ignore"], OPTIMISED),
            (["-W", "ignore"], OPTIMISED.replace("assert False", "assert True")),
        ]
    ]
    assert run[0] == run[1]
    assert "2 features" in run[0]
