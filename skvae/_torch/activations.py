"""The activations of hidden layers, each with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from skvae._torch.fused import kernels
from skvae._torch.operations import (
    elu_backward_,
    gelu_,
    gelu_backward_,
    relu_backward_,
    silu_backward_,
    tanh_backward_,
)


@dataclass(frozen=True)
class Activation:
    """An elementwise function, and its gradient.

    ``overwrite`` is the function in place, which is faster for large arguments. ``backward`` takes
    the gradient by the result, which it overwrites, and the argument or the result, as ``needs``
    says. It returns the gradient by the argument.
    """

    forward: Callable[[Tensor], Tensor]
    overwrite: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    needs: Literal["argument", "result"]


def _elu_(x: Tensor) -> Tensor:
    fused = kernels()
    if fused is not None and x.dtype in fused.DTYPES and not x.requires_grad:
        return fused.elu_(x)
    if x.dtype == torch.bfloat16 or x.requires_grad or x.device.type != "cpu":
        return F.elu_(x)
    # exp takes a quarter of the time of expm1 on a CPU. It loses the digits of the result below the
    # last digit of 1, which would be too inaccurate in bfloat16.
    below = x.clamp(max=0).exp_().sub_(1)
    return torch.maximum(x, below, out=x)


def _elu_backward_(gradient: Tensor, result: Tensor) -> Tensor:
    fused = kernels()
    if fused is not None and gradient.dtype in fused.DTYPES:
        return fused.elu_backward_(gradient, result)
    return elu_backward_(gradient, result)


ACTIVATIONS = {
    "elu": Activation(F.elu, _elu_, _elu_backward_, "result"),
    "relu": Activation(F.relu, F.relu_, relu_backward_, "result"),
    "silu": Activation(F.silu, lambda x: F.silu(x, inplace=True), silu_backward_, "argument"),
    "gelu": Activation(F.gelu, gelu_, gelu_backward_, "argument"),
    "tanh": Activation(torch.tanh, torch.tanh_, tanh_backward_, "result"),
    "identity": Activation(lambda x: x, lambda x: x, lambda g, x: g, "result"),
}
