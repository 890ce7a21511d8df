"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skvae._blocks import CACHED_ELEMENTS
from skvae._rules import Rule, number, one_of, whole
from skvae._torch.activations import ACTIVATIONS
from skvae._torch.operations import linear
from skvae._torch.random import draw_bernoulli
from skvae._torch.row_wise import UNIT, affine, linear_map, with_padded_rows
from skvae._torch.runtime import cpu_has_bfloat16
from skvae._torch.vjp import Backward
from skvae.networks._base import SKIP, Network, NetworkModule, layer_sizes

INITIALIZATIONS: dict[str, Callable[..., Any]] = {
    "he": nn.init.kaiming_uniform_,
    "glorot": nn.init.xavier_uniform_,
}

# The widest hidden layer: a matrix between two of these takes 4 GiB.
WIDEST = 2**15
WIDTH = whole(1, WIDEST)
WIDTHS = Rule(
    f"a sequence of whole numbers from 1 to {WIDEST}",
    # a 0-dimensional array is an instance of np.ndarray, but cannot be iterated
    lambda sizes: (
        isinstance(sizes, Sequence | np.ndarray)
        and np.ndim(sizes) == 1
        and all(map(WIDTH.holds, sizes))
    ),
)


@dataclass
class MLP(Network):
    """Fully connected layers.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int or int, default=(128, 128)
        Width of each hidden layer, from input to output, or of a single one. Empty for a linear
        map.
    activation : {"elu", "relu", "silu", "gelu", "tanh", "identity"}, default="silu"
        Activation of each hidden layer.
    dropout : float, default=0.0
        Share of each hidden layer's units that are dropped in each training step, in [0, 1).
    initialization : {"he", "glorot"}, default="he"
        Distribution of the initial weights, "he" [2]_ or "glorot" [1]_. The initial biases are
        zero.
    skip : bool or None, default=None
        Whether a linear map of the input is added to the output. It is initialised by PCA, and the
        hidden layers learn the nonlinear part. With None, ``VAETransformer`` decides: True if PCA
        can use a column, which is then modelled by a Histogram, NormalScores, a LogNormal or a
        Gaussian with a separate scale; otherwise False.
    """

    hidden_layer_sizes: Sequence[int] | int = (128, 128)
    activation: str = "silu"
    dropout: float = 0.0
    initialization: str = "he"
    skip: bool | None = None

    sizes: ClassVar[tuple[str, ...]] = ("hidden_layer_sizes",)
    rules: ClassVar[Mapping[str, Rule]] = {
        "hidden_layer_sizes": WIDTH | WIDTHS,
        "activation": one_of(*ACTIVATIONS),
        "dropout": number(0, 1, closed="left"),
        "initialization": one_of(*INITIALIZATIONS),
        "skip": SKIP,
    }

    def build(
        self, n_inputs: int, n_outputs: int, *, output_gain: float, generator: Generator
    ) -> NetworkModule:
        hidden = layer_sizes(self.hidden_layer_sizes)
        sizes = [n_inputs, *map(int, hidden), n_outputs]
        initialize = INITIALIZATIONS[self.initialization]
        weights, biases = [], []
        for n_in, n_out in pairwise(sizes):
            weight = torch.empty(n_out, n_in, dtype=torch.float32, device="cpu")
            weights.append(initialize(weight, generator=generator))
            biases.append(torch.zeros(n_out, dtype=torch.float32, device="cpu"))
        weights[-1] *= output_gain
        skip = torch.zeros(n_outputs, n_inputs, dtype=torch.float32, device="cpu")
        return _MLPModule(
            weights,
            biases,
            self.activation,
            self.dropout,
            skip if hidden and (self.skip is None or self.skip) else None,
        )

    def mirror(self) -> MLP:
        """The same layers in reverse order, for the decoder of an encoder."""
        return replace(self, hidden_layer_sizes=layer_sizes(self.hidden_layer_sizes)[::-1])


