"""Log densities and means agree with those of scipy."""

import numpy as np
import pytest
import torch
from cases import AMOUNTS, BITS, COUNTS, LEVELS, OUTLIERS, REALS, SHARES, Case, rates
from scipy import stats
from scipy.special import expit, logit, softmax

from skvae.likelihoods import (
    Bernoulli,
    Beta,
    Categorical,
    Gaussian,
    LogNormal,
    NegativeBinomial,
    Ordinal,
    Poisson,
    StudentT,
)


def discrete(values, mass):
    """The distribution of values in scipy, which holds whole numbers only."""
    return stats.rv_discrete(values=(values.astype(int), mass))


def normals(case):
    c = case.constants
    sigma = c["spread"] * np.hypot(1, c["floor"])
    return [
        stats.norm(*pair)
        for pair in zip(c["location"] + c["spread"] * case.outputs, sigma, strict=True)
    ]


def students(case):
    df = case.likelihood.df or 1 + np.logaddexp(0, 5)
    return [stats.t(df, *normal.args) for normal in normals(case)]


def log_normals(case):
    pairs = [normal.args for normal in normals(case)]
    return [stats.lognorm(s=sigma, scale=np.exp(mu)) for mu, sigma in pairs]


def betas(case):
    a, b = case.likelihood.shapes(torch.tensor(case.outputs), case.parameters)
    return [stats.beta(*pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]


def negative_binomials(case):
    r = case.likelihood.dispersion(case.parameters).numpy()
    return [stats.nbinom(*pair) for pair in zip(r, r / (r + rates(case)), strict=True)]


def softmaxes(case):
    counts = [np.unique(column, return_counts=True) for column in case.table.T]
    outputs = np.reshape(case.outputs, (len(counts), -1))
    return [
        discrete(values, softmax(o[: len(values)] + np.log(n)))
        for (values, n), o in zip(counts, outputs, strict=True)
    ]


def ordered_logits(case):
    counts = [np.unique(column, return_counts=True) for column in case.table.T]
    return [
        discrete(values, np.diff(expit(np.r_[-np.inf, logit(n.cumsum() / n.sum()) - o])))
        for (values, n), o in zip(counts, case.outputs, strict=True)
    ]


AGAINST_SCIPY = [  # likelihood, table, decoder outputs, a distribution of scipy for each column
    (Gaussian(), REALS, [0.3, -1.2], normals),
    (StudentT(), OUTLIERS, [0.3, -1.2], students),
    (StudentT(df=1.5), OUTLIERS, [0.3, -1.2], students),
    (LogNormal(), AMOUNTS, [0.3, -1.2], log_normals),
    (Bernoulli(), BITS, [-2.0, 0.7], lambda case: map(stats.bernoulli, expit(case.outputs))),
    (Beta(), SHARES, [0.3, -1.2], betas),
    (Poisson(), COUNTS, [0.3, -1.2], lambda case: map(stats.poisson, rates(case))),
    (NegativeBinomial(), COUNTS, [0.3, -1.2], negative_binomials),
    (Categorical(), 2 * LEVELS, None, softmaxes),
    (Ordinal(), 2 * LEVELS, [0.8, -0.3, 0.5], ordered_logits),
]


@pytest.mark.parametrize(("likelihood", "table", "outputs", "distributions"), AGAINST_SCIPY)
def test_against_scipy(likelihood, table, outputs, distributions):
    case = Case(likelihood, table, outputs, step=0.0)
    found, mean = case.log_density(table), case.mean()
    for place, expected in enumerate(distributions(case)):
        x = table[:, place]
        log_density = getattr(expected, "logpdf", None) or expected.logpmf
        np.testing.assert_allclose(found[:, place], log_density(x), rtol=1e-6, atol=1e-6)
        values = np.unique(x)
        mode = values[np.argmax(log_density(values))]
        np.testing.assert_allclose(
            mean[place], mode if case.has_mode else expected.mean(), rtol=1e-6
        )


LARGE = [  # in single precision: likelihood, values, parameters, a distribution of scipy
    (
        Poisson(),
        np.array([0.0, 1.0, 99_000.0, 100_000.0, 101_000.0]),
        {"log_mean": np.log(1e5)},
        stats.poisson(1e5),
    ),
    (
        NegativeBinomial(),
        np.array([0.0, 50_000.0, 100_000.0, 200_000.0]),
        {"log_mean": np.log(1e5), "log_dispersion": 0.0},
        stats.nbinom(1.0001, 1.0001 / 100_001.0001),
    ),
    (
        NegativeBinomial(),
        np.array([0.0, 5.0, 20.0]),
        {"log_mean": np.log(5.0), "log_dispersion": 10.0},
        stats.poisson(5.0),
    ),
    (
        StudentT(df=1e9),
        np.array([-3.0, 0.0, 1.0]),
        {"log_sigma": 0.0, "log_unit": 0.0, "floor": 0.0, "excess_df": 1e9},
        stats.norm(),
    ),
    (
        StudentT(),
        np.array([-3.0, 0.0, 1.0]),
        {"log_sigma": 0.0, "log_unit": 0.0, "floor": 0.0, "excess_df": 1e5},
        stats.norm(),
    ),
]


@pytest.mark.parametrize(("likelihood", "x", "parameters", "expected"), LARGE)
def test_single_precision_holds_large_numbers(likelihood, x, parameters, expected):
    tensors = {name: torch.tensor([value]).float() for name, value in parameters.items()}
    outputs = torch.zeros(1, len(x), 1)
    found = likelihood.log_prob(torch.tensor(x[:, None]).float(), outputs, tensors)[0, :, 0]
    log_density = getattr(expected, "logpdf", None) or expected.logpmf
    np.testing.assert_allclose(found, log_density(x), rtol=1e-5, atol=0.005)
