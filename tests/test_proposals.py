"""Proposals against densities whose integrals and modes are known."""

import math

import pytest
import torch

from skvae._random import quasi_normal
from skvae.proposals import (
    Normals,
    Pool,
    _bfgs,
    _highest,
    at_modes,
    climb,
    is_good,
    laplace,
    size_of_search,
)
from skvae.sgvb import importance_weighted_bound


def quasi(n_draws, n_components):
    return torch.from_numpy(quasi_normal(n_draws, n_components, seed=0))[:, None, :]


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def narrow(mean, log_std=-3.0):
    mean = torch.as_tensor(mean, dtype=torch.float64)
    return Normals.diagonal(mean, torch.full_like(mean, log_std))


def correlated(n, k, seed=0):
    """A normal for each of n rows, narrower than N(0, I), whose dimensions depend on each other."""
    weights = 2 * draw(n, k, k, seed=seed)
    root = torch.linalg.cholesky(torch.linalg.inv(torch.eye(k) + weights @ weights.mT))
    mean = draw(n, k, seed=seed + 1)
    return Normals(mean, root, torch.linalg.inv(root))


def origin(n, k):
    """Where n ways uphill start, and their metric."""
    return torch.zeros(n, k, dtype=torch.float64), torch.eye(k, dtype=torch.float64).repeat(n, 1, 1)


def bound(log_joint, posterior, noise):
    """log p(x) of each row by draws around the posterior and of normals at modes."""
    own, spare = noise.chunk(2)
    pool = Pool.around(posterior, own, log_joint).with_modes(spare, log_joint)
    return importance_weighted_bound(pool.log_weight())


def test_a_diagonal_normal_is_a_product_of_normals():
    mean, log_std, z = draw(4, 3, seed=0), draw(4, 3, seed=1), draw(5, 4, 3, seed=2)
    expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(Normals.diagonal(mean, log_std).log_prob(z), expected)


def test_a_normal_is_that_of_its_root():
    normals = correlated(4, 3).widened(1.7)
    for row in range(4):
        expected = torch.distributions.MultivariateNormal(
            normals.mean[row], normals.root[row] @ normals.root[row].T
        )
        z = draw(5, 4, 3, seed=row)
        torch.testing.assert_close(normals.log_prob(z)[:, row], expected.log_prob(z[:, row]))
    drawn = correlated(1, 3).sample(quasi(2**14, 3))[:, 0]
    root = correlated(1, 3).root[0]
    torch.testing.assert_close(drawn.T.cov(), root @ root.T, atol=0.01, rtol=0)


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


@pytest.mark.parametrize("n_components", [1, 3, 10])
def test_laplace_finds_a_normal_exactly(n_components):
    truth = correlated(4, n_components)

    def log_joint(z, rows):
        return truth[rows].log_prob(z) - 7.0

    found = laplace(log_joint, *origin(4, n_components))
    torch.testing.assert_close(found.mean, truth.mean)
    torch.testing.assert_close(found.root @ found.root.mT, truth.root @ truth.root.mT)
    torch.testing.assert_close(
        found.whiten @ found.root, torch.eye(n_components).double().expand(4, -1, -1)
    )


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


def test_a_mode_climbs_from_where_the_curvature_is_of_the_wrong_sign():
    def log_joint(z, rows):
        return torch.cos(z).sum(-1)  # at pi it has a minimum

    found = laplace(log_joint, torch.tensor([[3.0], [-3.0]]), torch.ones(2, 1, 1))
    torch.testing.assert_close(found.mean, torch.zeros(2, 1), atol=0.2, rtol=0)


def test_where_the_density_is_not_finite_the_prior_stands():
    def log_joint(z, rows):
        return z.square().sum(-1) * torch.nan

    found = laplace(log_joint, torch.ones(1, 2), torch.eye(2)[None])
    torch.testing.assert_close(found.mean, torch.ones(1, 2))
    torch.testing.assert_close(found.root @ found.root.mT, torch.eye(2)[None])


