"""Residual blocks: the formula, and a start close to that of a network without blocks."""

import numpy as np
import pytest
import torch
from modules import build, normal

from skvae.networks import ResidualMLP


@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_network_is_its_formula(n_blocks):
    module, x = build(ResidualMLP(5, n_blocks, "tanh", skip=False)).double(), normal(7, 6).double()
    named = {name: p.detach().numpy() for name, p in module.named_parameters()}

    def layer(name, x):
        return x @ named[f"{name}.weight"].T + named[f"{name}.bias"]

    h = layer("first", x.numpy())
    for block in range(n_blocks):
        h = h + layer(f"blocks.{block}.1", np.tanh(layer(f"blocks.{block}.0", np.tanh(h))))
    np.testing.assert_allclose(module(x).detach(), layer("last", np.tanh(h)))


def test_blocks_are_close_to_the_identity_at_the_start():
    module, h = build(ResidualMLP(200, 1, skip=False)), normal(50, 200)
    first, second = module.layers[0]
    change = second(torch.nn.functional.silu(first(torch.nn.functional.silu(h))))
    assert 0 < change.std() < 0.2 * h.std()


def test_dropout_is_unbiased_and_within_the_blocks():
    module, x = build(ResidualMLP(6, 1, "identity", dropout=0.5, skip=False)), normal(3, 6)
    generator = torch.Generator().manual_seed(0)
    mean = torch.stack([module(x, generator) for _ in range(5000)]).mean(0)
    torch.testing.assert_close(mean, module(x), atol=0.05, rtol=0.05)
    same = build(ResidualMLP(6, 0, dropout=0.5, skip=False))
    assert torch.equal(same(x, generator), same(x, generator))


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 0), ("n_blocks", -1), ("activation", "cube"), ("dropout", 1.0), ("skip", 1)],
)
def test_errors_name_the_parameter_and_the_value(name, value):
    with pytest.raises(ValueError, match=rf"'{name}' of ResidualMLP must be .*; got {value!r}"):
        ResidualMLP(**{name: value}).check()
