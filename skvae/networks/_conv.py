"""Convolutional networks, for images that are flattened to rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from skvae._rules import Rule, one_of, whole
from skvae._torch.activations import ACTIVATIONS
from skvae.networks._base import (
    SKIP,
    Linear,
    Network,
    NetworkModule,
    RowWiseModule,
    he_start,
    scale_start,
)
from skvae.networks._layout import ByColumn, FromColumns, check_shape
from skvae.networks._mlp import WIDTH, WIDTHS
from skvae.networks._residual import RESIDUAL_GAIN
from skvae.networks._skip import with_skip

IMAGE_SHAPE = Rule(
    "(height, width) or (height, width, n_colours), in positive whole numbers",
    lambda shape: np.ndim(shape) == 1 and len(shape) in (2, 3) and all(map(whole(1).holds, shape)),
)
CHANNELS = Rule(f"{WIDTHS.text}, at least one", lambda x: WIDTHS.holds(x) and len(x) > 0)


@dataclass
class Conv(Network):
    """Convolutions for images, with residual blocks.

    As an encoder, each stage halves height and width by a convolution of stride 2, followed by
    residual blocks of two convolutions each. A fully connected layer follows. As a decoder, the
    same layers are in reverse order, with transposed convolutions.

    Parameters
    ----------
    image_shape : tuple of int
        Height and width of the images, and optionally the number of colours, as they were before
        they were flattened to rows: ``images.reshape(len(images), -1)``. The product must be the
        number of columns.
    channels : sequence of int, default=(32, 64)
        Number of channels in each stage, from the image to the code, also for a decoder.
    n_blocks : int, default=1
        Number of residual blocks in each stage.
    width : int, default=256
        Width of the fully connected layer.
    activation : {"elu", "relu", "silu", "gelu", "tanh", "identity"}, default="silu"
        Activation before each layer except the first.
    skip : bool or None, default=None
        As in :class:`MLP`: whether a linear map of the input is added to the output.
    """

    image_shape: Sequence[int]
    channels: Sequence[int] = (32, 64)
    n_blocks: int = 1
    width: int = 256
    activation: str = "silu"
    skip: bool | None = None

    sizes: ClassVar[tuple[str, ...]] = ("image_shape", "channels")
    rules: ClassVar[Mapping[str, Rule]] = {
        "image_shape": IMAGE_SHAPE,
        "channels": CHANNELS,
        "n_blocks": whole(0),
        "width": WIDTH,
        "activation": one_of(*ACTIVATIONS),
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
        shape = self._shape(len(columns))
        module = _ConvEncoder(self, shape, ByColumn(columns, n_inputs), n_outputs)
        self._start(module, module.last, output_gain, generator)
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
        shape = self._shape(len(columns))
        module = _ConvDecoder(self, shape, n_inputs, FromColumns(columns, n_outputs))
        self._start(module, module.stages[-1], output_gain, generator)
        return with_skip(module, n_inputs, n_outputs, skip=self.skip)

    def mirror(self) -> Conv:
        return replace(self)

    @staticmethod
    def _start(
        module: nn.Module, last: nn.Module, output_gain: float, generator: Generator
    ) -> None:
        """Draw the initial weights. Those of the last layers, also of blocks, are smaller."""
        he_start(module, generator)
        for part in module.modules():
            if isinstance(part, _Block):
                scale_start(part.second, RESIDUAL_GAIN)
        scale_start(last, output_gain)

    def _shape(self, n_columns: int) -> tuple[int, int, int]:
        """Height, width and number of colours."""
        check_shape("image_shape", self.image_shape, n_columns)
        height, width, n_colours = map(int, (*self.image_shape, 1)[:3])
        return height, width, n_colours


def _sizes(height: int, width: int, n_stages: int) -> list[tuple[int, int]]:
    """Height and width before the first stage and after each stage."""
    found = [(height, width)]
    for _ in range(n_stages):
        height, width = -(-height // 2), -(-width // 2)
        found.append((height, width))
    return found


class _Block(nn.Module):
    """h + conv(act(conv(act(h)))), close to the identity at the start."""

    def __init__(self, n_channels: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation].forward
        self.first = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.second = nn.Conv2d(n_channels, n_channels, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        found: Tensor = h + self.second(self.activation(self.first(self.activation(h))))
        return found


def _blocks(network: Conv, n_channels: int) -> nn.Sequential:
    made = (_Block(n_channels, network.activation) for _ in range(network.n_blocks))
    return nn.Sequential(*made)


class _ConvEncoder(RowWiseModule):
    """Stages of a convolution and blocks, then two fully connected layers."""

    def __init__(
        self,
        network: Conv,
        shape: tuple[int, int, int],
        by_column: ByColumn,
        n_outputs: int,
    ) -> None:
        super().__init__()
        height, width, n_colours = shape
        self.by_column = by_column
        self.image = height, width, n_colours * by_column.n_features
        self.activation = ACTIVATIONS[network.activation].forward
        channels = [self.image[-1], *map(int, network.channels)]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), _blocks(network, n_out))
            for n_in, n_out in pairwise(channels)
        )
        sizes = _sizes(height, width, len(network.channels))[1:]
        n_flat = [math.prod(size) * n for size, n in zip(sizes, channels[1:], strict=True)]
        self.hidden = nn.Linear(n_flat[-1] + len(by_column.rest), int(network.width))
        self.last = nn.Linear(int(network.width), n_outputs)
        self.hidden_sizes = [*n_flat, int(network.width)]

    def through(self, linear: Linear, rows: Tensor, generator: Generator | None = None) -> Tensor:
        pixels, rest = self.by_column(rows)
        h = pixels.view(-1, *self.image).permute(0, 3, 1, 2)  # the layout channels_last
        for number, stage in enumerate(self.stages):
            h = stage(h if number == 0 else self.activation(h))
        h = torch.cat([self.activation(h).permute(0, 2, 3, 1).flatten(1), rest], dim=1)
        hidden = linear(h, self.hidden.weight, self.hidden.bias)
        return linear(self.activation(hidden), self.last.weight, self.last.bias)


class _ConvDecoder(RowWiseModule):
    """Two fully connected layers, then stages of blocks and a transposed convolution."""

    def __init__(
        self,
        network: Conv,
        shape: tuple[int, int, int],
        n_inputs: int,
        from_columns: FromColumns,
    ) -> None:
        super().__init__()
        height, width, n_colours = shape
        self.from_columns = from_columns
        self.activation = ACTIVATIONS[network.activation].forward
        channels = [*map(int, reversed(network.channels)), n_colours * from_columns.n_outputs]
        self.sizes = _sizes(height, width, len(network.channels))[::-1]
        self.first = nn.Linear(n_inputs, int(network.width))
        n_flat = [math.prod(size) * n for size, n in zip(self.sizes, channels[:-1], strict=False)]
        self.hidden = nn.Linear(int(network.width), n_flat[0])
        self.hidden_sizes = [int(network.width), *n_flat]
        self.blocks = nn.ModuleList(_blocks(network, n_in) for n_in in channels[:-1])
        self.stages = nn.ModuleList(
            nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)
            for n_in, n_out in pairwise(channels)
        )

    def through(self, linear: Linear, rows: Tensor, generator: Generator | None = None) -> Tensor:
        first = self.activation(linear(rows, self.first.weight, self.first.bias))
        h = linear(first, self.hidden.weight, self.hidden.bias)
        h = h.view(h.shape[0], *self.sizes[0], -1).permute(0, 3, 1, 2)
        for blocks, stage, (height, width) in zip(
            self.blocks, self.stages, self.sizes[1:], strict=True
        ):
            # a stage doubles the size, which is one too many where the encoder rounded up
            h = stage(self.activation(blocks(h)))[..., :height, :width]
        d_k = h.permute(0, 2, 3, 1).reshape(h.shape[0], -1, self.from_columns.n_outputs)
        found: Tensor = self.from_columns(d_k)
        return found
