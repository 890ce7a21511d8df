"""Copies in another precision are kept while the model is the same."""

import gc
import weakref

import numpy as np
import torch

from skvae._inference import copies
from skvae._inference.copies import in_precision
from skvae._model.vae import VAE
from skvae.likelihoods import Gaussian
from skvae.networks import MLP
from skvae.priors._modules import StandardNormal


def build():
    x = np.arange(4.0)[:, None]
    groups = [(Gaussian(), Gaussian().fit(x, np.ones(4)), 1, None)]
    network = MLP(hidden_layer_sizes=(4,))
    return VAE(groups, [], network, network, 2, torch.Generator().manual_seed(0))


def weight_of(copied):
    return copied.encoder.weights[0]


def test_a_second_call_returns_the_same_copy():
    model = build()
    copied = in_precision(model, torch.float64)
    assert weight_of(copied).dtype == torch.float64
    assert in_precision(model, torch.float64) is copied
    mixed = in_precision(model, torch.float64, float32_networks=True)
    assert weight_of(mixed).dtype == torch.float32
    assert in_precision(model, torch.float64) is copied


def test_a_change_of_the_model_makes_a_new_copy():
    model = build()
    in_precision(model, torch.float64)
    model.encoder.weights[0].data += 1.0
    found = in_precision(model, torch.float64)
    torch.testing.assert_close(weight_of(found), model.encoder.weights[0].double())
    model.prior = StandardNormal(2)
    assert in_precision(model, torch.float64) is not found


def test_copies_of_large_models_are_not_kept(monkeypatch):
    model = build()
    monkeypatch.setattr(copies, "MOST_NUMBERS", 1)
    assert in_precision(model, torch.float64) is not in_precision(model, torch.float64)


def test_a_copy_goes_with_its_model():
    model = build()
    copied = weakref.ref(in_precision(model, torch.float64))
    del model
    gc.collect()
    assert copied() is None
