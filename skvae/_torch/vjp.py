"""Vector-Jacobian products: the parts that the gradient of a training step consists of.

A part returns its result and a function that propagates gradients back, as ``torch.func.vjp`` does.
In a small model, a part in closed form takes a fraction of the time of autograd. Likelihoods and
objectives return a function in place of their result, since a step needs the gradient, and not
always the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from skvae._interrupts import interrupts_held

# Maps the gradient by a result to the gradient by the argument, and adds the gradients by
# parameters to their ``grad`` (see also ``NetworkModule.closed_form``). It may be called once.
Backward = Callable[..., Any]
# Computes a result, before or after the backward function is called, but before parameters change.
Later = Callable[[], Tensor]


def by_autograd(
    function: Callable[..., Tensor], x: Tensor, *given: Tensor, to_x: bool = True
) -> tuple[Tensor, Backward]:
    """``function(x, *given)`` and its backward function, which returns None unless ``to_x``."""
    with interrupts_held() as hold, torch.inference_mode(False), torch.enable_grad(), hold.lifted():
        # autograd cannot record tensors of inference mode, but it can record copies of them
        x, *given_ = (t.clone() if t.is_inference() else t.detach() for t in (x, *given))
        found = function(x.requires_grad_(to_x), *given_)

    def backward(gradient: Tensor) -> Tensor | None:
        if found.requires_grad:
            with interrupts_held() as hold, torch.inference_mode(False), hold.lifted():
                found.backward(gradient.clone() if gradient.is_inference() else gradient)
        return torch.zeros_like(x) if to_x and x.grad is None else x.grad

    return found.detach(), backward
