"""Fully connected layers: the formula, the start weights, the start from PCA."""

import math

import numpy as np
import pytest
import torch
from modules import build, normal, stirred
from scipy.special import expit, ndtr

from skvae.networks import MLP, NetworkModule
from skvae.networks._mlp import ACTIVATIONS, INITIALIZATIONS

FORMULAS = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * expit(x),
    "gelu": lambda x: x * ndtr(x),
    "tanh": np.tanh,
    "identity": lambda x: x,
}

# bound of the uniform start weights; the variance is a third of its square
BOUNDS = {
    "he": lambda n_in, n_out: math.sqrt(6 / n_in),
    "glorot": lambda n_in, n_out: math.sqrt(6 / (n_in + n_out)),
}


def weights(module):
    """Those of the layers, without the linear map beside them."""
    named = module.named_parameters()
    return [p.detach() for name, p in named if p.dim() == 2 and name != "skip"]


def biases(module):
    return [p.detach() for p in module.parameters() if p.dim() == 1]


def test_the_tables_hold_every_part():
    assert FORMULAS.keys() == ACTIVATIONS.keys()
    assert BOUNDS.keys() == INITIALIZATIONS.keys()


@pytest.mark.parametrize("hidden", [(), (5,), (7, 5, 3), [4, 4]])
def test_layer_sizes(hidden):
    sizes = [6, *hidden, 4]
    for skip in (True, False):
        module = build(MLP(hidden, skip=skip))
        shapes = [tuple(weight.shape) for weight in weights(module)]
        assert shapes == list(zip(sizes[1:], sizes[:-1], strict=True))
        # a linear map needs no other beside it
        found = [tuple(p.shape) for name, p in module.named_parameters() if name == "skip"]
        assert found == ([(4, 6)] if skip and len(hidden) > 0 else [])


def test_set_params_changes_what_is_built():
    network = MLP().set_params(hidden_layer_sizes=(3,), activation="relu")
    assert network == MLP((3,), "relu")
    assert len(weights(build(network))) == 2


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rows_in_pieces_are_rows_at_once(name):
    module = stirred(build(MLP((7, 5), activation=name))).double()
    x = normal(2, 5, 6).double()

    def derivatives():
        z = x.clone().requires_grad_()
        found = module(z)
        (gradient,) = torch.autograd.grad(found.square().sum(), z, create_graph=True)
        return found, gradient, *torch.autograd.grad(gradient.square().sum(), z)

    expected = derivatives()
    module.rows_at_once = 3
    torch.testing.assert_close(derivatives(), expected)


def test_no_hidden_layer_is_an_affine_map():
    module = build(MLP(()))
    for parameter in module.parameters():
        parameter.data += 0.5  # the bias too
    x, y, zero = normal(5, 6), normal(5, 6, seed=2), torch.zeros(6)
    torch.testing.assert_close(module(x + y) + module(zero), module(x) + module(y))


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_network_is_its_formula(name, skip):
    module, x = stirred(build(MLP((5, 3), name, skip=skip))), 3 * normal(8, 6)
    for parameter in module.parameters():
        parameter.data = parameter.data.double() + 0.1
    W, b = ([p.numpy() for p in kind(module)] for kind in (weights, biases))
    f = FORMULAS[name]
    X = x.double().numpy()
    h = f(X @ W[0].T + b[0])
    h = f(h @ W[1].T + b[1])
    expected = h @ W[2].T + b[2]
    if skip:
        expected += X @ module.skip.detach().numpy().T
    np.testing.assert_allclose(module(x.double()).detach(), expected, rtol=1e-10)
    with torch.no_grad():  # where results may be overwritten
        np.testing.assert_allclose(module(x.double()), expected, rtol=1e-10)


def test_the_linear_map_beside_the_layers_starts_at_zero():
    module, without = build(MLP((5, 3))), build(MLP((5, 3), skip=False))
    assert (module.skip == 0).all()
    assert without.skip is None
    assert torch.equal(module(normal(8, 6)), without(normal(8, 6)))


