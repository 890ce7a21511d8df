"""Between the caller's table and the working units of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae.likelihoods import LIKELIHOODS, Bernoulli, Constants, Gaussian, Likelihood

Array = NDArray[Any]
LikelihoodChoice = str | Likelihood | Mapping[Any, "str | Likelihood"]

BLOCK_BYTES = 2**24  # columns are fitted and rows converted in float64 blocks of about this size
RARE = 0.05  # below this share of the rows a value is no sign of a yes/no column


@dataclass
class Group:
    """Columns of one likelihood: their places in the table and their constants, each (d,)."""

    likelihood: Likelihood
    places: NDArray[np.intp]
    constants: Constants


class Columns:
    """A numeric table's columns: which likelihood models each, and in which units.

    In working units the columns lie group by group, one group a likelihood.

    Attributes
    ----------
    names : list of str
    groups : list of Group
    """

    def __init__(self, names: Sequence[str], groups: Sequence[Group]) -> None:
        self.names = list(names)
        self.groups = list(groups)

    @classmethod
    def fit(
        cls,
        X: Array,
        index: NDArray[np.intp],
        weight: NDArray[np.float64],
        *,
        names: Sequence[str],
        likelihood: LikelihoodChoice,
    ) -> Columns:
        """Choose and fit the likelihoods on the rows ``index`` of ``X`` with their weights."""
        columns = cls(names, [])
        chosen = choose_likelihoods(X, index, weight, names, likelihood)
        for one in _distinct(chosen):
            places = np.flatnonzero([other == one for other in chosen])
            fitted = []
            for block in _chunks(len(places), 8 * len(index)):
                x = np.asarray(X[:, places[block]][index], dtype=np.float64)
                columns._check_support(one, x, places[block])
                fitted.append(one.fit(x, weight))
            constants = {name: np.concatenate([f[name] for f in fitted]) for name in fitted[0]}
            columns.groups.append(Group(one, places, constants))
        return columns

    def to_working(self, X: Array, index: NDArray[np.intp] | None, dtype: Any) -> Array:
        """Rows ``index`` of ``X`` (all for None) in working units. -> (n, d)."""
        out = np.empty((len(X) if index is None else len(index), len(self.names)), dtype=dtype)
        for rows, x in self._row_blocks(X, index):
            for group, place in self._slices():
                cells = x[:, group.places]
                self._check_support(group.likelihood, cells, group.places)
                out[rows, place] = group.likelihood.to_working(cells, group.constants)
        return out

    def from_working(self, U: Array) -> NDArray[np.float64]:
        """Working units to the caller's. (n, d) -> (n, d)."""
        out = np.empty(U.shape, dtype=np.float64)
        for rows, u in self._row_blocks(U, None):
            for group, place in self._slices():
                out[rows, group.places] = group.likelihood.from_working(
                    u[:, place], group.constants
                )
        return out

    def log_jacobian(self, X: Array, index: NDArray[np.intp] | None) -> NDArray[np.float64]:
        """The log of d working / d caller, summed over the columns of a row. -> (n,)."""
        out = np.zeros(len(X) if index is None else len(index))
        for rows, x in self._row_blocks(X, index):
            for group, _ in self._slices():
                cells = x[:, group.places]
                out[rows] += group.likelihood.log_jacobian(cells, group.constants).sum(axis=1)
        return out

    def _check_support(self, likelihood: Likelihood, x: Array, places: Array) -> None:
        inside = likelihood.inside(x)
        if not inside.all():
            row, column = np.argwhere(~inside)[0]
            raise ValueError(
                f"Column {self.names[places[column]]!r} is modelled by "
                f"{type(likelihood).__name__}, whose support is {likelihood.support}, but it "
                f"holds {x[row, column]}. Choose another likelihood for it, or rescale it."
            )

    def _row_blocks(
        self, X: Array, index: NDArray[np.intp] | None
    ) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        n = len(X) if index is None else len(index)
        for rows in _chunks(n, 8 * len(self.names)):
            yield rows, np.asarray(X[rows if index is None else index[rows]], dtype=np.float64)

    def _slices(self) -> Iterator[tuple[Group, slice]]:
        start = 0
        for group in self.groups:
            stop = start + len(group.places)
            yield group, slice(start, stop)
            start = stop


def choose_likelihoods(
    X: Array,
    index: NDArray[np.intp],
    weight: NDArray[np.float64],
    names: Sequence[str],
    likelihood: LikelihoodChoice,
) -> list[Likelihood]:
    """The likelihood of each column.

    A mapping names columns by name, or by place where they have none; "auto" takes the rest.

    "auto" is Bernoulli for yes/no columns and Gaussian for others. A column is yes/no if it holds
    nothing but 0 and 1, each in at least ``RARE`` of the rows: a count that happened to stay below
    2 is rarely 1. In a table of nothing but 0 and 1 every column is.
    """
    choice: list[str | Likelihood]
    if isinstance(likelihood, Mapping):
        choice = ["auto"] * len(names)
        places = {name: place for place, name in enumerate(names)}
        for key, value in likelihood.items():
            if key not in places:
                raise ValueError(
                    f"'likelihood' names the column {key!r}, but the columns are {list(names)}."
                )
            choice[places[key]] = value
    else:
        choice = [likelihood] * len(names)
    if "auto" in choice:
        binary, ones = _yes_no(X, index, weight)
        yes_no = binary & ((np.minimum(ones, 1 - ones) >= RARE) | binary.all())
        choice = [
            (Bernoulli() if yes_no[place] else Gaussian()) if value == "auto" else value
            for place, value in enumerate(choice)
        ]
    return [_resolve(value) for value in choice]


def _yes_no(
    X: Array, index: NDArray[np.intp], weight: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which columns hold nothing but 0 and 1, and the share of ones in each, (d,) both."""
    parts = []
    for block in _chunks(X.shape[1], 8 * len(index)):
        x = X[:, block][index]
        parts.append((((x == 0) | (x == 1)).all(axis=0), weight @ (x == 1) / weight.sum()))
    binary, ones = (np.concatenate(part) for part in zip(*parts, strict=True))
    return binary, ones


def _resolve(likelihood: str | Likelihood) -> Likelihood:
    if isinstance(likelihood, Likelihood):
        return likelihood
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"'likelihood' must be 'auto', one of {sorted(LIKELIHOODS)}, a Likelihood, or a dict "
            f"from columns to these; got {likelihood!r}."
        )
    return LIKELIHOODS[likelihood]()


def _distinct(values: Sequence[Likelihood]) -> list[Likelihood]:
    found: list[Likelihood] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _chunks(n: int, bytes_each: int) -> Iterator[slice]:
    """Slices that cover ``n`` items, each of about ``BLOCK_BYTES``."""
    size = max(1, BLOCK_BYTES // max(1, bytes_each))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
