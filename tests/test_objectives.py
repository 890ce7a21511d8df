"""The formulas against Monte Carlo, torch.distributions and a model solved in closed form."""

import math
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from skvae._torch.vjp import by_autograd
from skvae.objectives import (
    ELBO,
    IWAE,
    LOG_2PI,
    OBJECTIVES,
    Draws,
    LogPrior,
    Objective,
    elbo,
    importance_weighted_bound,
    kl_to_standard_normal,
)


def normal(*shape, seed=0):
    """Standard normal draws in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


MEAN, LOG_STD = normal(5, 3, seed=1), 0.5 * normal(5, 3, seed=2)


def log_normal(z, mean, log_std):
    return Normal(mean, log_std.exp()).log_prob(z).sum(-1)


def log_standard_normal(z):
    return Normal(0.0, 1.0).log_prob(z).sum(-1)


class LinearGaussian:
    """p(z) = N(0, I), p(x|z) = N(W z, s^2 I).

    The columns of W are orthogonal, so that p(z|x) is a product of normals and q can equal it.
    """

    def __init__(self):
        basis, _ = torch.linalg.qr(normal(4, 2, seed=3))
        self.W, self.s = basis * torch.tensor([1.5, 0.7], dtype=torch.float64), 0.5
        self.x = 1.5 * normal(5, 4, seed=4)
        covariance = self.W @ self.W.T + self.s**2 * torch.eye(4, dtype=torch.float64)
        self.log_px = MultivariateNormal(torch.zeros(4).double(), covariance).log_prob(self.x)
        precision = 1 + self.W.square().sum(0) / self.s**2
        self.mean = self.x @ self.W / self.s**2 / precision
        self.log_std = (-0.5 * precision.log()).expand_as(self.mean)

    def log_px_given(self, z):
        return Normal(z @ self.W.T, self.s).log_prob(self.x).sum(-1)

    def log_weight(self, z, mean, log_std):
        return self.log_px_given(z) + log_standard_normal(z) - log_normal(z, mean, log_std)


MODEL = LinearGaussian()
OFF = MODEL.mean + 0.2, MODEL.log_std + 0.3  # a posterior that is not the exact one


def test_draws_have_the_moments_of_the_posterior():
    noise = normal(50, 5, 3)
    noise = (noise - noise.mean(0)) / noise.std(0, correction=0)
    z = Draws.of(MEAN, LOG_STD, noise).z
    torch.testing.assert_close(z.mean(0), MEAN)
    torch.testing.assert_close(z.std(0, correction=0), LOG_STD.exp())


def test_noise_may_be_shared_by_the_rows():
    z = Draws.of(MEAN, LOG_STD, normal(7, 1, 3)).z
    torch.testing.assert_close(z, Draws.of(MEAN, LOG_STD, normal(7, 1, 3).expand(7, 5, 3)).z)


def test_gradients_pass_through_the_draw():
    # E[z^2] = mean^2 + std^2, exactly so for noise of mean 0 and variance 1
    mean, log_std = MEAN.clone().requires_grad_(), LOG_STD.clone().requires_grad_()
    noise = torch.tensor([-1.0, 1.0]).double()[:, None, None].expand(2, 5, 3)
    Draws.of(mean, log_std, noise).z.square().mean(0).sum().backward()
    torch.testing.assert_close(mean.grad, 2 * MEAN)
    torch.testing.assert_close(log_std.grad, 2 * (2 * LOG_STD).exp())


def test_kl_against_torch_distributions_and_monte_carlo():
    kl = kl_to_standard_normal(MEAN, LOG_STD)
    expected = kl_divergence(Normal(MEAN, LOG_STD.exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl, expected.double())
    z = Draws.of(MEAN, LOG_STD, normal(50_000, 5, 3)).z
    log_ratio = log_normal(z, MEAN, LOG_STD) - log_standard_normal(z)
    error = log_ratio.std(0) / math.sqrt(len(z))
    assert ((log_ratio.mean(0) - kl.sum(-1)).abs() < 5 * error).all()


def test_kl_is_zero_at_the_prior_and_positive_elsewhere():
    zero = torch.zeros(1, 3)
    assert (kl_to_standard_normal(zero, zero) == 0).all()
    assert (kl_to_standard_normal(MEAN, LOG_STD) > 0).all()


def test_gradients_of_kl():
    inputs = MEAN.clone().requires_grad_(), LOG_STD.clone().requires_grad_()
    assert gradcheck(kl_to_standard_normal, inputs)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("free_bits", [0.0, 0.5])
def test_elbo_is_its_formula(beta, free_bits):
    log_px = torch.tensor([[-3.0, -1.0], [-4.0, -2.0]])
    kl = torch.tensor([[0.1, 2.0], [0.7, 0.0]])
    charged = [max(0.1, free_bits) + 2.0, 0.7 + max(0.0, free_bits)]
    expected = [
        [row - beta * c for row, c in zip(rows, charged, strict=True)] for rows in log_px.tolist()
    ]
    torch.testing.assert_close(
        elbo(log_px, kl, beta=beta, free_bits=free_bits), torch.tensor(expected)
    )


def test_free_bits_are_a_floor_for_each_dimension():
    kl = torch.tensor([[0.1, 0.9]], requires_grad=True)
    elbo(torch.zeros(1, 1), kl, beta=2.0, free_bits=0.5).sum().backward()
    assert kl.grad.tolist() == [[0.0, -2.0]]  # nothing pulls the first further down


def test_bound_is_the_log_of_the_mean_weight():
    log_weight = normal(6, 5)
    expected = log_weight.exp().mean(0).log()
    torch.testing.assert_close(importance_weighted_bound(log_weight), expected)
    far = importance_weighted_bound(log_weight - 1e5)  # exp would underflow
    torch.testing.assert_close(far, expected - 1e5)


def test_gradient_of_the_bound_is_the_normalised_weights():
    log_weight = normal(6, 5).requires_grad_()
    importance_weighted_bound(log_weight).sum().backward()
    torch.testing.assert_close(log_weight.grad, log_weight.detach().softmax(0))


@pytest.mark.parametrize("n_draws", [1, 7])
def test_every_draw_weighs_log_px_when_q_is_the_posterior(n_draws):
    draws = Draws.of(MODEL.mean, MODEL.log_std, normal(n_draws, 5, 2))
    log_weight = MODEL.log_weight(draws.z, MODEL.mean, MODEL.log_std)
    torch.testing.assert_close(log_weight, MODEL.log_px.expand(n_draws, 5))
    torch.testing.assert_close(importance_weighted_bound(log_weight), MODEL.log_px)
    bound = IWAE().bound(MODEL.log_px_given(draws.z), draws)
    torch.testing.assert_close(bound, MODEL.log_px)


def test_bound_rises_from_the_elbo_to_log_px_with_the_draws():
    draws = Draws.of(*OFF, normal(2**14, 5, 2))
    log_weight = MODEL.log_weight(draws.z, *OFF)
    # one pool in groups of S: the mean over twice as large groups is never smaller
    bounds = torch.stack(
        [
            torch.stack([importance_weighted_bound(g) for g in log_weight.split(n_draws)]).mean(0)
            for n_draws in 2 ** torch.arange(0, 15, 2)
        ]
    )
    assert (bounds.diff(dim=0) > 0).all()
    error = log_weight.std(0) / math.sqrt(len(log_weight))
    evidence = ELBO().bound(MODEL.log_px_given(draws.z), draws)
    assert ((bounds[0] - evidence).abs() < 5 * error).all()
    torch.testing.assert_close(bounds[-1], MODEL.log_px, atol=0.02, rtol=0)


def test_elbo_falls_short_of_log_px_by_the_divergence_from_the_posterior():
    draws = Draws.of(*OFF, normal(50_000, 5, 2))
    log_px_given = MODEL.log_px_given(draws.z)
    exact, off = (Normal(m, s.exp()) for m, s in ((MODEL.mean, MODEL.log_std), OFF))
    expected = MODEL.log_px - kl_divergence(off, exact).sum(-1)
    error = log_px_given.std(0) / math.sqrt(len(log_px_given))
    bound = ELBO().bound(log_px_given, draws)
    assert ((bound - expected).abs() < 5 * error).all()


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
class TestObjectives:
    def test_is_log_px_at_the_posterior_and_below_it_elsewhere(self, objective):
        for mean, log_std in ((MODEL.mean, MODEL.log_std), OFF):
            # 400 estimates of 100 draws each
            draws = Draws.of(mean, log_std, normal(100, 400, 5, 2))
            bounds = objective().bound(MODEL.log_px_given(draws.z), draws)
            error = 5 * bounds.std(0) / math.sqrt(len(bounds)) + 1e-9
            gap = bounds.mean(0) - MODEL.log_px
            assert (gap < error).all()
            assert (mean is not MODEL.mean) or (gap > -error).all()

    def test_beta_weighs_the_divergence(self, objective):
        # to second order in a small beta the objective falls by beta times a divergence
        draws = Draws.of(*OFF, normal(1000, 5, 2))
        log_px_given = torch.zeros(1000, 5).double()
        values = [objective(beta=beta).bound(log_px_given, draws) for beta in (0.0, 1e-3)]
        torch.testing.assert_close(values[0], torch.zeros(5).double())
        divergence = kl_to_standard_normal(*OFF).sum(-1)
        torch.testing.assert_close((values[0] - values[1]) / 1e-3, divergence, rtol=0.1, atol=0.02)

    def test_keeps_rows_apart(self, objective):
        noise = normal(8, 5, 2)
        all_rows, one = Draws.of(*OFF, noise), slice(2, 3)
        log_px = MODEL.log_px_given(all_rows.z)
        one_row = Draws.of(OFF[0][one], OFF[1][one], noise[:, one])
        together = objective().bound(log_px, all_rows)
        alone = objective().bound(log_px[:, one], one_row)
        assert together.shape == (5,)
        torch.testing.assert_close(together[2:3], alone)


class ByAutograd(ELBO):
    vjp = Objective.vjp


def wide(z):
    """log N(z; 1, 4 I)."""
    return (-0.125 * (z - 1).square() - math.log(2) - 0.5 * LOG_2PI).sum(-1)


WIDE = LogPrior(wide, partial(by_autograd, wide))


@pytest.mark.parametrize("log_prior", [None, WIDE], ids=["standard", "wide"])
@pytest.mark.parametrize(
    "objective",
    [
        ELBO(0.5),
        ELBO(2.0, free_bits=0.3),
        ELBO(2.0, free_bits=1.8),
        IWAE(0.5),
        IWAE(2.0),
        ByAutograd(0.5),
    ],
    ids=str,
)
@pytest.mark.parametrize("n_draws", [1, 8])
def test_vjp_is_the_gradient_of_the_bound(objective, n_draws, log_prior):
    mean, log_std = (tensor.clone().requires_grad_() for tensor in OFF)
    draws = Draws.of(mean, log_std, normal(n_draws, 5, 2), log_prior)
    log_px = MODEL.log_px_given(draws.z)
    (0.3 * objective.bound(log_px, draws)).sum().backward(retain_graph=True)
    with torch.no_grad():
        bound, by_log_px, into_codes = objective.vjp(lambda: log_px, draws, scale=0.3)
    (by_z,) = torch.autograd.grad(log_px, draws.z, by_log_px)
    for found, expected in zip(into_codes(by_z), (mean.grad, log_std.grad), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(bound(), objective.bound(log_px, draws))


def test_the_divergence_from_any_prior_is_estimated_by_draws():
    noise = normal(2**14, 5, 2)
    exact = Draws.of(*OFF, noise).kl().sum(-1, keepdim=True)

    def standard(z):
        return (-0.5 * (z.square() + LOG_2PI)).sum(-1)

    prior = LogPrior(standard, partial(by_autograd, standard))
    torch.testing.assert_close(Draws.of(*OFF, noise, prior).kl(), exact, rtol=0.02, atol=0.02)


def test_an_objective_needs_a_bound():
    with pytest.raises(NotImplementedError, match=r"Objective has no method bound\(log_px, draws"):
        Objective().bound(torch.zeros(1, 5), Draws.of(*OFF, normal(1, 5, 2)))


def test_the_elbo_has_a_gradient_without_the_likelihood():
    def log_px():
        raise AssertionError

    draws = Draws.of(*OFF, normal(8, 5, 2))
    bound, by_log_px, into_codes = ELBO(0.5, free_bits=0.1).vjp(log_px, draws, scale=0.3)
    into_codes(torch.ones_like(draws.z))
    torch.testing.assert_close(by_log_px, torch.full((8, 5), 0.3 / 8).double())
    with pytest.raises(AssertionError):
        bound()


def test_free_bits_are_for_the_elbo():
    with pytest.raises(ValueError, match=r"free_bits=0\.5 .*objective='iwae' has none\. Set free_"):
        IWAE(free_bits=0.5).check()
