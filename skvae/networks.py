"""Architectures of the encoder and the decoder.

A network is a value that builds a ``torch.nn.Module``. To add one: a class, and its row
in ``NETWORKS``.

References
----------
.. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
       feedforward neural networks", AISTATS 2010.
.. [2] K. He et al., "Delving Deep into Rectifiers", ICCV 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skvae._runtime import network_type
from skvae._value import Value


@dataclass(frozen=True)
class Activation:
    """A function of each element, and its gradient.

    ``backward`` takes the gradient by the result, and the argument or the result, whichever
    ``needs`` tells.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    needs: Literal["argument", "result"]


_aten = torch.ops.aten
ACTIVATIONS = {
    "elu": Activation(F.elu, lambda g, y: _aten.elu_backward(g, 1.0, 1.0, 1.0, True, y), "result"),
    "relu": Activation(F.relu, lambda g, y: _aten.threshold_backward(g, y, 0.0), "result"),
    "silu": Activation(F.silu, _aten.silu_backward, "argument"),
    "gelu": Activation(F.gelu, _aten.gelu_backward, "argument"),
    "tanh": Activation(torch.tanh, _aten.tanh_backward, "result"),
    "identity": Activation(lambda x: x, lambda g, x: g, "result"),
}

INITIALIZATIONS: dict[str, Callable[..., Any]] = {
    "he": nn.init.kaiming_uniform_,
    "glorot": nn.init.xavier_uniform_,
}


class Network(Value):
    """Base of the architectures."""

    def build(
        self, n_inputs: int, n_outputs: int, *, output_gain: float, generator: Generator
    ) -> nn.Module:
        """The module, with fresh weights in float32 on the CPU.

        Its ``forward(x, generator=None)`` maps (..., n_inputs) to (..., n_outputs). A generator
        is given in training only, and every random number comes from it; autocast may then be on,
        and ``x`` and the result of its type. ``output_gain`` multiplies the start weights of the
        last layer. The module stays in evaluation mode: what it does in training only, such as
        dropout, it does where a generator is given.
        """
        raise NotImplementedError


@dataclass
class MLP(Network):
    """Fully connected layers.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(128, 128)
        Width of each hidden layer, from the input on. Empty for a linear map.
    activation : {"elu", "relu", "silu", "gelu", "tanh", "identity"}, default="silu"
        Applied after each hidden layer.
    dropout : float, default=0.0
        Share of each hidden layer's units that a training step drops, in [0, 1).
    initialization : {"he", "glorot"}, default="he"
        Start weights [2]_, [1]_; biases start at zero.
    """

    hidden_layer_sizes: Sequence[int] = (128, 128)
    activation: str = "silu"
    dropout: float = 0.0
    initialization: str = "he"

    def build(
        self, n_inputs: int, n_outputs: int, *, output_gain: float, generator: Generator
    ) -> nn.Module:
        for name, table in (("activation", ACTIVATIONS), ("initialization", INITIALIZATIONS)):
            if getattr(self, name) not in table:
                raise ValueError(
                    f"The {name!r} of MLP must be one of {sorted(table)}; "
                    f"got {getattr(self, name)!r}."
                )
        if not (isinstance(self.dropout, Real) and 0 <= self.dropout < 1):
            raise ValueError(f"The 'dropout' of MLP must be in [0, 1); got {self.dropout!r}.")
        sizes = self.hidden_layer_sizes
        if not np.iterable(sizes) or not all(isinstance(w, Integral) and w > 0 for w in sizes):
            raise ValueError(
                "The 'hidden_layer_sizes' of MLP must be a sequence of positive integers; "
                f"got {sizes!r}."
            )
        sizes = [n_inputs, *map(int, sizes), n_outputs]
        initialize = INITIALIZATIONS[self.initialization]
        weights, biases = [], []
        for n_in, n_out in pairwise(sizes):
            weight = torch.empty(n_out, n_in, dtype=torch.float32, device="cpu")
            weights.append(initialize(weight, generator=generator))
            biases.append(torch.zeros(n_out, dtype=torch.float32, device="cpu"))
        weights[-1] *= output_gain
        return _MLPModule(weights, biases, self.activation, self.dropout)

    def mirror(self) -> MLP:
        """The same layers in reverse order: the decoder that goes with an encoder."""
        return replace(self, hidden_layer_sizes=tuple(self.hidden_layer_sizes)[::-1])


class _MLPModule(nn.Module):
    """x -> activation(x W' + b) layer by layer, the last one without activation."""

    def __init__(
        self, weights: list[Tensor], biases: list[Tensor], activation: str, dropout: float
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)
        # a list of torch's is slow to go through
        self.layers = list(zip(self.weights, self.biases, strict=True))
        self.activation = activation
        self.dropout = dropout

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        if generator is not None:
            # with a parameter, so that autograd takes part also where x needs no gradient
            found: Tensor = _TrainingPass.apply(x, self.layers[0][0], self, generator)  # type: ignore[no-untyped-call]
            return found
        *hidden, (last_weight, last_bias) = self.layers
        for weight, bias in hidden:
            x = ACTIVATIONS[self.activation].forward(F.linear(x, weight, bias))
        return F.linear(x, last_weight, last_bias)


class _TrainingPass(torch.autograd.Function):
    """The map of an MLP with dropout, and its gradient, as a single node of autograd.

    Computes in the type of autocast where that is on. ``backward`` adds the gradients by weights
    and biases to their ``grad`` itself, which spares copies of them, so that they are no results
    for ``torch.autograd.grad``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, _: Tensor, mlp: _MLPModule, generator: Generator) -> Tensor:
        activation, keep = ACTIVATIONS[mlp.activation], 1 - mlp.dropout
        h = x.reshape(-1, x.shape[-1]).to(network_type(x))
        tape: list[Tensor | None] = []
        for weight, bias in mlp.layers:
            needed = kept = None
            if tape:
                argument, h = h, activation.forward(h)
                needed = argument if activation.needs == "argument" else h
                if keep < 1:
                    kept = torch.empty_like(h).bernoulli_(keep, generator=generator) / keep
                    h = h * kept
            w = weight.to(h.dtype)
            tape += [h, w, needed, kept]
            h = torch.addmm(bias.to(h.dtype), h, w.t())
        ctx.mlp = mlp
        ctx.save_for_backward(*tape)
        return h.to(x.dtype).view(*x.shape[:-1], h.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        tape = ctx.saved_tensors
        backward = ACTIVATIONS[ctx.mlp.activation].backward
        g = gradient.reshape(-1, gradient.shape[-1]).to(tape[0].dtype)
        for place, (weight, bias) in reversed(list(enumerate(ctx.mlp.layers))):
            h, w, needed, kept = tape[4 * place : 4 * place + 4]
            for parameter in (weight, bias):
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            if g.dtype == weight.dtype:
                weight.grad.addmm_(g.t(), h)
            else:
                weight.grad += g.t() @ h
            bias.grad += g.sum(0, dtype=bias.dtype)
            if place > 0 or ctx.needs_input_grad[0]:
                g = g @ w
            if kept is not None:
                g = g * kept
            if needed is not None:
                g = backward(g, needed)
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = g.to(gradient.dtype).view(*gradient.shape[:-1], g.shape[-1])
        return by_x, None, None, None


NETWORKS: dict[str, type[Network]] = {"mlp": MLP}
