"""Networks that a function builds."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from configurations import own_layers
from modules import build, normal
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from torch import nn

from skvae import VAETransformer
from skvae.networks import FromFunction

X = load_wine().data


def linear(n_inputs, n_outputs):
    return nn.Linear(n_inputs, n_outputs)


def test_the_last_linear_layer_starts_small():
    def started(function, gain):
        return build(FromFunction(function), gain=gain).eval()(normal(5, 6))

    def with_tanh(n_inputs, n_outputs):
        return nn.Sequential(nn.Linear(n_inputs, n_outputs), nn.Tanh())

    torch.testing.assert_close(started(own_layers, 0.1), 0.1 * started(own_layers, 1.0))
    torch.testing.assert_close(started(with_tanh, 0.1), started(with_tanh, 1.0))


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # after five epochs
def test_a_model_of_own_layers_repeats_and_can_be_copied_and_searched():
    vae = VAETransformer(
        2,
        encoder=FromFunction(own_layers),
        decoder=FromFunction(own_layers),
        max_iter=5,
        random_state=0,
    )
    codes = vae.fit_transform(X)
    np.testing.assert_array_equal(clone(vae).fit_transform(X), codes)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(vae)).transform(X), codes)
    search = GridSearchCV(vae, {"encoder__function": [own_layers, linear]}, cv=2).fit(X)
    assert search.best_params_["encoder__function"] in (own_layers, linear)


def test_lazy_layers():
    lazy = FromFunction(lambda n_inputs, n_outputs: nn.LazyLinear(n_outputs))
    assert VAETransformer(2, encoder=lazy, max_iter=3, random_state=0).fit_transform(X).shape == (
        len(X),
        2,
    )


def sized(n_inputs, n_outputs, width):
    return nn.Sequential(nn.Linear(n_inputs, width), nn.ReLU(), nn.Linear(width, n_outputs))


def test_training_with_a_partial_function_continues():
    network = FromFunction(partial(sized, width=4))
    vae = VAETransformer(2, encoder=network, random_state=0).partial_fit(X)
    assert vae.partial_fit(X).n_iter_ == 2


def test_what_is_no_function_is_refused():
    with pytest.raises(ValueError, match=r"'function' of FromFunction must be a function of .* 3"):
        VAETransformer(encoder=FromFunction(3)).fit(X)


def test_a_wrong_shape_is_told_with_both_shapes():
    wrong = FromFunction(lambda n_inputs, n_outputs: nn.Linear(n_inputs, 7))
    with pytest.raises(ValueError, match=r"maps 2 rows of 13 numbers to the shape \(2, 7\)"):
        VAETransformer(2, encoder=wrong, max_iter=1).fit(X)
