"""The operations of torch in use, beside the documented ones that replace them."""

import numpy as np
import pytest
import torch
from scipy import stats

from skvae._torch import operations
from skvae._torch.operations import private


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def both(name):
    """The function in use, and the one in documented operations."""
    function = getattr(operations, name)
    assert hasattr(function, "__wrapped__"), "this version of torch lacks the operation"
    return function, function.__wrapped__


def test_a_function_is_kept_if_torch_lacks_the_operation():
    def doubled(x):
        """Two of x."""
        return x + x

    assert (
        private("ops.aten.no_such_operation.out", lambda operation: operation)(doubled) is doubled
    )
    replaced = private("add", lambda add: lambda x: add(x, x))(doubled)
    assert replaced is not doubled
    assert replaced.__wrapped__ is doubled
    assert replaced.__doc__ == "Two of x."
    assert replaced(torch.tensor(3)) == 6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["elu", "relu", "silu", "gelu", "tanh"])
def test_gradients_of_elementwise_functions(name, dtype):
    x, gradient = 3 * normal(500, dtype=dtype), normal(500, seed=1, dtype=dtype)
    x[0] = 0
    if name in ("elu", "relu", "tanh"):  # these take the result
        x = torch.tanh(x) if name == "tanh" else getattr(torch.nn.functional, name)(x)
    used, documented = (call(gradient.clone(), x) for call in both(f"{name}_backward_"))
    tolerance = {"rtol": 0.05, "atol": 0.02} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(used, documented, **tolerance)
    in_place = gradient.clone()
    for call in both(f"{name}_backward_"):
        assert call(in_place, x) is in_place


def test_gelu_in_place():
    for call in both("gelu_"):
        x = normal(50)
        expected = torch.nn.functional.gelu(x)
        assert call(x) is x
        torch.testing.assert_close(x, expected)


def test_a_linear_map():
    x, weight, bias = normal(9, 5), normal(4, 5, seed=1), normal(4, seed=2)
    for call in both("linear"):
        torch.testing.assert_close(call(x, weight, bias), x @ weight.T + bias)


def test_draws_of_gammas():
    state = torch.random.get_rng_state()
    shape = torch.tensor([0.3, 2.0, 40.0]).expand(4000, 3)
    for call in both("standard_gamma"):
        draws = call(shape, torch.Generator().manual_seed(0)).numpy()
        again = call(shape, torch.Generator().manual_seed(0)).numpy()
        assert np.array_equal(draws, again)
        for column, a in zip(draws.T, (0.3, 2.0, 40.0), strict=True):
            assert stats.kstest(column, stats.gamma(a).cdf).pvalue > 1e-3
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
def test_steps_of_adam(rate):
    found = []
    for call in both("adam"):
        values, first, second, steps = (
            normal(30),
            torch.zeros(30),
            torch.zeros(30),
            torch.tensor(0.0),
        )
        for seed in range(5):
            steps += 1
            gradient = normal(30, seed=seed + 1)
            call(values, gradient, first, second, steps, rate=rate, betas=(0.9, 0.99), eps=1e-8)
        found.append((values, first, second))
    for used, documented in zip(*found, strict=True):
        torch.testing.assert_close(used, documented)
