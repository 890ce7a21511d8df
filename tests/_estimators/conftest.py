"""Fixtures of the estimators."""

import pytest
from fits import QUICK
from sklearn.datasets import load_wine

from skvae import VAETransformer


@pytest.fixture(scope="module")
def wine():
    return load_wine().data


@pytest.fixture(scope="module")
def fitted(wine):
    return VAETransformer(3, **QUICK).fit(wine)
