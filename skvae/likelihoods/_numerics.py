"""Numerical functions that several likelihoods share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from skvae._blocks import PIECE_CELLS, chunks

Array = NDArray[Any]

# Adam changes a parameter by about the learning rate in a step, which is too slow for a scale that
# has to fall tenfold. The parameter is therefore the log of the scale, divided by this.
LOG_SPEED = 10.0
ATOM_CELL = 0.01  # standard deviations
LARGEST_WHOLE = 2.0**53
STIRLING = 100.0  # above it two terms of Stirling's series are exact to 1e-13


def float32(array: Array) -> Tensor:
    """A tensor on the CPU, whatever torch's defaults are."""
    return torch.tensor(np.asarray(array), dtype=torch.float32, device="cpu")


def standardisation(x: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean and standard deviation of each column. (n, d), (n,) -> (d,), (d,)."""
    low, high = x.min(axis=0), x.max(axis=0)
    # dividing by the largest magnitude first keeps the squares of 1e200 finite
    largest = np.maximum(-low, high)
    largest[largest == 0] = 1.0
    share = weight / weight.sum()

    def average(of: Callable[[Array], Array]) -> Array:
        # piece by piece, which needs no second copy of x
        pieces = chunks(len(x), PIECE_CELLS // max(1, x.shape[1]))
        return sum((share[rows] @ of(x[rows]) for rows in pieces), np.zeros(x.shape[1]))

    # clipped, since the rounding error of a constant column's mean would count as a spread
    location = (largest * average(lambda piece: piece / largest)).clip(low, high)
    spread = largest * np.sqrt(average(lambda piece: np.square((piece - location) / largest)))
    return location, spread


def normal_scores(value: Array, share: Array) -> Array:
    """The normal quantile of the middle of each level's share, by order of value. (L,)."""
    order = np.argsort(value, kind="stable")
    part = np.nan_to_num(share[order])
    score = np.empty(len(value))
    score[order] = ndtri((np.cumsum(part) - 0.5 * part).clip(1e-4, 1 - 1e-4))
    return score


def pick(table: Array, at: Array) -> Array:
    """The entries of a table at these places. (L,), (n,) -> (n,)."""
    return np.take_along_axis(table, at, axis=0)


def distinct(outputs: Tensor) -> Tensor:
    """The outputs of codes that all rows share, a view (S, N, P), as (S, 1, P)."""
    return outputs[:, :1] if outputs.stride(1) == 0 else outputs


def widened(limits: Array, x: Array) -> Array:
    """Smallest and largest values (d, 2), moved so that values (n, d) lie between them. (d, 2)."""
    low, high = limits.T
    low = np.fmin(low, np.nanmin(x, axis=0, initial=np.inf))
    high = np.fmax(high, np.nanmax(x, axis=0, initial=-np.inf))
    return np.stack([low, high], axis=1)


def whole_limits(limits: Array, is_whole: Array) -> Array:
    """Limits (d, 2), moved inwards to whole numbers in the columns that hold these (d,)."""
    inwards = np.stack([np.ceil(limits[:, 0]), np.floor(limits[:, 1])], axis=1)
    return np.where(is_whole[:, None], inwards, limits)


def smallest_gap(x: Array) -> float:
    """The smallest distance between two different values, 0 if all are equal. (n,) -> ()."""
    return float(np.diff(np.unique(x)).min(initial=np.inf)) if x.min() < x.max() else 0.0


def are_whole(values: Array) -> bool:
    """Whether numbers are whole, and so small that float64 represents fractions there. -> ()."""
    return bool(np.all(values == np.floor(values)) and np.abs(values).max() < LARGEST_WHOLE)


def atom_cell(values: Array, is_atom: Array, spread: float) -> float:
    """The width over which the mass of an atom is spread to be a density, for sorted values (n,).

    The smallest gap if all values are atoms, as in the columns of whole numbers, and otherwise a
    small share of the spread, since values between the atoms may be close to them.
    """
    gap = smallest_gap(values) if is_atom.all() else 0.0
    return gap or ATOM_CELL * spread


def stirling_remainder(y: Tensor) -> Tensor:
    """log Gamma(y + 1) - (y log y - y), for y >= 0.

    Densities written with it avoid the difference of large numbers, which is inexact in float32.
    """
    small, large = y.clamp(max=STIRLING), y.clamp(min=STIRLING)
    found = torch.lgamma(small + 1) + small * (1 - small.clamp(min=1e-30).log())
    # Stirling's series, less its value at the border
    series = (1 / 12 - 1 / (360 * large * large)) / large - (
        1 / 12 - 1 / 360 / STIRLING**2
    ) / STIRLING
    return found + 0.5 * (large / STIRLING).log() + series
