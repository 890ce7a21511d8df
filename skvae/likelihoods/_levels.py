"""Masses of levels: of categories, of ordered values, and of the bins of a histogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.special import ndtri
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skvae._rules import Rule, whole
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._base import (
    Array,
    Constants,
    Likelihood,
    Parameters,
    float32,
    smallest_gap,
    standardisation,
)

LARGEST_U = 0.9999  # of a place within a level: with the level's number it stays below the next
SMALLEST_UNIT = 1e-300  # of a column, so that a tenth of it is no zero
SMALLEST_SCALE = 1e-9  # of a tail, as a fraction of what the bins span
# Adam moves a parameter by about the learning rate a step: what is learned is log tau over this.
SHARPNESS_SPEED = 10.0
# Of a value in the location of a level, to its normal score: of few rows far out, PCA would see
# nothing by scores alone, and little else by values alone.
VALUE_WEIGHT = 0.5
LARGEST_VALUE = 3.0  # standard deviations, beyond which a value counts no more
LARGEST_SHARPNESS = 1e3  # to which a start is held
MOST_ROWS_PER_BIN = 10**12
LARGEST_N_BINS = 1000  # beyond about 2000 levels float32 rounds it up to the next


class _Levels(Likelihood):
    """What the likelihoods share whose working units are the number of a level.

    The constant "share" (d, L) holds the shares of a column's levels in the training rows, NaN
    where a column has fewer than L.
    """

    ragged: ClassVar[bool] = True

    def n_levels(self, constants: Constants) -> int:
        return int(constants["share"].shape[1])

    def n_features(self, constants: Constants) -> int:
        return self.n_levels(constants)

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        with np.errstate(divide="ignore"):
            return {"log_share": float32(np.log(np.nan_to_num(constants["share"])))}

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        # one of the L is not 0: as sqrt(L), their mean square is 1
        n_levels = parameters["log_share"].shape[-1]
        out = x.new_zeros(*x.shape, n_levels)
        return out.scatter_(-1, x.long().unsqueeze(-1), n_levels**0.5)

    def log_mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """log p of each level. (S, N, P) -> (S, N, d, L)."""
        raise NotImplementedError

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        log_mass = self.log_mass(outputs, parameters)
        return log_mass.gather(-1, _level_of(x, log_mass)).squeeze(-1)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        # the Gumbel trick: the largest of log p - log(-log u), where -log u is exponential
        log_mass = self.log_mass(outputs, parameters)
        exponential = torch.empty_like(log_mass).exponential_(generator=generator)
        return (log_mass - exponential.log()).argmax(-1).to(outputs.dtype)


class _Softmax(_Levels):
    """Levels in no order: log shares, and what the decoder adds to them."""

    def n_outputs(self, constants: Constants) -> int:
        return self.n_levels(constants)

    def logits(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """(S, N, P) -> (S, N, d, L)."""
        log_share = parameters["log_share"]
        found: Tensor = outputs.unflatten(-1, log_share.shape) + log_share
        return found

    def log_mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return torch.log_softmax(self.logits(outputs, parameters), dim=-1)

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        log_mass = self.log_mass(outputs, parameters)
        level = _level_of(x, log_mass)

        def backward(gradient: Tensor) -> Tensor:
            by_level = gradient.unsqueeze(-1)
            by_logits = log_mass.exp().mul_(-by_level)
            return by_logits.scatter_add_(-1, level, by_level).flatten(-2)

        return lambda: log_mass.gather(-1, level).squeeze(-1), backward


def _level_of(x: Tensor, log_mass: Tensor) -> Tensor:
    """The place of each cell's level on the last axis of ``log_mass``. (N, d) -> (S, N, d, 1)."""
    return x.long().unsqueeze(-1).expand(*log_mass.shape[:-1], 1)


