"""Normal density of the normal scores of a column, with atoms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skvae._rules import Rule, whole
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._base import Array, Constants, Parameters
from skvae.likelihoods._gaussian import _Normal
from skvae.likelihoods._numerics import (
    LOG_SPEED,
    float32,
    smallest_gap,
    standardisation,
    whole_limits,
    widened,
)
from skvae.likelihoods._sample import FEW_VALUES, ColumnSample, DistinctValues
from skvae.likelihoods._score_map import LARGEST_SCORE, ScoreMap
from skvae.likelihoods._standardised import SMALLEST_SIGMA
from skvae.objectives import LOG_2PI

LARGEST_N_KNOTS = 1000
MOST_ROWS_PER_KNOT = 10**12
# Gain over a normal density, in nats per row, above which "auto" chooses normal scores.
GAIN = 0.1
# Values at this number of u, from -TABLE_REACH to TABLE_REACH, represent the map in means.
TABLE_SIZE, TABLE_REACH = 512, 4.5
TABLE_STEP = 2 * TABLE_REACH / (TABLE_SIZE - 1)
INFINITE = 1e4  # the u of an unbounded end: no sigma brings it near
WHOLE_MASS = -5.0  # above which a standard normal number lies with a probability of 1 in float32
SMALLEST_MASS = 1e-6  # of an interval, divided by the density at its end


@dataclass
class NormalScores(_Normal):
    r"""Normal density around the decoder's output, for the normal scores of a column.

    A smooth, increasing map u(x) takes the column's own distribution to a standard normal one.
    For columns that are skewed, bounded or heavy-tailed.

    Parameters
    ----------
    n_knots : int, default=128
        Maximum number of knots of the map. A column has one for each ``rows_per_knot`` rows.
    rows_per_knot : int, default=30
        Minimum mean number of rows between two knots, and of an atom.

    Notes
    -----
    With the decoder's output m and a standard deviation sigma, learned for each column,

        log p(x|z) = log N(u(x); m, sigma^2) + log du/dx.

    The map is a monotone rational quadratic spline through quantiles of the training rows. Both
    tails continue it, as in Tukey's g distribution: with the growth that gives the tail its mean,
    up to that of a log-normal distribution whose logarithms have a standard deviation of 4.

    An *atom* is a value that at least 1 in ``n_knots`` rows hold, and at least ``rows_per_knot``.
    It takes an interval of u whose normal probability is its share of the rows, and log p is the
    log of N(m, sigma^2)'s mass in the interval: a Tobit model, if the atom is the smallest value,
    and an ordered probit model, if all values are atoms.

    Draws and means stay within the range of the training rows, or within named ``bounds``. Draws
    are whole numbers if the training rows held no others. For log p any number has a density.

    log p is a density per unit of the column. The mass of an atom is spread over the step of the
    grid on which the values lie. If they lie on none, it is spread over the smallest gap if all
    values are atoms, and else over 1 % of the column's standard deviation.

    sigma stays above 1 %, above the smallest gap between two values over sqrt(12), and above the
    rounding error of the values on a grid, all in u.

    "auto" chooses it for columns of at most 10 different values, and for those whose values are
    likelier by more than 0.1 nats per row than under a normal density, both alone, by Akaike's
    information criterion, and in linear regressions on the other columns.
    """

    n_knots: int = 128
    rows_per_knot: int = 30

    rules: ClassVar[Mapping[str, Rule]] = {
        "n_knots": whole(1, LARGEST_N_KNOTS),
        "rows_per_knot": whole(1, MOST_ROWS_PER_KNOT),
    }

    missing = _Normal.missing
    missing_vjp = _Normal.missing_vjp
    replayable: ClassVar[bool] = True
    ragged: ClassVar[bool] = True
    is_equivariant: ClassVar[bool] = True

    @classmethod
    def auto_score(cls, column: ColumnSample) -> float | None:
        """0.5 for few values, or values likelier by scores, unless columns share a unit."""
        values = column.values
        if column.is_category or column.shares_unit or not len(values) or np.ptp(values) == 0:
            return None
        has_few_values = len(column.distinct.values) <= FEW_VALUES
        return 0.5 if has_few_values or cls().gain(column) > GAIN else None

    def gain(self, column: ColumnSample) -> float:
        """Nats per row by which the values are likelier than under a normal density.

        The smaller gain of two: of the column alone, less 1 / n for each knot and atom, by
        Akaike's information criterion; and that given the other columns, by regressions of the
        values and of the scores.
        """
        x, share, n_rows, place = column.distinct
        one, is_atom = self._map(column.distinct)
        u = one.to_u(x)
        log_p = -0.5 * (np.square(u) + LOG_2PI)
        log_p[is_atom] = np.log(one.mass)
        # of a normal density with the rounding of the values
        smallest = np.diff(x).min() / np.sqrt(12)
        normal = -0.5 * (1 + LOG_2PI) - np.log(max(one.spread, smallest))
        n_parameters = len(one.spline.knots) + len(one.atoms)
        cost = n_parameters / n_rows
        alone = float(share @ (log_p + one.log_jacobian(x)) - normal - cost)
        if alone <= GAIN:
            return alone
        by_values = column.unexplained(column.values, scores=False)
        by_scores = column.unexplained(u[place], scores=True)
        return min(alone, alone + 0.5 * float(np.log(by_values / by_scores)))

    def fit(self, x: Array, weight: Array) -> Constants:
        column = DistinctValues.of(x[:, 0], weight)
        one, is_atom = self._map(column)
        maps = np.empty(1, dtype=object)
        maps[0] = one
        return {
            "map": maps,
            "low": one.low[None],
            "high": one.high[None],
            "location": np.array([one.location]),
            "spread": np.array([one.spread]),
            "limits": column.values[None, [0, -1]],
            "floor": np.array(
                [_smallest_sigma(one, column.values[~is_atom], column.share[~is_atom])]
            ),
        }

    def _map(self, column: DistinctValues) -> tuple[ScoreMap, Array]:
        """The map of a column, and which of its different values are atoms."""
        values, share, n_rows, _ = column
        is_atom = (share >= 1 / self.n_knots) & (share * n_rows >= self.rows_per_knot)
        location, spread = standardisation(values[:, None], share)
        n_free = share[~is_atom].sum() * n_rows
        one = ScoreMap.fit(
            values,
            share,
            n_rows,
            is_atom=is_atom,
            n_knots=min(self.n_knots, int(n_free + 0.5) // self.rows_per_knot),
            location=location[0],
            spread=spread[0] or 1.0,
        )
        return one, is_atom

    def size(self, constants: Constants) -> int:
        # atoms take time, whatever their number
        return 2 if constants["low"].shape[1] else 1

    def with_limits(self, constants: Constants, limits: Array) -> Constants:
        is_whole = np.array([one.whole for one in constants["map"]])
        return super().with_limits(constants, whole_limits(limits, is_whole))

    def without_limits(self, constants: Constants, ends: Array) -> Constants:
        return constants  # means would not have them either, and tails can be very long

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        return constants | {"limits": widened(constants["limits"], x)}

    def to_working(self, x: Array, constants: Constants) -> Array:
        pairs = zip(constants["map"], x.T, strict=True)
        return np.stack([one.to_u(column) for one, column in pairs], axis=1)

    def from_working(self, x: Array, constants: Constants) -> Array:
        u = x.clip(-LARGEST_SCORE, LARGEST_SCORE)  # a tail without a limit stays finite
        return _by_column(ScoreMap.from_u, u, constants).clip(*constants["limits"].T)

    def from_mean(self, x: Array, constants: Constants) -> Array:
        found: Array = x * constants["spread"] + constants["location"]
        return found

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        return _by_column(ScoreMap.log_jacobian, x, constants)

    def log_unit(self, x: Array, constants: Constants) -> Array:
        # an atom between real numbers has a mass; one among whole numbers has a density, as they do
        cell = np.log([one.cell for one in constants["map"]])
        is_mass = _by_column(lambda one, v: one.find(v)[0] & (not one.whole), x, constants) == 1
        return np.where(is_mass, cell, super().log_unit(x, constants))

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        location, spread = constants["location"][:, None], constants["spread"][:, None]
        u = np.linspace(-TABLE_REACH, TABLE_REACH, TABLE_SIZE)
        values = self.from_working(np.tile(u[:, None], len(spread)), constants).T
        low, high = (
            np.nan_to_num(constants[name], nan=INFINITE).clip(-INFINITE, INFINITE)
            for name in ("low", "high")
        )
        return super().parameters(constants) | {
            "low": float32(low),
            "high": float32(high),
            "values": float32((values - location) / spread),
        }

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        density = super().log_prob(x, outputs, parameters)
        intervals = _intervals(x, parameters)
        if intervals is None:
            return density
        # only for atoms, since a mass takes several times as long as a density
        cells = intervals.here.flatten().nonzero()[:, 0]
        sigma = self.sigma(parameters).expand_as(x)
        low, high, sigma, location = (
            part.flatten(-2).index_select(-1, cells)
            for part in (intervals.low, intervals.high, sigma, outputs.expand_as(density))
        )
        log_mass, *_ = normal_mass((low - location) / sigma, (high - location) / sigma)
        return density.flatten(-2).index_copy(-1, cells, log_mass).view_as(density)

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        density, backward_of_density = super().vjp(x, outputs, parameters)
        log_sigma, sigma = parameters["log_sigma"], self.sigma(parameters)
        atoms = _atoms(x, outputs, sigma, parameters)
        if atoms is None:
            return density, backward_of_density

        def log_prob() -> Tensor:
            return torch.where(atoms.here, atoms.log_mass, density())

        def backward(gradient: Tensor) -> Tensor:
            of_atoms = torch.where(atoms.here, gradient, 0.0)
            by_output = backward_of_density(gradient - of_atoms)
            if log_sigma.grad is not None:
                by_log_sigma = of_atoms * (atoms.low * atoms.at_low - atoms.high * atoms.at_high)
                share = (self.free_sigma(parameters) / sigma).square()
                log_sigma.grad.add_(by_log_sigma.sum((0, 1)) * share, alpha=LOG_SPEED)
            found: Tensor = by_output + of_atoms * (atoms.at_low - atoms.at_high) / sigma
            return found

        return log_prob, backward

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        means = _smoothed(parameters["values"], self.sigma(parameters))
        # linear between the m of the table
        at = ((outputs + TABLE_REACH) / TABLE_STEP).clamp(0, TABLE_SIZE - 1)
        left = at.long().clamp(max=TABLE_SIZE - 2)
        column = torch.arange(len(means), device=means.device)
        found: Tensor = torch.lerp(means[column, left], means[column, left + 1], at - left)
        return found


def _smallest_sigma(one: ScoreMap, values: Array, share: Array) -> float:
    """The floor of sigma, by the values that are no atoms, (n,), and their shares of the rows."""
    if not len(values):
        return 1.0 if len(one.atoms) == 1 else SMALLEST_SIGMA  # of a constant column
    floors = [SMALLEST_SIGMA, smallest_gap(one.to_u(values)) / np.sqrt(12)]
    if one.whole:
        width = np.exp(one.log_jacobian(values))
        floors.append(np.sqrt(np.average(width**2, weights=share) / 12))
    return float(max(floors))


def _smoothed(values: Tensor, sigma: Tensor) -> Tensor:
    """E[value(u)] for u ~ N(m, sigma^2), at each m of the table. (d, T), (d,) -> (d, T)."""
    n = values.shape[-1]
    # the probability of each step of the table, by its distance from m
    edges = TABLE_STEP * torch.arange(1.5 - n, n - 1, dtype=values.dtype, device=values.device)
    below = torch.special.ndtr(edges / sigma[:, None])
    below = nn.functional.pad(nn.functional.pad(below, (0, 1), value=1.0), (1, 0))
    kernel = below.diff(dim=-1)
    wide = nn.functional.pad(values, (n - 1, n - 1), mode="replicate")
    # by Fourier transforms, which take a tenth of the time of a sum over the table for each m
    spectrum = torch.fft.rfft(wide.double(), 4 * n) * torch.fft.rfft(kernel.double(), 4 * n).conj()
    found: Tensor = torch.fft.irfft(spectrum, 4 * n)[:, :n].to(values.dtype)
    return found


class _Intervals(NamedTuple):
    """Which values (N, d) are atoms, and the ends of their intervals.

    Those of other values have no meaning.
    """

    here: Tensor
    low: Tensor
    high: Tensor


def _intervals(x: Tensor, parameters: Parameters) -> _Intervals | None:
    """The intervals of atoms among values u (N, d), None if the columns have none."""
    low, high = parameters["low"], parameters["high"]
    if not low.shape[-1]:
        return None
    k = torch.searchsorted(high, x.T.contiguous(), right=True).clamp_(max=high.shape[-1] - 1)
    low, high = low.gather(-1, k).T, high.gather(-1, k).T
    return _Intervals((low <= x) & (x < high), low, high)


class _Atoms(NamedTuple):
    """Which values are atoms, the standardised ends of their intervals, and the mass there.

    ``at_low`` and ``at_high`` are the density at the ends, divided by the mass.
    """

    here: Tensor
    low: Tensor
    high: Tensor
    log_mass: Tensor
    at_low: Tensor
    at_high: Tensor


def _atoms(x: Tensor, outputs: Tensor, sigma: Tensor, parameters: Parameters) -> _Atoms | None:
    """The atoms among values u (N, d) in N(outputs, sigma^2), None if the columns have none.

    Masses are computed for all values, since a CUDA graph needs shapes that do not depend on them.
    """
    intervals = _intervals(x, parameters)
    if intervals is None:
        return None
    here, low, high = intervals
    # other values have an arbitrary interval
    low, high = torch.where(here, low, x - 1), torch.where(here, high, x + 1)
    low, high = (low - outputs) / sigma, (high - outputs) / sigma
    return _Atoms(here, low, high, *normal_mass(low, high))


def normal_mass(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log(Phi(high) - Phi(low)), and the density at both ends divided by the mass."""
    # with the Mills ratio M: phi(near) (M(near) - M(far) phi(far) / phi(near)), of positive ends
    is_right = low + high > 0
    near = torch.where(is_right, low, -high).clamp(min=WHOLE_MASS)
    far = torch.where(is_right, high, -low)
    ratio = (-0.5 * (far - near) * (far + near)).exp()
    rest = (mills_ratio(near) - mills_ratio(far) * ratio).clamp(min=SMALLEST_MASS)
    log_mass = rest.log() - 0.5 * (near.square() + LOG_2PI)
    # 0 at the near end if it is too far out to matter
    at_near, at_far = (near > WHOLE_MASS) / rest, ratio / rest
    at_low, at_high = (
        torch.where(is_right, at_near, at_far),
        torch.where(is_right, at_far, at_near),
    )
    return log_mass, at_low, at_high


def mills_ratio(x: Tensor) -> Tensor:
    """(1 - Phi(x)) / phi(x)."""
    found: Tensor = (0.5 * math.pi) ** 0.5 * torch.special.erfcx(x * 0.5**0.5)
    return found


def _by_column(change: Callable[[ScoreMap, Array], Array], x: Array, constants: Constants) -> Array:
    """A function of the map and the values of each column; NaN stays. (n, d) -> (n, d)."""
    out = np.full(x.shape, np.nan)
    for one, column, place in zip(constants["map"], x.T, out.T, strict=True):
        observed = ~np.isnan(column)
        place[observed] = change(one, column[observed])
    return out
