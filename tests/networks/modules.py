"""Networks and inputs for their tests."""

import numpy as np
import torch

from skvae._torch.runtime import seeded


def build(network, n_inputs=6, n_outputs=4, gain=1.0, seed=0):
    """An encoder of columns of one feature each."""
    return _build(network.build_encoder, n_inputs, n_inputs, n_outputs, gain, seed)


def build_decoder(network, n_inputs=4, n_outputs=6, gain=1.0, seed=0):
    """A decoder of columns of one parameter each."""
    return _build(network.build_decoder, n_outputs, n_inputs, n_outputs, gain, seed)


def _build(build, n_columns, n_inputs, n_outputs, gain, seed):
    columns = list(np.arange(n_columns)[:, None])
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed):
        return build(columns, n_inputs, n_outputs, output_gain=gain, generator=generator)


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stirred(module):
    """The module with a linear map beside its layers, as after a start from PCA."""
    if module.has_linear and not module.is_linear:
        n_outputs, n_inputs = module(torch.zeros(6)).numel(), 6
        module.set_linear(normal(n_outputs, n_inputs, seed=4), torch.zeros(n_outputs))
    return module
