"""Undocumented operations of torch that save time, and documented ones to replace them.

Each function is written in documented operations. It is replaced by an undocumented operation of
torch that does the same, if this version of torch has that operation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from operator import attrgetter
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from skvae._torch.runtime import seeded_generators

Function = TypeVar("Function", bound=Callable[..., Any])


def private(
    path: str, calls: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[Function], Function]:
    """Decorate a function, to replace it by an operation of torch.

    ``calls`` takes the operation at ``path`` and returns the function that replaces the decorated
    one. That is then its attribute ``__wrapped__``. It is not replaced if torch has nothing there.
    """

    def replaced(function: Function) -> Function:
        try:
            operation = attrgetter(path)(torch)
        except AttributeError:
            return function
        return update_wrapper(calls(operation), function)  # type: ignore[return-value]

    return replaced


# -- gradients of elementwise functions, which overwrite the gradient by the result --------------


@private(
    "ops.aten.elu_backward.grad_input",
    lambda operation: lambda g, y: operation(g, 1.0, 1.0, 1.0, True, y, grad_input=g),
)
def elu_backward_(gradient: Tensor, result: Tensor) -> Tensor:
    """The gradient by the argument of ELU."""
    return gradient.mul_(result.clamp(max=0).add_(1))


@private(
    "ops.aten.threshold_backward.grad_input",
    lambda operation: lambda g, y: operation(g, y, 0.0, grad_input=g),
)
def relu_backward_(gradient: Tensor, result: Tensor) -> Tensor:
    """The gradient by the argument of ReLU."""
    return gradient.mul_(result > 0)


@private(
    "ops.aten.silu_backward.grad_input",
    lambda operation: lambda g, x: operation(g, x, grad_input=g),
)
def silu_backward_(gradient: Tensor, argument: Tensor) -> Tensor:
    """The gradient by the argument of SiLU, x s(x) with the logistic function s."""
    share = argument.sigmoid()
    return gradient.mul_(share * (1 + argument * (1 - share)))


@private(
    "ops.aten.gelu_backward.grad_input",
    lambda operation: lambda g, x: operation(g, x, grad_input=g),
)
def gelu_backward_(gradient: Tensor, argument: Tensor) -> Tensor:
    """The gradient by the argument of GELU, x P(x) with the distribution function P of N(0, 1)."""
    density = torch.exp(-0.5 * argument.square()) / (2 * torch.pi) ** 0.5
    return gradient.mul_(torch.special.ndtr(argument) + argument * density)


@private(
    "ops.aten.tanh_backward.grad_input",
    lambda operation: lambda g, y: operation(g, y, grad_input=g),
)
def tanh_backward_(gradient: Tensor, result: Tensor) -> Tensor:
    """The gradient by the argument of tanh."""
    return gradient.mul_(1 - result.square())


@private("ops.aten.gelu_", lambda operation: lambda x: operation(x))
def gelu_(x: Tensor) -> Tensor:
    """GELU in place."""
    return x.copy_(F.gelu(x))


# -- others ----------------------------------------------------------------------------------------


@private(
    "ops.mkldnn._linear_pointwise",
    lambda operation: lambda x, weight, bias: operation(x, weight, bias, "none", [], ""),
)
def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W' + b in bfloat16 on a CPU, without filling the result with b first."""
    return F.linear(x, weight, bias)


@private(
    "_standard_gamma",
    lambda operation: lambda shape, generator: operation(shape.contiguous(), generator=generator),
)
def standard_gamma(shape: Tensor, generator: Generator) -> Tensor:
    """Draws of Gamma(shape, 1) from a generator."""
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    with seeded_generators(int(seed), shape.device):
        gamma: Tensor = torch.distributions.Gamma(shape, torch.ones_like(shape)).sample()
    return gamma


@private(
    "_fused_adam_",
    # importing and calling torch.optim.Adam, which uses it too, costs more than a small step
    lambda operation: (
        lambda values, gradient, first, second, steps, *, rate, betas, eps: operation(
            [values],
            [gradient],
            [first],
            [second],
            [],
            [steps],
            lr=rate,
            beta1=betas[0],
            beta2=betas[1],
            weight_decay=0.0,
            eps=eps,
            amsgrad=False,
            maximize=False,
        )
    ),
)
def adam(
    values: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    steps: Tensor,
    *,
    rate: float | Tensor,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Step number ``steps`` of Adam, in place: values and running averages of the gradient."""
    first.lerp_(gradient, 1 - betas[0])
    second.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    of_first, of_second = (1 - beta**steps for beta in betas)
    values.sub_(rate * (first / of_first) / ((second / of_second).sqrt() + eps))
