"""Arrays of other libraries."""

import numpy as np
import pandas as pd
import pytest
import torch
from fits import QUICK, assert_same_state
from scipy.sparse import csr_matrix
from sklearn import config_context

from skvae import Parts, VAETransformer

FORMS = {
    "array": np.asarray,
    "sparse": csr_matrix,
    "parts": lambda X: Parts([X[:100], X[100:]]),
    "tensor": torch.as_tensor,
    "frame": pd.DataFrame,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_dispatch_of_arrays_does_not_matter(wine, fitted, form, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    X = form(wine)
    with config_context(array_api_dispatch=True):
        within = VAETransformer(3, **QUICK).fit(X, sample_weight=torch.ones(178))
        codes = within.transform(X)
        decoded = within.inverse_transform(torch.as_tensor(codes))
        score = within.score(X, sample_weight=torch.ones(178))
    assert_same_state(within, fitted)
    np.testing.assert_array_equal(codes, fitted.transform(X))
    np.testing.assert_array_equal(decoded, fitted.reconstruct(X))
    assert score == fitted.score(X)


@pytest.mark.filterwarnings("ignore:Training did not improve the model")
def test_the_dispatch_of_arrays_does_not_matter_for_a_wide_table(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    X = np.random.default_rng(0).normal(size=(20, 30))  # of which PCA is a randomised one
    plain = VAETransformer(2, **QUICK).fit(X)
    with config_context(array_api_dispatch=True):
        within = VAETransformer(2, **QUICK).fit(X)
    assert_same_state(within, plain)
