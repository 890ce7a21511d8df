"""Recurrent networks, for sequences that are flattened to rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from skvae._rules import TRUTH, Rule, one_of, whole
from skvae.networks._base import SKIP, Network, NetworkModule, he_start, layer_sizes, scale_start
from skvae.networks._layout import ByColumn, FromColumns, check_shape
from skvae.networks._mlp import WIDTH
from skvae.networks._skip import with_skip

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM}

# Without a linear map beside it, the least factor of the initial weights of a decoder's last layer.
# The encoder would otherwise learn nothing for many epochs.
DECODER_GAIN = 0.5

SEQUENCE_SHAPE = whole(1) | Rule(
    "(n_steps, n_variables), in positive whole numbers",
    lambda shape: np.ndim(shape) == 1 and len(shape) == 2 and all(map(whole(1).holds, shape)),
)


@dataclass
class Recurrent(Network):
    """A recurrent network for sequences.

    As an encoder, it reads the steps of a sequence, and its last state is mapped to the code. As a
    decoder, the code is its input in every step, beside the position of the step, and each state is
    mapped to the parameters of that step's columns.

    Missing values may be anywhere. A shorter sequence ends with missing values. Recurrent networks
    train in fewer epochs with ``learning_rate_init=1e-2`` and ``average=1``.

    Parameters
    ----------
    sequence_shape : int or tuple of (int, int)
        Number of steps, or numbers of steps and of variables, as they were before the sequences
        were flattened to rows: ``sequences.reshape(len(sequences), -1)``. The product must be the
        number of columns.
    hidden_size : int, default=64
        Size of the state.
    cell : {"gru", "lstm"}, default="gru"
        Kind of the network: with gated recurrent units [4]_ or with long short-term memory [5]_.
    bidirectional : bool, default=True
        Whether a second network reads the steps in reverse order.
    skip : bool or None, default=False
        Whether a linear map of the input is added to the output, as in :class:`MLP`, which also
        explains None. Without it, held-out likelihoods of several kinds of sequences were higher.
    """

    sequence_shape: int | Sequence[int]
    hidden_size: int = 64
    cell: str = "gru"
    bidirectional: bool = True
    skip: bool | None = False

    sizes: ClassVar[tuple[str, ...]] = ("sequence_shape",)
    rules: ClassVar[Mapping[str, Rule]] = {
        "sequence_shape": SEQUENCE_SHAPE,
        "hidden_size": WIDTH,
        "cell": one_of(*CELLS),
        "bidirectional": TRUTH,
        "skip": SKIP,
    }

    def build_encoder(
        self,
        columns: Sequence[NDArray[np.intp]],
        n_inputs: int,
        n_outputs: int,
        *,
        output_gain: float,
        generator: Generator,
    ) -> NetworkModule:
        n_steps = self._n_steps(len(columns))
        by_column = ByColumn(columns, n_inputs)
        module = _RecurrentEncoder(self, n_steps, by_column, n_outputs, output_gain, generator)
        return with_skip(module, n_inputs, n_outputs, skip=self.skip)

    def build_decoder(
        self,
        columns: Sequence[NDArray[np.intp]],
        n_inputs: int,
        n_outputs: int,
        *,
        output_gain: float,
        generator: Generator,
    ) -> NetworkModule:
        n_steps = self._n_steps(len(columns))
        by_column = FromColumns(columns, n_outputs)
        if self.skip is False:
            output_gain = max(output_gain, DECODER_GAIN)
        n_variables = len(columns) // n_steps
        module = _RecurrentDecoder(
            self, n_steps, n_inputs, n_variables, by_column, output_gain, generator
        )
        return with_skip(module, n_inputs, n_outputs, skip=self.skip)

    def mirror(self) -> Recurrent:
        return replace(self)

    def _n_steps(self, n_columns: int) -> int:
        shape = layer_sizes(self.sequence_shape)
        check_shape("sequence_shape", shape, n_columns)
        return int(shape[0])


def _cells(network: Recurrent, n_inputs: int, generator: Generator) -> nn.RNNBase:
    """The cells, started so that states keep the size of the inputs and of each other."""
    size, both = int(network.hidden_size), bool(network.bidirectional)
    made = CELLS[network.cell](n_inputs, size, batch_first=True, bidirectional=both)
    for name, parameter in made.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter, generator=generator)
        elif name.startswith("weight_hh"):
            for gate in parameter.data.split(size):
                nn.init.orthogonal_(gate, generator=generator)
        else:
            nn.init.zeros_(parameter)
    return made


def _without_cudnn() -> AbstractContextManager[None]:
    """Run cells without cuDNN, whose recurrent networks have no second derivatives.

    They have first derivatives in training mode only, which :class:`NetworkModule` does not use.
    """
    return torch.backends.cudnn.flags(enabled=False)


def _linear(
    network: Recurrent, n_more: int, n_outputs: int, gain: float, generator: Generator
) -> nn.Linear:
    """The map of a state, and of ``n_more`` numbers, to the outputs."""
    n_directions = 2 if network.bidirectional else 1
    made = nn.Linear(n_directions * int(network.hidden_size) + n_more, n_outputs)
    he_start(made, generator)
    scale_start(made, gain)
    return made


class _RecurrentEncoder(NetworkModule):
    """The last state of each direction, mapped to the outputs."""

    def __init__(
        self,
        network: Recurrent,
        n_steps: int,
        by_column: ByColumn,
        n_outputs: int,
        output_gain: float,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.n_steps, self.by_column = n_steps, by_column
        n_columns = len(by_column.columns) // by_column.n_features
        n_features = n_columns // n_steps * by_column.n_features
        self.cells = _cells(network, n_features, generator)
        self.last = _linear(network, len(by_column.rest), n_outputs, output_gain, generator)

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        values, rest = self.by_column(x.reshape(-1, x.shape[-1]))
        with _without_cudnn():
            _, state = self.cells(values.reshape(values.shape[0], self.n_steps, -1))
        h = state[0] if isinstance(state, tuple) else state  # (n_directions, N, hidden_size)
        found: Tensor = self.last(torch.cat([*h, rest], dim=1))
        return found.view(*x.shape[:-1], found.shape[-1])


class _RecurrentDecoder(NetworkModule):
    """The states of a network that reads the code and the position, each mapped to its outputs."""

    positions: Tensor

    def __init__(
        self,
        network: Recurrent,
        n_steps: int,
        n_inputs: int,
        n_variables: int,
        from_columns: FromColumns,
        output_gain: float,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.from_columns = from_columns
        self.register_buffer("positions", torch.linspace(-1, 1, n_steps)[:, None], persistent=False)
        self.cells = _cells(network, n_inputs + 1, generator)
        n_outputs = n_variables * from_columns.n_outputs
        self.last = _linear(network, 0, n_outputs, output_gain, generator)

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        codes = x.reshape(-1, x.shape[-1])
        n, n_steps = codes.shape[0], len(self.positions)
        code = codes[:, None].expand(n, n_steps, codes.shape[1])
        position = self.positions.to(codes).expand(n, n_steps, 1)
        with _without_cudnn():
            states, _ = self.cells(torch.cat([code, position], dim=2))
        by_column = self.last(states).reshape(n, -1, self.from_columns.n_outputs)
        found: Tensor = self.from_columns(by_column)
        return found.view(*x.shape[:-1], found.shape[-1])
