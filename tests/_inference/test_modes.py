"""Modes of densities that are known."""

import pytest
import torch
from densities import correlated, draw, narrow

from skvae._inference.modes import (
    FINE,
    HIGHEST_TWO,
    ROUGH,
    Search,
    _bfgs,
    _ended,
    _highest,
    _normals_at,
    at_mode,
    at_modes,
    climb,
)
from skvae._inference.normals import Normals


def origin(n, k):
    """Where n ways uphill start, and their metric."""
    return torch.zeros(n, k, dtype=torch.float64), torch.eye(k, dtype=torch.float64).repeat(n, 1, 1)


def mode_from(start, log_joint):
    """The normal at the mode to which a climb from the start (N, K) leads."""
    return at_mode(log_joint, start, Normals.diagonal(start, torch.zeros_like(start)), FINE)


@pytest.mark.parametrize("n_components", [1, 3, 10])
def test_laplace_finds_a_normal_exactly(n_components):
    truth = correlated(4, n_components)

    def log_joint(z, rows):
        return truth[rows].log_prob(z) - 7.0

    found = mode_from(origin(4, n_components)[0], log_joint)
    torch.testing.assert_close(found.mean, truth.mean)
    torch.testing.assert_close(found.root @ found.root.mT, truth.root @ truth.root.mT)
    torch.testing.assert_close(
        found.whiten @ found.root, torch.eye(n_components).double().expand(4, -1, -1)
    )


def test_a_mode_climbs_from_where_the_curvature_is_of_the_wrong_sign():
    def log_joint(z, rows):
        return torch.cos(z).sum(-1)  # at pi it has a minimum

    found = mode_from(torch.tensor([[3.0], [-3.0]]), log_joint)
    torch.testing.assert_close(found.mean, torch.zeros(2, 1), atol=0.2, rtol=0)


@pytest.mark.parametrize(("n_components", "is_moved"), [(8, False), (9, True)])
def test_normals_in_many_dimensions_are_moved_from_the_mode(n_components, is_moved):
    def skewed(z, rows):
        return (z - z.exp()).sum(-1)  # the mode is 0, most of the mass is below

    mean = mode_from(torch.full((1, n_components), 0.3).double(), skewed).mean
    if is_moved:
        assert -1 < mean.mean() < -0.3
    else:
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=0.02, rtol=0)


def test_a_density_that_is_not_finite_gives_the_width_of_the_prior():
    def log_joint(z, rows):
        return z.square().sum(-1) * torch.nan

    found = mode_from(torch.ones(1, 2), log_joint)
    torch.testing.assert_close(found.mean, torch.ones(1, 2))
    torch.testing.assert_close(found.root @ found.root.mT, torch.eye(2)[None])


def test_a_climb_stays_where_the_gradient_is_not_finite():
    def log_joint(z, rows):
        return -(z - 1).abs().sqrt().sum(-1) * torch.where(rows == 0, torch.inf, 1.0)[None]

    start = torch.zeros(2, 1)
    mode = climb(log_joint, start, torch.ones(2, 1, 1), 30).z
    assert mode[0].item() == 0
    assert mode[1].item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n_components", [1, 4, 10])
@pytest.mark.parametrize("std", [10.0, 1.0, 0.1])
def test_a_climb_ends_at_the_top_from_wide_and_narrow_metrics(std, n_components):
    truth = correlated(4, n_components)
    start, metric = origin(4, n_components)
    mode, metric, log_p, _ = climb(
        lambda z, rows: truth[rows].log_prob(z), start, std**2 * metric, 300
    )
    torch.testing.assert_close(log_p, truth.log_prob(mode[None])[0])
    assert (log_p - truth.log_prob(truth.mean[None])[0] > -0.5).all()
    torch.testing.assert_close(metric, metric.mT)
    assert (torch.linalg.eigvalsh(metric) > 0).all()


@pytest.mark.parametrize("max_steps", [1, 2, 3, 30])
def test_a_climb_never_descends(max_steps):
    def log_joint(z, rows):
        return -0.5 * (1e4 * z).square().sum(-1)  # all steps by this metric are too long

    start = torch.tensor([[0.01], [0.0]]).double()
    found = climb(log_joint, start, torch.ones(2, 1, 1).double(), max_steps)
    rows = torch.arange(2)
    assert torch.equal(found.log_p, log_joint(found.z[None], rows)[0])
    assert (found.log_p >= log_joint(start[None], rows)[0]).all()


