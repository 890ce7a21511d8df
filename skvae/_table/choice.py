"""The likelihood of each column: given by name or as a value, or chosen by "auto"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae._table.auto import choose
from skvae._table.names import find_columns
from skvae._table.units import hold_only_0_and_1
from skvae._warn import warn
from skvae.likelihoods import LIKELIHOODS, Likelihood
from skvae.likelihoods._sample import FEW_VALUES

Array = NDArray[Any]
LikelihoodChoice = str | Likelihood | Mapping[Any, "str | Likelihood"]

# A column of categories is a key if it has more levels than FEW_LEVELS, and more than this share of
# the number of rows.
FEW_LEVELS, MANY_LEVELS = 50, 0.5


def choose_likelihoods(
    names: Sequence[Any],
    likelihood: LikelihoodChoice,
    sample: Array,
    weight: NDArray[np.float64],
    blocks: Iterable[Array],
    *,
    is_category: Sequence[bool],
    is_bool: Sequence[bool],
    shares_unit: NDArray[np.bool_],
) -> tuple[list[Likelihood], list[bool]]:
    """Choose the likelihood of each column. Also returns for which of them "auto" chose it.

    Parameters
    ----------
    names : sequence of length d
    likelihood : str, Likelihood or mapping
        The user's choice. Columns that a mapping does not name get "auto", and so do categories if
        a single likelihood is for numbers.
    sample : ndarray of shape (m, d)
        The first rows, in steps of the columns' grids. The rows are in random order.
    weight : ndarray of shape (n,)
        The weights of all rows.
    blocks : iterable of ndarray of shape (b, d)
        All rows, read only if a column needs them.
    is_category, is_bool, shares_unit : sequence of bool of length d
    """
    wanted = wanted_likelihoods(names, likelihood, is_category)
    automatic = [isinstance(value, str) and value == "auto" for value in wanted]
    found = choose(
        sample,
        weight[: len(sample)],
        is_category=is_category,
        is_bool=is_bool,
        shares_unit=shares_unit,
        is_binary=binary_columns(blocks, automatic),
        wanted=automatic,
    )
    chosen = [
        resolve(name, value if one is None else one)
        for name, value, one in zip(names, wanted, found, strict=True)
    ]
    check_categories(names, chosen, is_category)
    warn_of_keys(names, sample, is_category)
    given = [None if auto else one for one, auto in zip(chosen, automatic, strict=True)]
    warn_of_few_values(names, sample, len(weight), given)
    return chosen, automatic


def wanted_likelihoods(
    names: Sequence[Any], likelihood: LikelihoodChoice, is_category: Sequence[bool]
) -> list[str | Likelihood]:
    """The user's choice for each column."""
    if not isinstance(likelihood, Mapping):
        if likelihood == "auto" or resolve(names[0], likelihood).takes_levels:
            return [likelihood] * len(names)
        return ["auto" if category else likelihood for category in is_category]
    wanted: list[str | Likelihood] = ["auto"] * len(names)
    places = find_columns(names, likelihood, "likelihood")
    for place, value in zip(places, likelihood.values(), strict=True):
        wanted[place] = value
    return wanted


def binary_columns(blocks: Iterable[Array], among: Sequence[bool]) -> NDArray[np.bool_]:
    """Which of the columns ``among`` hold only 0 and 1; arbitrary for the others. (d,)."""
    is_binary = np.ones(len(among), dtype=bool)
    for x in blocks if any(among) else ():
        is_binary &= hold_only_0_and_1(x)
        if not (is_binary & among).any():
            break
    return is_binary


def resolve(name: Any, likelihood: str | Likelihood) -> Likelihood:
    """The likelihood of a column, looked up by name if ``likelihood`` is a string."""
    if isinstance(likelihood, Likelihood):
        return likelihood
    if not isinstance(likelihood, str) or likelihood not in LIKELIHOODS:
        raise ValueError(
            f"The 'likelihood' of column {name!r} must be 'auto', one of {sorted(LIKELIHOODS)}, or "
            f"a Likelihood, such as Gaussian(); got {likelihood!r}."
        )
    return LIKELIHOODS[likelihood]()


def check_categories(
    names: Sequence[Any], chosen: Sequence[Likelihood], is_category: Sequence[bool]
) -> None:
    """Raise ValueError if a column of categories has a likelihood for numbers."""
    for name, one, category in zip(names, chosen, is_category, strict=True):
        if category and not one.takes_levels:
            raise ValueError(
                f"Column {name!r} holds categories, and {type(one).__name__} is for numbers. "
                "Choose 'categorical' or 'ordinal' for it."
            )


def warn_of_keys(names: Sequence[Any], sample: Array, is_category: Sequence[bool]) -> None:
    """Warn about columns whose categories differ in most of the rows."""
    n_rows = len(sample)
    for name, x, category in zip(names, sample.T, is_category, strict=True):
        n_levels = count_values(x) if category else 0
        if n_levels > max(FEW_LEVELS, MANY_LEVELS * n_rows):
            warn(
                f"Column {name!r} holds {n_levels} different categories in {n_rows} rows, as a "
                "name or a key would, which carry little information about a row. Convert dates by "
                "pandas.to_datetime and numbers by pandas.to_numeric. Otherwise, drop the column, "
                "or merge rare categories."
            )


def warn_of_few_values(
    names: Sequence[Any], sample: Array, n_rows: int, given: Sequence[Likelihood | None]
) -> None:
    """Warn once if the user chose densities for columns with few values in ``n_rows`` rows."""
    few: list[tuple[Any, int, Likelihood]] = []
    for name, x, one in zip(names, sample.T, given, strict=True):
        if one is None or not one.is_density:
            continue
        n_values = count_values(x)
        if 1 < n_values <= FEW_VALUES and n_rows >= 10 * n_values:
            few.append((name, n_values, one))
    if few:
        name, n, one = few[0]
        others = f", like {len(few) - 1} more with few values" if len(few) > 1 else ""
        warn(
            f"Column {name!r} holds only {n} different values{others}, which "
            f"{type(one).__name__} makes more and more likely as its noise shrinks. Choose "
            "'histogram', 'categorical' or 'ordinal' for it, or a likelihood of counts."
        )


def count_values(x: Array) -> int:
    """The number of different observed values of a column. (n,) -> ()."""
    return len(np.unique(x[~np.isnan(x)]))
