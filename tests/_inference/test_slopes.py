"""The slopes of the decoder against autograd."""

import numpy as np
import torch

from skvae._inference.slopes import mean_slopes, slopes_in_prior
from skvae._model.vae import VAE
from skvae.likelihoods import Bernoulli, Gaussian
from skvae.networks import MLP
from skvae.priors._modules import LearnedMixture, NormalMixture


def test_slopes_are_the_mean_derivatives_of_the_means():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(50, 2, generator=generator).double()
    table = np.random.default_rng(0).normal(size=(20, 3))
    groups = [
        (Gaussian(), Gaussian().fit(table, np.ones(20)), 3, None),
        (Bernoulli(), Bernoulli().fit(table > 0, np.ones(20)), 3, None),
    ]
    model = VAE(groups, [], MLP(3), MLP((4,), "tanh"), 2, generator).double()
    for parameter in model.parameters():  # many start at zero
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    model.components.sort(torch.tensor([1.0, 2.0]), -torch.eye(2))  # swapped, signs changed

    def means(shown):
        pairs = zip(model.groups, model.decode(shown[None]), strict=True)
        return tuple(group.statistics(out)[0].mean(0) for group, out in pairs)

    shown = z[:, model.components.order] * model.components.sign
    exact = torch.autograd.functional.jacobian(means, shown)  # (d, M, N, K) of each group
    for found, by_code in zip(mean_slopes(model, z), exact, strict=True):
        torch.testing.assert_close(found, by_code.sum(2).movedim(-1, 0), atol=2e-3, rtol=0)


def test_slopes_are_for_one_standard_deviation_of_the_prior():
    generator = torch.Generator().manual_seed(0)
    table = np.random.default_rng(0).normal(size=(20, 3))
    groups = [(Gaussian(), Gaussian().fit(table, np.ones(20)), 3, None)]
    prior = NormalMixture.of_arrays(np.zeros(1), np.full((1, 2), 4.0), 3 * np.eye(2)[None])
    model = VAE(groups, [], MLP(3), MLP(()), 2, generator, prior)
    for parameter in model.decoder.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator)
    noise = torch.randn(50, 2, generator=generator)
    (expected,), (found,) = mean_slopes(model, noise), slopes_in_prior(model, noise, generator)
    torch.testing.assert_close(found, 3 * expected, atol=1e-3, rtol=1e-3)


def test_slopes_have_the_order_and_signs_of_sorted_components():
    generator = torch.Generator().manual_seed(0)
    table = np.random.default_rng(0).normal(size=(20, 3))
    groups = [(Gaussian(), Gaussian().fit(table, np.ones(20)), 3, None)]
    prior = LearnedMixture.near_standard_normal(3, 2, generator)
    prior.mean.data[:, 1] += 5 * torch.arange(3.0)  # a larger spread
    model = VAE(groups, [], MLP(3), MLP((4,)), 2, generator, prior)
    for parameter in model.decoder.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    noise = torch.randn(50, 2, generator=generator)
    (before,) = slopes_in_prior(model, noise, generator)
    model.components.sort(torch.tensor([1.0, 2.0]), torch.tensor([[-1.0, 0.0], [0.0, 1.0]]))
    (after,) = slopes_in_prior(model, noise, generator)
    torch.testing.assert_close(after, torch.stack([before[1], -before[0]]), rtol=1e-3, atol=1e-4)
