"""Fully connected layers in residual blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Generator, Tensor, nn

from skvae._rules import Rule, number, one_of, whole
from skvae._torch.activations import ACTIVATIONS
from skvae._torch.random import draw_bernoulli
from skvae.networks._base import SKIP, Linear, Network, NetworkModule, RowWiseModule
from skvae.networks._mlp import INITIALIZATIONS, WIDTH
from skvae.networks._skip import with_skip

# Factor of the initial weights of the last layer of a residual block, which is then close to the
# identity.
RESIDUAL_GAIN = 0.1


@dataclass
class ResidualMLP(Network):
    """Fully connected layers in blocks, each of which adds two layers' output to its input.

    A block is h + act(act(h) W' + b) V' + c, without normalisation [3]_. On images it reaches a
    higher likelihood than an :class:`MLP` of the same width.

    Parameters
    ----------
    width : int, default=256
        Width of all hidden layers.
    n_blocks : int, default=2
        Number of blocks, between an input layer and an output layer.
    activation : {"elu", "relu", "silu", "gelu", "tanh", "identity"}, default="silu"
        Activation before each layer except the first.
    dropout : float, default=0.0
        Share of the units within each block that are dropped in each training step, in [0, 1).
    initialization : {"he", "glorot"}, default="he"
        Distribution of the initial weights, "he" [2]_ or "glorot" [1]_. The initial biases are
        zero.
    skip : bool or None, default=None
        As in :class:`MLP`: whether a linear map of the input is added to the output.
    """

    width: int = 256
    n_blocks: int = 2
    activation: str = "silu"
    dropout: float = 0.0
    initialization: str = "he"
    skip: bool | None = None

    rules: ClassVar[Mapping[str, Rule]] = {
        "width": WIDTH,
        "n_blocks": whole(0),
        "activation": one_of(*ACTIVATIONS),
        "dropout": number(0, 1, closed="left"),
        "initialization": one_of(*INITIALIZATIONS),
        "skip": SKIP,
    }

    def build(
        self, n_inputs: int, n_outputs: int, *, output_gain: float, generator: Generator
    ) -> NetworkModule:
        def layer(n_in: int, n_out: int, gain: float = 1.0) -> nn.Linear:
            made = nn.Linear(n_in, n_out)
            INITIALIZATIONS[self.initialization](made.weight, generator=generator)
            made.weight.data.mul_(gain)
            made.bias.data.zero_()
            return made

        width = int(self.width)
        blocks = [
            (layer(width, width), layer(width, width, RESIDUAL_GAIN)) for _ in range(self.n_blocks)
        ]
        module = _ResidualModule(
            layer(n_inputs, width),
            blocks,
            layer(width, n_outputs, output_gain),
            self.activation,
            float(self.dropout),
        )
        return with_skip(module, n_inputs, n_outputs, skip=self.skip)

    def mirror(self) -> ResidualMLP:
        return replace(self)


class _ResidualModule(RowWiseModule):
    """first(x), then h + second(act(first(act(h)))) in each block, then last(act(h))."""

    def __init__(
        self,
        first: nn.Linear,
        blocks: list[tuple[nn.Linear, nn.Linear]],
        last: nn.Linear,
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.first, self.last = first, last
        self.blocks = nn.ModuleList(map(nn.ModuleList, blocks))
        self.layers = blocks
        self.activation = ACTIVATIONS[activation].forward
        self.dropout = dropout
        self.hidden_sizes = [len(first.bias)]

    def through(self, linear: Linear, rows: Tensor, generator: Generator | None = None) -> Tensor:
        h = linear(rows, self.first.weight, self.first.bias)
        for first, second in self.layers:
            inner = linear(self.activation(h), first.weight, first.bias)
            inner = self.activation(inner)
            if generator is not None and self.dropout > 0:
                keep = 1 - self.dropout
                inner = inner * draw_bernoulli(keep, inner, generator) / keep
            h = h + linear(inner, second.weight, second.bias)
        return linear(self.activation(h), self.last.weight, self.last.bias)
