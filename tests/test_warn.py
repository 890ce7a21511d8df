"""Warnings show the line that called the package."""

import numpy as np
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
    settings = {"likelihood": "gaussian", "max_iter": 1, "early_stopping": False, "random_state": 0}
    vae = VAETransformer(2, **settings)
    with pytest.warns(UserWarning, match="only 3 different values") as found:
        make_pipeline(*before, vae).fit(np.column_stack([np.arange(60), np.arange(60) % 3]))
    assert [one.filename for one in found] == [__file__]
