"""Functions of torch that its exporter lacks, computed by those that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def asinh(x: Tensor) -> Tensor:
    size = x.abs()
    return x.sign() * torch.log(size + torch.sqrt(size * size + 1))


def cosh(x: Tensor) -> Tensor:
    return 0.5 * (torch.exp(x) + torch.exp(-x))


def expm1(x: Tensor) -> Tensor:
    return torch.exp(x) - 1


def hypot(x: Tensor, y: Tensor) -> Tensor:
    return torch.sqrt(x * x + y * y)


def sinh(x: Tensor) -> Tensor:
    return 0.5 * (torch.exp(x) - torch.exp(-x))


def in_float64(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function whose squares or differences float32 would not hold, in the type of its input."""
    return lambda *inputs: function(*(x.double() for x in inputs)).to(inputs[0].dtype)


SUBSTITUTES: dict[Any, Callable[..., Tensor]] = {
    original: in_float64(function)
    for originals, function in (
        ((torch.asinh, torch.arcsinh, Tensor.asinh, Tensor.arcsinh), asinh),
        ((torch.cosh, Tensor.cosh), cosh),
        ((torch.expm1, torch.special.expm1, Tensor.expm1), expm1),
        ((torch.hypot, Tensor.hypot), hypot),
        ((torch.sinh, Tensor.sinh), sinh),
    )
    for original in originals
}


class Substitutes(TorchFunctionMode):
    """A context in which torch computes these functions by their substitutes."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return SUBSTITUTES.get(function, function)(*args, **(kwargs or {}))
