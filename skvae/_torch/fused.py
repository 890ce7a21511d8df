"""Choose between torch's operations and kernels that numba compiles, if numba is installed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from skvae._warn import warn

_here = threading.local()


class Kernels(Protocol):
    """The functions of ``skvae._torch.kernels``, for tensors of the types in ``DTYPES``."""

    @property
    def DTYPES(self) -> tuple[torch.dtype, ...]: ...
    def elu_(self, x: Tensor) -> Tensor: ...
    def elu_backward_(self, gradient: Tensor, result: Tensor) -> Tensor: ...
    def draw_bernoulli(self, p: Tensor, seed: int) -> Tensor: ...
    def bernoulli_gradient(self, x: Tensor, logits: Tensor, gradient: Tensor) -> Tensor: ...
    def adam(self, *vectors: Any, **settings: Any) -> None: ...


@contextmanager
def fused(wanted: bool) -> Iterator[None]:
    """A context in which ``kernels`` returns the kernels, in the calling thread.

    Only if they are wanted and available.
    """
    before = kernels()
    _here.kernels = load_kernels() if wanted else None
    try:
        yield
    finally:
        _here.kernels = before


def kernels() -> Kernels | None:
    """``skvae._torch.kernels``, or None if torch's own operations should be used."""
    return getattr(_here, "kernels", None)


@lru_cache(maxsize=1)
def load_kernels() -> Kernels | None:
    """``skvae._torch.kernels``, or None if they cannot be used here."""
    # takes a few tenths of a second, or a few seconds if they were never compiled before
    if find_spec("numba") is None:
        return None
    try:
        from skvae._torch import kernels as compiled
    except NotImplementedError:  # documented in the notes of VAETransformer
        return None
    except Exception as error:  # a compiler may raise any kind
        warn(
            "numba could not load or compile skvae's kernels. torch's operations are used instead, "
            f"which are up to a fifth slower: {error!r}. If numba's cache is the cause, set "
            "NUMBA_CACHE_DIR to another folder."
        )
        return None
    return compiled
