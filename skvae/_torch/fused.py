"""Whether what is at hand runs on the kernels that numba compiles, where it is installed."""

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
    """What ``skvae._torch.kernels`` offers, for tensors of the types in ``DTYPES``."""

    @property
    def DTYPES(self) -> tuple[torch.dtype, ...]: ...
    def elu_(self, x: Tensor) -> Tensor: ...
    def elu_backward_(self, gradient: Tensor, result: Tensor) -> Tensor: ...
    def draw_bernoulli(self, p: Tensor, seed: int) -> Tensor: ...
    def bernoulli_gradient(self, x: Tensor, logits: Tensor, gradient: Tensor) -> Tensor: ...
    def adam(self, *vectors: Any, **settings: Any) -> None: ...


@contextmanager
def fused(wanted: bool) -> Iterator[None]:
    """Where ``kernels`` gives them, in the calling thread, if wanted and there."""
    before = kernels()
    _here.kernels = _load() if wanted else None
    try:
        yield
    finally:
        _here.kernels = before


def kernels() -> Kernels | None:
    """``skvae._torch.kernels``, or None where torch's own operations are to be taken."""
    return getattr(_here, "kernels", None)


@lru_cache(maxsize=1)
def _load() -> Kernels | None:
    # some tenths of a second, and some seconds where they were never compiled before
    if find_spec("numba") is None:
        return None
    try:
        from skvae._torch import kernels as compiled
    except NotImplementedError:  # which VAETransformer's notes say
        return None
    except Exception as error:  # of whatever kind a compiler or its store of files may raise
        warn(
            "numba could not load or compile skvae's kernels, so torch's operations serve, up to a "
            f"fifth slower: {error!r}. If what it stored is at fault, set NUMBA_CACHE_DIR to "
            "another folder."
        )
        return None
    return compiled
