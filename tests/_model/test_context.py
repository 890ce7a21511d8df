"""Encoder, decoder and prior conditional on a context."""

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from skvae._inference.effort import Effort
from skvae._inference.scores import log_likelihood, weighted_codes
from skvae._model.phases import CODES, DECODER, WHOLE
from skvae._model.vae import VAE
from skvae._start import start_from_pca
from skvae._torch.random import quasi_normal
from skvae.likelihoods import Gaussian
from skvae.networks import MLP
from skvae.objectives import ELBO, IWAE
from skvae.priors import PriorModule

N, D, K, C = 12, 4, 2, 3


class Shifted(PriorModule):
    """N(c B', I)."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.linspace(-1, 1, C * K).view(K, C).double())

    def log_prob(self, z, context):
        return torch.distributions.Normal(context @ self.slope.T, 1.0).log_prob(z).sum(-1)


def build(network, prior=None, places=range(D)):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, D, generator=generator).double()
    context = torch.randn(N, C, generator=generator).double()
    constants = Gaussian().fit(x.numpy(), np.ones(N))
    groups = [(Gaussian(), constants, D, None)]
    model = VAE(groups, [], network, network, K, generator, prior, places, n_context=C).double()
    for name, parameter in model.named_parameters():  # many start at zero
        # smaller for the encoder, so that log std stays within its bounds
        scale = 0.1 if name.startswith("encoder") else 0.3
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return model, model.cells(x, context)


@pytest.mark.parametrize("prior", [None, Shifted], ids=["normal", "shifted"])
@pytest.mark.parametrize("objective", [ELBO(0.7), IWAE(0.7)])
@pytest.mark.parametrize("phase", [WHOLE, CODES, DECODER])
def test_the_gradient_is_that_of_the_objective(phase, objective, prior):
    model, cells = build(MLP((7,)), prior and prior())
    noise = torch.randn(4, N, K, generator=torch.Generator().manual_seed(1)).double()
    bound = model.bound(objective, cells, noise, phase)
    parameters = model.learned(phase)
    expected = torch.autograd.grad(-bound.mean(), parameters, allow_unused=True)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    with torch.inference_mode():
        batch = cells.take(torch.arange(N))
        model.find_gradient(objective, batch, noise, torch.Generator(), phase)
    for parameter, gradient in zip(parameters, expected, strict=True):
        zero = torch.zeros_like(parameter)
        torch.testing.assert_close(parameter.grad, zero if gradient is None else gradient)


def quasi(n, seed):
    return torch.from_numpy(quasi_normal(n, K, seed))[:, None]


@torch.no_grad()
def test_the_likelihood_is_that_of_the_conditional_normal():
    model, cells = build(MLP(()), Shifted())
    (weight, bias), (group,) = model.decoder.layers[0], model.groups
    loading, by_context = weight[:D].split([K, C], dim=1)
    noise = group.log_prob(torch.zeros(1, D).double(), torch.zeros(1, 1, D).double())
    variance = (-2 * noise[0, 0]).exp() / (2 * torch.pi)
    mean = cells.context @ (by_context + loading @ model.prior.slope).T + bias[:D]
    covariance = loading @ loading.T + torch.diag(variance)
    expected = MultivariateNormal(mean, covariance).log_prob(cells.values)
    effort = Effort(2048, 2048, 0.1)
    found = log_likelihood(model, cells, quasi(effort.n_noise, 0), effort=effort)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
    # E[x|x, c] over codes whose posterior is conditional too
    (each,) = weighted_codes(model, cells, quasi(effort.n_noise, 1), effort=effort)
    rows, z, log_weight = each
    assert rows.tolist() == list(range(N))
    gain = loading.T @ torch.linalg.inv(covariance)
    exact = cells.context @ model.prior.slope.T + (cells.values - mean) @ gain.T
    weight = torch.softmax(log_weight, 0)
    torch.testing.assert_close(torch.einsum("sn,snk->nk", weight, z), exact, atol=0.02, rtol=0)


def test_the_context_stays_with_its_rows():
    model, cells = build(MLP((5,)))
    rows = torch.tensor([3, 0, 7])
    for part in (cells.take(rows), cells[rows]):
        torch.testing.assert_close(part.context, cells.context[rows])
        torch.testing.assert_close(model.encode(part)[0], model.encode(cells)[0][rows])
    target = model.draw_target(cells, torch.Generator())
    assert target.context is cells.context
    held = cells.take(rows)
    held.copy_(cells.take(rows + 1))
    torch.testing.assert_close(held.context, cells.context[rows + 1])
    z = torch.ones(1, 1, K).double()  # one code for all rows
    assert model.decode(z, cells.context)[0].shape[:2] == (1, N)


@torch.no_grad()
def test_pca_ignores_the_context():
    model, cells = build(MLP(()))
    start_from_pca(model, cells, torch.full((N,), 1 / N).double(), seed=0)
    before = model.encode(cells)[0]
    cells.context = cells.context + 1
    torch.testing.assert_close(model.encode(cells)[0], before)