class _Values(_Levels):
    """Levels that are the values seen in training."""

    support: ClassVar[str] = "the values seen in training"
    takes_levels: ClassVar[bool] = True

    def inside(self, x: Array, constants: Constants) -> Array:
        return np.isfinite(x)

    def fit(self, x: Array, weight: Array) -> Constants:
        values, level = np.unique(x[:, 0], return_inverse=True)
        share = np.bincount(level, weights=weight) / weight.sum()
        return {"values": values[None], "share": share[None]}

    def to_working(self, x: Array, constants: Constants) -> Array:
        """The number of each value's level; NaN for a value not seen in training."""
        out = np.empty(x.shape)
        for column, values, place in zip(x.T, constants["values"], out.T, strict=True):
            level = np.searchsorted(values, column)  # NaN sorts last, where the padding is
            level = np.minimum(level, len(values) - 1)
            place[:] = np.where(values[level] == column, level, np.nan)
        return out

    def from_working(self, x: Array, constants: Constants) -> Array:
        return np.take_along_axis(constants["values"].T, x.astype(np.intp), axis=0)

    def statistics(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return self.log_mass(outputs, parameters).exp()

    def summary(self, statistics: Tensor) -> Tensor:
        return statistics.argmax(-1).to(statistics.dtype)

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return self.summary(self.statistics(outputs, parameters))


@dataclass
class Categorical(_Softmax, _Values):
    """Mass of each value seen in training, a softmax of the decoder's outputs.

    For categories, and for numbers that stand for them. Where a mean is asked for, it gives the
    mode. A value that training has not seen counts as missing.
    """


@dataclass
class Ordinal(_Values):
    """Mass of ordered values, by thresholds along the one output of the decoder [4]_.

    p(level <= k) = sigmoid(c_k - output), the thresholds c_k learned for each column. Numbers are
    in their order, categories in that of their dtype, other strings in that of the alphabet.
    Where a mean is asked for, it gives the mode.
    """

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        share = constants["share"]
        below = np.cumsum(np.nan_to_num(share), axis=1)[:, :-1].clip(1e-6, 1 - 1e-6)
        threshold = np.log(below / (1 - below))
        gap = np.diff(threshold, axis=1).clip(1e-3)
        return super().parameters(constants) | {
            "first": nn.Parameter(float32(threshold[:, :1])),
            "log_gap": nn.Parameter(float32(np.log(gap))),
            # of the gap between the thresholds below and above a level, if it has both
            "inner": float32(~np.isnan(share[:, 2:])),
            "two": float32(~np.isnan(share[:, 1:2])),
        }

    def log_mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        # log(s(b) - s(a)) = log s(b) + log s(-a) + log(1 - e^(a-b)), s the sigmoid, a < b
        inner, two = parameters["inner"] > 0, parameters["two"] > 0
        gap = torch.where(inner, parameters["log_gap"].exp(), torch.inf)
        first = torch.where(two, parameters["first"], torch.inf)
        threshold = torch.cat([first, first + gap.cumsum(-1)], dim=-1)
        distance = threshold - outputs.unsqueeze(-1)
        below = F.pad(F.logsigmoid(distance), (0, 1))
        above = F.pad(F.logsigmoid(-distance), (1, 0))
        return below + above + F.pad(torch.log(-torch.expm1(-gap)), (1, 1))[..., : below.shape[-1]]


@dataclass
class Histogram(_Softmax):
    """A density constant over quantile bins, with exponential tails and atoms.

    For columns that no smooth density fits: with spikes, gaps, several modes, heavy tails.

    Parameters
    ----------
    n_bins : int, default=128
        Most bins, the two tails among them. A column has about one for each ``rows_per_bin`` rows.
    rows_per_bin : int, default=20
        How many rows a bin, or an atom where all values are atoms, needs on average.

    Notes
    -----
    An *atom* is a value with a mass of its own: each value that at least 1 in ``n_bins`` rows
    hold, or all values where they are at most ``n_bins`` and each stands for ``rows_per_bin`` rows
    on average. The other values fall into bins of equal shares of the rows; within a bin the
    density is constant, in the first and the last one exponential, on to infinity. Where training
    held no negative number, the first one ends at 0, so that draws are hardly ever negative.

    log p is of a mixed measure: mass for an atom, density per unit elsewhere. Where training held
    whole numbers only, the support is the whole numbers, and log p is mass throughout. Scores of
    two models compare where both take the same values for atoms.

    The bins of whole numbers are over *places*: a number less the atoms below it, so that the
    places of all numbers but the atoms are the whole numbers again.

    The encoder sees a location t of each level, its normal score plus half its standardised value
    (of at most 3 either way), and training finds the codes by these. The decoder's guess m of the
    location moves mass between the levels, by a sharpness tau that is learned for each column, and
    logits r, which start at zero, add the rest:

        log p(level l) = log share_l - 1/2 tau (t_l - m)^2 + 1/2 tau_0 t_l^2 + r_l + constant,

    tau_0 the sharpness at which m = 0 leaves the shares as they are.
    """

    n_bins: int = 128
    rows_per_bin: int = 20

    rules: ClassVar[Mapping[str, Rule]] = {
        "n_bins": whole(3, LARGEST_N_BINS),
        "rows_per_bin": whole(1, MOST_ROWS_PER_BIN),
    }

    support: ClassVar[str] = "the finite numbers, or the whole ones where training held no others"
    has_location: ClassVar[bool] = True
    location_first: ClassVar[bool] = True
    may_share_unit: ClassVar[bool] = True

    def inside(self, x: Array, constants: Constants) -> Array:
        inside: Array = np.isfinite(x) & (
            (x == np.floor(x)) | ~constants.get("whole", np.array(False))
        )
        return inside

    def fit(self, x: Array, weight: Array) -> Constants:
        values, place = np.unique(x[:, 0], return_inverse=True)
        n_rows = weight.sum()
        share = np.bincount(place, weights=weight) / n_rows
        whole = bool(np.all(values == np.floor(values)))
        few = len(values) <= min(self.n_bins, n_rows / self.rows_per_bin)
        is_atom = few | (share >= 1 / self.n_bins) & (share * n_rows > 1.5)
        atoms, share_of_bins = values[is_atom], share[~is_atom]
        left_out = atoms if whole else atoms[:0]
        rest = places(values[~is_atom], left_out)
        n_bins = min(self.n_bins, int(share_of_bins.sum() * n_rows + 0.5) // self.rows_per_bin)
        first, last = values[0], values[-1] - len(left_out)
        unit = 1.0 if whole else smallest_gap(values) or 1.0
        unit = max(unit, 2 * np.spacing(max(abs(first), abs(last))), SMALLEST_UNIT)
        if n_bins >= 3:
            edges = quantile_edges(rest, share_of_bins, n_bins, whole)
        else:
            edges = np.unique([first - unit / 2, last + unit / 2])
        if first >= 0:  # what may never be negative then hardly is
            edges = np.union1d(edges, -0.5 if whole else 0.0)
            edges = edges[edges >= (-0.5 if whole else 0.0)]
        bin_of = np.searchsorted(edges, rest, side="right")
        mass = np.bincount(bin_of, weights=share_of_bins, minlength=len(edges) + 1)
        # half a row for what training happened not to hold
        total = np.r_[np.maximum(mass, 0.5 / n_rows), share[is_atom]]
        span = max(edges[-1] - edges[0], unit)
        excesses = edges[0] - rest, rest - edges[-1]
        scale = np.array([tail_scale(excess, share_of_bins, span) for excess in excesses])
        size = np.r_[scale[0], np.diff(edges), scale[1]]
        if whole:
            # the sum of e^(-distance / scale) over 1/2, 3/2, ...
            size[[0, -1]] = 0.5 / np.sinh(0.5 / scale)
        location, spread = standardisation(x, weight)
        return {
            "share": (total / total.sum())[None],
            "low": np.r_[-np.inf, edges, atoms][None],
            "high": np.r_[edges, np.inf, atoms][None],
            "log_size": np.r_[np.log(size), np.zeros(len(atoms))][None],
            "value": np.r_[bin_means(edges, scale, left_out, whole), atoms][None],
            "scale": scale[None],
            "whole": np.array([whole]),
            "location": location,
            "spread": np.maximum(spread, unit),
        }

    def _levels_and_places(self, x: Array, constants: Constants) -> tuple[Array, Array]:
        """The level of each value, any where it is NaN, and the place in it. 2 x (n, d)."""
        level, place = np.empty(x.shape, dtype=np.intp), np.empty(x.shape)
        columns = zip(constants["low"], constants["high"], constants["whole"], strict=True)
        for i, (low, high, is_whole) in enumerate(columns):
            column, edges, atoms = x[:, i], low[low < high][1:], low[low == high]
            place[:, i] = places(column, atoms) if is_whole else column
            level[:, i] = np.searchsorted(edges, place[:, i], side="right")
            if len(atoms):
                nearest = np.minimum(np.searchsorted(atoms, column), len(atoms) - 1)
                is_atom = atoms[nearest] == column
                level[is_atom, i] = len(edges) + 1 + nearest[is_atom]
        return level, place

    def to_working(self, x: Array, constants: Constants) -> Array:
        level, _ = self._levels_and_places(x, constants)
        return np.where(np.isnan(x), np.nan, level)

    def from_working(self, x: Array, constants: Constants) -> Array:
        """The value at each place within its level. (n, d) -> (n, d)."""
        level = np.floor(x)
        u, level = (x - level).clip(0, LARGEST_U), level.astype(np.intp)
        low, high = (
            np.take_along_axis(constants[name].T, level, axis=0) for name in ("low", "high")
        )
        left, right = np.isinf(low), np.isinf(high)
        excess = -np.log1p(-u)
        with np.errstate(invalid="ignore"):
            value = np.where(low < high, low + u * (high - low), low)
        value = np.where(left, high - constants["scale"][:, 0] * excess, value)
        value = np.where(right, low + constants["scale"][:, 1] * excess, value)
        for i in np.flatnonzero(constants["whole"]):
            atoms = constants["low"][i, constants["low"][i] == constants["high"][i]]
            # bins end half way between two places
            place = np.where(left[:, i], np.ceil(value[:, i] - 0.5), np.floor(value[:, i] + 0.5))
            place += np.searchsorted(passed_from(atoms), place, side="right")
            value[:, i] = np.where(low[:, i] < high[:, i], place, low[:, i])
        return value

    def from_mean(self, x: Array, constants: Constants) -> Array:
        return x * constants["spread"] + constants["location"]

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        """The log density, or the mass of a whole number, within its level."""
        level, place = self._levels_and_places(x, constants)
        low, high, size = (
            np.take_along_axis(constants[name].T, level, axis=0)
            for name in ("low", "high", "log_size")
        )
        scale = constants["scale"]
        with np.errstate(over="ignore"):  # a density of 0
            distance = np.where(np.isinf(low), (high - place) / scale[:, 0], 0.0)
            distance = np.where(np.isinf(high), (place - low) / scale[:, 1], distance)
        found: Array = -distance - size
        return found

    def log_unit(self, x: Array, constants: Constants) -> Array:
        level, _ = self._levels_and_places(x, constants)
        low, high = (
            np.take_along_axis(constants[name].T, level, axis=0) for name in ("low", "high")
        )
        is_density = (low < high) & ~constants["whole"]
        return np.where(is_density, np.log(constants["spread"]), 0.0)

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
            "log_sharpness": nn.Parameter(float32(np.log(base) / SHARPNESS_SPEED)),
        }

    def location(self, x: Tensor, parameters: Parameters) -> Tensor:
        return parameters["score"].T.gather(0, x.long())

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        return self.location(x, parameters).unsqueeze(-1)

    def fit_noise(self, variance: Tensor, parameters: Parameters) -> None:
        # the levels cut a standard normal, of whose variance the scores hold the share ``base``
        base = parameters["base_sharpness"]
        unexplained = 1 - base * (1 - variance.clamp(max=1.0))
        sharpness = base / unexplained.clamp(min=1 / LARGEST_SHARPNESS)
        parameters["log_sharpness"].data.copy_(sharpness.log() / SHARPNESS_SPEED)

    def _sharpness(self, parameters: Parameters) -> Tensor:
        return (SHARPNESS_SPEED * parameters["log_sharpness"]).exp()

    def logits(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        score, sharpness = parameters["score"], self._sharpness(parameters)
        location, rest = self._divided(outputs, parameters)
        curvature = 0.5 * (parameters["base_sharpness"] - sharpness)
        base = parameters["log_share"] + curvature.unsqueeze(-1) * score.square()
        return torch.addcmul(rest + base, (location * sharpness).unsqueeze(-1), score)

    def _divided(self, outputs: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """The locations (S, N, d), and what is said of each level (S, N, d, L)."""
        d, n_levels = parameters["score"].shape
        location, rest = outputs.split([d, d * n_levels], dim=-1)
        return location, rest.unflatten(-1, (d, n_levels))

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        score, sharpness = parameters["score"], self._sharpness(parameters)
        location, _ = self._divided(outputs, parameters)
        log_mass = self.log_mass(outputs, parameters)
        level = _level_of(x, log_mass)

        def backward(gradient: Tensor) -> Tensor:
            by_level = gradient.unsqueeze(-1)
            by_logits = log_mass.exp().mul_(-by_level).scatter_add_(-1, level, by_level)
            by_score = torch.einsum("sndl,dl->snd", by_logits, score)
            learned = parameters["log_sharpness"].grad
            if learned is not None:
                by_square = (by_logits.sum((0, 1)) * score.square()).sum(-1)
                by_sharpness = (by_score * location).sum((0, 1)) - 0.5 * by_square
                learned.add_(by_sharpness * sharpness, alpha=SHARPNESS_SPEED)
            return torch.cat([by_score * sharpness, by_logits.flatten(-2)], dim=-1)

        return lambda: log_mass.gather(-1, level).squeeze(-1), backward

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return (self.log_mass(outputs, parameters).exp() * parameters["value"]).sum(-1)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        level = super().sample(outputs, parameters, generator)
        return level + torch.empty_like(level).uniform_(0, LARGEST_U, generator=generator)


def _standardised(x: Array, share: Array) -> tuple[Array, Array]:
    """Numbers of levels with mean 0 and variance 1, and their variance before. 2 x (d, L)."""
    x = x - (share * x).sum(axis=1, keepdims=True)
    variance = (share * np.square(x)).sum(axis=1)
    variance[variance == 0] = 1.0  # of a single level
    return x / np.sqrt(variance)[:, None], variance


def places(x: Array, atoms: Array) -> Array:
    """Each number less the ``atoms`` below it. (n,), (A,) -> (n,)."""
    place: Array = x - np.searchsorted(atoms, x)
    return place


def passed_from(atoms: Array) -> Array:
    """The place from which on a number lies above each of the sorted atoms. (A,) -> (A,)."""
    passed: Array = atoms - np.arange(len(atoms))
    return passed


def quantile_edges(values: Array, share: Array, n_bins: int, whole: bool) -> Array:
    """Inner edges of bins of about equal shares, half way between two values. -> (n_bins - 1,).

    Fewer where values repeat.
    """
    levels = np.arange(1, n_bins) / n_bins * (1 - 1e-12)  # less what the sums round
    quantiles = np.quantile(values, levels, weights=share, method="inverted_cdf")
    at = np.unique(np.minimum(np.searchsorted(values, quantiles), len(values) - 2))
    edges = 0.5 * (values[at] + values[at + 1])
    return np.unique(np.floor(edges) + 0.5) if whole else edges


def tail_scale(excess: Array, share: Array, span: float) -> float:
    """The scale of an exponential tail, the mean of the positive excesses. (n,), (n,) -> ()."""
    beyond = excess > 0
    if not beyond.any():
        return 0.1 * span
    return max(float(np.average(excess[beyond], weights=share[beyond])), SMALLEST_SCALE * span)


def bin_means(edges: Array, scale: Array, atoms: Array, whole: bool) -> Array:
    """The mean of the values in each bin, ``atoms`` being left out. -> (number of edges + 1,)."""
    # of 1/2, 3/2, ... with the masses e^(-distance / scale)
    reach = 0.5 / np.tanh(0.5 / scale) if whole else scale
    mean: Array = np.r_[edges[0] - reach[0], 0.5 * (edges[:-1] + edges[1:]), edges[-1] + reach[1]]
    # what is added to a place: the share of the bin that lies above each atom
    passed, width = passed_from(atoms), np.diff(edges)[:, None]
    mean[0] -= np.expm1(-(edges[0] + 0.5 - passed).clip(0) / scale[0]).sum()
    mean[1:-1] += (np.clip(edges[1:, None] + 0.5 - passed, 0, width) / width).sum(axis=1)
    mean[-1] += np.exp(-(passed - 0.5 - edges[-1]).clip(0) / scale[1]).sum()
    return mean


def normal_scores(value: Array, share: Array) -> Array:
    """The normal quantile of the middle of each level's share, by order of value. (L,)."""
    order = np.argsort(value, kind="stable")
    part = np.nan_to_num(share[order])
    score = np.empty(len(value))
    score[order] = ndtri((np.cumsum(part) - 0.5 * part).clip(1e-4, 1 - 1e-4))
    return score
