"""log p(x, z) as a function of codes, and its derivatives.

Pure functions of tensors; the axes are S codes, N rows, K latent dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

# log p(x, z) of codes for the rows with the numbers (n,), or of the same codes for each row.
# (S, n, K) or (S, 1, K), (n,) -> (S, n).
LogJoint = Callable[[Tensor, Tensor], Tensor]


def of_rows(log_joint: LogJoint, rows: Tensor) -> LogJoint:
    """log p(x, z) of some rows, which are then numbered from 0."""
    return lambda z, some: log_joint(z, rows[some])


def rounded(z: Tensor) -> Tensor:
    """Codes that float32 can represent.

    A difference in the last digit of float64, as between different numbers of rows, would otherwise
    be a difference in float32, in which networks may compute, at some of many steps.
    """
    return z.float().to(z.dtype)


def gradient_of(log_joint: LogJoint, z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x, z) and its gradient, 0 if that is not finite. (S, N, K) -> (S, N), (S, N, K)."""
    with torch.enable_grad():
        z = z.detach().clone().requires_grad_()
        value = log_joint(z, rows)
        (gradient,) = torch.autograd.grad(value.sum(), z)
    finite = gradient.isfinite().all(-1, keepdim=True)
    return value.detach(), torch.where(finite, gradient, 0.0)


def curvature_of(log_joint: LogJoint, z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of log p(x, z), and the curvatures of -log p(x, z) with their axes.

    (N, K) -> (N, K), (N, K), (N, K, K). If these are not finite, the gradient is 0 and the
    curvatures are those of the prior.
    """
    as_prior = identity(z.shape[-1], z)
    with torch.enable_grad():
        z = z.detach().clone().requires_grad_()
        value = log_joint(z[None], rows)
        (gradient,) = torch.autograd.grad(value.sum(), z, create_graph=True)
        hessian = _jacobian(gradient, z)
    finite = gradient.isfinite().all(-1) & hessian.isfinite().all(-1).all(-1)
    curvature, axes = torch.linalg.eigh(torch.where(finite[:, None, None], -hessian, as_prior))
    return torch.where(finite[:, None], gradient.detach(), 0.0), curvature, axes


def _jacobian(result: Tensor, z: Tensor) -> Tensor:
    """The derivatives of each row of the result, by the same row of z. (N, K) -> (N, K, K)."""
    n, k = z.shape
    directions = identity(k, z)[:, None, :].expand(-1, n, -1)
    if not result.requires_grad:
        return z.new_zeros(n, k, k)
    derivative = partial(torch.autograd.grad, result, z, retain_graph=True, allow_unused=True)
    try:
        (found,) = derivative(directions, is_grads_batched=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # an operation of a custom network or likelihood cannot be batched
        parts = [derivative(direction)[0] for direction in directions]
        found = None if parts[0] is None else torch.stack(parts)
    # None if the result does not depend on z
    return z.new_zeros(n, k, k) if found is None else found.transpose(0, 1)


def identity(k: int, like: Tensor) -> Tensor:
    """The identity matrix, (k, k), with the dtype and the device of a tensor."""
    return torch.eye(k, dtype=like.dtype, device=like.device)
