"""Walks in the space of codes: lines, arcs and grids, on the scale of N(0, I)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[Any]

WIDEST_ANGLE = np.pi * (1 - 1e-6)  # codes farther apart are opposite


def line(start: Array, stop: Array, n_steps: int) -> Array:
    """Points on straight lines, in equal steps. 2 x (n, K) -> (n, n_steps, K)."""
    return np.linspace(start, stop, n_steps, axis=1)


def arc(start: Array, stop: Array, n_steps: int) -> Array:
    """Points on arcs around 0, in equal angles. 2 x (n, K) -> (n, n_steps, K).

    Spherical linear interpolation [1]_: with the angle w between the ends, and t from 0 to 1,
    sin((1 - t) w) / sin(w) start + sin(t w) / sin(w) stop. A line if an end is 0 or the ends are
    opposite, as no arc is unique then.

    References
    ----------
    .. [1] T. White, "Sampling Generative Networks", arXiv:1609.04468, 2016, section 2.1.
    """
    lengths = np.linalg.norm([start, stop], axis=-1)
    is_zero = lengths == 0
    first, last = np.stack([start, stop]) / np.where(is_zero, 1, lengths)[..., None]
    # unlike the arc cosine, accurate for small angles too
    angle = 2 * np.arctan2(
        np.linalg.norm(last - first, axis=1), np.linalg.norm(last + first, axis=1)
    )
    is_line = is_zero.any(axis=0) | (angle > WIDEST_ANGLE)
    half_turns = np.where(is_line, 0, angle)[:, None, None] / np.pi
    t = np.linspace(0, 1, n_steps)[:, None]

    def weight(share: Array) -> Array:
        # sin(share w) / sin(w), whose limit at w = 0 is the share itself
        return share * np.sinc(share * half_turns) / np.sinc(half_turns)

    found: Array = weight(1 - t) * start[:, None] + weight(t) * stop[:, None]
    return found


def equal_steps(n_steps: int, extent: float) -> Array:
    """Positions from -extent to extent. -> (n_steps,)."""
    return np.linspace(-extent, extent, n_steps)


def percentiles(n_steps: int, extent: float = np.inf) -> Array:
    """The percentiles 100 (i + 1/2) / n_steps of N(0, 1), whatever the extent. -> (n_steps,)."""
    found: Array = ndtri((np.arange(n_steps) + 0.5) / n_steps)
    return found


def square(positions: Array) -> Array:
    """Codes (positions[j], positions[i]) at row i and column j. (n,) -> (n, n, 2)."""
    return np.stack(np.meshgrid(positions, positions), axis=-1)


PATHS: dict[str, Callable[[Array, Array, int], Array]] = {"linear": line, "spherical": arc}
SPACINGS: dict[str, Callable[[int, float], Array]] = {
    "linear": equal_steps,
    "percentile": percentiles,
}
