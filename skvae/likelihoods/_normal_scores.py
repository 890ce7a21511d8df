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
from skvae.likelihoods._numerics import LOG_SPEED, atom_cell, float32, standardisation
from skvae.likelihoods._sample import ColumnSample
from skvae.likelihoods._score_map import ScoreMap
from skvae.likelihoods._spline import Spline
from skvae.likelihoods._standardised import SMALLEST_SIGMA
from skvae.objectives import LOG_2PI

LARGEST_N_KNOTS = 1000
MOST_ROWS_PER_KNOT = 10**12
# Nats per row over a normal density from which on "auto" chooses normal scores.
GAIN = 0.1
# Values at this number of u, from -TABLE_REACH to TABLE_REACH, represent the map in means.
TABLE_SIZE, TABLE_REACH = 256, 4.5
COLUMNS_AT_ONCE = 64  # in the table of means, which takes 256 KiB for a column
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
    up to that of a log-normal distribution.

    An *atom* is a value that at least 1 in ``n_knots`` rows hold, and at least ``rows_per_knot``.
    It takes an interval of u whose normal probability is its share of the rows, and log p is the
    log of N(m, sigma^2)'s mass in the interval: a Tobit model, if the atom is the smallest value,
    and an ordered probit model, if all values are atoms.

    Draws and means stay within the range of the training rows. For log p any number has a density.

    log p is a density per unit of the column. The mass of an atom is spread over the step of the
    grid on which the values lie. If they lie on none, it is spread over the smallest gap if all
    values are atoms, and else over 1 % of the column's standard deviation.

    sigma stays above 1 %, and above the rounding error of the values on a grid, both in u.

    "auto" chooses it for columns whose values are likelier by more than 0.1 nats per row than under
    a normal density, both alone, by the Bayesian information criterion, and in linear regressions
    on the other columns.
    """

    n_knots: int = 128
    rows_per_knot: int = 30

    rules: ClassVar[Mapping[str, Rule]] = {
        "n_knots": whole(1, LARGEST_N_KNOTS),
        "rows_per_knot": whole(1, MOST_ROWS_PER_KNOT),
    }

    replayable: ClassVar[bool] = True
    is_density: ClassVar[bool] = False  # values that many rows hold are atoms
    ragged: ClassVar[bool] = True
    is_equivariant: ClassVar[bool] = True

    @classmethod
    def auto_score(cls, column: ColumnSample) -> float | None:
        """0.5 for numbers that are likelier by their scores, unless columns share a unit."""
        values = column.values
        if column.is_category or column.shares_unit or not len(values) or np.ptp(values) == 0:
            return None
        return 0.5 if cls().gain(column) > GAIN else None

    def gain(self, column: ColumnSample) -> float:
        """Nats per row by which the values are likelier than under a normal density.

        The smaller gain of two: of the column alone, less half of log n for each knot and atom, as
        by the Bayesian information criterion; and that given the other columns, by regressions of
        the values and of the scores.
        """
        x, weight = column.values, column.weight
        constants = self.fit(x[:, None], weight)
        (one,) = _maps(constants)
        is_atom, below = one.find(x)
        u = one.to_u(x)
        log_p = one.log_slope(x) - 0.5 * (np.square(u) + LOG_2PI)
        log_p[is_atom] = np.log(one.mass[below[is_atom]] / constants["cell"])
        normal = -np.log(one.spread) - 0.5 * (1 + LOG_2PI)
        n_parameters = len(one.spline.knots) + len(one.atoms)
        cost = 0.5 * np.log(weight.sum()) * n_parameters / weight.sum()
        alone = float(np.average(log_p, weights=weight) - normal - cost)
        if alone <= GAIN:
            return alone
        by_values = column.unexplained(x, column.others)
        by_scores = column.unexplained(u, column.scores_of_others)
        return min(alone, alone + 0.5 * float(np.log(by_values / by_scores)))

    def fit(self, x: Array, weight: Array) -> Constants:
        values, place = np.unique(x[:, 0], return_inverse=True)
        n_rows = weight.sum()
        share = np.bincount(place, weights=weight) / n_rows
        is_whole = bool(np.all(values == np.floor(values)))
        is_atom = (share >= 1 / self.n_knots) & (share * n_rows >= self.rows_per_knot)
        location, spread = standardisation(x, weight)
        spread[spread == 0] = 1.0
        n_free = share[~is_atom].sum() * n_rows
        one = ScoreMap.fit(
            values,
            share,
            n_rows,
            is_atom=is_atom,
            n_knots=min(self.n_knots, int(n_free + 0.5) // self.rows_per_knot),
            location=location[0],
            spread=spread[0],
            whole=is_whole,
        )
        floor = SMALLEST_SIGMA
        if is_whole and not is_atom.all():
            width = np.exp(one.log_slope(values[~is_atom]))
            floor = max(floor, np.sqrt(np.average(width**2, weights=share[~is_atom]) / 12))
        arrays = one.spline._asdict() | {
            name: getattr(one, name) for name in ("atoms", "mass", "low", "high")
        }
        return {name: array[None] for name, array in arrays.items()} | {
            "location": location,
            "spread": spread,
            "whole": np.array([is_whole]),
            "ends": values[None, [0, -1]],
            "cell": np.array([1.0 if is_whole else atom_cell(values, is_atom, spread[0])]),
            "floor": np.array([floor]),
        }

    def size(self, constants: Constants) -> int:
        # atoms cost time, however many there are
        return 2 if constants["atoms"].shape[1] else 1

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        low, high = constants["ends"].T
        ends = (
            np.fmin(low, np.nanmin(x, axis=0, initial=np.inf)),
            np.fmax(high, np.nanmax(x, axis=0, initial=-np.inf)),
        )
        return constants | {"ends": np.stack(ends, axis=1)}

    def to_working(self, x: Array, constants: Constants) -> Array:
        return _by_column(ScoreMap.to_u, x, constants)

    def from_working(self, x: Array, constants: Constants) -> Array:
        return _by_column(ScoreMap.from_u, x, constants).clip(*constants["ends"].T)

    def from_mean(self, x: Array, constants: Constants) -> Array:
        found: Array = x * constants["spread"] + constants["location"]
        return found

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        found = _by_column(ScoreMap.log_slope, x, constants)
        is_atom = _by_column(lambda one, column: one.find(column)[0], x, constants)
        return np.where(is_atom == 1, -np.log(constants["cell"]), found)

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
        atoms = _atoms(x, outputs, self.sigma(parameters), parameters)
        return density if atoms is None else torch.where(atoms.here, atoms.log_mass, density)

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
        values, sigma = parameters["values"], self.sigma(parameters)
        means = torch.cat(
            list(map(_smoothed, values.split(COLUMNS_AT_ONCE), sigma.split(COLUMNS_AT_ONCE)))
        )
        # linear between the m of the table
        at = (outputs + TABLE_REACH) / (2 * TABLE_REACH / (TABLE_SIZE - 1))
        at = at.clamp(0, TABLE_SIZE - 1)
        left = at.long().clamp(max=TABLE_SIZE - 2)
        column = torch.arange(len(values), device=values.device)
        found: Tensor = torch.lerp(means[column, left], means[column, left + 1], at - left)
        return found


def _smoothed(values: Tensor, sigma: Tensor) -> Tensor:
    """E[value(u)] for u ~ N(m, sigma^2), at each m of the table. (d, T), (d,) -> (d, T)."""
    reach, n = TABLE_REACH, values.shape[-1]
    u = torch.linspace(-reach, reach, n, dtype=values.dtype, device=values.device)
    inner = 0.5 * (u[1:] + u[:-1]) - u[:, None]
    below = torch.special.ndtr(inner / sigma[:, None, None])
    below = nn.functional.pad(nn.functional.pad(below, (0, 1), value=1.0), (1, 0))
    found: Tensor = (below.diff(dim=-1) @ values.unsqueeze(-1)).squeeze(-1)
    return found


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
    """The atoms among values u (N, d) in N(outputs, sigma^2), None if the columns have none."""
    low, high = parameters["low"], parameters["high"]
    if not low.shape[-1]:
        return None
    k = torch.searchsorted(high, x.T.contiguous(), right=True).clamp_(max=high.shape[-1] - 1)
    low, high = low.gather(-1, k).T, high.gather(-1, k).T
    here = (low <= x) & (x < high)
    # any interval will do for other values
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
    # without the near end, if that lies too far out to count
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


def _maps(constants: Constants) -> list[ScoreMap]:
    """The map of each column."""
    found = []
    for i, whole_numbers in enumerate(constants["whole"]):
        # the padding of a column is NaN
        row = {name: array[i] for name, array in constants.items() if array.ndim > 1}
        row = {name: array[~np.isnan(array)] for name, array in row.items()}
        spline = Spline(*(row[name] for name in Spline._fields))
        found.append(
            ScoreMap(
                spline,
                atoms=row["atoms"],
                mass=row["mass"],
                low=row["low"],
                high=row["high"],
                location=float(constants["location"][i]),
                spread=float(constants["spread"][i]),
                whole=bool(whole_numbers),
            )
        )
    return found


def _by_column(change: Callable[[ScoreMap, Array], Array], x: Array, constants: Constants) -> Array:
    """A function of the map and the values of each column; NaN stays. (n, d) -> (n, d)."""
    out = np.full(x.shape, np.nan)
    for one, column, place in zip(_maps(constants), x.T, out.T, strict=True):
        observed = ~np.isnan(column)
        place[observed] = change(one, column[observed])
    return out
