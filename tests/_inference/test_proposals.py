"""Proposals against densities whose integrals are known."""

import math

import pytest
import torch
from densities import correlated, draw, narrow, quasi

from skvae._inference.proposals import Pool, is_good
from skvae.objectives import importance_weighted_bound


def bound(log_joint, posterior, noise):
    """log p(x) of each row by draws around the posterior and of normals at modes."""
    own, spare = noise.chunk(2)
    pool = Pool.around(posterior, own, log_joint).with_modes(spare, log_joint)
    return importance_weighted_bound(pool.log_weight())


def test_weights_of_a_mixture_average_to_the_integral():
    truth = correlated(1, 2)
    normals = [narrow([[0.0, 0.0]], 0.7), narrow([[1.0, 1.0]], 0.0)]
    # three draws in four from the first
    noise = draw(20_000, 1, 2, seed=0)
    parts = noise.split([15_000, 5_000])
    log_weight = Pool.of(normals, parts, lambda z, rows: truth.log_prob(z) - 3.0).log_weight()
    assert log_weight.shape == (20_000, 1)
    assert importance_weighted_bound(log_weight).item() == pytest.approx(-3.0, abs=0.05)


def test_a_useless_proposal_costs_its_share_of_the_draws_and_no_more():
    truth, useless = narrow([[0.0, 0.0]], 0.0), narrow([[50.0, 50.0]])
    noises = [quasi(256, 2), quasi(256, 2)]
    pool = Pool.of([truth, useless], noises, lambda z, rows: truth.log_prob(z) - 3.0)
    assert importance_weighted_bound(pool.log_weight()).item() == pytest.approx(-3.0, abs=1e-5)


def two_modes(z, rows):
    """0.2 of the mass where the posterior looks, 0.8 six of its widths aside. One row."""
    near, far = narrow([[0.0, 0.0]], -2.0), narrow([[0.8, 0.0]], -2.0)
    parts = [math.log(0.2) + near.log_prob(z), math.log(0.8) + far.log_prob(z)]
    return torch.logsumexp(torch.stack(parts), 0) - 7.0


def test_even_weights_of_the_posterior_alone_hide_a_mode_beside_it():
    posterior, noise = narrow([[0.0, 0.0]], -2.0), quasi(256, 2)
    alone = Pool.of([posterior], [noise], two_modes).log_weight()
    assert is_good(alone).all()
    assert importance_weighted_bound(alone).item() == pytest.approx(-7 + math.log(0.2), abs=0.05)
    around = Pool.around(posterior, noise, two_modes).log_weight()
    assert not is_good(around).any()
    found = bound(two_modes, posterior, quasi(512, 2))
    assert found.item() == pytest.approx(-7.0, abs=0.02)


@pytest.mark.parametrize(
    ("n_draws", "n_components", "n_wide"), [(3, 2, 0), (4, 2, 1), (64, 4, 16), (64, 5, 0)]
)
def test_in_very_few_dimensions_a_quarter_of_the_draws_is_wide(n_draws, n_components, n_wide):
    posterior, noise = narrow(torch.zeros(2, n_components)), quasi(n_draws, n_components)
    pool = Pool.around(posterior, noise, lambda z, rows: z.sum(-1))
    own, wide = noise.split([n_draws - n_wide, n_wide])
    expected = torch.cat([posterior.sample(own), posterior.widened(4.0).sample(wide)])
    torch.testing.assert_close(pool.z, expected)
    assert [len(part) for part in pool.draws] == [n for n in (n_draws - n_wide, n_wide) if n]


def test_a_pool_of_some_rows_has_their_weights():
    posterior = narrow(draw(4, 2, seed=3), -1.0)
    pool = Pool.around(posterior, quasi(64, 2), lambda z, rows: -z.square().sum(-1))
    rows = torch.tensor([2, 0])
    torch.testing.assert_close(pool[rows].log_weight(), pool.log_weight()[:, rows])
    torch.testing.assert_close(pool[rows].z, pool.z[:, rows])


def test_even_weights_are_good_and_a_single_one_is_not():
    log_weight = torch.zeros(64, 2)
    log_weight[0, 1] = 20.0
    assert is_good(log_weight).tolist() == [True, False]


def test_weights_of_zero_and_nan_are_not_good():
    log_weight = torch.zeros(64, 3)
    log_weight[:32, 0], log_weight[:, 1], log_weight[0, 2] = -torch.inf, -torch.inf, torch.nan
    assert is_good(log_weight).tolist() == [True, False, False]


@pytest.mark.parametrize("mean", [1e30, torch.inf, torch.nan])
def test_weights_of_draws_from_a_far_normal_are_not_nan(mean):
    posterior = narrow([[0.0, 0.0], [mean, 0.0]])
    pool = Pool.around(posterior, quasi(64, 2), lambda z, rows: torch.zeros(z.shape[:2]).double())
    log_weight = pool.log_weight()
    assert log_weight[:, 0].isfinite().all()
    assert not log_weight.isnan().any()
    assert (log_weight < torch.inf).all()


@pytest.mark.parametrize("n_components", [1, 2, 10])
def test_normals_at_modes_find_what_the_posterior_misses(n_components):
    truth = correlated(3, n_components)
    posterior = narrow(torch.zeros(3, n_components))

    def log_joint(z, rows):
        return truth[rows].log_prob(z) - 7.0

    noise = quasi(512, n_components)
    z = posterior.sample(noise)
    log_weight = log_joint(z, torch.arange(3)) - posterior.log_prob(z)
    assert not is_good(log_weight).any()
    assert importance_weighted_bound(log_weight).mean() < -8
    torch.testing.assert_close(
        bound(log_joint, posterior, noise), torch.full((3,), -7.0).double(), atol=0.1, rtol=0
    )


def test_both_of_two_modes_are_found():
    modes = [narrow([[2.0, 0.0]], -2.0), narrow([[-2.0, 0.5]], -2.0)]

    def log_joint(z, rows):
        parts = [mode.log_prob(z) for mode in modes]
        return torch.logsumexp(torch.stack(parts), 0) - 7.0

    found = bound(log_joint, narrow([[2.0, 0.0]]), quasi(1024, 2))
    assert found.item() == pytest.approx(-7.0 + torch.tensor(2.0).log().item(), abs=0.05)


@pytest.mark.parametrize("n_draws", [32, 256])
@pytest.mark.parametrize("log_std", [0.0, -3.0, -6.0, -10.0])
def test_a_far_narrow_mode_is_found_with_few_draws_and_a_narrow_posterior(log_std, n_draws):
    """The posterior looks at the origin; the way to the mode bends."""

    def banana(z, rows):
        x, y = z.unbind(-1)
        return -0.5 * (((x - 2.0) / 0.05) ** 2 + ((y - x.square() + 4.0) / 0.02) ** 2) - 7.0

    truth = -7.0 + math.log(2 * math.pi * 0.05 * 0.02)
    found = bound(banana, narrow([[0.0, 0.0]], log_std), quasi(2 * n_draws, 2))
    assert found.item() == pytest.approx(truth, abs=0.3)
