"""Leave the caller's torch as it was: modes, default dtype, threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from threadpoolctl import ThreadpoolController

# With fewer weights a network's operations are too short to share between threads: where another
# process holds a core, each would wait for it.
WEIGHTS_FOR_THREADS = 200_000


@contextmanager
def torch_runtime(
    device: torch.device, *, n_weights: int = 0, gradients: bool = False
) -> Iterator[None]:
    """Run our own torch code whatever modes the caller is in.

    Parameters
    ----------
    device : torch.device
    n_weights : int, default=0
        Of the network that runs; a small one runs on one thread.
    gradients : bool, default=False
        Whether autograd records.
    """
    threads = None if n_weights >= WEIGHTS_FOR_THREADS else 1
    torch.get_num_threads()  # initialises torch's count in a new Python thread, before the limit
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
        torch.autocast(device.type, enabled=False),
        _controller().limit(limits=threads),
    ):
        yield


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    # OpenMP alone, which torch obeys: its count is each thread's own, that of a BLAS is not
    return ThreadpoolController().select(user_api="openmp")


# A forked child hangs in its parent's thread pool unless it starts with one thread of its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def resolve_device(name: str | torch.device) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one, else the CPU."""
    if isinstance(name, str) and name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("only CPU and CUDA are supported")
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={name!r} is not there: {error}. Choose 'auto', 'cpu' or a device that "
            "torch can use here."
        ) from error
    return device
