"""Leave the caller's torch as it was: modes, default dtype, threads."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from skvae._torch.fused import fused

# The work of a step is its rows, times draws, times weights of the networks. Where that is less,
# two threads gain less than half (and while another process holds a core, they wait for it in each
# operation), bfloat16 and kernels gain little.
LARGE_WORK = 75_000_000

# glibc gives memory back to the system where more is free than twice the largest block that it ever
# unmapped; blocks of over 32 MiB do not count, nor does the page that it may add to a smaller one.
LARGEST_BLOCK = 2**25 - 2**16


@contextmanager
def torch_runtime(device: torch.device, *, work: int = 0) -> Iterator[None]:
    """Run our own torch code whatever modes the caller is in. Autograd does not record.

    Parameters
    ----------
    device : torch.device
    work : int, default=0
        Rows times draws times weights of a step. Where that is little it runs on one thread, where
        it is large on a CPU by the kernels of numba, if that is installed.
    """
    large = work >= LARGE_WORK
    threads = None if large else 1
    torch.get_num_threads()  # initialises torch's count in a new Python thread, before the limit
    keep_freed_memory()
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        _controller().limit(limits=threads),
        _mkl_limit(threads),
        fused(large and device.type == "cpu"),
    ):
        yield


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of what is freed, for the rest of the process.

    A step that takes and frees megabytes would else wait for new pages each time.
    """
    np.empty(LARGEST_BLOCK, np.uint8)  # freed at once, never touched


def networks_in(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Where networks compute in a precision: autocast for "bfloat16"."""
    if precision == "float32":
        return nullcontext()
    # weights change from step to step: no copies of them are kept
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def resolve_precision(name: str, device: torch.device, work: int) -> str:
    """The precision of a name; "auto" is bfloat16 where that is faster."""
    if name != "auto":
        return name
    faster = work >= LARGE_WORK and _accelerates_bfloat16(device)
    return "bfloat16" if faster else "float32"


def _accelerates_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return cpu_has_bfloat16()


@lru_cache(maxsize=1)
def cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; no where torch cannot tell yet."""
    found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    # OpenMP alone, which torch obeys: its count is each thread's own, that of a BLAS is not
    return ThreadpoolController().select(user_api="openmp")


@contextmanager
def _mkl_limit(threads: int | None) -> Iterator[None]:
    """A limit on the MKL of torch, in the calling Python thread.

    It obeys OpenMP's count until ``torch.set_num_threads`` sets its own.
    """
    set_local = _mkl_set_num_threads_local()
    if threads is None or set_local is None:
        yield
        return
    before = set_local(threads)
    try:
        yield
    finally:
        set_local(before)


@lru_cache(maxsize=1)
def _mkl_set_num_threads_local() -> Callable[[int], int] | None:
    """MKL's function, which returns the former count; None where it is not found.

    So it is in a torch without MKL, and on Windows, where a library's own needs are not searched.
    """
    return getattr(ctypes.CDLL(torch._C.__file__), "MKL_Set_Num_Threads_Local", None)


# A limit on a BLAS is the process's: of two Python threads one could lift what the other had set.
_one_thread = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """A single thread for BLAS and OpenMP, for products too small to share."""
    with _one_thread, threadpool_limits(limits=1):
        yield


def _after_fork() -> None:
    """A child hangs in its parent's thread pool, or at its lock, unless it has its own."""
    global _one_thread
    _one_thread = threading.Lock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def resolve_device(name: str | torch.device) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one, else the CPU."""
    if isinstance(name, str) and name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"device={name!r} must be 'auto', 'cpu' or 'cuda', also as 'cuda:1'.")
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")  # CUDA has hints for its developers
        raise ValueError(
            f"device={name!r} is not there: {reason}. Choose 'auto', 'cpu' or a device that "
            "torch can use here."
        ) from error
    return device
