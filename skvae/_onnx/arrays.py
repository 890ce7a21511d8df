"""Tensors that functions of numpy accept, so that a trace of torch records what they compute.

The methods of likelihoods for the table are numpy. Applied to such a tensor they become part of a
trace, and need no second version in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri
from torch import Tensor

from skvae._onnx.normal import normal_probability, normal_quantile

Array = NDArray[Any]

# A longer table is searched by bisection, since comparing with all of it would take much memory.
LONG = 1024


class CannotRecord(TypeError):
    """What a trace cannot represent."""


class Recorded(NDArrayOperatorsMixin):
    """A tensor that ufuncs of numpy, and a few other functions, accept in place of an array.

    Its elements cannot be assigned to, and its number of rows is unknown.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        options.pop("out", None)  # x += y is x = x + y
        if method != "__call__":
            raise CannotRecord(f"it calls numpy.{ufunc.__name__}.{method}")
        if options:
            raise CannotRecord(f"it calls numpy.{ufunc.__name__} with {', '.join(options)}")
        return Recorded(_of_ufunc(ufunc)(*map(as_tensor, inputs)))

    def __array_function__(
        self, function: Any, types: Any, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        if function not in FUNCTIONS:
            raise CannotRecord(f"it calls numpy.{function.__name__}")
        return FUNCTIONS[function](*inputs, **options)

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise CannotRecord("it assigns to elements of an array, or reads values of the table")

    def __bool__(self) -> bool:
        raise CannotRecord("it branches on values of the table")

    def __len__(self) -> int:
        raise CannotRecord("it reads the number of rows")

    def __iter__(self) -> Iterator[Recorded]:
        return (Recorded(row) for row in self.tensor.unbind(0))

    def __getitem__(self, at: Any) -> Recorded:
        return Recorded(self.tensor[at])

    @property
    def shape(self) -> tuple[int, ...]:
        raise CannotRecord("it reads the number of rows")

    @property
    def T(self) -> Recorded:
        return Recorded(self.tensor.T)

    def astype(self, dtype: Any) -> Recorded:
        return Recorded(self.tensor.to(torch.from_numpy(np.empty(0, dtype)).dtype))

    def clip(self, min: Any = None, max: Any = None) -> Recorded:
        return clip(self, min, max)


def recorded(tensor: Tensor) -> Array:
    """A tensor for functions of arrays."""
    return cast(Array, Recorded(tensor))


def as_tensor(x: Any) -> Tensor:
    """The tensor of a number or an array. Floats are in float64."""
    return x.tensor if isinstance(x, Recorded) else torch.as_tensor(np.asarray(x), device="cpu")


# -- functions --------------------------------------------------------------------------------

# ufuncs that torch does not have under their name, or that its exporter lacks
UFUNCS: dict[np.ufunc, Callable[..., Tensor]] = {
    np.rint: torch.round,
    np.bitwise_and: torch.logical_and,
    np.bitwise_or: torch.logical_or,
    np.divide: lambda x, y: x.double() / y,
    np.equal: torch.eq,
    np.invert: torch.logical_not,
    np.power: torch.pow,
    expit: torch.sigmoid,
    logit: lambda p: torch.log(p / (1 - p)),
    ndtr: normal_probability,
    ndtri: normal_quantile,
}


def _of_ufunc(ufunc: np.ufunc) -> Callable[..., Tensor]:
    """The function of torch for a ufunc, by default that of the same name."""
    found: Callable[..., Tensor] | None = UFUNCS.get(ufunc) or getattr(torch, ufunc.__name__, None)
    if found is None:
        raise CannotRecord(f"it calls {ufunc.__name__}")
    return found


def where(condition: Any, x: Any, y: Any) -> Recorded:
    return Recorded(torch.where(as_tensor(condition), as_tensor(x), as_tensor(y)))


def clip(x: Recorded, low: Any = None, high: Any = None) -> Recorded:
    """Like numpy's, NaN stays."""
    found = x.tensor
    if low is not None:
        found = torch.maximum(found, as_tensor(low).to(found.dtype))
    if high is not None:
        found = torch.minimum(found, as_tensor(high).to(found.dtype))
    return Recorded(found)


def stack(arrays: Any, axis: int = 0) -> Recorded:
    return Recorded(torch.stack([as_tensor(array) for array in arrays], dim=axis))


def take_along_axis(table: Any, at: Recorded, axis: int) -> Recorded:
    return Recorded(as_tensor(table).gather(axis, at.tensor))


def zeros_like(x: Recorded, dtype: Any = np.float64) -> Recorded:
    return Recorded(torch.zeros_like(x.tensor)).astype(dtype)


def searchsorted(table: Any, x: Recorded, side: str = "left") -> Recorded:
    """The number of entries of a sorted table (L,) below each x, and of equal ones if "right"."""
    is_below = torch.less if side == "left" else torch.less_equal
    values = as_tensor(table).double()
    if not len(values):
        return zeros_like(x, np.int64)
    if len(values) <= LONG:
        return Recorded(is_below(values, x.tensor[..., None]).sum(-1))
    step = 1 << (len(values).bit_length() - 1)
    filler = values.new_full((2 * step - 1 - len(values),), torch.nan)  # below no number
    values = torch.cat([values, filler])
    found = torch.zeros_like(x.tensor, dtype=torch.int64)
    while step:
        found = found + step * is_below(values[found + step - 1], x.tensor)
        step //= 2
    return Recorded(found)


FUNCTIONS: dict[Any, Callable[..., Recorded]] = {
    np.clip: clip,
    np.searchsorted: searchsorted,
    np.stack: stack,
    np.take_along_axis: take_along_axis,
    np.where: where,
    np.zeros_like: zeros_like,
}
