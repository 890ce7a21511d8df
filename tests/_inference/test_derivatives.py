"""Derivatives of densities that are known."""

import pytest
import torch
from densities import correlated, draw

from skvae._inference.derivatives import _jacobian, curvature_of, gradient_of


def test_the_derivatives_of_a_normal():
    truth = correlated(4, 3)
    rows, z = torch.arange(4), draw(5, 4, 3, seed=1)

    def log_joint(z, rows):
        return truth[rows].log_prob(z)

    precision = truth.whiten.mT @ truth.whiten
    value, gradient = gradient_of(log_joint, z, rows)
    torch.testing.assert_close(value, truth.log_prob(z))
    expected = torch.einsum("nkj,snj->snk", precision, truth.mean - z)
    torch.testing.assert_close(gradient, expected)
    of_first, curvature, axes = curvature_of(log_joint, z[0], rows)
    torch.testing.assert_close(of_first, gradient[0])
    torch.testing.assert_close((axes * curvature[:, None]) @ axes.mT, precision)


def test_a_gradient_that_is_not_finite_is_0():
    def log_joint(z, rows):
        return torch.where(rows == 0, torch.nan, 1.0) * z.sum(-1)

    _, gradient = gradient_of(log_joint, torch.ones(3, 2, 4), torch.arange(2))
    assert not gradient[:, 0].any()
    assert (gradient[:, 1] == 1).all()


class Cubed(torch.autograd.Function):
    """z^3, whose backward pass cannot be batched."""

    @staticmethod
    def forward(context, z):
        context.save_for_backward(z)
        return z**3

    @staticmethod
    def backward(context, gradient):
        (z,) = context.saved_tensors
        return gradient * Squared.apply(z)


class Squared(torch.autograd.Function):
    """3 z^2."""

    @staticmethod
    def forward(context, z):
        context.save_for_backward(z)
        return 3 * z**2

    @staticmethod
    def backward(context, gradient):
        (z,) = context.saved_tensors
        return gradient * torch.from_numpy(6 * z.numpy())


@pytest.mark.parametrize("cube", [lambda z: z**3, Cubed.apply])
def test_derivatives_of_a_gradient_also_of_what_cannot_be_batched(cube):
    z = draw(5, 3, seed=0).requires_grad_()
    weight = torch.tensor([1.0, 2.0, -1.0]).double()
    value = (cube(z) * weight).sum() + (z[:, 0] * z[:, 1]).sum()
    (gradient,) = torch.autograd.grad(value, z, create_graph=True)
    expected = torch.diag_embed(6 * z.detach() * weight)
    expected[:, 0, 1] = expected[:, 1, 0] = 1.0
    torch.testing.assert_close(_jacobian(gradient, z), expected)


@pytest.mark.parametrize("n", [2, 3])
def test_a_constant_gradient_has_no_derivatives(n):
    z = draw(n, 2, seed=0).requires_grad_()
    other = torch.ones(2, requires_grad=True).double()
    assert not _jacobian(torch.ones(n, 2).double(), z).any()
    assert _jacobian((other * torch.ones(n, 2)).clone(), z).shape == (n, 2, 2)
