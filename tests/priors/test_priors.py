"""Priors: densities that integrate, draws that follow them, mixtures fitted to codes."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine

from skvae import VAETransformer
from skvae.priors import PRIORS, Mixture, Prior, PriorModule
from skvae.priors._modules import LearnedMixture, NormalMixture, StandardNormal

RNG = np.random.default_rng(0)
ROOT = np.tril(RNG.normal(size=(2, 3, 3)))
ROOT[:, range(3), range(3)] = np.abs(ROOT[:, range(3), range(3)]) + 0.3
SHARE, MEAN = np.array([0.3, 0.7]), RNG.normal(size=(2, 3))


def mixture():
    arrays = np.log(SHARE), MEAN, ROOT
    return NormalMixture(*(torch.as_tensor(a, dtype=torch.float32) for a in arrays))


def learned_mixture():
    arrays = np.log(SHARE) + 5.0, MEAN, *triangles(np.linalg.inv(ROOT))
    return LearnedMixture.of_arrays(*arrays)


def triangles(whiten):
    rows, columns = np.tril_indices(3, -1)
    return np.log(whiten.diagonal(axis1=1, axis2=2)), whiten[:, rows, columns]


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


def test_the_standard_normal():
    z = RNG.normal(size=(7, 2))
    expected = multivariate_normal(np.zeros(2)).logpdf(z)
    one = NormalMixture.of_arrays(np.zeros(1), np.zeros((1, 2)), np.eye(2)[None])
    for prior in (StandardNormal(2), one):
        found = prior.log_prob(torch.as_tensor(z, dtype=torch.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    draws = StandardNormal(2).sample(40_000, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(draws.T), np.eye(2), atol=0.03)


@pytest.mark.parametrize("make", [lambda: StandardNormal(3), mixture, learned_mixture])
def test_a_pickle_of_a_module_holds_arrays(make):
    module = make()
    pickled = pickle.dumps(module)
    assert b"torch._utils" not in pickled
    z = torch.as_tensor(RNG.normal(size=(5, 3)), dtype=torch.float32)
    torch.testing.assert_close(pickle.loads(pickled).log_prob(z), module.log_prob(z))


def test_the_gradient_of_a_learned_mixture():
    prior = learned_mixture().double()
    z = torch.tensor(RNG.normal(size=(4, 5, 3)), requires_grad=True)
    gradient = torch.tensor(RNG.normal(size=(4, 5)))
    parameters = list(prior.parameters())
    log_p = prior.log_prob(z)
    expected = torch.autograd.grad(log_p, [z, *parameters], gradient)
    prior.mean.requires_grad_(False)  # one that is not learned
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found, backward = prior.vjp(z)
        by_z = backward(gradient)
    torch.testing.assert_close(found, log_p)
    torch.testing.assert_close(by_z, expected[0])
    assert prior.mean.grad is None
    for parameter, by_parameter in zip(parameters, expected[1:], strict=True):
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, 1 + by_parameter)


def test_a_missing_method_of_a_module_is_named():
    with pytest.raises(NotImplementedError, match=r"PriorModule has no method log_prob\(z\)"):
        PriorModule().log_prob(torch.zeros(2))
    with pytest.raises(NotImplementedError, match=r"PriorModule has no method sample"):
        PriorModule().sample(2, torch.Generator())


class Diagonal(PriorModule):
    """Independent normals whose means and spreads are learned."""

    def __init__(self, n_components):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(n_components))
        self.log_std = torch.nn.Parameter(torch.zeros(n_components))

    def log_prob(self, z):
        return torch.distributions.Normal(self.mean, self.log_std.exp()).log_prob(z).sum(-1)

    def sample(self, n, generator):
        noise = torch.empty(n, len(self.mean)).normal_(generator=generator)
        return self.mean + self.log_std.exp() * noise


@dataclass
class LearnedDiagonal(Prior):
    def build(self, n_components, n_rows, generator):
        return Diagonal(n_components)


class Doubled(Diagonal):
    """Computes in float64, and has an attribute that other priors may have too."""

    def __init__(self, n_components):
        super().__init__(n_components)
        self.register_buffer("centers", torch.zeros(3, n_components + 1))

    def log_prob(self, z):
        return super().log_prob(z).double()


@dataclass
class FittedDoubled(Prior):
    def fit(self, draw, n_rows, n_components, seed, trained):
        return Doubled(n_components)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_importance", [8, 64, None])
def test_a_prior_in_float64_scores_rows_of_each_dtype(wine, dtype, n_importance):
    vae = VAETransformer(2, prior=FittedDoubled(), max_iter=2, random_state=0).fit(wine)
    score = vae.score_samples(wine[:5].astype(dtype), n_importance=n_importance)
    assert np.isfinite(score).all()


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_learned_prior_may_compute_in_float64(wine, objective):
    class LearnedDoubled(Prior):
        def build(self, n_components, n_rows, generator):
            return Doubled(n_components)

    vae = VAETransformer(2, prior=LearnedDoubled(), objective=objective, n_draws=3, max_iter=2)
    assert np.isfinite(vae.fit(wine).loss_curve_).all()


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_prior_is_learned_in_training(objective):
    X = load_wine().data
    vae = VAETransformer(
        2, prior=LearnedDiagonal(), objective=objective, n_draws=4, max_iter=40, random_state=0
    ).fit(X)
    prior = vae.module_.prior
    assert prior is vae.module_.learned_prior
    assert prior.log_std.abs().max() > 0.01
    codes = torch.as_tensor(vae.set_params(whiten=True).fit(X).latent_distribution(X)[0])
    # the aggregate posterior is closer to what was learned than to the start
    learned, start = copy.deepcopy(vae.module_.prior).double(), Diagonal(2).double()
    assert learned.log_prob(codes).mean() > start.log_prob(codes).mean()
    other = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(other.score_samples(X[:5]), vae.score_samples(X[:5]))
    vae.partial_fit(X)
    assert vae.module_.prior is vae.module_.learned_prior


def test_a_fitted_mixture_finds_what_codes_cluster_in():
    codes = np.r_[RNG.normal(-3, 0.2, size=(2000, 2)), RNG.normal(3, 0.5, size=(1000, 2))]
    fit = Mixture(n_components=2).fit
    prior = fit(lambda n: codes[:n], len(codes), 2, seed=0, trained=StandardNormal(2))
    order = np.argsort(prior.mean[:, 0].numpy())
    np.testing.assert_allclose(prior.mean[order], [[-3, -3], [3, 3]], atol=0.1)
    np.testing.assert_allclose(prior.log_share.exp()[order], [2 / 3, 1 / 3], atol=0.01)


@pytest.mark.parametrize(
    ("n_rows", "n_components", "n_draws", "n_normals"),
    [(20, 4, 2000, 1), (400, 1, 2000, 44), (3000, 1, 3000, 100), (10**6, 1, 32_000, 100)],
)
def test_few_rows_get_few_normals(n_rows, n_components, n_draws, n_normals):
    asked = []

    def draw(n):
        asked.append(n)
        return RNG.normal(size=(n, n_components))

    fit, trained = Mixture().fit, StandardNormal(n_components)
    found = fit(draw, n_rows, n_components, seed=0, trained=trained)
    assert len(found.log_share) == n_normals
    assert asked == [n_draws]


@pytest.mark.parametrize(
    ("n_rows", "n_components", "n_normals"), [(20, 4, 1), (150, 4, 10), (10**6, 4, 100)]
)
def test_few_rows_get_few_learned_normals(n_rows, n_components, n_normals):
    built = Mixture().build(n_components, n_rows, torch.Generator().manual_seed(0))
    assert len(built.mean) == n_normals


def test_the_parameters_of_a_learned_mixture_are_free():
    z = torch.as_tensor(RNG.normal(size=(4, 5, 3)), dtype=torch.float32)
    learned, plain = learned_mixture(), mixture()
    torch.testing.assert_close(learned.log_prob(z), plain.log_prob(z), rtol=1e-4, atol=1e-4)
    seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
    torch.testing.assert_close(
        learned.sample(20, seeds[0]), plain.sample(20, seeds[1]), rtol=1e-4, atol=1e-4
    )
    learned.log_prob(z).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in learned.parameters())


def test_a_learned_mixture_starts_close_to_the_standard_normal():
    generator = torch.Generator().manual_seed(0)
    start = LearnedMixture.near_standard_normal(200, 2, generator)
    draws = start.sample(20_000, generator).detach()
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.15)
    np.testing.assert_allclose(np.cov(draws.T), np.eye(2), atol=0.25)
    ratio = start.log_prob(draws) - StandardNormal(2).log_prob(draws)
    assert ratio.detach().mean() < 0.1  # the KL divergence in nats


def test_a_learned_mixture_in_another_order_has_the_same_density():
    learned = learned_mixture()
    z = torch.as_tensor(RNG.normal(size=(50, 3)), dtype=torch.float32)
    order, sign = torch.tensor([2, 0, 1]), torch.tensor([-1.0, 1.0, -1.0])
    reordered = learned.reordered(order, sign)
    torch.testing.assert_close(reordered.log_prob(z[:, order] * sign), learned.log_prob(z))
    assert not torch.allclose(reordered.log_prob(z), learned.log_prob(z))


def test_components_are_sorted_if_training_learns_a_mixture():
    X = load_diabetes().data
    settings = {"max_iter": 40, "early_stopping": False, "random_state": 0}
    vae = VAETransformer(4, prior="mixture", **settings).fit(X)
    model = vae.module_
    assert model.components.order.tolist() != [0, 1, 2, 3]
    assert (np.diff(vae.kl_divergence_) <= 0).all()
    # the prior of training and the one that EM improves are both of sorted codes
    mean, std = (part / vae.scale_ for part in vae.latent_distribution(X))
    codes = torch.as_tensor(mean + std * RNG.normal(size=std.shape), dtype=torch.float32)
    trained, fitted = (
        prior.log_prob(codes).mean().item() for prior in (model.prior_of_training(), model.prior)
    )
    own = model.learned_prior.log_prob(model.components.own(codes)).mean().item()
    assert trained == pytest.approx(own, abs=1e-4)
    assert trained == pytest.approx(fitted, abs=0.3)


def test_components_of_a_custom_prior_are_sorted_if_it_can_be_reordered():
    class Sortable(Diagonal):
        def reordered(self, order, sign):
            made = Diagonal(len(order))
            made.log_std.data.copy_(self.log_std[order])
            return made

    @dataclass
    class LearnedSortable(Prior):
        def build(self, n_components, n_rows, generator):
            return Sortable(n_components)

    X = load_diabetes().data
    settings = {"max_iter": 40, "early_stopping": False, "random_state": 0}
    kept, sorted_ = (
        VAETransformer(4, prior=prior(), **settings).fit(X).module_
        for prior in (LearnedDiagonal, LearnedSortable)
    )
    assert kept.components.is_own
    assert not sorted_.components.is_own
    learned, shown = sorted_.learned_prior.log_std, sorted_.prior.log_std
    assert torch.equal(learned[sorted_.components.order], shown)


@pytest.mark.parametrize("prior", [StandardNormal(3), mixture(), learned_mixture()])
def test_moments(prior):
    generator = torch.Generator().manual_seed(0)
    draws = prior.sample(100_000, generator).detach()
    center, spread = prior.moments(generator)
    np.testing.assert_allclose(center.detach(), draws.mean(0), atol=0.02)
    np.testing.assert_allclose(spread.detach(), draws.std(0), rtol=0.02)
    np.testing.assert_allclose(
        PriorModule.moments(prior, generator)[1].detach(), spread.detach(), rtol=0.05
    )


def test_the_density_of_narrow_normals_keeps_its_digits_in_autocast():
    root = torch.eye(3).expand(2, 3, 3) * 0.05
    mean = torch.as_tensor(RNG.normal(size=(2, 3)), dtype=torch.float32)
    narrow = NormalMixture(torch.zeros(2) - np.log(2), mean, root)
    z = narrow.sample(50, torch.Generator().manual_seed(0))
    expected = narrow.log_prob(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(narrow.log_prob(z), expected)


def test_few_later_rows_do_not_replace_a_learned_mixture():
    X = RNG.normal(size=(600, 4))
    vae = VAETransformer(1, prior="mixture", hidden_layer_sizes=8, max_iter=2, random_state=0)
    vae.fit(X)
    assert isinstance(vae.module_.prior, NormalMixture)
    model = vae.partial_fit(X[:5]).module_
    assert isinstance(model.prior, LearnedMixture)
    own = torch.as_tensor(RNG.normal(size=(9, 1)), dtype=torch.float32)
    shown = model.components.shown(own)
    torch.testing.assert_close(model.prior.log_prob(shown), model.learned_prior.log_prob(own))


def test_nearly_singular_learned_normals_are_fitted():
    whiten = np.eye(3)[None] * np.exp(12.0)
    whiten[0, 0, 0] = 1.0
    trained = LearnedMixture.of_arrays(np.zeros(1), np.zeros((1, 3)), *triangles(whiten))
    found = Mixture().fit(lambda n: RNG.normal(size=(n, 3)), 2000, 3, seed=0, trained=trained)
    np.testing.assert_allclose(found.root[0], np.eye(3), atol=0.1)


def test_em_continues_from_a_learned_mixture():
    draws = mixture().sample(20_000, torch.Generator().manual_seed(0)).double().numpy()
    trained = LearnedMixture.of_arrays(
        np.array([0.2, 0.3, -30.0]),  # the last is not used
        np.r_[MEAN + 0.2, np.zeros((1, 3))],
        *triangles(np.linalg.inv(np.r_[ROOT, np.eye(3)[None]])),
    )
    found = Mixture().fit(lambda n: draws[:n], len(draws), 3, seed=0, trained=trained)
    np.testing.assert_allclose(found.mean, MEAN, atol=0.1)
    np.testing.assert_allclose(found.log_share.exp(), SHARE, atol=0.02)


@pytest.mark.parametrize("learned", [True, False])
def test_a_mixture_raises_the_likelihood_of_clusters(learned):
    X = load_wine().data
    settings = {"n_components": 2, "max_iter": 60, "early_stopping": False, "random_state": 0}
    normal = VAETransformer(**settings).fit(X)
    vae = VAETransformer(prior=Mixture(learned=learned), **settings).fit(X)
    assert (vae.module_.learned_prior is not None) == learned
    assert isinstance(vae.module_.prior, NormalMixture)
    assert vae.score(X) > normal.score(X) + 0.1
    other = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(other.score_samples(X[:5]), vae.score_samples(X[:5]))
    again, other = (clone(one).fit(X) for one in (vae, vae))
    np.testing.assert_array_equal(again.sample(5, random_state=1), other.sample(5, random_state=1))


def test_training_continues_with_its_learned_mixture():
    X = load_wine().data
    vae = VAETransformer(2, prior="mixture", max_iter=5, random_state=0).fit(X)
    before = [p.detach().clone() for p in vae.module_.learned_prior.parameters()]
    other = pickle.loads(pickle.dumps(vae)).partial_fit(X)
    vae.partial_fit(X)
    after = [p.detach() for p in vae.module_.learned_prior.parameters()]
    assert not torch.equal(after[1], before[1])
    for one, two in zip(after, other.module_.learned_prior.parameters(), strict=True):
        torch.testing.assert_close(one, two.detach(), rtol=0, atol=0)


@dataclass
class Wide(Prior):
    """A normal of standard deviation 3 and mean 2, as the prior of training."""

    def build(self, n_components, n_rows, generator):
        share, mean = np.zeros(1), np.full((1, n_components), 2.0)
        return NormalMixture.of_arrays(share, mean, 3 * np.eye(n_components)[None])


def test_components_are_compared_with_the_mean_and_variance_of_the_prior():
    X = load_wine().data
    vae = VAETransformer(2, prior=Wide(), max_iter=20, early_stopping=False, random_state=0).fit(X)
    mean, std = (part / vae.scale_ for part in vae.latent_distribution(X))
    ratio = 9 * np.exp(-2 * np.log(std).mean(axis=0)) - 1
    np.testing.assert_allclose(vae.scale_, np.sqrt(ratio), rtol=1e-4)
    # KL[N(m, s^2) || N(2, 3^2)]
    expected = np.log(3 / std) + (std**2 + (mean - 2) ** 2) / 18 - 0.5
    np.testing.assert_allclose(vae.kl_divergence_, expected.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("n_components", [0, -1, 2.5, "many"])
def test_invalid_number_of_normals(n_components):
    with pytest.raises(ValueError, match="'n_components' of Mixture must be a whole number"):
        Mixture(n_components).check()


@pytest.mark.parametrize("prior", [prior() for prior in PRIORS.values()], ids=PRIORS)
def test_is_a_value(prior):
    assert clone(prior) == prior
    assert type(prior)(**prior.get_params()) == prior


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_training_of_a_mixture_does_not_depend_on_the_number_of_threads(objective):
    X = np.random.default_rng(0).normal(size=(3000, 20))
    vae = VAETransformer(
        12,
        prior="mixture",
        objective=objective,
        n_draws=5,
        batch_size=1024,
        precision="float32",
        max_iter=2,
        random_state=0,
    )
    before = torch.get_num_threads()
    weights = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            weights.append(list(clone(vae).fit(X).module_.parameters()))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *weights))
