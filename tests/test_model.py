"""The model's own gradient against autograd's."""

import numpy as np
import pytest
import torch

from skvae._model import VAE
from skvae.likelihoods import Bernoulli, Categorical, Gaussian, Poisson
from skvae.networks import MLP
from skvae.sgvb import ELBO, IWAE

RNG = np.random.default_rng(0)
TABLE = np.column_stack(
    [
        RNG.normal(size=(20, 2)),
        RNG.random((20, 2)) < 0.4,
        RNG.integers(0, 3, 20),
        RNG.poisson(3, 20),
    ]
).astype(float)
GROUPS = [(Gaussian(), [0, 1]), (Bernoulli(), [2, 3]), (Categorical(), [4]), (Poisson(), [5])]


def build(groups, gaps=()):
    """A model in float64 of the groups of columns, and the working units of their table."""
    fitted, working = [], []
    for likelihood, places in groups:
        x = TABLE[:, places]
        constants = likelihood.fit(x, np.ones(len(x)))
        fitted.append((likelihood, constants, len(places)))
        working.append(likelihood.to_working(x, constants))
    generator = torch.Generator().manual_seed(0)
    model = VAE(fitted, gaps, MLP((7,)), MLP((5,), "elu"), 3, generator).double()
    return model, torch.from_numpy(np.column_stack(working))


@pytest.mark.parametrize("objective", [ELBO(0.7, free_bits=0.1), IWAE(0.7)])
@pytest.mark.parametrize("share_missing", [0.0, 0.3])
@pytest.mark.parametrize("groups", [GROUPS, GROUPS[:1]], ids=["four groups", "one group"])
def test_the_gradient_is_that_of_the_objective(groups, share_missing, objective):
    generator = torch.Generator().manual_seed(1)
    model, x = build(groups, gaps=[0, 1] if share_missing else [])
    x[torch.rand(x.shape, generator=generator) < share_missing] = torch.nan
    cells = model.cells(x)
    noise = torch.randn(4, len(x), 3, generator=generator).double()
    expected_bound = model.bound(objective, cells, noise)
    parameters = list(model.parameters())
    expected = torch.autograd.grad(-expected_bound.mean(), parameters)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    with torch.inference_mode():  # as in training, where minibatches are made
        everyone = torch.arange(len(x))
        bound = model.find_gradient(objective, cells.take(everyone), noise, generator)()
    torch.testing.assert_close(bound, expected_bound)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_module_that_is_no_network_is_refused():
    class Plain(MLP):
        def build(self, n_inputs, n_outputs, *, output_gain, generator):
            return torch.nn.Identity()

    group = (Gaussian(), Gaussian().fit(TABLE[:, :2], np.ones(20)), 2)
    with pytest.raises(TypeError, match=r"Plain\.build must return .*; got a Identity"):
        VAE([group], [], Plain(), MLP(), 3, torch.Generator())


def test_a_step_is_replayable_where_all_that_it_calls_is():
    class Own(Gaussian):
        pass

    class Told(Gaussian):
        replayable = True

    class OwnNetwork(MLP):
        def build(self, *args, **kwargs):
            module = super().build(*args, **kwargs)
            module.replayable = False
            return module

    def replayable(likelihood, network):
        group = (likelihood, likelihood.fit(TABLE[:, :2], np.ones(20)), 2)
        return VAE([group], [], MLP(3), network, 3, torch.Generator()).replayable

    assert replayable(Gaussian(), MLP(3))
    assert replayable(Told(), MLP(3))
    assert not replayable(Own(), MLP(3))
    assert not replayable(Gaussian(), OwnNetwork(3))


def test_no_gradient_pulls_back_what_is_cut_off():
    model, x = build(GROUPS[:1])
    with torch.no_grad():
        model.encoder.layers[-1][1][3:] = -20.0  # log std far below its range
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with torch.no_grad():
        noise = torch.zeros(1, len(x), 3).double()
        model.find_gradient(ELBO(), model.cells(x), noise, torch.Generator())
    gradient = model.encoder.layers[-1][1].grad
    assert (gradient[3:] == 0).all()
    assert (gradient[:3] != 0).all()
