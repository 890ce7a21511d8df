"""Networks in float32 on a CPU, whose result for a row does not depend on the other rows.

Two things depend on them. The sums of a product with few rows or columns are in another order than
those of larger ones, and that order depends on the place of a row. With at least 16 of each they
have one order (measured with MKL; ``is_row_wise`` measures it with the library of this torch). And
the last elements of a tensor, fewer than 32, do not pass through the vector instructions that the
others pass through, so that functions such as SiLU may differ in their last digit. Rows, inputs and
outputs of zeros avoid both.
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
UNIT = 32  # elements that vector instructions take together, at most
_TRIED_SIZES = (16, 23, 128, 300)
_TRIED_ROWS = 1000
_TRIED_PARTS = slice(0, 16), slice(5, 42), slice(300, 428), slice(1, None)


def row_wise(network: Callable[[Tensor], Tensor], rows: Tensor, *sizes: int) -> Tensor:
    """``network(rows)``, with further rows where the result of a row would depend on others.

    ``sizes`` are the numbers of elements of a row in its hidden layers. (n, K) -> (n, P).
    """
    if not _in_float32_on_cpu(rows):
        return network(rows)
    n, unit = len(rows), UNIT // math.gcd(UNIT, *sizes)
    more = max(FEWEST, -(-n // unit) * unit) - n
    return network(F.pad(rows, (0, 0, 0, more)))[:n] if more else network(rows)


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W' + b, also if there are few inputs or outputs. (n, K), (P, K), (P,) -> (n, P)."""
    found = _product(x, weight)
    # F.linear with a bias would first fill the whole result with it
    return found if bias is None else found.add_(bias)


def _product(x: Tensor, weight: Tensor) -> Tensor:
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


@cache
def is_row_wise() -> bool:
    """Whether products and convolutions in float32 on this CPU depend only on their row.

    It tries some sizes on one thread, as inference uses. This takes 0.1 s, once in a process.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    with torch_runtime(torch.device("cpu")):
        for n_inputs, n_outputs in product(_TRIED_SIZES, repeat=2):
            x, weight = normal(_TRIED_ROWS, n_inputs), normal(n_outputs, n_inputs)
            transposed = weight.t().contiguous().t()  # as for gradients
            if not all(
                _is_equal_in_parts(partial(F.linear, weight=w), x) for w in (weight, transposed)
            ):
                return False
        images = normal(_TRIED_ROWS, 5, 5, 16).permute(0, 3, 1, 2)
        kernel = normal(16, 16, 3, 3)
        return all(
            _is_equal_in_parts(partial(convolve, weight=kernel), images)
            for convolve in (F.conv2d, F.conv_transpose2d)
        )


def _is_equal_in_parts(function: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether the results for some rows of x are those for all of them, to the last bit."""
    found = function(x)
    return all(torch.equal(function(x[part].clone()), found[part]) for part in _TRIED_PARTS)
