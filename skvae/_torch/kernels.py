"""Loops that numba compiles: in one pass what takes torch several passes over large tensors.

A kernel is a C function that runs on the threads of torch's own OpenMP. Each thread computes its
share of the elements, so torch's number of threads applies and no second pool competes. The result
of an element does not depend on that number. NaN that arithmetic produces remains NaN.

Importing this module needs numba. It raises NotImplementedError if torch's OpenMP lacks the entry
point of GNU's OpenMP, which on Linux LLVM's and Intel's have too.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import torch
from llvmlite import binding
from numba import carray, cfunc, njit, types
from numba.core.caching import FunctionCache
from numba.core.typing.templates import signature
from numba.extending import intrinsic
from torch import Tensor

_libraries = ctypes.CDLL(torch._C.__file__)  # torch's own library and all that it is linked to
if not hasattr(_libraries, "GOMP_parallel"):
    raise NotImplementedError("The OpenMP of this torch has no GOMP_parallel.")
_parallel = _libraries.GOMP_parallel
_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
_parallel.restype = None
for _name in ("thread_num", "num_threads"):
    _function = getattr(_libraries, f"omp_get_{_name}")
    binding.add_symbol(f"skvae_{_name}", ctypes.cast(_function, ctypes.c_void_p).value)
_thread_num = types.ExternalFunction("skvae_thread_num", signature(types.int32))
_num_threads = types.ExternalFunction("skvae_num_threads", signature(types.int32))


def _run(kernel: Any, *arguments: int | Tensor) -> None:
    """Run a kernel on as many threads as torch uses here, for which 0 stands."""
    numbers = [a if isinstance(a, int) else _address(a) for a in arguments]
    _parallel(kernel.address, (ctypes.c_int64 * len(numbers))(*numbers), 0, 0)


def _address(tensor: Tensor) -> int:
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise ValueError("A kernel takes contiguous tensors on the CPU.")
    return tensor.data_ptr()


try:
    FunctionCache(_run)
    _CACHED = True
except RuntimeError:  # neither this folder nor the user's cache folder is writeable
    _CACHED = False

# Not "nnan" and "ninf", since divergence must be detected.
_MATH: Any = {"fastmath": {"contract", "nsz"}, "error_model": "numpy", "cache": _CACHED}
_inline = njit(inline="always", **_MATH)
_kernel = cfunc(types.void(types.CPointer(types.int64)), **_MATH)
DTYPES = torch.float32, torch.bfloat16
_ALIGNED = 64  # elements, so that no wide register is split between threads

_f32, _i32, _u32, _u64 = np.float32, np.int32, np.uint32, np.uint64


def _pointer_of(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(address), generate


_pointer: Any = intrinsic(_pointer_of)


@_inline
def _share(n, unit=_ALIGNED):
    """The first element of this thread and the end, in whole units except at the end of n."""
    each = -(-n // (_num_threads() * unit)) * unit
    start = min(_thread_num() * each, n)
    return start, min(start + each, n)


@_inline
def _floats(address, n):
    return carray(_pointer(address), (n,), _f32)


@_inline
def _halves(address, n):
    """Numbers in bfloat16, as their bits."""
    return carray(_pointer(address), (n,), np.uint16)


@_inline
def _widened(bits):
    return _i32(_u32(bits) << _u32(16)).view(_f32)


@_inline
def _narrowed(x):
    """Round to the nearest bfloat16, ties to even."""
    bits = _u32(_f32(x).view(_i32))
    return np.uint16((bits + _u32(0x7FFF) + ((bits >> _u32(16)) & _u32(1))) >> _u32(16))


@_inline
def _exp(x):
    """e^x of x <= 0, to the last digit of float32; 2^-126 if it is less than that."""
    t = x * _f32(1.4426950408889634)
    t = _f32(-126) if t < _f32(-126) else t
    whole = np.floor(t)
    r = t - whole
    # 2^r by Chebyshev's polynomial on [0, 1], to 3e-9
    p = _f32(2.18657848e-4)
    p = _f32(1.23913318e-3) + r * p
    p = _f32(9.68418631e-3) + r * p
    p = _f32(5.54806302e-2) + r * p
    p = _f32(2.40230454e-1) + r * p
    p = _f32(6.93146933e-1) + r * p
    p = _f32(1) + r * p
    return _i32((_i32(whole) + _i32(127)) << _i32(23)).view(_f32) * p


@_inline
def _sigmoid(x):
    e = _exp(-abs(x))
    larger = _f32(1) / (_f32(1) + e)  # of sigmoid(x) and sigmoid(-x)
    return larger if x > 0 else e * larger


@_inline
def _elu(x):
    below = _f32(0) if x > 0 else x
    return x if x > 0 else _exp(below) - _f32(1)


@_inline
def _elu_slope(y):
    """The slope of ELU, given its result y."""
    return y + _f32(1) if y < 0 else _f32(1)


# Each loop is written once. ``array`` makes an array of an address, and its elements pass through
# ``read`` and ``write``: unchanged in float32, widened and narrowed in bfloat16.


@_inline
def _same(x):
    return x


@_inline
def _elu_loop(arguments, array, read, write):
    n = arguments[0]
    start, stop = _share(n)
    x = array(arguments[1], n)[start:stop]
    for i in range(len(x)):
        x[i] = write(_elu(read(x[i])))


@_kernel
def _elu_float32(arguments):
    _elu_loop(arguments, _floats, _same, _same)


@_kernel
def _elu_bfloat16(arguments):
    _elu_loop(arguments, _halves, _widened, _narrowed)


@_inline
def _elu_backward_loop(arguments, array, read, write):
    n = arguments[0]
    start, stop = _share(n)
    g, y = array(arguments[1], n)[start:stop], array(arguments[2], n)[start:stop]
    for i in range(len(g)):
        g[i] = write(read(g[i]) * _elu_slope(read(y[i])))


@_kernel
def _elu_backward_float32(arguments):
    _elu_backward_loop(arguments, _floats, _same, _same)


@_kernel
def _elu_backward_bfloat16(arguments):
    _elu_backward_loop(arguments, _halves, _widened, _narrowed)


@_kernel
def _draw_bernoulli(arguments):
    n = arguments[0]
    start, stop = _share(n)
    p, out = _floats(arguments[1], n)[start:stop], _floats(arguments[2], n)[start:stop]
    seed = _u64(arguments[3])
    bits = np.empty(16, _u64)
    levels = bits.view(np.uint16)
    for first in range(0, len(p), len(levels)):
        # splitmix64: the hash of a counter, which gives four draws
        for i in range(len(bits)):
            count = _u64((start + first) // 4 + i)
            z = _u64(seed + count * _u64(0x9E3779B97F4A7C15))
            z = _u64((z ^ (z >> _u64(30))) * _u64(0xBF58476D1CE4E5B9))
            z = _u64((z ^ (z >> _u64(27))) * _u64(0x94D049BB133111EB))
            bits[i] = z ^ (z >> _u64(31))
        part, result = p[first : first + len(levels)], out[first : first + len(levels)]
        for i in range(len(part)):
            # u < p for the midpoints u of intervals of 2^-16
            below = _f32(levels[i]) + _f32(0.5) < part[i] * _f32(65536)
            result[i] = _f32(1) if below else _f32(0)


@_inline
def _bernoulli_gradient_loop(arguments, array, read, write):
    n, d, n_x = arguments[0], arguments[1], arguments[2]
    x, gradient = _floats(arguments[3], n_x * d), _floats(arguments[4], n)
    logits, out = array(arguments[5], n * d), array(arguments[6], n * d)
    start, stop = _share(n, 1)
    for row in range(start, stop):
        at, at_x = row * d, row % n_x * d  # the rows of the table repeat for each draw
        cells, logit, result = x[at_x : at_x + d], logits[at : at + d], out[at : at + d]
        for i in range(d):
            result[i] = write((cells[i] - _sigmoid(read(logit[i]))) * gradient[row])


@_kernel
def _bernoulli_gradient_float32(arguments):
    _bernoulli_gradient_loop(arguments, _floats, _same, _same)


@_kernel
def _bernoulli_gradient_bfloat16(arguments):
    _bernoulli_gradient_loop(arguments, _halves, _widened, _narrowed)


@_inline
def _stepped(gradient, value, first, second, by):
    """A weight after a step, and the averages of its gradient and of its squared gradient."""
    decay, clip, to_first, to_second, rate, scale, eps = by
    g = gradient + decay * value
    g = -clip if g < -clip else g
    g = clip if g > clip else g
    first += to_first * (g - first)
    second += to_second * (g * g - second)
    return value - rate * first / (np.sqrt(second) * scale + eps), first, second


@_inline
def _adam_loop(arguments, array, read, write, copies):
    n = arguments[0]
    start, stop = _share(n)
    s = _floats(arguments[1], 7)
    by = s[0], s[1], s[2], s[3], s[4], s[5], s[6]
    values, gradient = _floats(arguments[2], n)[start:stop], array(arguments[3], n)[start:stop]
    first, second = _floats(arguments[4], n)[start:stop], _floats(arguments[5], n)[start:stop]
    copy = array(arguments[6], n)[start:stop] if copies else gradient
    for i in range(len(values)):
        found = _stepped(read(gradient[i]), values[i], first[i], second[i], by)
        values[i], first[i], second[i] = found
        if copies:
            copy[i] = write(values[i])


@_kernel
def _adam_float32(arguments):
    _adam_loop(arguments, _floats, _same, _same, False)


@_kernel
def _adam_bfloat16(arguments):
    _adam_loop(arguments, _halves, _widened, _narrowed, True)


def elu_(x: Tensor) -> Tensor:
    """ELU of a contiguous tensor in float32 or bfloat16, in place."""
    kernel = _elu_float32 if x.dtype == torch.float32 else _elu_bfloat16
    _run(kernel, x.numel(), x)
    return x


def elu_backward_(gradient: Tensor, result: Tensor) -> Tensor:
    """The gradient by the argument of ELU, in place of the gradient by its result.

    Both tensors are contiguous and of the same type.
    """
    float32 = gradient.dtype == torch.float32
    kernel = _elu_backward_float32 if float32 else _elu_backward_bfloat16
    _run(kernel, gradient.numel(), gradient, result)
    return gradient


def draw_bernoulli(p: Tensor, seed: int) -> Tensor:
    """Draws of 0 or 1, as by ``skvae._torch.random.draw_bernoulli``.

    The probabilities are contiguous, in float32. The bits are those of splitmix64 [1]_ from
    ``seed``.

    References
    ----------
    .. [1] G. L. Steele, D. Lea and C. H. Flood, "Fast Splittable Pseudorandom Number
           Generators", OOPSLA 2014.
    """
    out = torch.empty_like(p)
    _run(_draw_bernoulli, p.numel(), p, out, seed)
    return out


def bernoulli_gradient(x: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
    """(x - sigmoid(logits)) times the gradient of each row. (N, d), (S, N, d), (S, N).

    The first two are contiguous. The logits are in float32 or bfloat16, as is the result. The
    others are in float32.
    """
    float32 = logits.dtype == torch.float32
    kernel = _bernoulli_gradient_float32 if float32 else _bernoulli_gradient_bfloat16
    gradient, out = gradient.contiguous(), torch.empty_like(logits)
    _run(kernel, gradient.numel(), x.shape[-1], len(x), x, gradient, logits, out)
    return out


def adam(
    values: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    copy: Tensor | None,
    *,
    decay: float,
    clip: float,
    betas: tuple[float, float],
    n_steps: float,
    rate: float,
    eps: float,
) -> None:
    """Adam's step number ``n_steps`` by the gradient plus ``decay`` times the weights, clipped.

    All vectors have the same length and are in float32. With a ``copy`` of the weights, the copy
    and the gradient are in bfloat16.
    """
    by = torch.tensor(
        [
            decay,
            clip,
            1 - betas[0],
            1 - betas[1],
            rate / (1 - betas[0] ** n_steps),
            1 / math.sqrt(1 - betas[1] ** n_steps),
            eps,
        ],
        dtype=torch.float32,
        device="cpu",
    )
    vectors = values, gradient, first, second
    if copy is None:
        _run(_adam_float32, len(values), by, *vectors)
    else:
        _run(_adam_bfloat16, len(values), by, *vectors, copy)
