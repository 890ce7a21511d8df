"""Networks in float32 on a CPU, whose result for a row does not depend on the other rows.

It would depend on them in two ways. A product with few rows or columns adds in another order than
larger ones, and that order depends on the place of a row. Products with at least 16 of each have
one order (measured with MKL; for the library of another torch, ``is_row_wise`` finds out). And
vector instructions do not reach the last elements of a tensor, fewer than 32, where SiLU and ELU
then differ in the last digit. Rows, inputs and outputs of zeros avoid both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from skvae._torch.runtime import torch_runtime

FEWEST = 16  # rows, inputs and outputs of a product
UNIT = 32  # elements; the number that vector instructions take together divides it
# The largest error that `is_exact` allows, of numbers whose size is about 24. Errors are about 5e-5
# in float32, 0.05 in TF32 and 0.2 in bfloat16.
LARGEST_ERROR = 1e-3

_TRIED_INPUTS, _TRIED_OUTPUTS = (2, 6, 23, 128, 500), (16, 23, 128, 500)
_TRIED_ROWS = 500
_TRIED_PARTS = slice(0, 16), slice(5, 42), slice(300, 428), slice(1, None)
# kernels (channels out, channels in, height, width) and strides of `networks.Conv`
_TRIED_KERNELS = ((32, 1, 3, 3), 2), ((16, 16, 3, 3), 1), ((7, 5, 3, 3), 2)


def with_padded_rows(network: Callable[[Tensor], Tensor], rows: Tensor, *sizes: int) -> Tensor:
    """``network(rows)``, in float32 on a CPU with further rows where there are too few.

    ``sizes`` are the numbers of elements of a row in its hidden layers. (n, K) -> (n, P).
    """
    if not _in_float32_on_cpu(rows):
        return network(rows)
    n, unit = len(rows), UNIT // math.gcd(UNIT, *sizes)
    more = max(FEWEST, -(-n // unit) * unit) - n
    return network(F.pad(rows, (0, 0, 0, more)))[:n] if more else network(rows)


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W' + b of many rows, padded where inputs or outputs are few. -> (n, P)."""
    if x.device.type != "cpu":
        return F.linear(x, weight, bias)
    # F.linear with a bias would first fill the whole result with it
    return linear_map(x, weight).add_(bias)


def linear_map(x: Tensor, weight: Tensor) -> Tensor:
    """x W' of many rows, padded where inputs or outputs are few. (n, K), (P, K) -> (n, P)."""
    n_outputs, n_inputs = weight.shape
    more_outputs = max(FEWEST - n_outputs, 0)
    # the inputs are the columns of the product that is the gradient
    more_inputs = max(FEWEST - n_inputs, 0) if x.requires_grad else 0
    if not (more_inputs or more_outputs) or not _in_float32_on_cpu(x):
        return F.linear(x, weight)
    padded = F.pad(weight, (0, more_inputs, 0, more_outputs))
    return F.linear(F.pad(x, (0, more_inputs)), padded)[:, :n_outputs].contiguous()


def _in_float32_on_cpu(x: Tensor) -> bool:
    # a trace, as for ONNX, would record the number of rows
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return x.dtype == torch.float32 and x.device.type == "cpu" and not tracing


def is_exact() -> bool:
    """Whether products and convolutions of float32 on a CPU are in float32 with these settings.

    torch's settings may allow them in bfloat16 or TF32.
    """
    images, kernel = _normal(2, 32, 64, 3, 3)  # torch computes smaller products in float32
    pairs = [
        (F.linear(one.flatten(1), kernel.flatten(1).to(one)), F.conv2d(one, kernel.to(one)))
        for one in (images, images.double())
    ]
    return all(
        bool((found - expected).abs().max() < LARGEST_ERROR)
        for found, expected in zip(*pairs, strict=True)
    )


@cache
def is_row_wise() -> bool:
    """Whether padded products and convolutions in float32 on this CPU depend only on their row.

    It tries some sizes on one thread, as inference uses. This takes 0.1 s, once in a process.
    """
    with torch_runtime(torch.device("cpu")):
        for n_inputs, n_outputs in product(_TRIED_INPUTS, _TRIED_OUTPUTS):
            x, weight = _normal(_TRIED_ROWS, n_inputs), _normal(n_outputs, n_inputs)
            if not _is_equal_in_parts(partial(F.linear, weight=weight), x):
                return False
            found = _normal(_TRIED_ROWS, n_outputs)
            if n_inputs >= FEWEST and not _is_equal_in_parts(
                partial(_gradient, weight=weight), found
            ):
                return False
        for shape, stride in _TRIED_KERNELS:
            kernel = _normal(*shape)
            images, found = _images(shape[1], 7), _images(shape[0], 4 if stride == 2 else 7)
            across = partial(F.conv2d, weight=kernel, stride=stride, padding=1)
            back = partial(F.conv_transpose2d, weight=kernel, stride=stride, padding=1)
            if not (_is_equal_in_parts(across, images) and _is_equal_in_parts(back, found)):
                return False
    return True


def _gradient(by_result: Tensor, weight: Tensor) -> Tensor:
    """The gradient of x W' by x."""
    return by_result @ weight


def _is_equal_in_parts(function: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether the results for some rows of x are those for all of them, to the last bit."""
    found = function(x)
    return all(torch.equal(function(x[part].clone()), found[part]) for part in _TRIED_PARTS)


def _images(n_channels: int, size: int) -> Tensor:
    """Images in the layout channels_last, as those of ``networks.Conv``."""
    return _normal(_TRIED_ROWS, size, size, n_channels).permute(0, 3, 1, 2)


def _normal(*shape: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")
