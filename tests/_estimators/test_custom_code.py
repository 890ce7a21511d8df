"""Custom networks and priors that draw from torch's global generator."""

import torch
from fits import QUICK, assert_same_state

from skvae import VAETransformer
from skvae.networks import Network, NetworkModule
from skvae.priors import Prior
from skvae.priors._modules import NormalMixture


class Affine(NetworkModule):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.linear = torch.nn.Linear(n_inputs, n_outputs)

    def forward(self, x, generator=None):
        return self.linear(x)


class Linear(Network):
    def build(self, n_inputs, n_outputs, *, output_gain, generator):
        return Affine(n_inputs, n_outputs)


class Shifted(Prior):
    """A normal whose mean a layer of torch's draws, and a gradient moves."""

    def fit(self, draw, n_rows, n_components, seed):
        layer = torch.nn.Linear(1, n_components)
        with torch.enable_grad():
            (layer.bias * torch.as_tensor(draw(1)[0])).sum().backward()
        mean = (layer.bias + layer.bias.grad).detach()
        return NormalMixture(torch.zeros(1), mean[None], torch.eye(n_components)[None])


def test_custom_code_gets_a_generator_of_the_fit(wine):
    settings = {"encoder": Linear(), "decoder": Linear(), "prior": Shifted()}

    def fit(random_state):
        return VAETransformer(3, **QUICK | settings | {"random_state": random_state}).fit(wine)

    one, other = fit(0), fit(1)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            same = fit(0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_state(one, same)
    assert one.score(wine) == same.score(wine)
    weights = [vae.module_.encoder.linear.weight for vae in (one, other)]
    assert (weights[0] != weights[1]).any()
    square = one.module_.decoder.linear.weight[:3, :3]
    assert (square != weights[0][:3, :3]).any()
