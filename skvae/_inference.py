"""Apply a trained module to many rows, in chunks of bounded memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from skvae._model import VAE
from skvae._runtime import torch_runtime
from skvae._training import chunks

CHUNK_ELEMENTS = 2**21  # of the largest tensor of a chunk


def infer(
    model: VAE,
    call: Callable[[VAE, Tensor], Tensor],
    load: Callable[[slice], NDArray[Any]],
    n_rows: int,
    *,
    dtype: DTypeLike,
    n_draws: int = 1,
) -> NDArray[Any]:
    """``call`` on the rows that ``load`` yields, chunk by chunk. -> (n_rows, ...).

    Computes in ``dtype``, that of the caller's rows: float32 arithmetic on float64 rows would
    make a row's result depend on the rows beside it.
    """
    parameters = list(model.parameters())
    device, precision = parameters[0].device, torch.from_numpy(np.empty(0, dtype)).dtype
    if precision != parameters[0].dtype:
        model = copy.deepcopy(model).to(precision)
    widest = max(max(parameter.shape) for parameter in parameters)
    size = max(1, CHUNK_ELEMENTS // (n_draws * widest))
    with torch_runtime(device, n_weights=sum(parameter.numel() for parameter in parameters)):
        parts = [
            call(model, torch.as_tensor(load(rows), dtype=precision, device=device)).cpu().numpy()
            for rows in chunks(n_rows, size)
        ]
    return np.concatenate(parts)
