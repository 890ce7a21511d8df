"""Warnings show the line that called the package."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae._warn import warn


def test_a_warning_shows_who_called():
    with pytest.warns(RuntimeWarning, match="beware") as found:
        warn("beware", RuntimeWarning)
    assert [one.filename for one in found] == [__file__]


@pytest.mark.parametrize("before", [[], [StandardScaler()]], ids=["alone", "in a Pipeline"])
def test_a_warning_through_scikit_learn_shows_the_caller(before):
    vae = VAETransformer(1, beta=1000.0, max_iter=2, early_stopping=False, random_state=0)
    with pytest.warns(UserWarning, match="Posterior collapse") as found:
        make_pipeline(*before, vae).fit(np.random.default_rng(0).normal(size=(60, 2)))
    assert [one.filename for one in found] == [__file__]


def test_a_warning_from_within_a_context_shows_the_caller(wine):
    kind = np.resize(["a", "b"], len(wine))
    table = pd.DataFrame(wine[:, :2], columns=["x", "y"]).assign(kind=kind)
    vae = VAETransformer(1, max_iter=2, random_state=0).fit(table)
    with pytest.warns(UserWarning, match="'new'") as found:
        vae.score_samples(table[:3].assign(kind="new"))
    assert [one.filename for one in found] == [__file__]