@pytest.mark.parametrize("network", [MLP(()), MLP((), skip=False), MLP((5, 3))], ids=str)
@pytest.mark.parametrize("gain", [0.0, 1.0])
def test_a_start_from_a_linear_map(network, gain):
    module, x = build(network, gain=gain), normal(8, 6)
    hidden = module(x) if network.hidden_layer_sizes else torch.zeros(8, 4)
    weight, bias = normal(4, 6, seed=2), normal(4, seed=3)
    assert module.has_linear
    module.set_linear(weight, bias)
    torch.testing.assert_close(module(x), x @ weight.T + bias + hidden)
    assert all(parameter.requires_grad for parameter in module.parameters())
    weight.zero_()  # the module has a copy
    assert not torch.equal(module(x), hidden + bias)


def test_hidden_layers_alone_have_no_linear_map():
    assert not build(MLP((5, 3), skip=False)).has_linear
    assert not NetworkModule.has_linear
    with pytest.raises(NotImplementedError):
        NetworkModule().set_linear(torch.ones(4, 6), torch.ones(4))


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_start_weights_have_the_spread_of_their_scheme(initialization):
    module = build(MLP((400,), initialization=initialization), 100, 300)
    for weight in weights(module):
        bound = BOUNDS[initialization](*weight.shape[::-1])
        assert weight.abs().max() <= bound
        assert weight.abs().max() > 0.99 * bound
        torch.testing.assert_close(weight.var(), torch.tensor(bound**2 / 3), rtol=0.03, atol=0)
    assert all((bias == 0).all() for bias in biases(module))


def test_he_keeps_the_size_of_rectified_signals():
    module = build(MLP((500,) * 5, "relu"), 500, 500)
    x = normal(200, 500)
    assert 0.7 < (module(x).square().mean() / (2 * x.square().mean())).sqrt() < 1.4


def test_dropout_is_unbiased_and_only_in_training():
    drop, network = 0.3, MLP((20,), "identity", dropout=0.3)
    module, x = stirred(build(network)), normal(6)
    plain = stirred(build(network.set_params(dropout=0.0)))(x)
    assert torch.equal(module(x), plain)
    draws, _ = module.vjp(x.expand(50_000, 6), torch.Generator().manual_seed(0), to_x=False)
    # an output is a sum over units, each kept with probability 1 - drop and divided by it
    first, last = weights(module)
    variance = (last * (first @ x)).square().sum(1) * drop / (1 - drop)
    assert ((draws.mean(0) - plain).abs() < 5 * (variance / len(draws)).sqrt()).all()
    torch.testing.assert_close(draws.var(0), variance, rtol=0.05, atol=0)


def test_mirror_reverses_the_layers():
    network = MLP((7, 5, 3), "relu", 0.2, "glorot", skip=False)
    assert network.mirror() == MLP((3, 5, 7), "relu", 0.2, "glorot", skip=False)
    assert network.mirror().mirror() == network
    assert MLP(()).mirror() == MLP(())
    assert network.hidden_layer_sizes == (7, 5, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", "sigmoidal"),
        ("activation", None),
        ("initialization", "zeros"),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", float("nan")),
        ("dropout", "half"),
        ("skip", "auto"),
        ("skip", 0),
        ("hidden_layer_sizes", (0,)),
        ("hidden_layer_sizes", (8, -1)),
        ("hidden_layer_sizes", (8.0,)),
        ("hidden_layer_sizes", 0),
        ("hidden_layer_sizes", None),
    ],
)
def test_errors_name_the_parameter_and_the_value(name, value):
    with pytest.raises(ValueError, match=rf"'{name}' of MLP must be .*; got"):
        MLP(**{name: value}).check()


def test_numpy_integers_are_sizes():
    assert build(MLP(np.array([5, 3])))(normal(6)).shape == (4,)


def test_one_integer_is_one_layer():
    assert torch.equal(build(MLP(5))(normal(8, 6)), build(MLP((5,)))(normal(8, 6)))
    assert MLP(5).mirror() == MLP((5,))