def _affine_in_training(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W' + b, for arguments of one type, without autograd."""
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or not _adds_biases():
        return F.linear(x, weight).add_(bias)
    return linear(x, weight, bias)


def _adds_biases() -> bool:
    """Whether oneDNN can fuse a product in bfloat16 with the addition of a bias.

    It may not support this on a processor without instructions for bfloat16.
    """
    onednn = torch.backends.mkldnn
    return cpu_has_bfloat16() and onednn.is_available() and bool(onednn.enabled)


class _MLPModule(NetworkModule):
    """x -> activation(x W' + b) for each layer, without activation in the last one, plus x S'."""

    closed_form = True
    replayable = True
    row_wise = True

    def __init__(
        self,
        weights: list[Tensor],
        biases: list[Tensor],
        activation: str,
        dropout: float,
        skip: Tensor | None,
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)
        self.skip = None if skip is None else nn.Parameter(skip)
        # iterating over a ParameterList is slow
        self.layers = list(zip(self.weights, self.biases, strict=True))
        self.activation = ACTIVATIONS[activation]
        self.dropout = dropout
        self.hidden_sizes = [len(bias) for bias in biases[:-1]]
        self.rows_at_once = max(CACHED_ELEMENTS // max(map(len, biases)) // UNIT, 1) * UNIT

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return self._for_any_rows(x)
        rows = x.reshape(x.shape[:-1].numel(), x.shape[-1])
        at_once = self.rows_at_once if x.device.type == "cpu" else max(len(rows), 1)
        parts = [
            with_padded_rows(self._through, piece, *self.hidden_sizes)
            for piece in rows.split(at_once)
        ]
        found = parts[0] if len(parts) == 1 else torch.cat(parts)
        return found.view(*x.shape[:-1], found.shape[-1])

    def _for_any_rows(self, x: Tensor) -> Tensor:
        """The same, in operations that a trace can record and apply to any number of rows."""
        *hidden, (last_weight, last_bias) = self.layers
        h = x
        for weight, bias in hidden:
            h = self.activation.forward(F.linear(h, weight, bias))
        found = F.linear(h, last_weight, last_bias)
        return found if self.skip is None else found + F.linear(x, self.skip)

    @property
    def has_linear(self) -> bool:  # type: ignore[override]
        return self.skip is not None or self.is_linear

    @property
    def is_linear(self) -> bool:  # type: ignore[override]
        return len(self.weights) == 1

    def set_linear(self, weight: Tensor, bias: Tensor) -> None:
        linear = self.weights[0] if self.skip is None else self.skip
        linear.data.copy_(weight)
        self.biases[-1].data.copy_(bias)

    def _through(self, x: Tensor) -> Tensor:
        *hidden, (last_weight, last_bias) = self.layers
        h = x
        for weight, bias in hidden:
            h = self.activation.overwrite(affine(h, weight, bias))
        found = affine(h, last_weight, last_bias)
        return found if self.skip is None else found.add_(linear_map(x, self.skip))

    def vjp(self, x: Tensor, generator: Generator, *, to_x: bool) -> tuple[Tensor, Backward]:
        """In closed form, since autograd would take most of the time in a small network."""
        activation, keep = self.activation, 1 - self.dropout
        h = inputs = x.to(self.layers[0][0].dtype)
        tape: list[tuple[Tensor, Tensor | None, Tensor | None]] = []
        for weight, bias in self.layers:
            needed = kept = None
            if tape:
                if activation.needs == "argument":
                    needed, h = h, activation.forward(h)
                else:
                    needed = h = activation.overwrite(h)
                if keep < 1:
                    kept = draw_bernoulli(keep, h, generator).div_(keep)
                    h = h * kept
            tape.append((h, needed, kept))
            h = _affine_in_training(h, weight, bias)
        if self.skip is not None:
            h.addmm_(inputs, self.skip.t())

        def backward(gradient: Tensor) -> Tensor | None:
            g = by_outputs = gradient.to(h.dtype)
            if self.skip is not None:
                torch.mm(by_outputs.t(), inputs, out=self.skip.grad)
            for (h_in, needed, kept), (weight, bias) in zip(
                reversed(tape), reversed(self.layers), strict=True
            ):
                torch.mm(g.t(), h_in, out=weight.grad)
                torch.sum(g, 0, out=bias.grad)
                if needed is None and not to_x:
                    return None
                g = g.mm(weight)
                if kept is not None:
                    g = g * kept
                if needed is not None:
                    g = activation.backward(g, needed)
            if self.skip is not None:
                g.addmm_(by_outputs, self.skip)
            return g.to(x.dtype)

        return h, backward
