"""Proposals against densities whose integrals are known."""

import math

import pytest
import torch
from densities import correlated, draw, narrow, quasi

from skvae._inference.effort import Effort
from skvae._inference.proposals import (
    Pool,
    effective_size,
    is_good,
    normals_of,
    weighted_draws,
)
from skvae.objectives import importance_weighted_bound


def weighted(log_joint, posterior, effort, *, has_gaps=False):
    """The weighted draws of all rows, as they have enough."""
    n, k = posterior.mean.shape
    noise, rows = quasi(effort.n_noise, k), torch.arange(n)
    return list(weighted_draws(log_joint, posterior, noise, effort, rows=rows, has_gaps=has_gaps))


def bound(log_joint, posterior, n_draws=256, *, has_gaps=False):
    """log p(x) of each row."""
    found = posterior.mean.new_zeros(len(posterior.mean))
    each = weighted(log_joint, posterior, Effort(n_draws, n_draws, 0.1), has_gaps=has_gaps)
    for rows, _, log_weight in each:
        found[rows] = importance_weighted_bound(log_weight)
    return found


def test_weights_of_a_mixture_average_to_the_integral():
    truth = correlated(1, 2)
    normals = [narrow([[0.0, 0.0]], 0.7), narrow([[1.0, 1.0]], 0.0)]
    # three draws in four from the first
    noise = draw(20_000, 1, 2, seed=0)
    parts = noise.split([15_000, 5_000])
    log_weight = Pool.of(normals, parts, lambda z, rows: truth.log_prob(z) - 3.0).weights()[0]
    assert log_weight.shape == (20_000, 1)
    assert importance_weighted_bound(log_weight).item() == pytest.approx(-3.0, abs=0.05)


def test_a_useless_proposal_costs_its_share_of_the_draws_and_no_more():
    truth, useless = narrow([[0.0, 0.0]], 0.0), narrow([[50.0, 50.0]])
    noises = [quasi(256, 2), quasi(256, 2)]
    pool = Pool.of([truth, useless], noises, lambda z, rows: truth.log_prob(z) - 3.0)
    assert importance_weighted_bound(pool.weights()[0]).item() == pytest.approx(-3.0, abs=1e-5)


def two_modes(z, rows):
    """0.2 of the mass where the posterior looks, 0.8 six of its widths aside. One row."""
    near, far = narrow([[0.0, 0.0]], -2.0), narrow([[0.8, 0.0]], -2.0)
    parts = [math.log(0.2) + near.log_prob(z), math.log(0.8) + far.log_prob(z)]
    return torch.logsumexp(torch.stack(parts), 0) - 7.0


def test_even_weights_of_the_posterior_alone_hide_a_mode_beside_it():
    posterior, noise = narrow([[0.0, 0.0]], -2.0), quasi(256, 2)
    alone = Pool.of([posterior], [noise], two_modes).weights()[0]
    assert is_good(alone).all()
    assert importance_weighted_bound(alone).item() == pytest.approx(-7 + math.log(0.2), abs=0.05)
    assert bound(two_modes, posterior).item() == pytest.approx(-7.0, abs=0.05)


@pytest.mark.parametrize("has_gaps", [False, True])
@pytest.mark.parametrize("k", [4, 5])
def test_a_quarter_of_the_draws_is_wide(k, has_gaps):
    truth, posterior = correlated(2, k), narrow(torch.zeros(2, k))
    first, *modes, wide = normals_of(
        posterior, lambda z, rows: truth[rows].log_prob(z), None, has_gaps=has_gaps
    )
    assert first is posterior
    assert len(modes) == (2 if has_gaps or k == 4 else 1)
    for mode in modes:
        torch.testing.assert_close(mode.mean, truth.mean)
    factor, other = (4.0 if k == 4 else 1.4), modes[0]
    if k == 4 and not has_gaps:
        other = posterior
    torch.testing.assert_close(wide.root, factor * other.root)
    torch.testing.assert_close(wide.mean, other.mean)


