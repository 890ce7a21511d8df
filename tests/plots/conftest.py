"""Fitted models that the tests of displays share."""

import pytest
from pictures import FRAME, X, vae
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(scope="session")
def model():
    return vae().fit(X)


@pytest.fixture(scope="session")
def pipeline():
    return make_pipeline(MinMaxScaler(), vae()).fit(FRAME)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")
