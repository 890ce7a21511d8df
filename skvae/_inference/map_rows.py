"""Apply a trained module to many rows, in chunks of bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skvae._blocks import CHUNK_BYTES, chunks
from skvae._inference.abandon import listen_to
from skvae._interrupts import interrupts_held
from skvae._model.vae import VAE
from skvae._torch.runtime import torch_runtime

# Rows times draws times weights above which several threads are faster.
SHARED_WORK = 25_000_000


class Size(NamedTuple):
    """Memory that a row needs, in codes.

    ``decoded`` is the number of codes that are decoded together, or of results that are made from
    the row. ``held`` is the number of codes in memory. The larger they are, the fewer rows a chunk
    has.
    """

    decoded: int = 1
    held: int = 1


ONE = Size()


class Input(NamedTuple):
    """Rows of arrays, and the dtype of the computation with them.

    ``load`` maps a slice of the ``n_rows`` rows to an array.
    """

    load: Callable[[slice], NDArray[Any]]
    n_rows: int
    dtype: Any


def map_rows(
    model: VAE,
    call: Callable[[VAE, Tensor, slice], Tensor],
    source: Input,
    *,
    size: Size = ONE,
    finish: Callable[[NDArray[Any]], NDArray[Any]] = lambda result: result,
    in_order: bool = False,
    float32_networks: bool = False,
) -> NDArray[Any]:
    """Compute ``finish(call(model, x, rows))`` for the rows x of the source. -> (n_rows, ...).

    Computes in the dtype of the caller's rows. In float32 arithmetic on float64 rows, the result of
    a row would depend on the other rows of its chunk. With ``float32_networks`` and rows in
    float64, networks compute in float32 where that is not so (see ``VAE.in_precision``).

    As many chunks run in parallel as torch has threads, each on one thread. Several threads for
    one operation would wait for each other, and long if another process occupies a core. With
    ``in_order`` chunks run one after the other, as is required for calls that draw random numbers.
    """
    load, n_rows, dtype = source
    parameters = list(model.parameters())
    device, precision = parameters[0].device, torch.from_numpy(np.empty(0, dtype)).dtype
    if precision != parameters[0].dtype:
        with torch_runtime(device):  # outside inference mode, so that autograd may record the copy
            model = model.in_precision(precision, float32_networks=float32_networks)
    work = n_rows * max(size) * sum(parameter.numel() for parameter in parameters)
    together = work >= SHARED_WORK and device.type == "cpu" and not in_order
    n_threads = torch.get_num_threads() if together else 1
    of_codes = size.held * model.n_components * precision.itemsize
    of_row = max(size.decoded * model.code_bytes, of_codes)
    rows_at_once = min(CHUNK_BYTES // of_row, -(-n_rows // n_threads))

    def result(rows: slice) -> NDArray[Any]:
        with interrupts_held() as hold, torch_runtime(device), hold.lifted():
            x = torch.as_tensor(load(rows), dtype=precision, device=device)
            return finish(call(model, x, rows).cpu().numpy())

    pieces = list(chunks(n_rows, rows_at_once)) if n_rows else [slice(0, 0)]
    with _mapping(n_threads) as each:
        for rows, part in zip(pieces, each(result, pieces), strict=True):
            if rows.start == 0:
                out = np.empty((n_rows, *part.shape[1:]), dtype=dtype)
            out[rows] = part
    return out


@contextmanager
def _mapping(n_threads: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """``map`` on this number of threads. After an error or an interrupt, calls end early."""
    if n_threads == 1:
        yield map
        return
    abandoned = threading.Event()
    pool = ThreadPoolExecutor(n_threads, initializer=listen_to, initargs=(abandoned,))
    try:
        yield partial(_map_on, pool)
    finally:
        abandoned.set()
        pool.shutdown(cancel_futures=True)


def _map_on(pool: ThreadPoolExecutor, *what: Any) -> Iterator[Any]:
    """``map`` on the threads of a pool, or on the calling thread if no other can be started."""
    try:
        return pool.map(*what)  # starts all calls; errors are raised when results are read
    except RuntimeError:  # the interpreter is shutting down
        return map(*what)
