"""Networks and inputs for their tests."""

import torch


def build(network, n_inputs=6, n_outputs=4, gain=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return network.build(n_inputs, n_outputs, output_gain=gain, generator=generator)


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stirred(module):
    """The module with a linear map beside its layers, as after a start from PCA."""
    if module.skip is not None:
        module.skip.data.copy_(normal(*module.skip.shape, seed=4))
    return module
