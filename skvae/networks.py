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
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skvae._value import Value

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": F.elu,
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "identity": lambda x: x,
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
        is given in training only, and every random number comes from it. ``output_gain``
        multiplies the start weights of the last layer. The module stays in evaluation mode: what it
        does in training only, such as dropout, it does where a generator is given.
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
        self.activation = activation
        self.dropout = dropout

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        *hidden, (last_weight, last_bias) = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            x = ACTIVATIONS[self.activation](F.linear(x, weight, bias))
            if generator is not None and self.dropout > 0:
                keep = 1 - self.dropout
                x = x * torch.empty_like(x).bernoulli_(keep, generator=generator) / keep
        return F.linear(x, last_weight, last_bias)


NETWORKS: dict[str, type[Network]] = {"mlp": MLP}