@pytest.mark.parametrize(("tolerance", "continuing"), [(FINE, [1, 3, 4]), (ROUGH, [1, 4])])
def test_gradients_are_computed_only_of_climbs_that_continue_from_a_new_code(tolerance, continuing):
    gradients = []

    def log_joint(z, rows):
        if torch.is_grad_enabled():
            gradients.append(rows.tolist())
        return -0.5 * z.square().sum(-1)

    # at the mode; far; two with a gain of 0.005 and 0.08 nats; one whose longest step is the best
    start = torch.tensor([0.0, 3.0, 0.1, 0.4, 0.1])[:, None].double()
    metric = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.5])[:, None, None].double()
    with torch.no_grad():
        found = climb(log_joint, start, metric, 30, tolerance)
    assert gradients == [[0, 1, 2, 3, 4], continuing]
    torch.testing.assert_close(found.z, torch.zeros_like(start))
    assert not found.continues.any()


def test_climbs_that_have_not_ended_continue():
    truth = correlated(20, 10)

    def log_joint(z, rows):
        return truth[rows].log_prob(z)

    start, metric = origin(20, 10)
    at_once = climb(log_joint, start, metric, 300)
    first = climb(log_joint, start, metric, 5)
    assert not at_once.continues.any()
    assert first.continues.any()
    ended = torch.nonzero(~first.continues)[:, 0]
    torch.testing.assert_close(first.taken(ended).z, at_once.taken(ended).z)
    found = _normals_at(log_joint, _ended(log_joint, first, FINE))
    torch.testing.assert_close(found.mean, truth.mean)


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
    log_p = torch.tensor([[1.0, 2.0, 3.0, 2.5, 0.0], [5.0, 4.0, 3.0, 9.0, 8.0]]).T
    found = _highest(z, log_p, 3, lambda far: far < 0.1)
    assert found.T.tolist() == [[2, 1, 4], [3, 4, 0]]
    assert _highest(z, log_p, 2, lambda far: far < 99.0).T.tolist() == [[2, 2], [3, 3]]


@pytest.mark.parametrize("log_std", [0.0, -3.0, -6.0, -10.0])
def test_heavy_tails_do_not_stop_a_climb(log_std):
    """Far from its mode a t density is so flat that steps by the posterior's width gain nothing."""

    def cauchy(z, rows):
        return -torch.log1p(((z - 3.0) / 0.1).square()).sum(-1)

    found = at_modes(cauchy, narrow([[0.0, 0.0]], log_std), None, Search.thorough(2))[0].mean
    torch.testing.assert_close(found, torch.full((1, 2), 3.0).double(), atol=0.02, rtol=0)


def test_a_search_starts_from_the_centers_of_the_prior():
    far = narrow([[40.0, -40.0]])

    def log_joint(z, rows):
        return far.log_prob(z).clamp(min=-60.0)  # flat where the other points are

    for centers, is_found in ((None, False), (torch.tensor([[40.1, -40.0]]), True)):
        for search in (HIGHEST_TWO, Search.thorough(2)):
            found = at_modes(log_joint, narrow([[0.0, 0.0]]), centers, search)[0].mean
            assert torch.allclose(found, far.mean, atol=0.01) == is_found


def test_the_root_does_not_turn_with_axes_of_equal_curvature():
    """Of which rounding chooses others each time."""
    truth = Normals.diagonal(*torch.tensor([[[0.5, 0.0, 0.0]], [[-1.0, 0.0, 0.0]]]).double())
    found = mode_from(origin(1, 3)[0], lambda z, rows: truth[rows].log_prob(z))
    torch.testing.assert_close(found.root, truth.root)
    torch.testing.assert_close(found.whiten, truth.whiten)


def test_results_of_a_row_do_not_depend_on_other_rows():
    truth = correlated(5, 3)
    alone = mode_from(origin(1, 3)[0], lambda z, rows: truth[2:3][rows].log_prob(z))
    together = mode_from(origin(5, 3)[0], lambda z, rows: truth[rows].log_prob(z))
    torch.testing.assert_close(together.mean[2:3], alone.mean)
