"""Custom likelihoods, written as a contributor would."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import REALS, Case, fit
from scipy import stats
from scipy.special import logsumexp
from sklearn.base import clone
from torch.autograd import gradcheck

from skvae import VAETransformer
from skvae.likelihoods import Bernoulli, Gaussian, Likelihood


@dataclass
class Laplace(Likelihood):
    """Laplace density around the decoder's output, its scale learned for each column."""

    smallest_scale: float = 0.01

    is_density = True

    def fit(self, x, weight):
        center = np.average(x, axis=0, weights=weight)
        spread = np.average(np.abs(x - center), axis=0, weights=weight)
        return {"center": center, "spread": np.where(spread > 0, spread, 1.0)}

    def to_working(self, x, constants):
        return (x - constants["center"]) / constants["spread"]

    def from_working(self, x, constants):
        return x * constants["spread"] + constants["center"]

    def log_jacobian(self, x, constants):
        return -np.log(constants["spread"])[None]

    def parameters(self, constants):
        return {"log_scale": torch.nn.Parameter(torch.zeros(len(constants["spread"])))}

    def scale(self, parameters):
        return (10 * parameters["log_scale"]).exp() + self.smallest_scale

    def log_prob(self, x, outputs, parameters):
        # -|x - m| / b - log 2b
        scale = self.scale(parameters)
        return -(x - outputs).abs() / scale - (2 * scale).log()

    def mean(self, outputs, parameters):
        return outputs

    def sample(self, outputs, parameters, generator):
        u = torch.empty_like(outputs).uniform_(-1, 1, generator=generator)
        return outputs - self.scale(parameters) * u.sign() * torch.log1p(-u.abs())


# -- the density ------------------------------------------------------------------


def test_density_and_draws_are_those_of_scipy():
    case = Case(Laplace(), REALS, [0.3, -1.2])
    scale = case.likelihood.scale(case.parameters).numpy() * case.constants["spread"]
    expected = stats.laplace(case.mean(), scale)
    np.testing.assert_allclose(case.log_density(REALS), expected.logpdf(REALS), rtol=1e-6)
    draws = case.sample(20_000)
    for place in range(2):
        column = stats.laplace(case.mean()[place], scale[place])
        assert stats.kstest(draws[:, place], column.cdf).pvalue > 1e-3


def test_autograd_gives_the_gradients():
    case = Case(Laplace(), REALS[:5], [0.3, -1.2])
    x, outputs = case.working(case.table), case.outputs_of(5).clone().requires_grad_()
    log_scale = case.parameters["log_scale"].clone().requires_grad_()

    def log_prob(outputs, log_scale):
        return case.likelihood.log_prob(x, outputs, {"log_scale": log_scale})

    assert gradcheck(log_prob, (outputs, log_scale))
    log_scale.grad = torch.zeros_like(log_scale)
    with torch.inference_mode():
        _, backward = case.likelihood.vjp(x.clone(), outputs.clone(), {"log_scale": log_scale})
        found = backward(torch.ones(1, 5, 2).double()), log_scale.grad
    expected = torch.autograd.grad(log_prob(outputs, log_scale).sum(), (outputs, log_scale))
    torch.testing.assert_close(found, expected)


# -- in a model ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 1))
    return z * [3.0, -1.0, 0.0] + rng.laplace(size=(400, 3)) * [1.0, 0.3, 2.0] + [0.0, 100.0, 5.0]


@pytest.fixture(scope="module")
def vae(rows):
    return VAETransformer(1, likelihood=Laplace(), max_iter=30, random_state=0).fit(rows)


@pytest.fixture(scope="module")
def joint(vae):
    """log p(x, z) dz of rows (n, d) on a grid of codes, (G, n); and the means there, (G, d)."""
    z, step = np.linspace(-8, 8, 2001, retstep=True)
    mean = vae.inverse_transform(z[:, None] * vae._fitted.scale)
    likelihood, (group,) = vae.likelihoods_[0], vae.module_.groups
    scale = likelihood.scale(group.tensors).detach().numpy()
    scale = scale * vae._fitted.columns.groups[0].constants["spread"]

    def log_joint(x):
        log_p = stats.laplace.logpdf(x, mean[:, None], scale)
        return np.nansum(log_p, axis=-1) + (stats.norm.logpdf(z) + np.log(step))[:, None]

    return log_joint, mean


