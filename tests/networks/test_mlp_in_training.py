"""Networks in training: the result for a minibatch, and its gradient."""

from functools import partial

import pytest
import torch
from modules import build, normal, stirred
from torch.utils.checkpoint import checkpoint

from skvae._torch.activations import ACTIVATIONS
from skvae.networks import MLP, NetworkModule


def gradients(module, x):
    """Of a loss that is no sum, by the input and the parameters, by autograd."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(module(x).square().sum(), [x, *module.parameters()])


def training_pass(module, x, generator, *, to_x=True):
    """The result of a training step, and the same gradients by the module's own way back."""
    for parameter in module.parameters():
        # what is there before is overwritten in closed form, else added to
        parameter.grad = torch.full_like(parameter, float("nan") if module.closed_form else 0.0)
    with torch.inference_mode():  # as in training, where minibatches are made
        found, backward = module.vjp(x.clone(), generator, to_x=to_x)
        by_x = backward(2 * found)
    return found, [by_x, *(parameter.grad for parameter in module.parameters())]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(), (5, 3)], ids=["linear", "two layers"])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("shape", [(8, 6), (0, 6)], ids=str)
def test_a_training_pass_is_the_map_and_its_gradient(name, sizes, skip, shape):
    module = stirred(build(MLP(sizes, name, skip=skip))).double()
    x = 3 * normal(*shape).double()
    found, by = training_pass(module, x, torch.Generator())
    torch.testing.assert_close(found, module(x), rtol=1e-12, atol=1e-12)
    for one, other in zip(by, gradients(module, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("again", [False, True], ids=["once", "recorded again on the way back"])
def test_autograd_agrees_with_the_closed_form(again):
    module, x = stirred(build(MLP((5, 3)))), normal(8, 6)
    expected, by = training_pass(module, x, torch.Generator())
    plain = partial(type(module).forward, module)
    module.vjp, module.closed_form = partial(NetworkModule.vjp, module), False
    module.forward = lambda x, generator=None: (
        checkpoint(plain, x, use_reentrant=False) if again else plain(x)
    )
    found, others = training_pass(module, x, torch.Generator())
    torch.testing.assert_close(found, expected)
    for one, other in zip(others, by, strict=True):
        torch.testing.assert_close(one, other)


def test_constant_networks_have_a_backward_function():
    module, x = build(MLP((5, 3))), normal(8, 6)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    module.forward = lambda x, generator=None: type(module).forward(module, x)
    _, backward = NetworkModule.vjp(module, x, torch.Generator(), to_x=False)
    assert backward(torch.ones(8, 4)) is None
    module.forward = lambda x, generator=None: torch.ones(8, 4)
    _, backward = NetworkModule.vjp(module, x, torch.Generator(), to_x=True)
    assert torch.equal(backward(torch.ones(8, 4)), torch.zeros(8, 6))


@pytest.mark.parametrize("network", [MLP(()), MLP((5, 3)), MLP((5, 3), skip=False)], ids=str)
def test_the_gradient_by_the_input_may_be_left_out(network):
    module, x = stirred(build(network)), normal(8, 6)
    _, (_, *expected) = training_pass(module, x, torch.Generator())
    _, (by_x, *by) = training_pass(module, x, torch.Generator(), to_x=False)
    assert by_x is None
    assert all(torch.equal(one, other) for one, other in zip(by, expected, strict=True))


def test_gradient_of_a_training_pass_with_dropout():
    module, x = stirred(build(MLP((5, 3), dropout=0.4))).double(), normal(8, 6).double()
    tensors = [x, *(parameter.data for parameter in module.parameters())]
    _, by = training_pass(module, x, torch.Generator().manual_seed(0))

    def loss():
        found, _ = module.vjp(x, torch.Generator().manual_seed(0), to_x=True)
        return found.square().sum()

    step = 1e-6
    with torch.no_grad():
        for tensor, gradient in zip(tensors, by, strict=True):
            for place in range(0, tensor.numel(), 5):
                value = tensor.view(-1)[place].clone()
                losses = []
                for side in (1, -1):
                    tensor.view(-1)[place] = value + side * step
                    losses.append(loss())
                tensor.view(-1)[place] = value
                slope = (losses[0] - losses[1]) / (2 * step)
                torch.testing.assert_close(slope, gradient.view(-1)[place], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("able", [False, True])
@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"relu"}))  # whose slope jumps
def test_a_training_pass_in_bfloat16(name, able, capabilities):
    if not able:  # what is able stays so
        capabilities({})
    module, x = stirred(build(MLP((50, 30), name))), normal(40, 6)
    expected = [module(x).detach(), *gradients(module, x)]
    found, (by_x, *by) = training_pass(module.to(torch.bfloat16), x, torch.Generator())
    assert (found.dtype, by_x.dtype) == (torch.bfloat16, torch.float32)
    for one, other in zip([found, by_x, *by], expected, strict=True):
        error = (one - other).norm() / other.norm()
        assert 1e-4 < error < 2e-2


def test_autograd_records_a_module_in_bfloat16():
    module, x = stirred(build(MLP((5, 3)))), normal(8, 6)
    expected = gradients(module, x)
    found = gradients(module.to(torch.bfloat16), x.to(torch.bfloat16))
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 0.1 * other.norm()
