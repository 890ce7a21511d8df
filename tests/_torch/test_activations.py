"""The activations of hidden layers."""

import pytest
import torch

from skvae._torch.activations import ACTIVATIONS


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_in_place_is_the_same_function(name, dtype):
    activation = ACTIVATIONS[name]
    x = torch.tensor([-torch.inf, -100, -3, -1e-3, -1e-6, 0, 1e-6, 0.5, 100, torch.inf, torch.nan])
    x = x.to(dtype)
    found, expected = activation.overwrite(x.clone()), activation.forward(x)
    # by another formula it may lose what is below the last digit of 1, which bfloat16 cannot spare
    lost = 0.0 if dtype == torch.bfloat16 else torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, rtol=0, atol=lost, equal_nan=True)
