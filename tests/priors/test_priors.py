"""Priors: densities that integrate, draws that follow them, mixtures fitted to codes."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.base import clone

from skvae.priors import PRIORS, Mixture, Normal
from skvae.priors._mixture import NormalMixture

RNG = np.random.default_rng(0)
ROOT = np.tril(RNG.normal(size=(2, 3, 3)))
ROOT[:, range(3), range(3)] = np.abs(ROOT[:, range(3), range(3)]) + 0.3
SHARE, MEAN = np.array([0.3, 0.7]), RNG.normal(size=(2, 3))


def mixture():
    arrays = np.log(SHARE), MEAN, ROOT
    return NormalMixture(*(torch.as_tensor(a, dtype=torch.float32) for a in arrays))


def test_density_of_a_mixture():
    z = RNG.normal(size=(4, 5, 3))
    expected = np.log(
        sum(
            share * multivariate_normal(mean, root @ root.T).pdf(z)
            for share, mean, root in zip(SHARE, MEAN, ROOT, strict=True)
        )
    )
    found = mixture().log_prob(torch.as_tensor(z, dtype=torch.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_draws_of_a_mixture():
    draws = mixture().sample(40_000, torch.Generator().manual_seed(0)).numpy()
    mean = SHARE @ MEAN
    second = sum(
        share * (root @ root.T + np.outer(m, m))
        for share, m, root in zip(SHARE, MEAN, ROOT, strict=True)
    )
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), second - np.outer(mean, mean), atol=0.15)


def test_the_standard_normal_is_a_mixture_of_one():
    z = RNG.normal(size=(7, 2))
    expected = multivariate_normal(np.zeros(2)).logpdf(z)
    for prior in (NormalMixture.standard(2), Normal().fit(None, 7, 2, seed=0)):
        found = prior.log_prob(torch.as_tensor(z, dtype=torch.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_fitted_mixture_finds_what_codes_cluster_in():
    codes = np.r_[RNG.normal(-3, 0.2, size=(2000, 2)), RNG.normal(3, 0.5, size=(1000, 2))]
    prior = Mixture(n_components=2).fit(lambda n: codes[:n], len(codes), 2, seed=0)
    order = np.argsort(prior.mean[:, 0].numpy())
    np.testing.assert_allclose(prior.mean[order], [[-3, -3], [3, 3]], atol=0.1)
    np.testing.assert_allclose(prior.log_share.exp()[order], [2 / 3, 1 / 3], atol=0.01)


@pytest.mark.parametrize(
    ("n_rows", "n_components", "n_draws", "n_normals"),
    [(20, 4, 2000, 1), (400, 1, 2000, 44), (3000, 1, 3000, 50), (10**6, 1, 32_000, 50)],
)
def test_few_rows_get_few_normals(n_rows, n_components, n_draws, n_normals):
    asked = []

    def draw(n):
        asked.append(n)
        return RNG.normal(size=(n, n_components))

    assert len(Mixture().fit(draw, n_rows, n_components, seed=0).log_share) == n_normals
    assert asked == [n_draws]


@pytest.mark.parametrize("n_components", [0, -1, 2.5, "many"])
def test_invalid_number_of_normals(n_components):
    with pytest.raises(ValueError, match="'n_components' of Mixture must be a whole number"):
        Mixture(n_components).check()


@pytest.mark.parametrize("prior", [prior() for prior in PRIORS.values()], ids=PRIORS)
def test_is_a_value(prior):
    assert clone(prior) == prior
    assert type(prior)(**prior.get_params()) == prior
