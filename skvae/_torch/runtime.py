"""Run torch code without changing the caller's modes, default dtype and threads."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any, Protocol, Self

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from skvae._interrupts import interrupts_held
from skvae._torch.fused import fused, load_kernels

# The work of a step is its rows, times draws, times weights of the networks. Below this, a second
# thread saves less than half of the time, and slows the step down while another process occupies a
# core. bfloat16 and kernels save little.
LARGE_WORK = 75_000_000

# glibc returns memory to the system if more is free than twice the largest block that it ever
# unmapped. Blocks over 32 MiB do not count, nor does the page that it may add to a smaller one.
LARGEST_BLOCK = 2**25 - 2**16


@contextmanager
def torch_runtime(device: torch.device, *, work: int = 0) -> Iterator[Caller]:
    """Run this package's torch code independently of the caller's modes. Autograd is off.

    Interrupts are held back in the block, unless it is in a block that lifts this.

    Parameters
    ----------
    device : torch.device
    work : int, default=0
        Rows times draws times weights of a step. A small step runs on one thread. A large step on a
        CPU uses the kernels of numba, if numba is installed.

    Yields
    ------
    caller : Caller
        The modes outside of this context, in which the caller's own code can run.
    """
    large = work >= LARGE_WORK
    by_kernels = large and device.type == "cpu"
    if by_kernels:
        load_kernels()  # may take seconds, in which it may be interrupted
    torch.get_num_threads()  # initialises torch's count in a new Python thread, before the limit
    keep_freed_memory()
    caller = Caller.of(device)
    with (
        interrupts_held(),
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        nullcontext() if large else limit(thread_pools(), repeat(1)),
        fused(by_kernels),
    ):
        yield caller


@dataclass
class Caller:
    """The torch settings of the caller of this package, in the calling Python thread."""

    device: torch.device
    inference: bool
    gradients: bool
    autocast: bool
    autocast_dtype: torch.dtype
    threads: list[int]

    @classmethod
    def of(cls, device: torch.device) -> Self:
        """The current settings, on a device."""
        return cls(
            device,
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
            torch.is_autocast_enabled(device.type),
            torch.get_autocast_dtype(device.type),
            [pool.num_threads for pool in thread_pools()],
        )

    @contextmanager
    def modes(self) -> Iterator[None]:
        """Run the caller's code as it would run outside of ``torch_runtime``."""
        with (
            torch.inference_mode(self.inference),
            torch.set_grad_enabled(self.gradients),
            torch.autocast(self.device.type, self.autocast_dtype, self.autocast),
            limit(thread_pools(), self.threads),
        ):
            yield


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of freed memory, for the rest of the process.

    Otherwise a step that allocates and frees megabytes would wait for new pages each time.
    """
    np.empty(LARGEST_BLOCK, np.uint8)  # freed at once, never touched


def networks_in(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """A context in which networks compute in a precision: autocast for "bfloat16"."""
    if precision == "float32":
        return nullcontext()
    # no copies of weights are cached, since they change in each step
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def resolve_precision(name: str, device: torch.device, work: int) -> str:
    """The precision with a name; "auto" is bfloat16 if that is faster."""
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
    """Whether the processor has instructions for bfloat16; False if torch cannot report it."""
    found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


class ThreadPool(Protocol):
    """The threads of a library, as threadpoolctl describes them."""

    @property
    def num_threads(self) -> int: ...
    def set_num_threads(self, num_threads: int) -> Any: ...


@contextmanager
def limit(pools: Sequence[ThreadPool], counts: Iterable[int]) -> Iterator[None]:
    """Set the number of threads of each pool, and restore it afterwards."""
    before = [pool.num_threads for pool in pools]
    try:
        set_threads(pools, counts)
        yield
    finally:
        set_threads(pools, before)


def set_threads(pools: Sequence[ThreadPool], counts: Iterable[int]) -> None:
    """Set the number of threads of each pool, in the calling Python thread."""
    for pool, count in zip(pools, counts, strict=False):
        pool.set_num_threads(count)


@lru_cache(maxsize=1)
def thread_pools() -> list[ThreadPool]:
    """The pools of OpenMP and MKL, which torch uses. Each Python thread has its own counts."""
    mkl = _mkl_set_num_threads_local()
    openmp = _libraries().select(user_api="openmp").lib_controllers
    return [*openmp, *([] if mkl is None else [Mkl(mkl)])]


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """The libraries with pools of threads that this process had loaded at the first call."""
    return ThreadpoolController()  # takes milliseconds


class Mkl:
    """The MKL of torch, in the calling Python thread.

    Its count is 0 until one is set. 0 stands for that of OpenMP, or of ``torch.set_num_threads``.
    """

    def __init__(self, set_num_threads: Callable[[int], int]) -> None:
        self.set_num_threads = set_num_threads  # returns the former count

    @property
    def num_threads(self) -> int:
        count = self.set_num_threads(0)
        self.set_num_threads(count)
        return count


@lru_cache(maxsize=1)
def _mkl_set_num_threads_local() -> Callable[[int], int] | None:
    """The function of MKL that sets the number of threads; None if it is not found.

    It is not found in a torch without MKL, and on Windows, where the libraries that a library is
    linked to are not searched.
    """
    return getattr(ctypes.CDLL(torch._C.__file__), "MKL_Set_Num_Threads_Local", None)


# A limit on BLAS applies to the whole process, so one of two Python threads could remove the limit
# of the other.
_one_thread = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Use a single thread for BLAS and OpenMP, for products too small for several."""
    with _one_thread, limit(_libraries().lib_controllers, repeat(1)):
        yield


# Reentrant, since the modules of one fit may be built within those of another.
_one_seed = threading.RLock()


@contextmanager
def seeded_generators(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators of the CPU and a device, and restore their states afterwards.

    They belong to the process, so only one Python thread runs here at a time.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        number = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[number])
    with _one_seed:
        states = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.manual_seed(seed)
            yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Build custom modules with torch's own defaults and a seeded global generator.

    A ``torch.nn.Linear`` draws its weights from the global generator. The default type belongs to
    the process too.
    """
    cpu = torch.device("cpu")
    with seeded_generators(seed, cpu), cpu:
        dtype = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float32)
            yield
        finally:
            torch.set_default_dtype(dtype)


def _after_fork() -> None:
    """Give a child process its own locks and one thread, since it would hang in its parent's."""
    global _one_seed, _one_thread
    _one_seed, _one_thread = threading.RLock(), threading.Lock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def resolve_device(name: str | torch.device) -> torch.device:
    """The device with a name; "auto" is CUDA if available, otherwise the CPU."""
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
        reason = str(error).partition("\n")[0].rstrip(".")  # CUDA appends hints for developers
        raise ValueError(
            f"device={name!r} is not available: {reason}. Choose 'auto', 'cpu' or a device that "
            "torch can use here."
        ) from error
    return device
