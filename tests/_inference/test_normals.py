"""Normals against torch's distributions."""

import torch
from densities import correlated, draw, quasi

from skvae._inference.normals import Normals


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
