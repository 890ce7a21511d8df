"""Loops that numba compiles: what takes torch several passes over large tensors, in one.

A kernel is a C function that runs on the threads of torch's own OpenMP, each of which takes its
share of the elements, so that torch's number of threads holds and no second pool competes. An
element's result does not depend on that number. NaN that arithmetic makes stays NaN.

Importing this needs numba, and raises NotImplementedError where torch's OpenMP does not have the
entry point of GNU's, which LLVM's and Intel's have too on Linux.
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

_libraries = ctypes.CDLL(torch._C.__file__)  # torch's own and all that it is linked to
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
    """A kernel on as many threads as torch takes here, which 0 stands for."""
    numbers = [a if isinstance(a, int) else _address(a) for a in arguments]
    _parallel(kernel.address, (ctypes.c_int64 * len(numbers))(*numbers), 0, 0)


def _address(tensor: Tensor) -> int:
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise ValueError("A kernel takes contiguous tensors on the CPU.")
    return tensor.data_ptr()


try:
    FunctionCache(_run)
    _CACHED = True
except RuntimeError:  # neither this folder nor the user's takes what is compiled
    _CACHED = False

# Not "nnan" and "ninf": what diverges must show.
_MATH: Any = {"fastmath": {"contract", "nsz"}, "error_model": "numpy", "cache": _CACHED}
_inline = njit(inline="always", **_MATH)
_kernel = cfunc(types.void(types.CPointer(types.int64)), **_MATH)
DTYPES = torch.float32, torch.bfloat16
_ALIGNED = 64  # elements: between threads no wide register is cut

_f32, _i32, _u32, _u64 = np.float32, np.int32, np.uint32, np.uint64


def _pointer_of(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(address), generate


_pointer: Any = intrinsic(_pointer_of)


@_inline
def _share(n, unit=_ALIGNED):
    """From where to where this thread goes, by whole units but at the end."""
    each = -(-n // (_num_threads() * unit)) * unit
    start = min(_thread_num() * each, n)
    return start, min(start + each, n)


@_inline
def _floats(address, n):
    return carray(_pointer(address), (n,), _f32)


@_inline
def _halves(address, n):
    """Numbers of bfloat16 as their bits."""
    return carray(_pointer(address), (n,), np.uint16)


@_inline
def _widened(bits):
    return _i32(_u32(bits) << _u32(16)).view(_f32)


@_inline
def _narrowed(x):
    """To the nearest bfloat16, a tie to the even one."""
    bits = _u32(_f32(x).view(_i32))
    return np.uint16((bits + _u32(0x7FFF) + ((bits >> _u32(16)) & _u32(1))) >> _u32(16))


@_inline
def _exp(x):
    """e^x of x <= 0, to float32's last digit; 2^-126 where it is less than that."""
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
    """By the result."""
    return y + _f32(1) if y < 0 else _f32(1)


# Each loop is written once, for arrays that ``array`` makes of an address and whose elements pass
# through ``read`` and ``write``: as they are in float32, widened and narrowed in bfloat16.


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
        # splitmix64: the hash of a counter, four draws in each
        for i in range(len(bits)):
            count = _u64((start + first) // 4 + i)
            z = _u64(seed + count * _u64(0x9E3779B97F4A7C15))
            z = _u64((z ^ (z >> _u64(30))) * _u64(0xBF58476D1CE4E5B9))
            z = _u64((z ^ (z >> _u64(27))) * _u64(0x94D049BB133111EB))
            bits[i] = z ^ (z >> _u64(31))
        part, result = p[first : first + len(levels)], out[first : first + len(levels)]
        for i in range(len(part)):
            # u < p for the middles u of intervals of 2^-16
            below = _f32(levels[i]) + _f32(0.5) < part[i] * _f32(65536)
            result[i] = _f32(1) if below else _f32(0)


@_inline
def _bernoulli_gradient_loop(arguments, array, read, write):
    n, d, n_x = arguments[0], arguments[1], arguments[2]
    x, gradient = _floats(arguments[3], n_x * d), _floats(arguments[4], n)
    logits, out = array(arguments[5], n * d), array(arguments[6], n * d)
    start, stop = _share(n, 1)
    for row in range(start, stop):
        at, at_x = row * d, row % n_x * d  # the table's rows repeat, draw by draw
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
    """A weight after a step, and the averages of its gradient and of the square of that."""
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
    """ELU, in place of a contiguous tensor in float32 or bfloat16."""
    kernel = _elu_float32 if x.dtype == torch.float32 else _elu_bfloat16
    _run(kernel, x.numel(), x)
    return x


def elu_backward_(gradient: Tensor, result: Tensor) -> Tensor:
    """The gradient by ELU's argument, in place of that by its result; of its type, contiguous."""
    float32 = gradient.dtype == torch.float32
    kernel = _elu_backward_float32 if float32 else _elu_backward_bfloat16
    _run(kernel, gradient.numel(), gradient, result)
    return gradient


def draw_bernoulli(p: Tensor, seed: int) -> Tensor:
    """0 or 1 by probabilities in float32, contiguous, as ``skvae._torch.random.draw_bernoulli``.

    The bits are those of splitmix64 [1]_ from ``seed``.

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

    The first two are contiguous, the logits and so the result in float32 or bfloat16, the others in
    float32.
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

    All vectors are of one length, in float32; with a ``copy`` of the weights that and the gradient
    are in bfloat16.
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