def test_the_second_mode_is_one_that_the_posterior_misses():
    near, far = narrow([[0.0, 0.0]]), narrow([[2.0, -1.0]])

    def log_joint(z, rows):
        return torch.logsumexp(torch.stack([near.log_prob(z), 1 + far.log_prob(z)]), 0)

    _, first, second, _ = normals_of(near, log_joint, None, has_gaps=True)
    torch.testing.assert_close(first.mean, far.mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(second.mean, near.mean, atol=1e-3, rtol=0)


def test_a_pool_of_some_rows_has_their_weights():
    posterior = narrow(draw(4, 2, seed=3), -1.0)
    pool = Pool.of([posterior], [quasi(64, 2)], lambda z, rows: -z.square().sum(-1))
    rows = torch.tensor([2, 0])
    torch.testing.assert_close(pool[rows].weights()[0], pool.weights()[0][:, rows])
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
    flat = torch.zeros(64, 2).double()
    pool = Pool.of([posterior], [quasi(64, 2)], lambda z, rows: flat)
    log_weight = pool.weights()[0]
    assert log_weight[:, 0].isfinite().all()
    assert not log_weight.isnan().any()
    assert (log_weight < torch.inf).all()


@pytest.mark.parametrize("n_components", [1, 2, 10])
def test_normals_at_modes_find_what_the_posterior_misses(n_components):
    truth = correlated(3, n_components)
    posterior = narrow(torch.zeros(3, n_components), -4.0)

    def log_joint(z, rows):
        return truth[rows].log_prob(z) - 7.0

    noise = quasi(512, n_components)
    z = posterior.sample(noise)
    log_weight = log_joint(z, torch.arange(3)) - posterior.log_prob(z)
    assert not is_good(log_weight).any()
    assert importance_weighted_bound(log_weight).mean() < -8
    torch.testing.assert_close(
        bound(log_joint, posterior), torch.full((3,), -7.0).double(), atol=0.1, rtol=0
    )


def test_both_of_two_modes_are_found():
    modes = [narrow([[2.0, 0.0]], -2.0), narrow([[-2.0, 0.5]], -2.0)]

    def log_joint(z, rows):
        parts = [mode.log_prob(z) for mode in modes]
        return torch.logsumexp(torch.stack(parts), 0) - 7.0

    found = bound(log_joint, narrow([[2.0, 0.0]]), has_gaps=True)
    assert found.item() == pytest.approx(-7.0 + torch.tensor(2.0).log().item(), abs=0.05)


@pytest.mark.parametrize("n_draws", [32, 256])
@pytest.mark.parametrize("log_std", [0.0, -3.0, -6.0, -10.0])
def test_a_far_narrow_mode_is_found_with_few_draws_and_a_narrow_posterior(log_std, n_draws):
    """The posterior looks at the origin; the way to the mode bends."""

    def banana(z, rows):
        x, y = z.unbind(-1)
        return -0.5 * (((x - 2.0) / 0.05) ** 2 + ((y - x.square() + 4.0) / 0.02) ** 2) - 7.0

    truth = -7.0 + math.log(2 * math.pi * 0.05 * 0.02)
    found = bound(banana, narrow([[0.0, 0.0]], log_std), n_draws)
    assert found.item() == pytest.approx(truth, abs=0.3)


def test_a_mode_beside_the_first_is_found_where_points_of_the_prior_are_rare():
    near, far = narrow([[-0.5, -6.3]], -2.5), narrow([[-1.5, -7.0]], -2.5)
    posterior = narrow([[-0.4, -6.2]], -2.5)

    def log_joint(z, rows):
        return torch.logaddexp(near.log_prob(z), far.log_prob(z)) - 7.0

    for looks_around, other in ((False, near), (True, far)):
        found = normals_of(posterior, log_joint, None, has_gaps=True, looks_around=looks_around)
        torch.testing.assert_close(found[1].mean, near.mean, atol=0.02, rtol=0)
        torch.testing.assert_close(found[2].mean, other.mean, atol=0.02, rtol=0)


def test_each_row_has_its_turn_once_and_hard_rows_take_more_draws():
    truth = correlated(6, 5)
    posterior = truth[torch.arange(6)]
    skewed = torch.tensor([0.0, 0.0, 0.3, 0.0, 1.0, 0.0]).double()

    def log_joint(z, rows):
        # beyond the mode a row falls more slowly
        far = torch.einsum("njk,snk->snj", truth[rows].whiten, z - truth[rows].mean)
        return truth[rows].log_prob(z) + skewed[rows] * torch.log1p(far.square().sum(-1))

    effort = Effort(64, 1024, 0.05)
    found = weighted(log_joint, posterior, effort)
    assert all(len(rows) for rows, _, _ in found)
    assert sorted(torch.cat([rows for rows, _, _ in found]).tolist()) == list(range(6))
    n_draws = {int(row): len(z) for rows, z, _ in found for row in rows}
    assert 64 == n_draws[0] <= n_draws[2] < n_draws[4], n_draws
    for _, z, log_weight in found:
        assert z.shape[:2] == log_weight.shape


def test_a_mode_near_the_draw_of_the_highest_weight_is_found_without_a_thorough_search():
    near, far = narrow(torch.zeros(1, 5), -2.0), narrow(torch.full((1, 5), 0.4), -2.0)

    def log_joint(z, rows):
        parts = [math.log(0.2) + near.log_prob(z), math.log(0.8) + far.log_prob(z)]
        return torch.logsumexp(torch.stack(parts), 0) - 7.0

    effort = Effort(512, 512, 0.1)
    posterior = narrow(torch.zeros(1, 5), -1.0)
    ((_, z, log_weight),) = weighted(log_joint, posterior, effort)
    assert len(z) == effort.most + effort.n_spare // 2
    assert importance_weighted_bound(log_weight).item() == pytest.approx(-7.0, abs=0.05)


def test_the_standard_error_is_that_of_repeated_draws():
    truth, other = narrow([[0.0, 0.0]], 0.0), narrow([[0.5, 0.0]], 0.1)
    wide = other.widened(2.0)

    def one(seed, normals):
        noises = draw(100, 1, 2, seed=seed).chunk(len(normals))
        pool = Pool.of(normals, noises, lambda z, rows: truth.log_prob(z))
        log_weight, error = pool.weights()
        return importance_weighted_bound(log_weight).item(), error.item()

    for normals in ([other], [other, wide]):
        bounds, errors = torch.tensor([one(seed, normals) for seed in range(300)]).T
        assert errors.mean().item() == pytest.approx(bounds.std().item(), rel=0.15)


def test_weights_are_exact_if_one_of_the_normals_is():
    truth = correlated(3, 4)
    normals = [narrow(torch.zeros(3, 4), 0.0), truth, truth.widened(1.5), truth]
    noises = draw(64, 1, 4, seed=0).chunk(4)
    pool = Pool.of(normals, noises, lambda z, rows: truth[rows].log_prob(z) - 7.0)
    log_weight, error = pool.weights()
    torch.testing.assert_close(
        importance_weighted_bound(log_weight), torch.full((3,), -7.0).double(), atol=1e-4, rtol=0
    )
    assert (error < 1e-4).all()
    # the mean of the ratio of any of the normals to the mixture is 1
    shares = torch.softmax(log_weight, 0)
    ratio = (truth.widened(1.5).log_prob(pool.z) - truth.log_prob(pool.z)).exp()
    torch.testing.assert_close((shares * ratio).sum(0), torch.ones(3).double(), atol=1e-4, rtol=0)


def test_the_effective_size_counts_equal_weights():
    log_weight = torch.full((8, 3), -torch.inf)
    log_weight[:3, 0], log_weight[5, 1] = -7.0, -900.0
    torch.testing.assert_close(effective_size(log_weight), torch.tensor([3.0, 1.0, 0.0]))
