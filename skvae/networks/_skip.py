"""A linear map beside a network."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from skvae.networks._base import Linear, NetworkModule, RowWiseModule, scale_start


def with_skip(
    module: NetworkModule, n_inputs: int, n_outputs: int, *, skip: bool | None
) -> NetworkModule:
    """The module, plus a linear map of its input unless ``skip`` is False."""
    return module if skip is False else _WithSkip(module, n_inputs, n_outputs)


class _WithSkip(RowWiseModule):
    """module(x) + x S' + s, with S and s initially 0."""

    has_linear = True

    def __init__(self, module: NetworkModule, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.module = module
        self.row_wise = module.row_wise
        self.skip = nn.Linear(n_inputs, n_outputs)
        scale_start(self.skip, 0.0)

    def through(self, linear: Linear, rows: Tensor, generator: Generator | None = None) -> Tensor:
        found: Tensor = self.module(rows, generator)
        return found + linear(rows, self.skip.weight, self.skip.bias)

    def set_linear(self, weight: Tensor, bias: Tensor) -> None:
        self.skip.weight.data.copy_(weight)
        self.skip.bias.data.copy_(bias)
