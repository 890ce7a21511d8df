"""Which values of a column are missing: by the other columns, or by the values themselves.

Probit regressions Phi(bias + weights . features) from which :class:`SelfMasking` starts.

References
----------
.. [1] G. Schwarz, "Estimating the Dimension of a Model", Annals of Statistics 6 (2), 1978.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_ndtr, xlog1py, xlogy

from skvae._interrupts import interrupts_held
from skvae._torch.runtime import one_thread
from skvae.objectives import LOG_2PI

Array = NDArray[Any]
Places = NDArray[np.intp]

# Precision of the normal prior of a weight. A row tells up to 2 / pi about the weight of a
# standardised feature, so that a weight on which hundreds of rows depend is hardly shrunk.
PRECISION = 20.0
MOST_STEPS = 50  # of the regressions
RIDGE = 0.01  # added to the variances of the features
LARGEST_START = 1.0  # of an own weight
# Twice the log-likelihood of an own weight, below which it may be chance: a level of 5 % for one of
# them. With 2 log J more it is 5 % for one among J columns.
EVIDENCE = 4.0
# Number of features beyond which values are taken as missing at random, and number of
# parameters that count in the criterion: a regression on hundreds of features is no explanation.
MOST_FEATURES, MOST_PARAMETERS = 1000, 32
MARGIN = 2.0  # by which their number is multiplied, since predictions are only linear


def simpler_explanation(
    x: Array, y: Array, weight: Array, columns: Sequence[Places], counts: Array
) -> Array:
    """Biases and weights that explain which values are missing. -> (P + 1, J).

    Features (N, P), 0 for missing values; missing values of J columns (N, J) bool; row weights
    (N,); for each of these columns the numbers of its own features; and which of all features may
    be own ones that count (P,) bool.

    If values are missing because of what they are, other columns tell about it what they tell about
    the value. The regression on the value as they predict it then suffices. The regression on all
    of them is taken if it is better by the Bayesian information criterion [1]_. Own weights are 0
    in it: values are then missing at random. They are 0 too if the value is no better than chance,
    by a level of about 5 % for all columns together.
    """
    n_features = x.shape[1]
    is_other = np.ones((n_features, len(columns)))
    for j, own in enumerate(columns):
        is_other[own, j] = 0
    with interrupts_held() as hold, one_thread(), hold.lifted():
        by_others, of_others = _by_others(x, y, weight, is_other)
        if n_features > MOST_FEATURES:
            return by_others
        counting = [own[counts[own]] for own in columns]
        by_value, of_value = _by_value(*_predictions(x, weight, columns), y, weight, counting)
    n_own = np.array([len(own) for own in counting])
    more = (np.minimum(n_features - n_own, MOST_PARAMETERS) - n_own).clip(0)
    is_better = 2 * (of_others - of_value) > MARGIN * more * np.log(weight.sum())
    rate = (weight @ y) / weight.sum()
    of_chance = weight.sum() * (xlogy(rate, rate) + xlog1py(1 - rate, -rate))
    least = EVIDENCE * n_own + 2 * np.log(len(columns))
    is_chance = 2 * (of_value - of_chance) < least
    by_value[1:, is_chance] = 0
    return np.where(is_better, by_others, by_value)


def _predictions(x: Array, weight: Array, columns: Sequence[Places]) -> tuple[Array, Array]:
    """The features as linearly predicted by those of other columns, (N, P).

    Returns the sums of the squared coefficients of these too, (P,).
    """
    centred = x - weight @ x / weight.sum()
    covariance = centred.T @ (weight[:, None] * centred) / weight.sum()
    precision = np.linalg.inv(covariance + RIDGE * np.eye(len(covariance)))
    # E[x_own | x_other] = x_own - P_own,own^-1 P_own x
    coefficients = np.zeros_like(precision)
    for own in columns:
        coefficients[:, own] = -precision[:, own] @ np.linalg.inv(precision[own][:, own])
        coefficients[own[:, None], own] = 0
    return centred @ coefficients, np.square(coefficients).sum(axis=0)


def _by_others(x: Array, y: Array, weight: Array, is_other: Array) -> tuple[Array, Array]:
    """Regressions on the features of other columns. -> (P + 1, J), and log-likelihoods (J,)."""
    bias, slopes, log_likelihood = _regressions(
        y,
        weight,
        np.full(is_other.size, PRECISION),
        lambda w: x @ (w.reshape(is_other.shape) * is_other),
        lambda by_eta: ((x.T @ by_eta) * is_other).ravel(),
    )
    return np.vstack([bias, slopes.reshape(is_other.shape)]), log_likelihood


def _by_value(
    predicted: Array, squares: Array, y: Array, weight: Array, columns: Sequence[Places]
) -> tuple[Array, Array]:
    """Regressions on the predicted features of the columns themselves. -> as ``_by_others``.

    They are regressions on the other columns with fewer parameters: the prior is that of the
    weights of these, by ``squares`` (P,) of ``_predictions``.
    """
    own = np.concatenate(columns)
    column = np.repeat(np.arange(len(columns)), [len(one) for one in columns])
    scale = np.sqrt(weight @ np.square(predicted[:, own]) / weight.sum())
    standard = predicted[:, own] / np.where(scale > 0, scale, 1)
    to_column = csr_array(
        (np.ones(len(own)), (np.arange(len(own)), column)), (len(own), y.shape[1])
    )
    bias, slopes, log_likelihood = _regressions(
        y,
        weight,
        PRECISION * np.divide(squares[own], scale**2, out=np.ones(len(own)), where=scale > 0),
        lambda w: (standard * w) @ to_column,
        lambda by_eta: np.einsum("nq,nq->q", standard, by_eta[:, column]),
    )
    found = np.zeros((predicted.shape[1] + 1, y.shape[1]))
    found[0] = bias
    slopes = np.divide(slopes, scale, out=np.zeros_like(slopes), where=scale > 0)
    found[own + 1, column] = slopes.clip(-LARGEST_START, LARGEST_START)
    return found, log_likelihood


def _regressions(
    y: Array,
    weight: Array,
    precision: Array,
    product: Callable[[Array], Array],
    pulled_back: Callable[[Array], Array],
) -> tuple[Array, Array, Array]:
    """Probit regressions of all columns of y (N, J). -> (J,), (Q,), (J,).

    ``product`` maps slopes, with normal priors of this precision (Q,), to their part of the
    probits, and ``pulled_back`` the gradient by probits to that by slopes. Returns biases, slopes
    and log-likelihoods.
    """
    n_targets, sign = y.shape[1], np.where(y, 1.0, -1.0)

    def log_p(flat: Array) -> tuple[Array, Array]:
        eta = sign * (flat[:n_targets] + product(flat[n_targets:]))
        return eta, log_ndtr(eta)

    def loss(flat: Array) -> tuple[float, Array]:
        eta, log_phi = log_p(flat)
        by_eta = -weight[:, None] * sign * np.exp(-0.5 * (np.square(eta) + LOG_2PI) - log_phi)
        slopes = flat[n_targets:]
        total = 0.5 * precision @ np.square(slopes) - (weight @ log_phi).sum()
        return float(total), np.r_[by_eta.sum(axis=0), pulled_back(by_eta) + precision * slopes]

    options = {"maxiter": MOST_STEPS}
    start = np.zeros(n_targets + len(precision))
    fit: Any = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return fit.x[:n_targets], fit.x[n_targets:], weight @ log_p(fit.x)[1]
