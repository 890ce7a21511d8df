import pytest
import torch

from skvae._onnx.substitutes import SUBSTITUTES, Substitutes

X = torch.tensor([-7e28, -30.0, -1.0, -1e-3, 0.0, 1e-30, 0.5, 40.0, 7e28])


@pytest.mark.parametrize("function", SUBSTITUTES, ids=lambda function: function.__qualname__)
def test_substitutes_are_the_functions(function):
    n_inputs = 2 if function.__name__ == "hypot" else 1
    inputs = [X, X.flip(0)][:n_inputs]
    with Substitutes():
        found = function(*inputs)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, function(*inputs), rtol=2e-6, atol=1e-7)
