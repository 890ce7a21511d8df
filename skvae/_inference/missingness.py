"""Which values of a row are missing: a model of the missing values of the training rows.

Columns that are always missing together share one indicator m_j. The indicators follow one after
the other, the rarest first, by logistic regressions:

    p(m | x) = prod_j p(m_j | x_c, m_i and the observed part of x_i for i < j)

where x_c are the complete columns. All that an indicator depends on is known in the training rows
too, so no missing value has to be replaced to fit it.

References
----------
.. [1] J. Fan and J. Lv, "Sure Independence Screening for Ultrahigh Dimensional Feature Space",
       Journal of the Royal Statistical Society B 70 (5), 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from skvae._model.cells import Cells
from skvae._model.vae import VAE
from skvae._torch.runtime import one_thread

Array = NDArray[np.float64]
Places = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Largest number of terms of an indicator, and of standard deviations of an input from its mean.
MOST_TERMS, FARTHEST = 32, 5.0
# Standard deviation below which an input counts as constant, up to rounding in float32.
SMALLEST_SPREAD = 1e-5
# Number of draws from which one is picked if some values are given.
CANDIDATES = 16


@dataclass
class Indicator:
    """Columns that are missing together, and the logit of it: bias + slopes . terms."""

    columns: list[int]
    bias: float
    terms: list[int]
    slopes: list[float]


@dataclass
class Missingness:
    """A model of missing values. Without indicators, no value is missing.

    Attributes
    ----------
    indicators : list of Indicator
        Their terms are numbers of inputs and, after these, of indicators.
    owner : list of int, of length P
        The column to which each input belongs.
    center, spread : list of float, of length P
        Mean and standard deviation of each input where its column is observed.
    """

    indicators: list[Indicator] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    center: list[float] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)

    @classmethod
    def fit(
        cls, inputs: Array, owner: Places, missing: Mask, columns: Sequence[int], weight: Array
    ) -> Self:
        """Fit the model of the missing values in ``columns`` to weighted rows.

        N rows of inputs (N, P), of columns (N, D), and their weights (N,).
        """
        together = _missing_together(missing, columns, weight)
        if not together:
            return cls()
        weight = weight.astype(np.float64)
        known = ~missing[:, owner]
        total = np.maximum(weight @ known, np.finfo(np.float64).tiny)
        center = weight @ np.where(known, inputs, 0) / total
        spread = np.sqrt(weight @ np.where(known, np.square(inputs - center), 0) / total)
        spread = np.where(spread > SMALLEST_SPREAD, spread, 1.0)
        model = cls([], owner.tolist(), center.tolist(), spread.tolist())
        y = missing[:, [same[0] for same in together]].astype(np.float64)
        x = np.hstack([model._standardised(inputs) * known, y])
        # the indicator after which each term is known
        after = np.full(x.shape[1], -1)
        for j, same in enumerate(together):
            after[: len(owner)][np.isin(owner, same)] = j
        after[len(owner) :] = np.arange(len(together))
        with one_thread():
            evidence = _correlations(x, y, weight) * np.sqrt(weight.sum())
            for j, same in enumerate(together):
                terms = _screened(np.where(after < j, evidence[:, j], 0))
                bias, slopes = _logistic_regression(x[:, terms], y[:, j], weight)
                found = Indicator(list(same), bias, terms.tolist(), slopes.tolist())
                model.indicators.append(found)
        return model

    def draw(self, inputs: Array, observed: Mask, rng: np.random.Generator) -> Mask:
        """Draw which values of rows are missing, given that some are not. (N, P), (N, D) -> (N, D).

        Indicators of ``observed`` values are 0. One of several candidates is picked, in proportion
        to the probability of these given the indicators before them.
        """
        missing = np.zeros(observed.shape, dtype=bool)
        best = np.full(len(inputs), -np.inf)
        for _ in range(CANDIDATES if observed.any() else 1):
            candidate, log_weight = self._candidate(inputs, observed, rng)
            key = log_weight + rng.gumbel(size=len(inputs))  # the largest is a draw by the weights
            missing[key > best] = candidate[key > best]
            best = np.maximum(key, best)
        return missing

    def _candidate(
        self, inputs: Array, observed: Mask, rng: np.random.Generator
    ) -> tuple[Mask, Array]:
        """A draw in which each indicator depends on those before it, and its log weight (N,)."""
        missing, log_weight = np.zeros(observed.shape, dtype=bool), np.zeros(len(inputs))
        if not self.indicators:
            return missing, log_weight
        n_inputs, own = len(self.owner), self._standardised(inputs)
        columns = np.concatenate([indicator.columns for indicator in self.indicators])
        indicators = np.zeros((len(own), len(self.indicators)))
        x = np.hstack([own * ~np.isin(self.owner, columns), indicators])
        for j, one in enumerate(self.indicators):
            eta = one.bias + x[:, one.terms] @ one.slopes
            is_observed = observed[:, one.columns].any(axis=1)
            log_weight -= np.where(is_observed, np.logaddexp(0, eta), 0)
            m = (rng.random(len(eta)) < expit(eta)) & ~is_observed
            missing[:, one.columns] = m[:, None]
            owned = np.flatnonzero(np.isin(self.owner, one.columns))
            x[:, owned] = own[:, owned] * ~m[:, None]
            x[:, n_inputs + j] = m
        return missing, log_weight

    def _standardised(self, inputs: Array) -> Array:
        return ((inputs - self.center) / self.spread).clip(-FARTHEST, FARTHEST)


def inputs_of(model: VAE, cells: Cells) -> Array:
    """The inputs of rows: the features of their values. -> (N, P)."""
    n_features = sum(group.n_features for group in model.groups)
    found: Array = model.features(cells)[:, :n_features].double().cpu().numpy()
    return found


def owners_of(model: VAE) -> Places:
    """The column to which each of these inputs belongs. (P,)."""
    each = [g.n_features // g.n_columns for g in model.groups for _ in range(g.n_columns)]
    return np.repeat(np.arange(len(each)), each)


def _missing_together(missing: Mask, columns: Sequence[int], weight: Array) -> list[list[int]]:
    """The columns with missing values, those of the same rows together, the rarest first."""
    found: dict[bytes, list[int]] = {}
    for column in columns:
        if missing[:, column].any():
            found.setdefault(missing[:, column].tobytes(), []).append(column)
    return sorted(found.values(), key=lambda same: weight @ missing[:, same[0]])


def _correlations(x: Array, y: Array, weight: Array) -> Array:
    """Weighted correlations of columns, 0 for constant ones. (N, P), (N, J) -> (P, J)."""
    share = weight / weight.sum()
    x, y = x - share @ x, y - share @ y
    scale = np.sqrt(np.outer(share @ np.square(x), share @ np.square(y)))
    product: Array = x.T @ (share[:, None] * y)
    return np.divide(product, scale, out=np.zeros_like(scale), where=scale > 0)


def _screened(evidence: Array) -> Places:
    """The terms with the strongest evidence, in standard errors, beyond that of chance [1]_."""
    # the largest of P standard normals is rarely above sqrt(2 log P)
    limit = np.sqrt(2 * np.log(max(len(evidence), 2)))
    order = np.argsort(-np.abs(evidence), kind="stable")[:MOST_TERMS]
    found: Places = order[np.abs(evidence[order]) > limit]
    return found


def _logistic_regression(x: Array, y: Array, weight: Array) -> tuple[float, Array]:
    """The bias and the slopes, with the penalty |slopes|^2 / 2. (N, T), (N,), (N,) -> (T,)."""
    half_a_row = 0.5 / weight.sum()  # so that no value is certainly missing
    rate = np.clip(weight @ y / weight.sum(), half_a_row, 1 - half_a_row)
    start = float(logit(rate))
    if x.shape[1] == 0:
        return start, np.empty(0)

    def loss(b: Array) -> tuple[float, Array]:
        # sum_n w_n (log(1 + exp(eta_n)) - y_n eta_n)
        eta = b[0] + x @ b[1:]
        error = weight * (expit(eta) - y)
        total = weight @ (np.logaddexp(0, eta) - y * eta) + 0.5 * b[1:] @ b[1:]
        return float(total), np.r_[error.sum(), error @ x + b[1:]]

    found: Any = minimize(loss, np.r_[start, np.zeros(x.shape[1])], jac=True, method="L-BFGS-B")
    return float(found.x[0]), found.x[1:]
