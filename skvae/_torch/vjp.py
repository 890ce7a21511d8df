"""Vector-Jacobian products: the pieces that the gradient of a training step is made of.

A piece gives its result and a function that takes gradients back, as ``torch.func.vjp`` does. What
a piece has in closed form costs a small model a fraction of what autograd takes to record it.
Likelihoods and objectives give a function in place of their result, since a step follows the
gradient and may do without the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Takes the gradient by a result to the one by the argument, and adds those by parameters to their
# ``grad`` (see also ``NetworkModule.closed_form``). It may be called once.
Backward = Callable[..., Any]
# Computes a result, before or after the way back is taken, but before parameters change.
Later = Callable[[], Tensor]


def by_autograd(
    function: Callable[..., Tensor], x: Tensor, *given: Tensor, to_x: bool = True
) -> tuple[Tensor, Backward]:
    """``function(x, *given)`` and its way back; None by ``x`` unless ``to_x``."""
    with torch.inference_mode(False), torch.enable_grad():
        # autograd records no tensors of inference mode, but copies of them
        x, *given_ = (t.clone() if t.is_inference() else t.detach() for t in (x, *given))
        found = function(x.requires_grad_(to_x), *given_)

    def backward(gradient: Tensor) -> Tensor | None:
        if found.requires_grad:
            with torch.inference_mode(False):
                found.backward(gradient.clone() if gradient.is_inference() else gradient)
        return torch.zeros_like(x) if to_x and x.grad is None else x.grad

    return found.detach(), backward
