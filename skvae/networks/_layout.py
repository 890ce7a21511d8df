"""Features and outputs of a network, arranged by the columns of the table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


def check_shape(name: str, shape: Sequence[int], n_columns: int) -> None:
    """Raise ValueError unless the product of a network's parameter is the number of columns."""
    if math.prod(shape) != n_columns:
        raise ValueError(
            f"{name!r} must have the product {n_columns}, the number of columns; got "
            f"{tuple(shape)} with the product {math.prod(shape)}. Give the shape of what was "
            "flattened to rows."
        )


class ByColumn(nn.Module):
    """Features as an array with an entry for each column: (N, n_inputs) -> (N, d, k), (N, rest).

    ``k`` is the largest number of features of a column, and 0 stands for those that others lack.
    The rest are features that belong to no column.
    """

    columns: Tensor
    rest: Tensor

    def __init__(self, columns: Sequence[NDArray[np.intp]], n_inputs: int) -> None:
        super().__init__()
        index = np.full((len(columns), max(map(len, columns))), n_inputs)  # of an appended 0
        for entry, numbers in zip(index, columns, strict=True):
            entry[: len(numbers)] = numbers
        rest = np.setdiff1d(np.arange(n_inputs), index)
        self.n_features = index.shape[1]
        self.register_buffer("columns", torch.from_numpy(index.ravel()), persistent=False)
        self.register_buffer("rest", torch.from_numpy(rest), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        by_column = F.pad(x, (0, 1)).index_select(-1, self.columns)
        return by_column.view(x.shape[0], -1, self.n_features), x.index_select(-1, self.rest)


class FromColumns(nn.Module):
    """Outputs from an array with an entry for each column: (N, d, k) -> (N, n_outputs)."""

    places: Tensor

    def __init__(self, columns: Sequence[NDArray[np.intp]], n_outputs: int) -> None:
        super().__init__()
        self.n_outputs = max(map(len, columns))  # of a column
        places = np.empty(n_outputs, dtype=np.intp)
        for start, numbers in enumerate(columns):
            places[numbers] = start * self.n_outputs + np.arange(len(numbers))
        self.register_buffer("places", torch.from_numpy(places), persistent=False)

    def forward(self, by_column: Tensor) -> Tensor:
        return by_column.flatten(1).index_select(1, self.places)
