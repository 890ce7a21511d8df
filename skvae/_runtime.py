"""Leave the caller's torch as it was: modes, default dtype, threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from threadpoolctl import ThreadpoolController

# Below this many multiply-adds in one call of a network, a second thread costs more than it brings.
WORK_PER_THREAD = 20_000_000


@contextmanager
def torch_runtime(device: torch.device, *, work: float, gradients: bool) -> Iterator[None]:
    """Run our own torch code whatever modes the caller is in.

    Parameters
    ----------
    device : torch.device
    work : float
        Multiply-adds of one call; small ones run on one thread.
    gradients : bool
        Whether autograd records.
    """
    threads = None if work >= 2 * WORK_PER_THREAD else 1
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
        torch.autocast(device.type, enabled=False),
        _controller().limit(limits=threads),
    ):
        yield


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


# A forked child hangs in its parent's thread pool unless it starts with one thread of its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def resolve_device(name: str | torch.device) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one, else the CPU."""
    if isinstance(name, str) and name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={name!r} is not there: {error}. Choose 'auto', 'cpu' or a device that "
            "torch can use here."
        ) from error
    return device
