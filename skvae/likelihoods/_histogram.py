"""Density of numbers that no smooth density fits, constant over bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from skvae._floats import float_errors_ignored
from skvae._rules import Rule, whole
from skvae.likelihoods._base import Array, Constants, Parameters
from skvae.likelihoods._bins import (
    FEWEST_BINS,
    bin_edges,
    bin_masses,
    bin_means,
    bin_sizes,
    first_place_above,
    is_peak,
    places,
    resolution,
    tail_scales,
)
from skvae.likelihoods._levels import _Softmax
from skvae.likelihoods._numerics import (
    LOG_SPEED,
    are_whole,
    atom_cell,
    float32,
    normal_scores,
    pick,
    standardisation,
    whole_limits,
    widened,
)
from skvae.likelihoods._sample import SPIKE, ColumnSample, DistinctValues, is_smooth

# The largest position in a level, which float32 still distinguishes from the next level.
LARGEST_U = 0.9999
# The weight of a standardised value beside its normal score in the location of a level. By scores
# alone, PCA would ignore a few extreme rows; by values alone, they would dominate it.
VALUE_WEIGHT = 0.5
LARGEST_VALUE = 3.0  # standard deviations, at which a value in a location is clipped
LARGEST_SHARPNESS = 1e3  # at the start of training
MOST_ROWS_PER_BIN = 10**12
LARGEST_N_BINS = 1000  # beyond about 2000 levels float32 rounds it up to the next
MAX_COLUMNS = 100  # for "auto", since each column has many decoder outputs


@dataclass
class Histogram(_Softmax):
    """A density constant over quantile bins, with exponential tails and atoms.

    For columns that no smooth density fits: with spikes, empty ranges, several modes or heavy
    tails.

    Parameters
    ----------
    n_bins : int, default=128
        Maximum number of bins, the two tails included. A column has about one for each
        ``rows_per_bin`` rows.
    rows_per_bin : int, default=20
        Minimum mean number of rows of a bin, or of an atom if all values are atoms.

    Notes
    -----
    An *atom* is a value with its own mass: a value that at least 1 in ``n_bins`` rows hold, and
    either ``rows_per_bin`` rows or clearly more than its neighbours among the values of fewer rows
    than that. All values are atoms if there are at most ``n_bins``, of ``rows_per_bin`` rows each
    on average. The other values fall into bins of equal shares of the rows. The density is constant
    within a bin, and exponential in the first and the last one, which are unbounded. Draws stay
    within the range of the training rows, or within named ``bounds``; means stay within the range.

    log p is a density per unit of the column. If the values of the training rows lie on a grid, it
    is the mass of a value divided by the step of the grid, as if the mass were spread evenly
    between neighbours. Otherwise, the mass of an atom is spread over the smallest gap if all values
    are atoms, and else over 1 % of the column's standard deviation.

    The bins of whole numbers are over *places*: a number less the number of atoms below it, so
    that the places of all numbers but the atoms are consecutive.

    The encoder's input is a location t of each level: its normal score plus half its standardised
    value, clipped to 3 standard deviations. Training learns the codes from these. The decoder's
    prediction m of the location moves mass between the levels, by a sharpness tau that is learned
    for each column. Logits r, which start at zero, add the rest:

        log p(level l) = log share_l - 1/2 tau (t_l - m)^2 + 1/2 tau_0 t_l^2 + r_l + constant,

    where tau_0 is the sharpness at which m = 0 leaves the shares unchanged.
    """

    n_bins: int = 128
    rows_per_bin: int = 20

    rules: ClassVar[Mapping[str, Rule]] = {
        "n_bins": whole(FEWEST_BINS, LARGEST_N_BINS),
        "rows_per_bin": whole(1, MOST_ROWS_PER_BIN),
    }

    vjp = _Softmax.vjp
    missing = _Softmax.missing
    missing_vjp = _Softmax.missing_vjp
    takes_float32: ClassVar[bool] = True
    replayable: ClassVar[bool] = True
    support: ClassVar[str] = "the finite numbers, or the whole ones if training held no others"
    has_location: ClassVar[bool] = True
    location_first: ClassVar[bool] = True
    may_share_unit: ClassVar[bool] = True
    is_equivariant: ClassVar[bool] = True

    @classmethod
    def auto_score(cls, column: ColumnSample) -> float | None:
        """1 for numbers that no smooth density fits, in tables of not too many columns."""
        if column.is_category or not len(column.values) or column.n_numeric > MAX_COLUMNS:
            return None
        return None if is_smooth(column.distinct) else 1.0

    def in_support(self, x: Array, constants: Constants) -> Array:
        inside: Array = np.isfinite(x) & (
            (x == np.floor(x)) | ~constants.get("whole", np.array(False))
        )
        return inside

    def nearest(self, x: Array, constants: Constants) -> Array:
        return np.where(constants["whole"], np.rint(x), x)

    def fit(self, x: Array, weight: Array) -> Constants:
        values, share, n_rows, _ = DistinctValues.of(x[:, 0], weight)
        is_whole = are_whole(values)
        is_atom = self._is_atom(values, share, n_rows, is_whole)
        atoms = values[is_atom]
        skipped = atoms if is_whole else atoms[:0]
        rest, share_of_rest = places(values[~is_atom], skipped), share[~is_atom]
        ends = values[0], values[-1] - len(skipped)
        unit = resolution(values, ends, is_whole)
        n_bins = min(self.n_bins, int(share_of_rest.sum() * n_rows + 0.5) // self.rows_per_bin)
        edges = bin_edges(rest, share_of_rest, n_bins, ends, unit, is_whole)
        scale = tail_scales(rest, share_of_rest, edges, unit)
        half = 0.5 if is_whole else 0.0  # the places of whole numbers are a unit wide
        reach = np.array([edges[0] - ends[0], ends[1] - edges[-1]]) + half
        # an empty bin has half a row, since training holds only a sample of the values
        masses = np.maximum(bin_masses(rest, share_of_rest, edges), 0.5 / n_rows)
        total = np.r_[masses, share[is_atom]]
        sizes = bin_sizes(edges, scale, is_whole)
        # an empty bin may lie far from all values, as that of the years from 0 to 2006
        means = np.r_[bin_means(edges, scale, skipped, is_whole), atoms].clip(values[0], values[-1])
        location, spread = standardisation(x, weight)
        spread = np.maximum(spread, unit)
        cell = 1.0 if is_whole else atom_cell(values, is_atom, spread[0])
        return {
            "share": (total / total.sum())[None],
            "low": np.r_[-np.inf, edges, atoms][None],
            "high": np.r_[edges, np.inf, atoms][None],
            "log_size": np.r_[np.log(sizes), np.full(len(atoms), np.log(cell))][None],
            "value": means[None],
            "scale": scale[None],
            "reach": reach[None],
            "limits": values[None, [0, -1]],
            "whole": np.array([is_whole]),
            "location": location,
            "spread": spread,
        }

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        return self.with_limits(constants, widened(constants["limits"], x))

    def with_limits(self, constants: Constants, limits: Array) -> Constants:
        before, limits = constants["limits"], whole_limits(limits, constants["whole"])
        after = np.where(np.isnan(limits), before, limits)
        # infinite limits that stay have no difference
        moved = np.subtract(after, before, out=np.zeros_like(after), where=after != before)
        return constants | {"limits": after, "reach": constants["reach"] + np.abs(moved)}

    def _is_atom(self, values: Array, share: Array, n_rows: float, is_whole: bool) -> Array:
        """Which of the different values, of the given shares of the rows, are atoms. (n,)."""
        if len(values) <= min(self.n_bins, n_rows / self.rows_per_bin):
            return np.ones(len(values), dtype=bool)
        rows = share * n_rows * (1 + 1e-9)  # the products are rounded
        is_atom: Array = (rows * self.n_bins >= n_rows) & (rows > 1.5)
        is_large = is_atom & (rows >= self.rows_per_bin)
        if (is_atom & ~is_large).any():
            rest = places(values[~is_large], values[is_large] if is_whole else values[:0])
            is_atom[~is_large] &= is_peak(rest, rows[~is_large])
        return is_atom

    def _levels_and_places(self, x: Array, constants: Constants) -> tuple[Array, Array]:
        """The level of each value, arbitrary for NaN, and its place. 2 x (n, d)."""
        own = (constants[name] for name in ("low", "high", "whole"))
        found = [_level_and_place(*column) for column in zip(x.T, *own, strict=True)]
        level, place = (np.stack(columns, axis=1) for columns in zip(*found, strict=True))
        return level, place

    def to_working(self, x: Array, constants: Constants) -> Array:
        level, _ = self._levels_and_places(x, constants)
        return np.where(np.isnan(x), np.nan, level)

    def from_working(self, x: Array, constants: Constants) -> Array:
        """The value at the level and the position in it: whole and fractional part of ``x``."""
        level = np.floor(x)
        u, level = (x - level).clip(0, LARGEST_U), level.astype(np.intp)
        low, high = _of_level(level, constants, "low", "high")
        left, right = np.isinf(low), np.isinf(high)
        # tails end at limits, by default the ends of training: one far value would change trends
        scale = constants["scale"]
        share = -np.expm1(-constants["reach"].clip(0) / scale)
        excess = -scale * np.log1p(-u[:, :, None] * share)
        with float_errors_ignored("invalid"):
            value = np.where(low < high, low + u * (high - low), low)
        value = np.where(left, high - excess[..., 0], value)
        value = np.where(right, low + excess[..., 1], value)
        for i in np.flatnonzero(constants["whole"]):
            atoms = constants["low"][i, constants["low"][i] == constants["high"][i]]
            # edges lie half way between two places
            place = np.where(left[:, i], np.ceil(value[:, i] - 0.5), np.floor(value[:, i] + 0.5))
            place += np.searchsorted(first_place_above(atoms), place, side="right")
            value[:, i] = np.where(low[:, i] < high[:, i], place, low[:, i])
        return value.clip(*constants["limits"].T)

    def from_mean(self, x: Array, constants: Constants) -> Array:
        return x * constants["spread"] + constants["location"]

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        """The log density, or the mass of a whole number, within its level."""
        level, place = self._levels_and_places(x, constants)
        low, high, size = _of_level(level, constants, "low", "high", "log_size")
        scale = constants["scale"]
        with float_errors_ignored("over"):  # a density of 0
            distance = np.where(np.isinf(low), (high - place) / scale[:, 0], 0.0)
            distance = np.where(np.isinf(high), (place - low) / scale[:, 1], distance)
        found: Array = -distance - size
        return found

    def log_unit(self, x: Array, constants: Constants) -> Array:
        # a spike has a mass; another whole number has a density, as in a column without atoms
        level, _ = self._levels_and_places(x, constants)
        low, high, size, share = _of_level(level, constants, "low", "high", "log_size", "share")
        is_mass = (low == high) & (~constants["whole"] | (share >= SPIKE))
        return np.where(is_mass, size, np.log(constants["spread"]))

    def n_features(self, constants: Constants) -> int:
        return 1

    def n_outputs(self, constants: Constants) -> int:
        return 1 + self.n_levels(constants)

    def n_shape_outputs(self, constants: Constants) -> int:
        return self.n_levels(constants)

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        share = np.nan_to_num(constants["share"])
        value = (constants["value"] - constants["location"][:, None]) / constants["spread"][:, None]
        value = np.nan_to_num(value)
        score = np.array(list(map(normal_scores, constants["value"], constants["share"])))
        score, base = _standardised(score, share)
        bounded = value.clip(-LARGEST_VALUE, LARGEST_VALUE)
        score, _ = _standardised(score + VALUE_WEIGHT * bounded, share)
        return super().parameters(constants) | {
            "value": float32(value),
            "score": float32(score),
            "base_sharpness": float32(base),
            "log_sharpness": nn.Parameter(float32(np.log(base) / LOG_SPEED)),
        }

    def location(self, x: Tensor, parameters: Parameters) -> Tensor:
        return parameters["score"].T.gather(0, x.long())

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        return self.location(x, parameters).unsqueeze(-1)

    def fit_noise(self, variance: Tensor, parameters: Parameters) -> None:
        # the levels cut a standard normal, and the scores have the share ``base`` of its variance
        base = parameters["base_sharpness"]
        unexplained = 1 - base * (1 - variance.clamp(max=1.0))
        sharpness = base / unexplained.clamp(min=1 / LARGEST_SHARPNESS)
        parameters["log_sharpness"].data.copy_(sharpness.log() / LOG_SPEED)

    def _sharpness(self, parameters: Parameters) -> Tensor:
        return (LOG_SPEED * parameters["log_sharpness"]).exp()

    def logits(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        score, sharpness = parameters["score"], self._sharpness(parameters)
        location, rest = self._split_outputs(outputs, parameters)
        curvature = 0.5 * (parameters["base_sharpness"] - sharpness)
        base = parameters["log_share"] + curvature.unsqueeze(-1) * score.square()
        return torch.addcmul(rest + base, (location * sharpness).unsqueeze(-1), score)

    def _split_outputs(self, outputs: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """The locations (S, N, d), and the logit of each level (S, N, d, L)."""
        d, n_levels = parameters["score"].shape
        location, rest = outputs.split([d, d * n_levels], dim=-1)
        return location, rest.unflatten(-1, (d, n_levels))

    def logits_backward(self, by_logits: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        score, sharpness = parameters["score"], self._sharpness(parameters)
        location, _ = self._split_outputs(outputs, parameters)
        by_score = torch.einsum("sndl,dl->snd", by_logits, score)
        learned = parameters["log_sharpness"].grad
        if learned is not None:
            by_square = (by_logits.sum((0, 1)) * score.square()).sum(-1)
            by_sharpness = (by_score * location).sum((0, 1)) - 0.5 * by_square
            learned.add_(by_sharpness * sharpness, alpha=LOG_SPEED)
        return torch.cat([by_score * sharpness, by_logits.flatten(-2)], dim=-1)

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return (self.mass(outputs, parameters) * parameters["value"]).sum(-1)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        # in float32, the positions in level 1,000 would be 1 / 16,000 apart
        level = super().sample(outputs, parameters, generator).double()
        return level + torch.empty_like(level).uniform_(0, LARGEST_U, generator=generator)


def _standardised(x: Array, share: Array) -> tuple[Array, Array]:
    """Numbers of levels with mean 0 and variance 1, and their variance before. 2 x (d, L)."""
    x = x - (share * x).sum(axis=1, keepdims=True)
    variance = (share * np.square(x)).sum(axis=1)
    variance[variance == 0] = 1.0  # of a single level
    return x / np.sqrt(variance)[:, None], variance


def _level_and_place(x: Array, low: Array, high: Array, is_whole: bool) -> tuple[Array, Array]:
    """The level of each value of a column with these levels, and its place. 2 x (n,)."""
    edges, atoms = low[low < high][1:], low[low == high]
    place = places(x, atoms) if is_whole else x
    level = np.searchsorted(edges, place, side="right")
    if len(atoms):
        nearest = np.minimum(np.searchsorted(atoms, x), len(atoms) - 1)
        level = np.where(pick(atoms, nearest) == x, len(edges) + 1 + nearest, level)
    return level, place


def _of_level(level: Array, constants: Constants, *names: str) -> list[Array]:
    """The constants with these names, of the level of each value (n, d). -> (n, d) each."""
    return [np.take_along_axis(constants[name].T, level, axis=0) for name in names]
