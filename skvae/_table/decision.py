"""Decide about each column from a sample of the rows: its likelihood, grid and unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skvae._table.choice import LikelihoodChoice, choose_likelihoods
from skvae._table.grid import Grid, Grids, find_grid, refuse_step, resolved_grid, wanted_steps
from skvae._table.units import shared_unit, yes_no_columns
from skvae.likelihoods import Likelihood

Array = NDArray[Any]


class Decision(NamedTuple):
    """The decisions about each of d columns.

    Attributes
    ----------
    likelihoods : list of Likelihood
    lenient : ndarray of bool of shape (d,)
        Whether later values may lie outside the support. This is so if "auto" chose the
        likelihood, or a grid whose step is not 1 for a likelihood of steps.
    steps : list of float, "auto" or None
        The step of the grid that the user wants.
    grids : list of Grid or None
        The grid on which the sample lies.
    emphasis : ndarray of shape (d,)
        The spread of columns that share a unit, in that unit; NaN for other columns.
    unit : float
    """

    likelihoods: list[Likelihood]
    lenient: NDArray[np.bool_]
    steps: list[str | float | None]
    grids: list[Grid | None]
    emphasis: Array
    unit: float


def decide(
    sample: Array,
    weight: NDArray[np.float64],
    blocks: Iterable[Array],
    spread: Array,
    *,
    names: Sequence[Any],
    likelihood: LikelihoodChoice,
    resolution: str | Mapping[Any, float | None] | None,
    is_category: Sequence[bool],
    is_bool: Sequence[bool],
) -> Decision:
    """Decide about columns by a sample of the rows (m, d), whose spreads are (d,).

    ``weight`` (n,) is that of all rows, and ``blocks`` hold all rows, which are read only if a
    decision needs them.
    """
    numeric = ~np.asarray(is_category, dtype=bool)
    is_yes_no = yes_no_columns(sample, weight[: len(sample)])
    emphasis, unit = shared_unit(sample, spread, numeric & ~is_yes_no)
    steps = wanted_steps(names, resolution)
    for place in map(int, np.flatnonzero(~numeric)):
        refuse_step(names[place], steps[place])
        steps[place] = None
    grids = _grids(names, steps, sample, shares_unit=~np.isnan(emphasis))
    chosen, automatic = choose_likelihoods(
        names,
        likelihood,
        Grids.of(grids).steps(sample),
        weight,
        blocks,
        is_category=is_category,
        is_bool=is_bool,
        shares_unit=~np.isnan(emphasis),
    )
    for place, one in enumerate(chosen):
        if one.takes_levels:  # it takes numbers as they are
            refuse_step(names[place], steps[place])
            steps[place] = grids[place] = None
    emphasis[[not one.may_share_unit for one in chosen]] = np.nan
    on_own_step = [
        step == "auto" and grid is not None and grid.step != 1 and one.is_equivariant
        for step, grid, one in zip(steps, grids, chosen, strict=True)
    ]
    # categories that training has not seen count as missing instead
    lenient = (np.array(automatic) | on_own_step) & numeric
    return Decision(chosen, lenient, steps, grids, emphasis, unit)


def _grids(
    names: Sequence[Any],
    steps: Sequence[str | float | None],
    sample: Array,
    *,
    shares_unit: NDArray[np.bool_],
) -> list[Grid | None]:
    """The grid of each column of a sample (m, d).

    Of columns that share a unit, one may hold so few values that its own step is too large. If at
    least half of them have the step of all their values together, the others get it too.
    """
    grids = list(map(resolved_grid, names, steps, sample.T))
    members = {
        place: grid
        for place, (grid, step) in enumerate(zip(grids, steps, strict=True))
        if shares_unit[place] and step == "auto" and grid is not None
    }
    together = sample[:, list(members)]
    shared = find_grid(together[~np.isnan(together)]) if members else None
    if shared is not None:
        have_it = np.isclose([grid.step for grid in members.values()], shared.step, rtol=1e-9)
        if have_it.mean() >= 0.5:
            for place in members:
                grids[place] = shared
    return grids
