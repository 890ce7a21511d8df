"""Apply a trained module to many rows, in chunks of bounded memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from skvae._chunks import chunks
from skvae._model import VAE
from skvae._runtime import torch_runtime

CHUNK_ELEMENTS = 2**20  # of the largest tensor of a chunk: by measurement, the fastest


def infer(
    model: VAE,
    call: Callable[[VAE, Tensor], Tensor],
    load: Callable[[slice], NDArray[Any]],
    n_rows: int,
    *,
    dtype: DTypeLike,
    n_draws: int = 1,
    finish: Callable[[NDArray[Any]], NDArray[Any]] = lambda result: result,
) -> NDArray[Any]:
    """``finish(call(model, rows))`` of the rows that ``load`` yields by chunks. -> (n_rows, ...).

    Computes in ``dtype``, that of the caller's rows: float32 arithmetic on float64 rows would
    make a row's result depend on the rows beside it.
    """
    parameters = list(model.parameters())
    device, precision = parameters[0].device, torch.from_numpy(np.empty(0, dtype)).dtype
    if precision != parameters[0].dtype:
        model = copy.deepcopy(model).to(precision)
    shapes = [max(parameter.shape, default=1) for parameter in parameters]
    widest = max(sum(model.n_outputs), model.prior.mean.numel(), *shapes)
    size = max(1, CHUNK_ELEMENTS // (n_draws * widest))
    work = min(size, n_rows) * n_draws * sum(parameter.numel() for parameter in parameters)
    with torch_runtime(device, work=work):
        for rows in chunks(n_rows, size) if n_rows else [slice(0, 0)]:
            x = torch.as_tensor(load(rows), dtype=precision, device=device)
            part = finish(call(model, x).cpu().numpy())
            if rows.start == 0:
                out = np.empty((n_rows, *part.shape[1:]), dtype=dtype)
            out[rows] = part
    return out
