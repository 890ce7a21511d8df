"""Normals and draws that several tests take."""

import torch

from skvae._inference.normals import Normals
from skvae._torch.random import quasi_normal


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
