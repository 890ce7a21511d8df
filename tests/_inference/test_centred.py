"""Normals that are moved to where the mass is."""

import math

import torch
from densities import correlated, draw, quasi

from skvae._inference.centred import LONGEST, N_STEPS, centred
from skvae._inference.normals import Normals


def skewed(z, rows):
    """Independent components with the density of -log of an exponential variable."""
    return (z - z.exp()).sum(-1)


def at_origin(n, k):
    """The normals at the mode of ``skewed``, with its curvature there."""
    zeros = torch.zeros(n, k, dtype=torch.float64)
    return Normals.diagonal(zeros, zeros)


def test_a_normal_stays_where_it_is():
    truth = correlated(4, 12)
    found = centred(lambda z, rows: truth[rows].log_prob(z), truth)
    torch.testing.assert_close(found.mean, truth.mean, atol=1e-6, rtol=0)
    assert found.root is truth.root


def test_the_mean_gradient_is_0():
    # E[1 - exp(z)] = 0 for the mean -1/2
    found = centred(skewed, at_origin(2, 2))
    torch.testing.assert_close(found.mean, torch.full((2, 2), -0.5).double(), atol=0.2, rtol=0)


def test_the_divergence_from_a_skewed_density_is_smaller():
    rows, noise, mode = torch.arange(1), quasi(2**12, 16), at_origin(1, 16)
    divergences = []
    for normals in (mode, centred(skewed, mode)):
        z = normals.sample(noise)
        divergences.append((normals.log_prob(z) - skewed(z, rows)).mean().item())
    # E[exp(z) - z] of a component is exp(1/2) at the mode, and 3/2 for the mean -1/2
    most = 16 * (math.exp(0.5) - 1.5)
    assert 0.7 * most < divergences[0] - divergences[1] < 1.01 * most


def test_no_step_is_long():
    def slope(z, rows):
        return 1e6 * z.sum(-1)

    found = centred(slope, at_origin(3, 10))
    torch.testing.assert_close(
        found.mean.norm(dim=-1), torch.full((3,), N_STEPS * LONGEST).double(), rtol=1e-6, atol=0
    )


def test_a_row_whose_gradient_is_not_finite_stays():
    def log_joint(z, rows):
        return torch.where(rows == 0, torch.nan, 1.0) * z.sum(-1)

    found = centred(log_joint, at_origin(2, 3)).mean
    assert not found[0].any()
    assert found[1].all()


def test_results_of_a_row_do_not_depend_on_other_rows():
    truth, start = correlated(5, 9), correlated(5, 9).widened(1.3)
    start = Normals(start.mean + 0.1 * draw(5, 9, seed=3), start.root, start.whiten)
    together = centred(lambda z, rows: truth[rows].log_prob(z), start)
    alone = centred(lambda z, rows: truth[2:3][rows].log_prob(z), start[2:3])
    torch.testing.assert_close(together.mean[2:3], alone.mean, rtol=1e-12, atol=1e-12)