def test_scores_are_the_exact_density(vae, joint, rows):
    log_joint, _ = joint
    holes = np.where(np.random.default_rng(1).random(rows.shape) < 0.2, np.nan, rows)
    for x in (rows[:50], holes[:50]):
        np.testing.assert_allclose(
            vae.score_samples(x, n_importance=1000), logsumexp(log_joint(x), axis=0), atol=0.03
        )


def test_imputed_values_are_the_exact_conditional_means(vae, joint, rows):
    log_joint, mean = joint
    x = rows[:20].copy()
    x[:, 1] = np.nan
    log_weight = log_joint(x)
    weight = np.exp(log_weight - logsumexp(log_weight, axis=0))
    np.testing.assert_allclose(vae.impute(x)[:, 1], weight.T @ mean[:, 1], atol=0.05)


def test_draws_and_codes_follow_the_rows(vae, rows):
    draws = vae.sample(2000, random_state=0)
    for place in range(3):
        assert stats.ks_2samp(draws[:, place], rows[:, place]).statistic < 0.1
    assert abs(stats.spearmanr(vae.transform(rows)[:, 0], rows[:, 0]).statistic) > 0.8


def test_a_custom_likelihood_is_a_parameter_of_the_model(rows):
    vae = VAETransformer(1, likelihood=Laplace(), max_iter=10, random_state=0)
    twin = clone(vae).set_params(likelihood__smallest_scale=0.1).fit(rows)
    assert vae.likelihood == Laplace()
    assert twin.likelihoods_[0] == Laplace(smallest_scale=0.1)


# -- what a class has to say ----------------------------------------------------------


class Least(Likelihood):
    """The fewest methods: a normal density of variance 1."""

    def log_prob(self, x, outputs, parameters):
        return -0.5 * (x - outputs).square() - 0.5 * math.log(2 * math.pi)

    def mean(self, outputs, parameters):
        return outputs

    def sample(self, outputs, parameters, generator):
        return outputs + torch.empty_like(outputs).normal_(generator=generator)


def related(n):
    """Two columns of one factor. (n, 2)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 1)) + 0.3 * rng.normal(size=(n, 2))


def test_three_methods_are_enough():
    table = related(100)
    vae = clone(VAETransformer(1, likelihood=Least(), max_iter=3, random_state=0)).fit(table)
    assert vae.likelihoods_[0] == Least()
    assert np.isfinite(vae.score(table))
    assert vae.sample(4, random_state=0).shape == (4, 2)
    inside = Least().in_support(np.array([[1.0, np.inf, np.nan]]), {})
    assert inside.tolist() == [[True, False, False]]


def test_a_missing_method_is_named():
    class Half(Likelihood):
        mean = Least.mean

    with pytest.raises(TypeError, match=r"Half .*log_prob.*sample"):
        Half()


def test_tensors_may_be_in_double_precision():
    class Double(Least):
        def parameters(self, constants):
            return {"shift": torch.nn.Parameter(torch.zeros(2).double())}

        def log_prob(self, x, outputs, parameters):
            return super().log_prob(x, outputs + parameters["shift"], parameters)

    table = related(100)
    vae = VAETransformer(1, likelihood=Double(), max_iter=2, random_state=0).fit(table)
    assert np.isfinite(vae.score(table))


class Sharper(Gaussian):
    def log_prob(self, x, outputs, parameters):
        return 3 * super().log_prob(x, outputs, parameters)


class Narrower(Gaussian):
    def sigma(self, parameters):
        return super().sigma(parameters) / 3**0.5


@pytest.mark.parametrize("likelihood", [Sharper(), Narrower()], ids=str)
def test_a_changed_density_has_its_own_gradient(likelihood):
    x, outputs = torch.zeros(4, 1), torch.ones(1, 4, 1)
    parameters = likelihood.parameters(fit(likelihood, np.arange(4.0)[:, None]))
    parameters["log_sigma"].grad = torch.zeros(1)
    plain = Gaussian().vjp(x, outputs, parameters)[1](torch.ones(1, 4, 1))
    found = likelihood.vjp(x, outputs, parameters)[1](torch.ones(1, 4, 1))
    torch.testing.assert_close(found, 3 * plain)


def test_closed_forms_are_not_inherited_unless_stated():
    class Silent(Bernoulli):
        pass

    class Stated(Bernoulli):
        vjp = Bernoulli.vjp
        takes_bfloat16 = True
        replayable = True

    for name in ("vjp", "takes_bfloat16", "replayable"):
        assert getattr(Silent, name) == getattr(Likelihood, name)
        assert getattr(Stated, name) == getattr(Bernoulli, name) != getattr(Likelihood, name)
