"""The normal distribution in elementary operations, since ONNX has neither function in float64.

References
----------
.. [1] W. H. Press et al., "Numerical Recipes in C", 2nd edition, Cambridge University Press 1992,
       section 6.2.
.. [2] P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution
       function", 2003.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Of the exponent of erfc, in t = 2 / (2 + z).
ERFC = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)
# Of rational functions: in the middle of the distribution, and in its tails.
MIDDLE_OVER = (
    2.506628277459239,
    -30.66479806614716,
    138.3577518672690,
    -275.9285104469687,
    220.9460984245205,
    -39.69683028665376,
)
MIDDLE_UNDER = (
    1.0,
    -13.28068155288572,
    66.80131188771972,
    -155.6989798598866,
    161.5858368580409,
    -54.47609879822406,
)
TAIL_OVER = (
    2.938163982698783,
    4.374664141464968,
    -2.549732539343734,
    -2.400758277161838,
    -0.3223964580411365,
    -0.007784894002430293,
)
TAIL_UNDER = (1.0, 3.754408661907416, 2.445134137142996, 0.3224671290700398, 0.007784695709041462)
TAIL = 0.02425


def normal_probability(x: Tensor) -> Tensor:
    """P(N(0, 1) < x), to a relative error of 1.2e-7, also where it is small [1]_."""
    z = x.abs() * 0.5**0.5
    t = 2 / (2 + z)
    tail = 0.5 * t * torch.exp(_polynomial(t, ERFC) - z * z)
    return torch.where(x < 0, tail, 1 - tail)


def normal_quantile(p: Tensor) -> Tensor:
    """The number below which a standard normal one lies with probability p, to 1.2e-9 [2]_."""
    middle = p - 0.5
    square = middle * middle
    inner = middle * _polynomial(square, MIDDLE_OVER) / _polynomial(square, MIDDLE_UNDER)
    end = torch.minimum(p, 1 - p).clamp(min=torch.finfo(torch.float64).tiny)
    far = torch.sqrt(-2 * torch.log(end))
    outer = _polynomial(far, TAIL_OVER) / _polynomial(far, TAIL_UNDER)
    return torch.where(end < TAIL, torch.where(middle < 0, outer, -outer), inner)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """The sum of c_k x^k."""
    found = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        found = found * x + coefficient
    return found
