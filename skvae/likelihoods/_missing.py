"""Values that are missing because of what they are, with probability Phi(bias + slope . features).

M cells among those of d columns have the numbers row * d + column.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.special import ndtr

from skvae._interrupts import interrupts_held
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._numerics import distinct
from skvae.objectives import LOG_2PI

# Features are clipped at this magnitude, so that an outlier does not decide on a slope.
FARTHEST = 5.0


def probability(probit: Tensor) -> Tensor:
    """Phi(probit), at least the smallest normal number, so that its logarithm is finite."""
    p: Tensor = ndtr(probit)
    return p.clamp(min=torch.finfo(probit.dtype).tiny)


def ratio(probit: Tensor, p: Tensor) -> Tensor:
    """The derivative phi / Phi of log Phi at ``probit``, where Phi is ``p``."""
    return (-0.5 * (probit.square() + LOG_2PI)).exp() / p


def clipped(features: Tensor) -> Tensor:
    """Features without outliers."""
    return features.clamp(-FARTHEST, FARTHEST)


class MissingNormal:
    """``Likelihood.missing`` of values x ~ N(output, sigma^2) with one feature, x itself.

    With the output m, s^2 = 1 + slope^2 sigma^2 and t = (bias + slope m) / s, log P(missing) is
    log Phi(t), and the mean of x given that it is missing is m + slope sigma^2 / s phi(t) / Phi(t).

    Parameters
    ----------
    outputs : Tensor of shape (S, N, d)
    sigma : Tensor of shape (d,) or (1,)
    cells, bias, slope : Tensor of shape (M,), (M,) and (d, 1)
    """

    def __init__(
        self, outputs: Tensor, sigma: Tensor, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> None:
        self.outputs, self.cells, self.n_columns = outputs, cells, len(slope)
        self.column = cells % self.n_columns
        self.sigma = sigma.expand(self.n_columns).index_select(0, self.column)
        self.slope = slope[:, 0].index_select(0, self.column)
        known = distinct(outputs).flatten(1)
        self.mean = known.index_select(1, cells % known.shape[1])
        self.scale = torch.hypot(torch.ones_like(self.sigma), self.slope * self.sigma)
        self.probit = (bias + self.slope * self.mean) / self.scale
        self.p = probability(self.probit)
        self.log_prob = self.p.log()

    def given_missing(self) -> Tensor:
        """The outputs, with the means given that they are missing for these cells."""
        step = self.slope * self.sigma.square() / self.scale
        mean = torch.addcmul(self.mean, step, ratio(self.probit, self.p))
        return self.outputs.flatten(1).index_copy(1, self.cells, mean).view_as(self.outputs)

    def backward(self, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The gradients by outputs (S, N, d), bias (M,), slope (d, 1) and log sigma (d,)."""
        by_probit = gradient * ratio(self.probit, self.p)
        by_sum = by_probit / self.scale  # bias + slope m
        by_outputs = torch.zeros_like(self.outputs).flatten(1)
        by_outputs.index_copy_(1, self.cells, by_sum * self.slope)
        # log s by slope: slope sigma^2 / s^2; by log sigma: slope^2 sigma^2 / s^2
        by_log_scale = -(by_probit * self.probit).sum(0)
        by_slope_sigma = by_log_scale * self.slope * (self.sigma / self.scale).square()
        by_slope = (by_sum * self.mean).sum(0) + by_slope_sigma
        each = torch.stack([by_slope, by_slope_sigma * self.slope])
        summed = each.new_zeros(2, self.n_columns).index_add_(1, self.column, each)
        return by_outputs.view_as(self.outputs), by_sum.sum(0), summed[0, :, None], summed[1]


def missing_by_autograd(
    missing: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Later]],
    outputs: Tensor,
    cells: Tensor,
    bias: Tensor,
    slope: Tensor,
) -> tuple[Tensor, Backward]:
    """``Likelihood.missing_vjp``, for a function of the four tensors."""
    with interrupts_held() as hold, torch.inference_mode(False), torch.enable_grad(), hold.lifted():
        # autograd cannot record tensors of inference mode, but it can record copies of them
        leaves = [part.clone().detach().requires_grad_() for part in (outputs, bias, slope)]
        log_prob, _ = missing(leaves[0], cells.clone(), *leaves[1:])

    def backward(gradient: Tensor) -> list[Tensor]:
        with interrupts_held() as hold, torch.inference_mode(False), hold.lifted():
            log_prob.backward(gradient.clone())
        return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]

    return log_prob.detach(), backward