@pytest.mark.parametrize("n_components", [1, 4, 10])
@pytest.mark.parametrize("std", [10.0, 1.0, 0.1])
def test_a_climb_ends_at_the_top_from_wide_and_narrow_metrics(std, n_components):
    truth = correlated(4, n_components)
    start, metric = origin(4, n_components)
    mode, metric, height = climb(
        lambda z, rows: truth[rows].log_prob(z), start, std**2 * metric, 300
    )
    torch.testing.assert_close(height, truth.log_prob(mode[None])[0])
    assert (height - truth.log_prob(truth.mean[None])[0] > -0.5).all()
    torch.testing.assert_close(metric, metric.mT)
    assert (torch.linalg.eigvalsh(metric) > 0).all()


def test_the_metric_maps_what_a_step_changed_to_the_step():
    step, change = draw(4, 3, seed=0), draw(4, 3, seed=1)
    change *= (step * change).sum(-1, keepdim=True).sign()  # curved as at a maximum
    metric = _bfgs(origin(4, 3)[1], step, change)
    torch.testing.assert_close(torch.einsum("nkj,nj->nk", metric, change), step)
    torch.testing.assert_close(_bfgs(metric, step, -change), metric)
    for tiny in (0.0, 1e-20):
        least = torch.full((1, 2), tiny)
        torch.testing.assert_close(_bfgs(torch.eye(2)[None], least, least), torch.eye(2)[None])


def test_the_highest_are_apart():
    z = torch.tensor([0.0, 0.01, 5.0, 5.01, 9.0])[:, None, None].expand(-1, 2, 1)
    height = torch.tensor([[1.0, 2.0, 3.0, 2.5, 0.0], [5.0, 4.0, 3.0, 9.0, 8.0]]).T
    found = _highest(z, height, 3, lambda far: far < 0.1)
    assert found.T.tolist() == [[2, 1, 4], [3, 4, 0]]
    assert _highest(z, height, 2, lambda far: far < 99.0).T.tolist() == [[2, 2], [3, 3]]


@pytest.mark.parametrize("n_draws", [32, 256])
@pytest.mark.parametrize("log_std", [0.0, -3.0, -6.0, -10.0])
def test_a_far_narrow_mode_is_found_however_few_the_draws_and_sure_the_posterior(log_std, n_draws):
    """The posterior looks at the origin; the way to the mode bends."""

    def banana(z, rows):
        x, y = z.unbind(-1)
        return -0.5 * (((x - 2.0) / 0.05) ** 2 + ((y - x.square() + 4.0) / 0.02) ** 2) - 7.0

    truth = -7.0 + math.log(2 * math.pi * 0.05 * 0.02)
    found = bound(banana, narrow([[0.0, 0.0]], log_std), quasi(2 * n_draws, 2))
    assert found.item() == pytest.approx(truth, abs=0.3)


@pytest.mark.parametrize("log_std", [0.0, -3.0, -6.0, -10.0])
def test_tails_that_are_heavy_do_not_stop_the_way(log_std):
    """Far from its mode a t density is so flat that steps by the posterior's width gain nothing."""

    def cauchy(z, rows):
        return -torch.log1p(((z - 3.0) / 0.1).square()).sum(-1)

    found = at_modes(cauchy, narrow([[0.0, 0.0]], log_std))[0].mean
    torch.testing.assert_close(found, torch.full((1, 2), 3.0).double(), atol=0.02, rtol=0)


def test_the_size_of_a_search_grows_with_the_dimensions():
    assert size_of_search(2) == (8, 512)
    assert size_of_search(200) == (400, 800)


def test_rows_do_not_depend_on_the_rows_beside_them():
    truth = correlated(5, 3)
    alone = laplace(lambda z, rows: truth[2:3][rows].log_prob(z), *origin(1, 3))
    together = laplace(lambda z, rows: truth[rows].log_prob(z), *origin(5, 3))
    torch.testing.assert_close(together.mean[2:3], alone.mean)
