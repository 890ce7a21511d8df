"""The state between two epochs, with which a run that was killed can continue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

Array = NDArray[Any]


@dataclass
class BetweenEpochs:
    """All that the next epochs of a stage depend on, besides the rows and the plan, as arrays.

    Attributes
    ----------
    n_before : int
        The number of epochs of the run before the stage.
    start, generator : ndarray
        The states of the generator at the start of the stage, and now.
    model : dict of ndarray
        All parameters and buffers, by name.
    tensors, best : list of ndarray
        Averages of weights and moments of gradients; the weights of the best epoch.
    watch, history : dict
        The numbers of ``Watch``, and the fields of ``History``.
    """

    n_before: int
    start: Array
    generator: Array
    model: dict[str, Array]
    tensors: list[Array]
    best: list[Array]
    watch: dict[str, Any]
    history: dict[str, Any]


def copies(tensors: Sequence[Tensor]) -> list[Array]:
    """Copies of tensors as arrays."""
    return [tensor.cpu().numpy().copy() for tensor in tensors]


@torch.no_grad()
def set_tensors(tensors: Sequence[Tensor], arrays: Sequence[Array]) -> None:
    """Set tensors to the values of arrays."""
    for tensor, array in zip(tensors, arrays, strict=True):
        tensor.copy_(torch.from_numpy(array))


def generator_state(generator: Generator) -> Array:
    """The state of a generator."""
    found: Array = generator.get_state().numpy().copy()
    return found


def set_generator_state(generator: Generator, state: Array) -> None:
    """Set the state of a generator."""
    generator.set_state(torch.from_numpy(state))
