"""VAETransformer as its users meet it."""

import copy
import itertools
import os
import pickle
import pkgutil
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.linalg import hadamard
from scipy.sparse import coo_array, csc_array, csr_matrix
from scipy.spatial.distance import pdist
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch.nn.utils import parameters_to_vector

from skvae import Parts, VAETransformer, _fit
from skvae._model.phases import CODES, DECODER, WHOLE
from skvae._torch import replay
from skvae._training import loop, rows
from skvae._training.plan import stages
from skvae._training.rows import Rows
from skvae.likelihoods import Bernoulli, Gaussian, Histogram
from skvae.networks import MLP, Network, NetworkModule
from skvae.objectives import IWAE
from skvae.priors import Prior
from skvae.priors._modules import NormalMixture, StandardNormal

QUICK = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def wine():
    return load_wine().data


@pytest.fixture(scope="module")
def fitted(wine):
    return VAETransformer(3, **QUICK).fit(wine)


def state(estimator):
    """All that fit learnt, as comparable arrays."""
    weights = {k: v.cpu().numpy() for k, v in estimator.module_.state_dict().items()}
    return weights | {"loss": np.array(estimator.loss_curve_)}


def assert_same_state(one, other):
    one, other = state(one), state(other)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


# -- the answers ------------------------------------------------------------------


def test_shapes_and_dtypes(fitted, wine):
    for dtype in (np.float32, np.float64):
        X = wine.astype(dtype)
        Z = fitted.transform(X)
        mean, std = fitted.latent_distribution(X)
        assert Z.shape == mean.shape == std.shape == (178, 3)
        assert (std > 0).all()
        np.testing.assert_array_equal(Z, mean)
        assert Z.dtype == fitted.inverse_transform(Z).dtype == fitted.reconstruct(X).dtype == dtype
        assert fitted.score_samples(X).shape == fitted.elbo(X).shape == (178,)
    np.testing.assert_allclose(fitted.reconstruct(X), fitted.inverse_transform(Z), rtol=1e-12)
    assert fitted.score(X) == fitted.score_samples(X).mean()
    assert fitted.score(X, sample_weight=np.arange(178)) != fitted.score(X)
    assert fitted.score(X, n_importance=8) == fitted.score_samples(X, n_importance=8).mean()


def test_the_order_of_bytes_does_not_matter(fitted, wine):
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        X, swapped = wine.astype(dtype), wine.astype(dtype.newbyteorder())
        for of_rows in (fitted.transform, fitted.score_samples, fitted.reconstruct):
            np.testing.assert_array_equal(of_rows(swapped), of_rows(X))
            assert of_rows(swapped).dtype == of_rows(X).dtype
        Z = fitted.transform(X)
        found = fitted.inverse_transform(Z.astype(Z.dtype.newbyteorder()))
        np.testing.assert_array_equal(found, fitted.inverse_transform(Z))
        assert found.dtype == dtype


def test_a_linear_model_is_factor_analysis():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 2)) @ rng.normal(size=(2, 6)) * [1, 1, 1, 100, 100, 1e-3]
    X = 5 + X + rng.normal(size=X.shape) * [1, 1, 1, 100, 100, 1e-3]
    train, test = X[:1000], X[1000:]
    vae = VAETransformer(
        2, hidden_layer_sizes=(), early_stopping=False, learning_rate="cosine",
        learning_rate_init=1e-2, max_iter=60, whiten=True, random_state=0,
    ).fit(train)  # fmt: skip
    scaler = StandardScaler().fit(train)  # on which FactorAnalysis converges
    factors = FactorAnalysis(2, svd_method="lapack").fit(scaler.transform(train))
    optimum = factors.score(scaler.transform(test)) - np.log(scaler.scale_).sum()
    assert vae.score(test) == pytest.approx(optimum, abs=0.05)
    # the marginal of the fitted decoder in closed form: N(b, W W' + diag(sigma^2))
    b = vae.inverse_transform(np.zeros((1, 2)))[0]
    W = (vae.inverse_transform(np.eye(2)) - b).T
    covariance = W @ W.T + np.diag(noise_of(vae) ** 2)
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    exact = multivariate_normal(cov=correlation).logpdf((test - b) / scale) - np.log(scale).sum()
    np.testing.assert_allclose(vae.score_samples(test), exact, atol=0.3)
    assert vae.score(test) == pytest.approx(exact.mean(), abs=0.01)
    # and samples have its covariance
    drawn = np.corrcoef(vae.sample(20_000, random_state=0).T)
    np.testing.assert_allclose(drawn, correlation, atol=0.03)


def test_products_in_bfloat16_learn_as_well():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 3)) @ rng.normal(size=(3, 10)) + rng.normal(size=(1500, 10))
    scores = {}
    for precision in ("float32", "bfloat16", "auto"):
        vae = VAETransformer(
            3, hidden_layer_sizes=(64,), precision=precision, max_iter=20, random_state=0
        ).fit(X[:1000])
        scores[precision] = vae.score(X[1000:])
        assert vae.precision_ == ("float32" if precision == "auto" else precision)
        assert all(parameter.dtype == torch.float32 for parameter in vae.module_.parameters())
    assert scores["bfloat16"] == pytest.approx(scores["float32"], abs=0.1)
    assert scores["bfloat16"] != scores["float32"]
    assert scores["auto"] == scores["float32"]


def test_a_network_that_goes_through_an_mlp_trains_in_bfloat16():
    class Through(NetworkModule):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x, generator=None):
            return self.inner(x)

        has_linear = True

        def set_linear(self, weight, bias):
            self.inner.set_linear(weight, bias)

    class ThroughMLP(MLP):
        def build(self, *args, **kwargs):
            return Through(super().build(*args, **kwargs))

    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(300, 6))
    scores = [
        VAETransformer(2, encoder=network, precision="bfloat16", max_iter=5, random_state=0)
        .fit(X)
        .elbo(X)
        .mean()
        for network in (MLP((16, 16)), ThroughMLP((16, 16)))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)


def test_auto_takes_bfloat16_for_large_steps(monkeypatch, capabilities):
    monkeypatch.setattr("skvae._torch.runtime.LARGE_WORK", 1)
    capabilities({"avx512_bf16": True})
    monkeypatch.setattr("skvae.networks.cpu_has_bfloat16", lambda: False)  # it may be able or not
    X = np.random.default_rng(0).normal(size=(60, 1)) * [1.0, -1.0, 2.0]
    vae = VAETransformer(**QUICK, device="cpu").fit(X)
    assert vae.precision_ == "bfloat16"
    vae.set_params(precision="float32").partial_fit(X)
    assert vae.precision_ == "float32"
    assert np.isfinite(vae.loss_curve_).all()


@pytest.mark.parametrize("likelihood", ["gaussian", "log_normal", Gaussian(0.5)], ids=str)
def test_a_constant_column_comes_back_constant_until_it_varies(likelihood):
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(200, 3)))
    constant = X.copy()
    constant[:, 1] = 2.5
    vae = VAETransformer(2, likelihood=likelihood, **QUICK).partial_fit(constant)
    learned = np.r_[vae.sample(50, random_state=0)[:, 1], vae.reconstruct(X)[:, 1]]
    given = isinstance(likelihood, Gaussian)  # sigma, and so the noise
    assert np.allclose(learned, 2.5, rtol=1e-12) != given
    vae.partial_fit(X)
    assert vae.sample(50, random_state=0)[:, 1].std() > 0
    assert vae.reconstruct(X)[:, 1].std() > 0


def noise_of(vae):
    """Sigma of each column in the caller's units."""
    (group,) = vae.module_.observations
    sigma = group.likelihood.sigma(group.tensors).detach().cpu().numpy()
    return sigma * vae._fitted.columns.groups[0].constants["spread"]


def test_independent_columns_leave_the_code_at_the_prior():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.9, size=20)
    X = (rng.random((3000, 20)) < p).astype(int)
    vae = VAETransformer(2, random_state=0).fit(X[:2000])
    test, rate = X[2000:], X[:2000].mean(axis=0)
    optimum = (test * np.log(rate) + (1 - test) * np.log1p(-rate)).sum(axis=1).mean()
    assert vae.elbo(test).mean() == pytest.approx(optimum, abs=0.06)
    assert np.isin(vae.sample(50, random_state=0), [0, 1]).all()


def test_scores_are_in_the_units_of_the_data(wine):
    scale = np.geomspace(1e-6, 1e6, 13)
    one = VAETransformer(2, **QUICK).fit(wine)
    other = VAETransformer(2, **QUICK).fit(wine * 2.0**20)
    # the same rows in the same order would train alike; their hashes differ, so only roughly
    assert other.score(wine * 2.0**20) == pytest.approx(
        one.score(wine) - 13 * np.log(2.0**20), abs=3
    )
    other = VAETransformer(2, **QUICK).fit(wine * scale)
    assert other.score(wine * scale) == pytest.approx(one.score(wine) - np.log(scale).sum(), abs=3)


def test_the_bounds_are_in_order(fitted, wine):
    elbo, few, many = (
        fitted.elbo(wine).mean(),
        fitted.score_samples(wine, n_importance=8).mean(),
        fitted.score_samples(wine, n_importance=1024).mean(),
    )
    assert elbo < few < many


@pytest.mark.parametrize("settings", [{"beta": 5.0}, {"free_bits": 0.5}, {"objective": "iwae"}])
def test_likelihoods_do_not_depend_on_how_the_objective_is_weighed(wine, settings):
    vae = VAETransformer(2, **QUICK).fit(wine)
    before = vae.score_samples(wine)
    vae.set_params(**settings)
    np.testing.assert_array_equal(vae.score_samples(wine), before)


def test_beta_presses_the_codes_to_the_prior(wine):
    def divergence(**settings):
        vae = VAETransformer(2, whiten=True, random_state=0, max_iter=20, **settings).fit(wine)
        mean, std = vae.latent_distribution(wine)
        return 0.5 * (mean**2 + std**2 - 1 - 2 * np.log(std)).sum(axis=1).mean()

    assert divergence(beta=4.0) < divergence() < divergence(beta=0.1)


@pytest.mark.parametrize("weighted", [False, True])
def test_kl_divergence_is_that_of_each_component(wine, weighted):
    weight = np.arange(len(wine)) % 3 if weighted else None
    vae = VAETransformer(3, whiten=True, early_stopping=False, **QUICK)
    vae.fit(wine, sample_weight=weight)
    mean, std = vae.latent_distribution(wine.astype(np.float32))
    kl = np.average(0.5 * (mean**2 + std**2 - 1) - np.log(std), axis=0, weights=weight)
    np.testing.assert_allclose(vae.kl_divergence_, kl, rtol=1e-4)
    assert np.all(vae.partial_fit(wine).kl_divergence_ != kl)


def test_kl_divergence_of_many_rows_is_that_of_a_sample():
    X = np.random.default_rng(0).normal(size=(4000, 1)) @ [[1.0, 1.0, 1.0]]
    vae = VAETransformer(1, hidden_layer_sizes=(8,), whiten=True, max_iter=10, random_state=0)
    mean, std = vae.fit(X).latent_distribution(X)
    kl = (0.5 * (mean**2 + std**2 - 1) - np.log(std)).mean(axis=0)
    np.testing.assert_allclose(vae.kl_divergence_, kl, rtol=0.05)


def test_codes_that_tell_nothing_are_reported(wine):
    with pytest.warns(ConvergenceWarning, match=r"Posterior collapse: .* lower .*beta=20\.0"):
        vae = VAETransformer(2, beta=20.0, max_iter=20, random_state=0).fit(wine)
    assert np.all(vae.kl_divergence_ < 0.01)


# an early stop keeps the weights that it started from
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_ruined_model_is_reported(wine, warm_start):
    vae = VAETransformer(
        2, early_stopping=False, learning_rate="cosine", max_iter=4, random_state=0
    )
    if warm_start:
        vae.fit(wine)
    vae.set_params(learning_rate_init=10, warm_start=True, max_iter=20)
    with pytest.warns(ConvergenceWarning, match=r"worse .* Lower learning_rate_init=10"):
        vae.fit(wine)


def judged(gains, kl):
    """The problem of a fit by which the bounds of rows changed so."""
    rows = Rows(torch.ones(len(gains)).double(), 0.0, None, index=np.arange(len(gains)) + 100)
    fitted, vae = SimpleNamespace(kl_divergence=np.array([kl])), VAETransformer()
    before, after = np.zeros(len(gains)), np.array(gains)
    return _fit.problem(fitted, vae, rows, before, after, n_rows=len(gains), table="X")


@pytest.mark.parametrize(
    ("gains", "kl", "kind", "message"),
    [
        ([2.0] * 300, 1.0, type(None), "None"),
        ([-2.0] * 300, 1.0, ConvergenceWarning, "worse .* fell by 2 nats"),
        ([-2.0] * 299 + [1e6], 1.0, ConvergenceWarning, "worse .* fell by 2 nats"),
        ([np.nan] * 300, 1.0, ConvergenceWarning, "worse"),
        ([2.0] * 300, 0.001, ConvergenceWarning, "Posterior collapse"),
        (
            [2.0] * 7 + [-1e6] + [2.0] * 292,
            1.0,
            UserWarning,
            r"rows \[107\] of X.*\+2 without",
        ),
        ([2.0] * 7 + [-np.inf] + [2.0] * 292, 1.0, UserWarning, r"\[107\] of X"),
        ([-1e6] * 30 + [2.0] * 270, 1.0, ConvergenceWarning, "worse"),  # no few rows
        ([-1e6, 2.0, 2.0], 1.0, ConvergenceWarning, "worse"),  # one of three is no exception
    ],
)
def test_a_fit_is_judged_by_its_usual_rows(gains, kl, kind, message):
    found, category = judged(gains, kl) or ("None", type(None))
    assert category is kind
    assert re.search(message, found)


def test_rows_that_carry_the_mean_are_named():
    rng = np.random.default_rng(0)
    prices = 50 + 8 * rng.normal(size=(600, 2)) @ rng.normal(size=(2, 5))
    prices += 2 * rng.normal(size=(600, 5))
    wrong = [7, 101, 350]
    prices[wrong, [0, 2, 4]] *= 100  # the decimal point was left out
    vae = VAETransformer(2, early_stopping=False, max_iter=20, random_state=0)
    with pytest.warns(UserWarning, match=r"among them rows \[7, 101, 350\] of X.*mark the cells"):
        vae.fit(prices)
    prices[wrong, [0, 2, 4]] = np.nan  # as it says
    vae.fit(prices)


def test_early_stopping_keeps_the_start_where_no_epoch_is_better(wine):
    vae = VAETransformer(
        2, hidden_layer_sizes=(), learning_rate_init=0.5, max_iter=20, random_state=0
    ).fit(wine)
    assert vae.best_validation_score_ > max(vae.validation_scores_)
    scaled = StandardScaler().fit(wine)
    pca = PCA(2).fit(scaled.transform(wine)).score(scaled.transform(wine))
    assert vae.score(wine) > pca - np.log(scaled.scale_).sum() - 0.5


def test_a_warning_that_raises_loses_nothing(wine):
    vae = VAETransformer(2, beta=20.0, max_iter=20, random_state=0)
    with pytest.raises(ConvergenceWarning, match="Posterior collapse"):
        vae.fit(wine)  # as warnings are errors here
    assert vae.transform(wine).shape == (178, 2)


def test_the_warm_up_does_not_grow_with_the_bound_on_epochs(wine):
    few, many = (VAETransformer(2, max_iter=n, random_state=0).fit(wine) for n in (200, 10_000))
    assert few.n_iter_ < 200
    assert many.loss_curve_ == few.loss_curve_
    without = VAETransformer(2, kl_warmup=0.0, random_state=0).fit(wine)
    assert without.loss_curve_[0] > few.loss_curve_[0]  # the divergence counts in full


# -- components -------------------------------------------------------------------


def mixed(n=1200):
    """A frame of numbers, a category, a bool and a column with a spike, of one common factor."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    kind = np.where(z + rng.normal(size=n) > 0.5, "x", rng.choice(["w", "y"], size=n))
    return pd.DataFrame(
        {
            "a": z + 0.3 * rng.normal(size=n),
            "kind": pd.Categorical(kind),
            "flag": z + rng.normal(size=n) > 0,
            "spiky": np.where(rng.random(n) < 0.3, 0.0, np.exp(z + 0.2 * rng.normal(size=n))),
            "b": 5 - 30 * z + 10 * rng.normal(size=n),
        }
    )


def gappy_wine():
    X = load_wine().data
    X[::7, 3] = X[5::11, 8] = np.nan
    return X


@pytest.mark.parametrize("table", [gappy_wine, mixed])
def test_white_codes_are_those_over_their_scale(table):
    X = table()
    plain, white = (VAETransformer(3, whiten=w, **QUICK).fit(X) for w in (False, True))
    np.testing.assert_array_equal(white.scale_, 1)
    assert np.all(plain.scale_ > 0)
    np.testing.assert_allclose(white.transform(X) * plain.scale_, plain.transform(X), rtol=1e-12)
    for one, other in zip(white.latent_distribution(X), plain.latent_distribution(X), strict=True):
        np.testing.assert_allclose(one * plain.scale_, other, rtol=1e-12)
    # beyond codes nothing differs
    assert_same_state(white, plain)
    np.testing.assert_array_equal(white.kl_divergence_, plain.kl_divergence_)
    np.testing.assert_array_equal(white.score_samples(X), plain.score_samples(X))
    assert white.score(X) == plain.score(X)
    for one, other in (
        (white.inverse_transform(white.transform(X)), plain.inverse_transform(plain.transform(X))),
        (white.reconstruct(X), plain.reconstruct(X)),
        (white.sample(50, random_state=0), plain.sample(50, random_state=0)),
        (white.impute(X[:20]), plain.impute(X[:20])),
        (white.loadings(), plain.loadings()),
    ):
        pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other))


@pytest.mark.parametrize(
    ("load", "n_components"),
    [(load_wine, 5), (load_breast_cancer, 8), (load_digits, 10), (load_digits, 2)],
)
@pytest.mark.parametrize("steps", [[], [StandardScaler()]], ids=["alone", "scaled"])
def test_components_come_in_order_and_with_a_sign(load, n_components, steps):
    vae = VAETransformer(n_components, **QUICK)
    make_pipeline(*steps, vae).fit(load().data)
    assert np.all(np.diff(vae.kl_divergence_) <= 0)
    loadings = vae.loadings().to_numpy()
    largest = np.abs(loadings).argmax(axis=0)
    assert np.all(loadings[largest, np.arange(n_components)] > 0)


@pytest.fixture(scope="module")
def three_factors():
    """Columns of one noise and of clear axes: uncorrelated loadings of different lengths."""
    rng = np.random.default_rng(0)
    loading = hadamard(8)[1:4] * np.array([[1.0], [0.7], [0.45]])
    loading[[0, 1, 2], [0, 1, 2]] *= 1.3  # the largest, which fixes the sign
    X = rng.normal(size=(1500, 3)) @ loading + 0.3 * rng.normal(size=(1500, 8))
    return 5 + X * [1, 2, 3, 4, 5, 0.1, 1, 1]


@pytest.mark.parametrize("hidden_layer_sizes", [(), (32,)])
def test_codes_of_a_linear_table_are_the_scores_of_pca(three_factors, hidden_layer_sizes):
    scaled = StandardScaler().fit_transform(three_factors)
    pca = PCA(3).fit(scaled)
    scores = pca.transform(scaled)
    slopes = (pca.components_ * np.sqrt(pca.explained_variance_)[:, None]).T
    fits = [
        VAETransformer(3, hidden_layer_sizes=hidden_layer_sizes, max_iter=40, random_state=seed)
        .fit(three_factors)
        for seed in range(3)
    ]  # fmt: skip
    for vae in fits:
        Z = vae.transform(three_factors)
        correlation = np.diag(np.corrcoef(Z.T, scores.T)[:3, 3:])
        assert np.all(np.abs(correlation) > 0.99)
        np.testing.assert_allclose(vae.loadings(), slopes * np.sign(correlation), atol=0.1)
        # distances are about those between reconstructions, in units of the noise
        assert np.corrcoef(pdist(Z[:200]), pdist(scores[:200]))[0, 1] > 0.99
    # and of any other seed
    for other in fits[1:]:
        one = fits[0].transform(three_factors), other.transform(three_factors)
        assert np.all(np.diag(np.corrcoef(one[0].T, one[1].T)[:3, 3:]) > 0.99)
        np.testing.assert_allclose(fits[0].loadings(), other.loadings(), atol=0.1)


def test_loadings_have_a_row_for_each_feature_and_level():
    X = mixed()
    vae = VAETransformer(2, max_iter=9, random_state=0).fit(X)
    loadings = vae.loadings()
    assert list(loadings.index) == ["a", "kind=w", "kind=x", "kind=y", "flag", "spiky", "b"]
    assert list(loadings.columns) == list(vae.get_feature_names_out())
    levels = loadings.loc[["kind=w", "kind=x", "kind=y"]]
    np.testing.assert_allclose(levels.sum(), 0, atol=1e-6)
    # all columns follow one factor, b the other way round
    tells = np.sign(loadings["vaetransformer0"])
    assert np.all(tells[["a", "kind=x", "flag", "spiky"]] == -tells["b"])
    # slopes of the mean over the prior, in standard deviations
    z, step = np.random.default_rng(1).normal(size=(4000, 2)), 0.1
    numbers = ["a", "spiky", "b"]
    for name, unit in zip(loadings, np.eye(2), strict=True):
        above, below = (
            vae.inverse_transform((z + sign * step * unit) * vae.scale_)[numbers].mean()
            for sign in (1, -1)
        )
        slope = (above - below) / (2 * step) / X[numbers].std()
        np.testing.assert_allclose(loadings.loc[numbers, name], slope, atol=0.05)


def test_loadings_name_columns_without_names_by_their_places(wine, fitted):
    assert list(fitted.loadings().index) == [f"x{i}" for i in range(13)]


def test_components_that_carry_nothing_count_for_nothing():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 2)) @ [[1, 0.5], [0, 1]]
    vae = VAETransformer(4, hidden_layer_sizes=(16,), max_iter=30, random_state=0).fit(X)
    assert np.all(vae.kl_divergence_[:2] > 1)
    assert np.all(vae.kl_divergence_[2:] < 0.01)
    assert np.all(vae.scale_[2:] < 0.05 * vae.scale_[1])
    Z = vae.transform(X)
    assert np.all(Z[:, 2:].std(axis=0) < 0.01 * Z[:, 1].std())


@pytest.mark.parametrize("seed", range(5))
def test_no_component_stays_unused(seed):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1000, 3)) @ rng.normal(size=(3, 9)) + 0.5 * rng.normal(size=(1000, 9))
    vae = VAETransformer(3, max_iter=20, random_state=seed).fit(X)
    assert np.all(vae.kl_divergence_ > 0.5)


# -- the defaults -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "n_components"), [(load_wine, 3), (load_breast_cancer, 5), (load_iris, 2)]
)
def test_the_defaults_beat_pca(load, n_components):
    train, test = train_test_split(load().data, test_size=0.3, random_state=0)
    scaler = StandardScaler().fit(train)
    scaled = PCA(n_components).fit(scaler.transform(train)).score(scaler.transform(test))
    best = max(PCA(n_components).fit(train).score(test), scaled - np.log(scaler.scale_).sum())
    assert VAETransformer(n_components, random_state=0).fit(train).score(test) > best


# -- weights, order, seeds ----------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"batch_size": 7}, {"early_stopping": False, "dropout": 0.3}, {"objective": "iwae"},
     {"precision": "bfloat16"}],
    ids=str,
)  # fmt: skip
def test_weights_are_repetitions_and_order_does_not_matter(settings):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, 4)), rng.integers(0, 4, size=60)
    repeated = np.repeat(X, weight, axis=0)[rng.permutation(weight.sum())]
    one = VAETransformer(2, **QUICK, **settings).fit(X, sample_weight=weight)
    other = VAETransformer(2, **QUICK, **settings).fit(repeated)
    assert_same_state(one, other)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))


@pytest.mark.parametrize("scale", [0.25, 1e-308, 1e307], ids=str)
def test_only_the_ratios_of_weights_that_are_no_repetitions_count(scale):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, 4)), rng.random(60)
    one = VAETransformer(2, **QUICK).fit(X, sample_weight=weight)
    other = VAETransformer(2, **QUICK).fit(X, sample_weight=weight * scale)
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=1e-4)
    assert one.score(X, None, weight) == pytest.approx(other.score(X, None, weight * scale))


@pytest.mark.parametrize("as_table", [pd.DataFrame, pl.from_pandas, pd.DataFrame.to_numpy])
def test_a_row_of_no_weight_is_as_if_it_were_not_there(as_table):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": ["0", *rng.choice(["1", "2"], 60)], "b": rng.normal(size=61)})
    with_it, without_it = as_table(frame), as_table(frame[1:])
    one = VAETransformer(2, **QUICK).fit(with_it, sample_weight=np.r_[0, np.ones(60)])
    other = VAETransformer(2, **QUICK).fit(without_it)
    assert_same_state(one, other)
    with pytest.warns(UserWarning, match="training has not seen, which count as missing: '0'"):
        one.transform(with_it)


def test_weights_on_a_grid_make_no_more_bins_than_the_rows_do():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(200, 2)), 0.05 * rng.integers(1, 20, size=200)
    vae = VAETransformer(1, likelihood="histogram", max_iter=1, random_state=0)
    vae.fit(X, sample_weight=weight)
    constants = vae._fitted.columns.groups[0].constants
    assert (constants["low"] < constants["high"]).sum(axis=1).max() <= 200 / 20 + 1


def test_partial_fit_takes_weights_as_repetitions():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, 4)), rng.integers(1, 4, size=60)
    one, other = (VAETransformer(2, **QUICK) for _ in range(2))
    for _ in range(3):
        one.partial_fit(X, sample_weight=weight)
        other.partial_fit(np.repeat(X, weight, axis=0))
    assert_same_state(one, other)


@pytest.mark.parametrize("convert", [
    np.asfortranarray,
    lambda X: X[::-1][::-1],
    lambda X: X.tolist(),
    lambda X: pd.DataFrame(X).to_numpy(),
    lambda X: np.broadcast_to(X, X.shape),
], ids=["fortran", "negative strides", "list", "frame", "read-only"])  # fmt: skip
def test_the_container_does_not_matter(wine, fitted, convert):
    assert_same_state(VAETransformer(3, **QUICK).fit(convert(wine)), fitted)


def test_a_seed_fixes_the_fit_and_none_does_not(wine, fitted):
    assert_same_state(VAETransformer(3, **QUICK).fit(wine), fitted)
    free = QUICK | {"random_state": None}
    one, other = (VAETransformer(3, **free).fit(wine) for _ in range(2))
    assert one.loss_curve_ != other.loss_curve_
    rng = np.random.RandomState(0)
    one, other = (VAETransformer(3, **QUICK | {"random_state": rng}).fit(wine) for _ in range(2))
    assert one.loss_curve_ != other.loss_curve_
    np.testing.assert_array_equal(
        fitted.sample(4, random_state=1), fitted.sample(4, random_state=1)
    )
    assert (fitted.sample(4) != fitted.sample(4)).all()


def test_the_modes_of_the_caller_do_not_matter(wine, fitted):
    with torch.inference_mode():
        inside = VAETransformer(3, **QUICK).fit(wine)
    with torch.no_grad(), torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
        within = VAETransformer(3, **QUICK).fit(wine)
        codes = within.transform(wine)
    torch.set_default_dtype(torch.float64)
    try:
        double = VAETransformer(3, **QUICK).fit(wine)
    finally:
        torch.set_default_dtype(torch.float32)
    for other in (inside, within, double):
        assert_same_state(other, fitted)
    np.testing.assert_array_equal(codes, fitted.transform(wine))


# -- going on ---------------------------------------------------------------------


def test_warm_start_goes_on_to_max_iter(wine):
    vae = VAETransformer(2, **QUICK, warm_start=True).fit(wine)
    before = vae.loss_curve_
    with pytest.warns(ConvergenceWarning, match=r"No epoch is left.*max_iter=3.*Raise max_iter"):
        vae.fit(wine)
    assert vae.loss_curve_ == before
    vae.set_params(max_iter=6).fit(wine)
    assert vae.n_iter_ == 6
    assert vae.loss_curve_[:3] == before
    with pytest.raises(ValueError, match=r"n_components=2 and cannot go on with 3"):
        vae.set_params(n_components=3).fit(wine)


def test_partial_fit_learns_chunk_by_chunk():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(2, 6))
    vae = VAETransformer(2, hidden_layer_sizes=(32,), learning_rate_init=1e-2, random_state=0)
    codes, noise = rng.normal(size=(60, 500, 2)), 0.1 * rng.normal(size=(60, 500, 6))
    test, *chunks = np.tanh(codes @ mixing) + noise
    scores = [vae.partial_fit(chunk).score(test) for chunk in chunks]
    assert vae.n_iter_ == len(vae.loss_curve_) == 59
    assert scores[-1] > scores[0] + 0.5
    assert scores[-1] > PCA(2).fit(np.concatenate(chunks)).score(test) + 0.5


def test_early_stopping_takes_the_best_epoch(wine):
    train, test = train_test_split(wine, random_state=0)
    vae = VAETransformer(3, random_state=1, n_iter_no_change=5).fit(train, X_val=test)
    assert vae.n_iter_ < 200
    assert len(vae.validation_scores_) == len(vae.loss_curve_) == vae.n_iter_
    best = int(np.argmax(vae.validation_scores_))
    assert vae.best_validation_score_ == vae.validation_scores_[best]
    assert vae.n_iter_ == best + 1 + 3  # half the patience in the smaller steps
    assert vae.elbo(test).mean() == pytest.approx(vae.best_validation_score_, abs=0.5)


# -- faults -----------------------------------------------------------------------

NO_TABLES = {
    "inf": (np.array([[1.0, np.inf], [2.0, 3.0]]), ValueError, "infinity"),
    "complex": (np.array([[1j, 1.0], [2.0, 3.0]]), ValueError, "Complex"),
    "dates": (np.array([["2020-01-01"], ["2020-01-02"]], dtype="M8[D]"), ValueError, "datetime64"),
    "frame of dates": (
        pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "2020-01-02"])}),
        ValueError,
        "Column 'when'",
    ),
    "mixed objects": (
        np.array([["1", 2.0], [3.0, 4.0]], dtype=object),
        ValueError,
        "Column 0 mixes strings, as '1'",
    ),
    "mixed frame": (pd.DataFrame({"a": [1.0, "2"]}, dtype=object), ValueError, "Column 'a' mixes"),
    "objects": (np.array([[{}], [1.0]], dtype=object), TypeError, "Column 0 holds {}, a dict"),
    "nothing": (np.array([[1.0, np.nan], [2.0, np.nan]]), ValueError, "Column 1 holds no value"),
    "no rows": (np.empty((0, 3)), ValueError, "0 sample"),
    "one row": (np.ones((1, 3)), ValueError, "minimum of 2"),
    "no columns": (np.empty((3, 0)), ValueError, "0 feature"),
    "one axis": (np.arange(5.0), ValueError, "2D array"),
}


@pytest.mark.parametrize(("X", "error", "message"), NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_refused(X, error, message):
    vae = VAETransformer(**QUICK)
    with pytest.raises(error, match=message):
        vae.fit(X)
    assert vars(vae) == vars(clone(vae))


def test_masked_cells_are_missing(wine, fitted):
    assert_same_state(VAETransformer(3, **QUICK).fit(np.ma.masked_array(wine)), fitted)
    masked = np.ma.masked_inside(wine, 13, 14)
    gaps = masked.filled(np.nan)
    vae = VAETransformer(3, **QUICK).fit(masked)
    assert_same_state(vae, VAETransformer(3, **QUICK).fit(gaps))
    np.testing.assert_array_equal(vae.impute(masked), vae.impute(gaps))
    one, other = (vae.sample(given=table, random_state=0) for table in (masked, gaps))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="Z contains NaN"):
        vae.inverse_transform(np.ma.masked_equal([[1.0, 2.0, 3.0]], 2))


def test_masked_categories_are_missing():
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.choice(["a", "b"], 60), rng.normal(size=60)]).astype(object)
    table[:, 1] = table[:, 1].astype(float)
    mask = rng.random(table.shape) < 0.1
    masked = np.ma.array(table, mask=mask)
    gaps = np.where(mask, None, table)
    vae = VAETransformer(1, **QUICK).fit(masked)
    assert_same_state(vae, VAETransformer(1, **QUICK).fit(gaps))
    filled = vae.impute(masked)
    np.testing.assert_array_equal(filled, vae.impute(gaps))
    np.testing.assert_array_equal(filled[~mask], table[~mask])


FAULTS = {
    "negative weights": ({}, {"sample_weight": -np.ones(178)}, "negative"),
    "missing weights": (
        {},
        {"sample_weight": np.r_[1.0, np.full(177, np.nan)]},
        "sample_weight holds nan in row 1",
    ),
    "zero weights": ({}, {"sample_weight": np.zeros(178)}, "zero"),
    "short weights": ({}, {"sample_weight": np.ones(3)}, "sample_weight"),
    "support": ({"likelihood": "bernoulli"}, {}, r"Column 0 .*Bernoulli.*\[0, 1\].*it holds \d"),
    "unknown column": ({"likelihood": {"ash": "gaussian"}}, {}, "ash"),
    "unknown likelihood": ({"likelihood": "cauchy"}, {}, "likelihood"),
    "unknown likelihood of a column": ({"likelihood": {0: "cauchy"}}, {}, "cauchy"),
    "components": ({"n_components": 0}, {}, "n_components"),
    "type": ({"n_components": "two"}, {}, "n_components"),
    "learning rate": ({"learning_rate_init": 0.0}, {}, "learning_rate_init"),
    "hidden layer": ({"hidden_layer_sizes": 0}, {}, "hidden_layer_sizes"),
    "hidden layers": ({"hidden_layer_sizes": (0,)}, {}, "hidden_layer_sizes"),
    "activation": ({"activation": "sine"}, {}, "activation"),
    "nested activation": ({"encoder": MLP((4,), activation="sine")}, {}, "activation"),
    "encoder": ({"encoder": "mlp"}, {}, "encoder"),
    "dropout": ({"dropout": 1.0}, {}, "dropout"),
    "batch": ({"batch_size": -1}, {}, "batch_size"),
    "scale": ({"likelihood": Gaussian(-1.0)}, {}, "scale"),
    "device": ({"device": "cuda:77"}, {}, "device='cuda:77'"),
    "no device": ({"device": "abacus"}, {}, "device='abacus'"),
    "free bits": ({"free_bits": 1.0, "objective": "iwae"}, {}, "free_bits"),
    "divergence": (
        {"learning_rate_init": 1e30, "gradient_clip": None},
        {},
        r"epoch 1: .*learning_rate_init=1e\+30.*Lower",
    ),
    "validation columns": ({}, {"X_val": np.ones((5, 2))}, "2 features"),
}


@pytest.mark.parametrize(("settings", "arguments", "message"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("warm", [False, True])
def test_a_fault_leaves_the_estimator_as_it_was(wine, fitted, settings, arguments, message, warm):
    vae = copy.deepcopy(fitted) if warm else VAETransformer(3, **QUICK)
    vae.set_params(**settings)
    before = dict(vars(vae))
    with pytest.raises((ValueError, TypeError), match=message):
        vae.fit(wine, **arguments)
    assert vars(vae).keys() == before.keys()
    assert all(vars(vae)[name] is value for name, value in before.items())
    if warm:
        vae.set_params(**fitted.get_params())
        np.testing.assert_array_equal(vae.transform(wine), fitted.transform(wine))


def test_a_fault_while_going_on_keeps_the_model(wine):
    vae = VAETransformer(3, **QUICK).fit(wine)
    before = vae.transform(wine)
    vae.set_params(learning_rate_init=1e30, gradient_clip=None)
    with pytest.raises(ValueError, match="diverged"):
        vae.partial_fit(wine)
    np.testing.assert_array_equal(vae.transform(wine), before)
    assert vae.n_iter_ == 3


def test_wrong_input_after_fit(wine, fitted):
    with pytest.raises(ValueError, match="12 features"):
        fitted.transform(wine[:, 1:])
    with pytest.raises(ValueError, match="n_components=3"):
        fitted.inverse_transform(np.zeros((2, 4)))
    swapped = pd.DataFrame(np.zeros((2, 3)), columns=fitted.get_feature_names_out()[::-1])
    with pytest.raises(ValueError, match="in another order"):
        fitted.inverse_transform(swapped)
    twice = pd.DataFrame(np.zeros((2, 3)), columns=["a", "b", "a"])
    for of_frame in (fitted.transform, fitted.inverse_transform, fitted.impute):
        with pytest.raises(ValueError, match="2 columns named 'a'"):
            of_frame(twice)
    with pytest.raises(ValueError, match="n_samples"):
        fitted.sample(0)
    with pytest.raises(ValueError, match="n_importance"):
        fitted.score_samples(wine, n_importance=0)
    frame = pd.DataFrame(wine, columns=[f"c{i}" for i in range(13)])
    named = VAETransformer(3, **QUICK).fit(frame)
    with pytest.raises(ValueError, match="feature names"):
        named.transform(frame.rename(columns={"c0": "other"}))


def test_an_interrupt_keeps_what_was_learnt(wine, capsys):
    class Interrupted(VAETransformer):
        def _report(self, fitted, history):
            if len(history.loss_curve) == 2:
                raise KeyboardInterrupt

    vae = Interrupted(3, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(wine)
    assert vae.n_iter_ == 2
    assert vae.transform(wine).shape == (178, 3)


def interrupted(call, number):
    """The same function, but interrupted at its call of this number, after its work."""
    calls = itertools.count(1)

    def interrupted_once(*args, **kwargs):
        found = call(*args, **kwargs)
        if next(calls) == number:
            raise KeyboardInterrupt
        return found

    return interrupted_once


@pytest.mark.parametrize(
    ("place", "number"),
    [
        ("skvae._fit.posterior_means", 2),  # the first is before training
        ("skvae._fit.posterior_means", 3),
        ("skvae._model.vae.VAE.order_components", 1),
        ("skvae._fit.posterior_draws", 1),
        ("skvae.priors.Mixture.fit", 1),
        ("skvae._fit.bounds", 2),
    ],
)
def test_an_interrupt_after_training_keeps_it(wine, fitted, monkeypatch, place, number):
    module, _, name = place.rpartition(".")
    owner = pkgutil.resolve_name(module)
    monkeypatch.setattr(owner, name, interrupted(getattr(owner, name), number))
    vae = VAETransformer(3, prior="mixture", **QUICK)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(wine)
    if name != "bounds":  # by when the mixture was fitted
        assert_same_state(vae, fitted)  # of a standard normal prior
    np.testing.assert_array_equal(vae.transform(wine), fitted.transform(wine))
    np.testing.assert_array_equal(vae.kl_divergence_, fitted.kl_divergence_)


def test_an_interrupt_of_training_does_not_wait_for_a_mixture(wine, monkeypatch):
    class Interrupted(VAETransformer):
        def _report(self, fitted, history):
            raise KeyboardInterrupt

    monkeypatch.delattr("skvae.priors.Mixture.fit")
    vae = Interrupted(3, prior="mixture", **QUICK)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(wine)
    assert isinstance(vae.module_.prior, StandardNormal)
    assert vae.n_iter_ == 1


# -- custom code that draws from torch's global generator ----------------------------


class Affine(NetworkModule):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.linear = torch.nn.Linear(n_inputs, n_outputs)

    def forward(self, x, generator=None):
        return self.linear(x)


class Linear(Network):
    def build(self, n_inputs, n_outputs, *, output_gain, generator):
        return Affine(n_inputs, n_outputs)


class Shifted(Prior):
    """A normal whose mean a layer of torch's draws, and a gradient moves."""

    def fit(self, draw, n_rows, n_components, seed):
        layer = torch.nn.Linear(1, n_components)
        with torch.enable_grad():
            (layer.bias * torch.as_tensor(draw(1)[0])).sum().backward()
        mean = (layer.bias + layer.bias.grad).detach()
        return NormalMixture(torch.zeros(1), mean[None], torch.eye(n_components)[None])


def test_custom_code_gets_a_generator_of_the_fit(wine):
    settings = {"encoder": Linear(), "decoder": Linear(), "prior": Shifted()}

    def fit(random_state):
        return VAETransformer(3, **QUICK | settings | {"random_state": random_state}).fit(wine)

    one, other = fit(0), fit(1)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            same = fit(0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_state(one, same)
    assert one.score(wine) == same.score(wine)
    weights = [vae.module_.encoder.linear.weight for vae in (one, other)]
    assert (weights[0] != weights[1]).any()
    square = one.module_.decoder.linear.weight[:3, :3]
    assert (square != weights[0][:3, :3]).any()


# -- arrays of other libraries ------------------------------------------------------

FORMS = {
    "array": np.asarray,
    "sparse": csr_matrix,
    "parts": lambda X: Parts([X[:100], X[100:]]),
    "tensor": torch.as_tensor,
    "frame": pd.DataFrame,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_dispatch_of_arrays_does_not_matter(wine, fitted, form, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    X = form(wine)
    with config_context(array_api_dispatch=True):
        within = VAETransformer(3, **QUICK).fit(X, sample_weight=torch.ones(178))
        codes = within.transform(X)
        decoded = within.inverse_transform(torch.as_tensor(codes))
        score = within.score(X, sample_weight=torch.ones(178))
    assert_same_state(within, fitted)
    np.testing.assert_array_equal(codes, fitted.transform(X))
    np.testing.assert_array_equal(decoded, fitted.reconstruct(X))
    assert score == fitted.score(X)


def test_the_dispatch_of_arrays_does_not_matter_for_a_wide_table(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    X = np.random.default_rng(0).normal(size=(20, 30))  # of which PCA is a randomised one
    plain = VAETransformer(2, **QUICK).fit(X)
    with config_context(array_api_dispatch=True):
        within = VAETransformer(2, **QUICK).fit(X)
    assert_same_state(within, plain)


# -- odd tables -------------------------------------------------------------------

rng = np.random.default_rng(0)
ODD = {
    "one column": rng.normal(size=(50, 1)),
    "constant column": np.column_stack([rng.normal(size=50), np.full(50, 7.0)]),
    "all constant": np.full((50, 2), 3.0),
    "huge constant": np.column_stack([rng.normal(size=50), np.full(50, 1e30)]),
    "two rows": rng.normal(size=(2, 3)),
    "smaller than a batch": rng.normal(size=(10, 3)),
    "one above a batch": rng.normal(size=(129, 3)),
    "float16": rng.normal(size=(50, 3)).astype(np.float16),
    "integers": rng.integers(-5, 5, size=(50, 3)),
    "uint8": rng.integers(0, 255, size=(50, 3), dtype=np.uint8),
    "booleans": rng.integers(0, 2, size=(50, 3)).astype(bool),
    "huge": 1e30 * rng.normal(size=(50, 3)),
    "huge in float32": (1e30 * rng.normal(size=(50, 3))).astype(np.float32),
    "beyond squares": 1e200 * rng.normal(size=(50, 3)),
    "tiny": 1e-40 * rng.normal(size=(50, 3)),
    "tiny in float32": (1e-40 * rng.normal(size=(50, 3))).astype(np.float32),
    "far from zero": 1e9 + rng.normal(size=(50, 3)),
    "objects": rng.normal(size=(50, 3)).astype(object),
}


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # as the columns are independent
@pytest.mark.parametrize("X", ODD.values(), ids=ODD)
def test_odd_tables_simply_work(X):
    vae = VAETransformer(2, **QUICK).fit(X)
    for result in (
        vae.transform(X),
        vae.reconstruct(X),
        vae.score_samples(X),
        vae.sample(5, random_state=0),
        vae.loss_curve_,
    ):
        assert np.isfinite(np.asarray(result, dtype=float)).all()


def test_a_memmap_is_read_in_place(tmp_path, wine, fitted):
    np.save(tmp_path / "wine.npy", wine)
    X = np.load(tmp_path / "wine.npy", mmap_mode="r")
    assert_same_state(VAETransformer(3, **QUICK).fit(X), fitted)
    np.testing.assert_array_equal(fitted.transform(X), fitted.transform(wine))


def test_chunks_do_not_show(wine, fitted, monkeypatch):
    whole = fitted.score_samples(wine), fitted.transform(wine)
    monkeypatch.setattr("skvae._inference.map_rows.CHUNK_ELEMENTS", 5000)
    np.testing.assert_allclose(fitted.score_samples(wine), whole[0], rtol=1e-12)
    np.testing.assert_allclose(fitted.transform(wine), whole[1], rtol=1e-12)


@pytest.fixture
def chunks_side_by_side(monkeypatch):
    monkeypatch.setattr("skvae._inference.map_rows.SHARED_WORK", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_chunks_side_by_side_do_not_show(wine, fitted, monkeypatch, request):
    monkeypatch.setattr("skvae._inference.map_rows.CHUNK_ELEMENTS", 5000)
    holes = np.where(np.random.default_rng(0).random(wine.shape) < 0.3, np.nan, wine)

    def results():
        return [
            *(call(holes) for call in (fitted.transform, fitted.score_samples, fitted.impute)),
            # what draws goes in order, so that the same numbers serve the same rows
            fitted.impute(holes, n_imputations=2, random_state=0),
            fitted.sample(500, random_state=0),
        ]

    expected = results()
    request.getfixturevalue("chunks_side_by_side")
    for one, other in zip(results(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_what_fails_in_one_of_many_chunks_is_raised(fitted, wine, chunks_side_by_side):
    X = np.tile(wine, (20, 1))
    X[3000, 2] = 1e200  # no code explains it
    X[:, 0] = np.nan
    for complete in (fitted.impute, lambda X: fitted.sample(given=X)):
        with pytest.raises(ValueError, match=r"row 3000 is 0.*its column 2 holds"):
            complete(X)
    assert np.isfinite(fitted.transform(wine)).all()


def test_a_row_that_cannot_be_imputed_is_named_among_the_others(fitted, wine):
    X = wine[:6].astype(np.float32)
    X[[1, 4], 0] = np.nan
    X[2, 5] = X[4, 3] = 3.4e38  # nothing is missing in row 2
    with pytest.raises(ValueError, match=r"row 4 is 0.*column 3 holds.*mark it as missing by NaN"):
        fitted.impute(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_importance", [8, None])
@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_the_likelihood_of_nothing_is_1(wine, prior, n_importance, dtype):
    vae = VAETransformer(2, prior=prior, **QUICK).fit(wine)
    X = wine[:3].astype(dtype)
    expected = vae.score_samples(X, n_importance=n_importance)
    X[1] = np.nan
    expected[1] = 0
    np.testing.assert_allclose(vae.score_samples(X, n_importance=n_importance), expected)
    assert vae.score_samples(X, n_importance=n_importance)[1] == 0


def test_scores_of_cells_of_an_impossible_row(fitted, wine):
    X = wine[:3].copy()
    X[1, 4] = 1e200
    scores = fitted.score_cells(X)
    assert scores[1, 4] == -np.inf
    assert np.isnan(np.delete(scores[1], 4)).all()  # 0 / 0
    np.testing.assert_allclose(scores[[0, 2]], fitted.score_cells(wine[[0, 2]]), rtol=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.3])
@pytest.mark.parametrize("value", [3.4e38, -1e20])
def test_fit_points_out_values_that_may_mark_missing_ones(wine, value, share):
    X = pd.DataFrame(wine.astype(np.float32)).rename(columns="c{}".format)
    X.iloc[7 : 7 + int(share * 178), 3] = value
    message = r"'c3' holds .* in row \d+, over 1e\+12 times.*replace them by NaN: numpy.where"
    with pytest.warns(UserWarning, match=message):
        vae = VAETransformer(2, **QUICK).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    VAETransformer(2, **QUICK).fit(X.where(X.abs() < 1e15))  # without a warning


TRAINING = {
    "validation": lambda vae, X, far: VAETransformer(2, **QUICK).fit(X, X_val=far),
    "partial": lambda vae, X, far: vae.partial_fit(far),
    "warm": lambda vae, X, far: vae.set_params(warm_start=True, max_iter=4).fit(far),
}


@pytest.mark.parametrize("train", TRAINING.values(), ids=TRAINING)
@pytest.mark.parametrize("likelihood", ["gaussian", "student_t", "histogram"])
def test_rows_too_far_out_to_train_on_are_named(wine, likelihood, train):
    X = wine.astype(np.float32)
    far = X[:20].copy()
    far[6, 3] = 3.4e38
    vae = VAETransformer(2, likelihood=likelihood, **QUICK).fit(X)
    before = vae.transform(X)
    with pytest.raises(ValueError, match=r"3 holds 3.4e\+38 in row 6, too far.*replace it by NaN"):
        train(vae, X, far)
    np.testing.assert_array_equal(vae.transform(X), before)


def test_a_likelihood_that_is_no_number_is_pointed_out(wine):
    class Broken(Gaussian):
        def log_prob(self, x, outputs, parameters):
            found = super().log_prob(x, outputs, parameters)
            return torch.where(x > 1e6, torch.nan, found)

    vae = VAETransformer(2, likelihood=Broken(), **QUICK).fit(wine)
    X = wine[:3].copy()
    expected = vae.score_samples(X), vae.elbo(X)
    X[1, 0] = 1e9
    for score, usual in zip((vae.score_samples, vae.elbo), expected, strict=True):
        with pytest.warns(UserWarning, match=r"not a number.*in 1 rows.*custom"):
            found = score(X)
        usual[1] = -np.inf
        np.testing.assert_allclose(found, usual)


def test_rows_far_from_the_training_data_score_low(fitted, wine):
    far = fitted.score_samples(wine * 1e6)
    assert (np.isfinite(far) & (far < fitted.score_samples(wine).min())).all()
    assert (fitted.score_samples(wine * 1e160) == -np.inf).all()


def test_the_default_draws_suffice_in_more_dimensions():
    train, test = train_test_split(load_breast_cancer().data, random_state=0)
    vae = VAETransformer(10, random_state=0, max_iter=20).fit(train)
    assert vae.score(test) > vae.score_samples(test, n_importance=4096).mean() - 2


def test_fits_in_threads_leave_the_pools_alone(wine):
    def fit(seed):
        return VAETransformer(2, **QUICK | {"random_state": seed}).fit(wine).loss_curve_

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(fit, range(3)))
    assert together == [fit(seed) for seed in range(3)]


# -- scikit-learn -----------------------------------------------------------------


def test_frames_in_and_out(wine):
    names = load_wine().feature_names
    frame = pd.DataFrame(wine, columns=names, index=np.arange(178) * 10)
    vae = VAETransformer(2, **QUICK).fit(frame)
    back = vae.reconstruct(frame)
    assert list(back.columns) == list(frame.columns)
    assert back.index.equals(frame.index)
    assert list(vae.sample(3, random_state=0).columns) == names
    assert list(vae.get_feature_names_out()) == ["vaetransformer0", "vaetransformer1"]
    codes = vae.set_output(transform="pandas").transform(frame)
    assert codes.index.equals(frame.index)
    assert vae.inverse_transform(codes).index.equals(frame.index)
    with config_context(transform_output="polars"):
        codes = VAETransformer(2, **QUICK).fit_transform(frame)
    assert isinstance(codes, pl.DataFrame)
    vae = VAETransformer(2, **QUICK).fit(pl.DataFrame(wine, schema=names))
    assert isinstance(vae.sample(3, random_state=0), pl.DataFrame)
    assert vae.reconstruct(pl.DataFrame(wine, schema=names)).columns == names


def test_likelihoods_by_column_name(wine):
    frame = pd.DataFrame({"a": wine[:, 0], "b": wine[:, 1] > 2, "c": wine[:, 2]})
    vae = VAETransformer(2, **QUICK, likelihood={"b": Bernoulli(), "c": Gaussian("shared")})
    vae.fit(frame.astype(float))
    sample = vae.sample(100, random_state=0)
    assert set(sample["b"]) == {0.0, 1.0}
    assert list(sample.columns) == ["a", "b", "c"]


def test_nested_parameters_reach_into_values(wine):
    pipeline = make_pipeline(StandardScaler(), VAETransformer(2, **QUICK, encoder=MLP((8,))))
    pipeline.set_params(vaetransformer__encoder__activation="tanh")
    assert pipeline.get_params()["vaetransformer__encoder__activation"] == "tanh"
    search = GridSearchCV(
        pipeline, {"vaetransformer__encoder__hidden_layer_sizes": [(4,), (8, 8)]}, cv=2
    ).fit(wine)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_fitted_model_keeps_its_values(wine):
    encoder, likelihood = MLP((8,)), Gaussian()
    vae = VAETransformer(2, **QUICK, encoder=encoder, likelihood=likelihood).fit(wine)
    before = vae.score_samples(wine)
    encoder.hidden_layer_sizes, likelihood.scale = (3, 3), 2.0
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(vae)).score_samples(wine), before)


def test_grid_search_skips_a_candidate_that_diverges(wine):
    search = GridSearchCV(
        VAETransformer(2, **QUICK, gradient_clip=None), {"learning_rate_init": [1e-3, 1e30]}, cv=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(wine)
    np.testing.assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True])
    assert search.best_params_ == {"learning_rate_init": 1e-3}


def test_grid_search_is_the_same_in_parallel(wine):
    frame = pd.DataFrame(wine, columns=load_wine().feature_names)
    pipeline = make_pipeline(MinMaxScaler(), VAETransformer(**QUICK))
    grid = {
        "vaetransformer__n_components": [1, 2],
        "vaetransformer__beta": [0.5, 1.0],
        "vaetransformer__hidden_layer_sizes": [(8,), (600, 400)],
    }

    def scores(model, X, y=None):
        return {"score": model.score(X), "threads": torch.get_num_threads()}

    one, two = (
        GridSearchCV(pipeline, grid, cv=2, n_jobs=n, scoring=scores, refit=False).fit(frame)
        for n in (1, 2)
    )
    for split in ("split0_test_score", "split1_test_score"):
        # scores are computed in pieces, by the number of threads
        np.testing.assert_allclose(one.cv_results_[split], two.cv_results_[split], rtol=1e-9)
    assert 2 * two.cv_results_["mean_test_threads"].max() <= max(2, os.cpu_count())


def test_weights_are_routed(wine):
    with config_context(enable_metadata_routing=True):
        vae = VAETransformer(3, **QUICK).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), vae)
        weight = np.arange(178) % 3
        pipeline.fit(wine, sample_weight=weight)
        direct = clone(vae).fit(StandardScaler().fit_transform(wine), sample_weight=weight)
    assert_same_state(pipeline[-1], direct)


def test_an_objective_may_be_an_instance(wine):
    by_name = VAETransformer(2, objective="iwae", n_draws=3, beta=0.5, **QUICK).fit(wine)
    passed = IWAE(0.5)
    by_value = VAETransformer(2, objective=passed, n_draws=3, **QUICK).fit(wine)
    assert_same_state(by_name, by_value)
    assert passed == IWAE(0.5)
    with pytest.raises(ValueError, match=r"has its own beta and free_bits.*Set objective__beta"):
        VAETransformer(2, objective=passed, beta=0.5, **QUICK).fit(wine)
    assert clone(by_value).set_params(objective__beta=2.0).objective == IWAE(2.0)


def test_a_pickle_from_a_device_that_is_missing_loads_to_the_cpu(fitted, wine):
    other = copy.copy(fitted._fitted)
    with pytest.warns(UserWarning, match="now on the CPU: device='cuda:99' is not there"):
        other.__setstate__(fitted._fitted.__getstate__() | {"device": "cuda:99"})
    assert other.device == torch.device("cpu")
    np.testing.assert_array_equal(other.codes(wine, wine.dtype), fitted.transform(wine))


def test_pickle_holds_arrays_only(fitted, wine):
    pickled = pickle.dumps(fitted)
    assert b"torch._utils" not in pickled  # which rebuilds tensors on their device
    other = pickle.loads(pickled)
    np.testing.assert_array_equal(other.score_samples(wine), fitted.score_samples(wine))
    assert isinstance(other.module_, torch.nn.Module)
    assert_same_state(other.partial_fit(wine), copy.deepcopy(fitted).partial_fit(wine))


def test_the_repr_links_to_the_documentation():
    assert "generated/skvae.VAETransformer.html" in VAETransformer()._repr_html_()


def test_verbose_prints_a_line_for_each_epoch(wine, capsys):
    VAETransformer(2, **QUICK, verbose=1).fit(wine)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["Epoch 1", "Epoch 2", "Epoch 3"]
    assert all("validation score" in line for line in lines)


def test_scores_agree_with_quadrature(wine):
    train, test = train_test_split(wine, test_size=30, random_state=0)
    vae = VAETransformer(1, random_state=0, max_iter=30).fit(train)
    z = np.linspace(-8, 8, 4001)
    model = copy.deepcopy(vae.module_).cpu().double()
    x = model.cells(torch.from_numpy(vae._fitted.columns.to_working(test, None, np.float64)))
    with torch.no_grad():
        log_px = model.log_prob(x, model.decode(torch.from_numpy(z)[:, None, None])).numpy()
    exact = logsumexp(log_px + norm.logpdf(z)[:, None] + np.log(z[1] - z[0]), axis=0)
    exact += vae._fitted.columns.log_jacobian(test, None)
    score = vae.score_samples(test, n_importance=1024)
    assert (score - exact).mean() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(score, exact, atol=0.2)


class StopAt:
    """A callback that ends training."""

    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id + 1 == self.epoch

    def teardown(self, estimator, context): ...


def test_a_callback_ends_training(wine):
    pytest.importorskip("sklearn.callback")
    vae = VAETransformer(2, **QUICK).set_callbacks(StopAt(2)).fit(wine)
    assert vae.n_iter_ == 2
    inside = make_pipeline(StandardScaler(), vae).fit(wine)
    assert inside[-1].n_iter_ == 2


class RaiseAtTheEnd(StopAt):
    """A callback that fails when the fit ends."""

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "fit":
            raise RuntimeError("no disk to write to")


def test_a_callback_that_fails_after_training_loses_nothing(wine):
    pytest.importorskip("sklearn.callback")
    vae = VAETransformer(3, **QUICK).set_callbacks(RaiseAtTheEnd(0))
    with pytest.raises(RuntimeError, match="no disk"):
        vae.fit(wine)
    assert vae.n_iter_ == 3
    assert vae.transform(wine).shape == (178, 3)


def test_a_progress_bar_runs_through_a_search(wine, capsys):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    search = GridSearchCV(
        make_pipeline(StandardScaler(), VAETransformer(**QUICK)),
        {"vaetransformer__n_components": [1, 2]},
        cv=2,
    )
    search.set_callbacks(callback.ProgressBar()).fit(wine)
    assert "epoch" in capsys.readouterr().out or search.best_params_


def test_a_monitor_scores_each_epoch(wine):
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring={"score": lambda vae, X, y: vae.score(X)})
    vae = VAETransformer(2, **QUICK, early_stopping=False).set_callbacks(monitor)
    vae.fit(wine, load_wine().target)
    (log,) = monitor.get_logs(select="all")
    scores = [row["score"] for row in log.data if row["task_name"] == "epoch"]
    assert len(set(scores)) == 3
    # components are put in order after the last epoch, which changes the draws of a score
    assert scores[-1] == pytest.approx(vae.score(wine), abs=1e-3)


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # after a few epochs
@pytest.mark.parametrize(
    ("likelihood", "told", "has_skip"),
    [
        ("gaussian", None, True),
        ("bernoulli", None, False),
        ("bernoulli", True, True),
        ("gaussian", False, False),
    ],
)
def test_networks_have_a_linear_map_where_pca_can_start_it(likelihood, told, has_skip):
    z = np.random.default_rng(0).normal(size=(80, 1))
    X = (z + 0.5 * np.random.default_rng(1).normal(size=(80, 4)) > 0).astype(float)
    encoder = MLP((8,), skip=told)
    vae = VAETransformer(1, encoder=encoder, likelihood=likelihood, **QUICK).fit(X)
    for network in (vae.module_.encoder, vae.module_.decoder):
        assert (network.skip is not None) == has_skip
    assert encoder.skip is told
    vae.set_params(warm_start=True, max_iter=4).fit(X)
    assert vae.n_iter_ == 4


# -- phases -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def spiky():
    """Numbers that depend on each other, one of them with a spike and a tail."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1200, 2))
    X = z @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(1200, 4))
    return np.c_[X, np.where(rng.random(1200) < 0.3, 0.0, np.exp(z[:, 0]))]


class Watch(StopAt):
    """Keeps the parameters of the networks after each epoch."""

    def __init__(self):
        super().__init__(epoch=None)
        self.seen = {"encoder": [], "decoder": [], "shapes": []}

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        for name, kept in self.seen.items():
            network = getattr(fitted_estimator.module_, name)
            if context.task_name == "epoch" and network is not None:
                kept.append(parameters_to_vector(network.parameters()).detach().clone())

    def changes(self, name):
        """Whether each epoch but the first changed the network."""
        return [not torch.equal(a, b) for a, b in itertools.pairwise(self.seen[name])]


def test_histograms_are_learned_once_the_codes_are_found(spiky):
    pytest.importorskip("sklearn.callback")
    watch = Watch()
    vae = VAETransformer(2, early_stopping=False, **QUICK | {"max_iter": 9}).set_callbacks(watch)
    vae.fit(spiky)
    assert vae.likelihoods_[4] == Histogram()
    assert vae.n_iter_ == 9

    # six epochs for the codes, three for the rest
    assert watch.changes("shapes") == [False] * 5 + [True] * 3
    assert all(watch.changes("encoder"))
    assert all(watch.changes("decoder"))


def test_codes_of_columns_in_one_unit_stay_once_they_are_found():
    pytest.importorskip("sklearn.callback")
    watch = Watch()
    X = load_digits().data[:300]
    vae = VAETransformer(2, early_stopping=False, **QUICK | {"max_iter": 9}).set_callbacks(watch)
    vae.fit(X)
    assert watch.changes("encoder") == [True] * 5 + [False] * 3
    assert all(watch.changes("decoder"))
    codes, score = vae.transform(X), vae.score(X)
    vae.set_params(warm_start=True, max_iter=10).set_callbacks().fit(X)
    vae.partial_fit(X)
    np.testing.assert_array_equal(np.sort(vae.transform(X)), np.sort(codes))
    assert vae.score(X) != score


def stages_of(vae, n_rows):
    return stages(
        vae.module_,
        _fit.plan(vae, n_rows),
        range(9),
        n_rows,
        last_phase=WHOLE,
        auto_alpha=vae.alpha == "auto",
    )


@pytest.mark.parametrize(
    ("table", "phases", "penalties", "patience", "batches"),
    [
        ("wine", [WHOLE], [0.0], [10], [64]),
        ("spiky", [CODES, WHOLE], [0.0, 0.0], [10, 5], [128, 64]),
        ("digits", [CODES, DECODER], [61 / 64, 0.0], [10, 5], [128, 64]),
    ],
)
def test_phases_of_tables(table, phases, penalties, patience, batches, wine, spiky):
    X = {"wine": wine, "spiky": spiky, "digits": load_digits().data[:300]}[table]
    vae = VAETransformer(2, **QUICK).fit(X)
    if table == "digits":
        penalties[0] = vae.module_.n_in_unit / 64
        assert vae.module_.n_in_unit > 50
    found = stages_of(vae, 150)
    assert [stage.phase for stage in found] == phases
    assert [stage.plan.alpha for stage in found] == penalties
    assert [stage.plan.n_iter_no_change for stage in found] == patience
    assert [stage.plan.batch_size for stage in found] == batches
    assert [stage.plan.batch_size for stage in stages_of(vae, 50)] == [50] * len(batches)
    # a number is taken as it is
    vae.set_params(alpha=0.3)
    assert {stage.plan.alpha for stage in stages_of(vae, 150)} == {0.3}


def test_other_tables_train_in_one_phase(wine):
    pytest.importorskip("sklearn.callback")
    encoders = []

    class Keep(StopAt):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            network = fitted_estimator.module_.encoder
            encoders.append(parameters_to_vector(network.parameters()).clone())

    vae = VAETransformer(2, early_stopping=False, **QUICK).set_callbacks(Keep(None)).fit(wine)
    assert vae.module_.shapes is None
    assert len(encoders) == 4  # of three epochs and the fit
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(encoders[:3]))


@pytest.mark.parametrize("max_iter", [1, 2, 3, 10])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_two_phases_take_no_more_epochs_than_one(spiky, max_iter, early_stopping):
    vae = VAETransformer(
        2, hidden_layer_sizes=(16,), early_stopping=early_stopping, n_iter_no_change=2,
        max_iter=max_iter, random_state=0,
    ).fit(spiky)  # fmt: skip
    assert 1 <= vae.n_iter_ <= max_iter
    assert len(vae.loss_curve_) == vae.n_iter_
    assert len(vae.validation_scores_) == (vae.n_iter_ if early_stopping else 0)
    if not early_stopping:
        assert vae.n_iter_ == max_iter


@pytest.mark.parametrize("epoch", [2, 6, 7])
def test_a_callback_ends_both_phases(spiky, epoch):
    pytest.importorskip("sklearn.callback")
    vae = VAETransformer(2, early_stopping=False, **QUICK | {"max_iter": 9})
    vae.set_callbacks(StopAt(epoch)).fit(spiky)
    assert vae.n_iter_ == len(vae.loss_curve_) == epoch
    assert np.isfinite(vae.score(spiky))
    # the last layer of what is learned in the second phase starts at 0
    assert bool((vae.module_.shapes.weights[-1] == 0).all()) == (epoch <= 6)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_goes_on_after_two_phases(spiky, early_stopping):
    vae = VAETransformer(
        2, early_stopping=early_stopping, warm_start=True, **QUICK | {"max_iter": 9}
    ).fit(spiky)
    before, first, codes = vae.loss_curve_, vae.score(spiky), vae.transform(spiky)
    n_iter = vae.n_iter_
    with pytest.warns(ConvergenceWarning, match="No epoch is left"):
        vae.set_params(max_iter=n_iter).fit(spiky)
    assert vae.loss_curve_ == before
    np.testing.assert_array_equal(vae.transform(spiky), codes)
    for max_iter in (n_iter + 1, n_iter + 7):
        vae.set_params(max_iter=max_iter).fit(spiky)
        assert vae.n_iter_ <= max_iter
        assert vae.loss_curve_[:n_iter] == before
        assert vae.score(spiky) > first - 0.1
    n_iter = vae.n_iter_
    vae = pickle.loads(pickle.dumps(vae))
    for i in range(3):
        vae.partial_fit(spiky)
        assert vae.n_iter_ == n_iter + i + 1
    assert vae.score(spiky) > first
    vae.set_params(max_iter=n_iter + 9).fit(spiky)
    assert n_iter + 3 < vae.n_iter_ <= n_iter + 9
    assert vae.score(spiky) > first
    # components keep their places
    found = np.corrcoef(vae.transform(spiky).T, codes.T)[:2, 2:]
    assert np.all(np.diag(found) > 0.9)


@pytest.mark.parametrize("n_more", [1, 5])
@pytest.mark.parametrize("n_columns", [4, 5], ids=["one phase", "two phases"])
def test_early_stopping_of_a_warm_start_keeps_what_was_learned(spiky, n_columns, n_more):
    train, held_out = spiky[300:, :n_columns], spiky[:300, :n_columns]
    vae = VAETransformer(
        2, likelihood={n_columns - 1: "histogram"} if n_columns == 5 else "auto",
        warm_start=True, max_iter=40, random_state=0,
    ).fit(train, X_val=held_out)  # fmt: skip
    before = vae.elbo(held_out).mean()
    vae.set_params(max_iter=vae.n_iter_ + n_more).fit(train, X_val=held_out)
    assert vae.elbo(held_out).mean() > before - 0.01  # of the draws by which epochs are chosen


# -- gaps ---------------------------------------------------------------------------


def linear_normal(vae):
    """Mean and covariance of the rows of a model without hidden layers."""
    b = vae.inverse_transform(np.zeros((1, vae.n_components_)))[0]
    W = (vae.inverse_transform(np.diag(vae.scale_)) - b).T
    group = vae.module_.observations[0]
    sigma = group.likelihood.sigma(group.tensors).detach().cpu().numpy()
    return b, W @ W.T + np.diag((sigma * vae._fitted.columns.groups[0].constants["spread"]) ** 2)


@pytest.fixture(scope="module")
def gappy():
    """A linear model, rows with gaps, and what is exact of each: log p, mean and sd of its gaps."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1020, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(1020, 6))
    gaps = np.where(rng.random(X.shape) < 0.4, np.nan, X)
    gaps[:, 0] = X[:, 0]
    vae = VAETransformer(2, hidden_layer_sizes=(), random_state=0, max_iter=60).fit(gaps[20:])
    mean, covariance = linear_normal(vae)
    exact = []
    for row in gaps[:20]:
        there, gone = ~np.isnan(row), np.isnan(row)
        seen = multivariate_normal(mean[there], covariance[np.ix_(there, there)])
        slope = np.linalg.solve(seen.cov, covariance[np.ix_(there, gone)]).T
        rest = covariance[np.ix_(gone, gone)] - slope @ covariance[np.ix_(there, gone)]
        center = mean[gone] + slope @ (row[there] - mean[there])
        exact.append((seen.logpdf(row[there]), gone, center, rest))
    return vae, gaps[:20], exact


def test_score_is_the_marginal_of_the_cells_that_are_there(gappy):
    vae, rows, exact = gappy
    np.testing.assert_allclose(vae.score_samples(rows), [log_p for log_p, *_ in exact], atol=0.05)


def test_imputed_cells_are_the_conditional_means(gappy):
    vae, rows, exact = gappy
    for row, filled, (_, gone, center, rest) in zip(rows, vae.impute(rows), exact, strict=True):
        np.testing.assert_array_equal(filled[~gone], row[~gone])
        assert (np.abs(filled[gone] - center) < 0.05 * np.sqrt(np.diag(rest))).all()


def test_draws_given_some_cells_follow_the_conditional(gappy):
    vae, rows, exact = gappy
    draws = vae.sample(4000, given=rows, random_state=0).reshape(20, 4000, 6)
    completed = np.stack(vae.impute(rows, n_imputations=4000, random_state=1), axis=1)
    for drawn in (draws, completed):
        for row, table, (_, gone, center, rest) in zip(rows, drawn, exact, strict=True):
            assert (table[:, ~gone] == row[~gone]).all()
            sd = np.sqrt(np.diag(rest))
            assert (np.abs(table[:, gone].mean(axis=0) - center) < 0.1 * sd).all()
            np.testing.assert_allclose(
                np.cov(table[:, gone].T).reshape(rest.shape), rest, atol=0.15 * sd.max() ** 2
            )


def test_score_of_a_cell_is_that_of_the_row_less_that_of_the_others(gappy):
    vae, rows, _ = gappy
    cells = vae.score_cells(rows)
    np.testing.assert_array_equal(np.isnan(cells), np.isnan(rows))
    without = rows.copy()
    without[:, 0] = np.nan
    # per spread of the column
    unit = np.log(vae._fitted.columns.groups[0].constants["spread"][0])
    expected = vae.score_samples(rows) - vae.score_samples(without) + unit
    np.testing.assert_allclose(cells[:, 0], expected, rtol=1e-12)
    odd = np.nan_to_num(rows)
    odd[:, 3] += 20.0
    assert (vae.score_cells(odd).argmin(axis=1) == 3).all()


def test_scores_of_rows_with_gaps_do_not_depend_on_the_rows_beside_them(wine):
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((12, wine.shape[1])) < 0.3, np.nan, wine[:12])
    vae = VAETransformer(12, **QUICK).fit(wine)  # most of whose components tell nothing
    together = vae.score_samples(rows, n_importance=64)
    alone = [vae.score_samples(row[None], n_importance=64)[0] for row in rows]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_few_draws_find_the_codes_of_odd_rows_too():
    """Rows along a curve, one of whose cells is another row's."""
    rng = np.random.default_rng(0)

    def rows(n):
        t = rng.uniform(-3, 3, n)
        noise = rng.normal(size=(3, n))
        return pd.DataFrame(
            {
                "x": t + 0.1 * noise[0],
                "y": np.sin(2 * t) + 0.1 * noise[1],
                "z": t**2 + 0.3 * noise[2],
                "part": np.where(t < -1, "low", np.where(t < 1, "mid", "high")),
            }
        )

    vae = VAETransformer(3, hidden_layer_sizes=(32, 32), max_iter=40, random_state=0).fit(rows(800))
    odd = rows(40).assign(x=rows(40)["x"])
    few, many = vae.score_samples(odd, n_importance=32), vae.score_samples(odd, n_importance=2048)
    np.testing.assert_allclose(few, many, atol=1.0)
    # the log of a probability, but for the noise of two scores
    assert (vae.score_cells(odd, n_importance=64)["part"] < 0.3).all()


@pytest.mark.parametrize("table", [np.asarray, csr_matrix])
def test_cells_are_scored_in_lots_of_any_size(gappy, table, monkeypatch):
    vae, rows, _ = gappy
    rows = table(np.nan_to_num(rows[:3]))
    expected = vae.score_cells(rows, n_importance=16)
    for lot in (1, 4 * rows.shape[1]):
        monkeypatch.setattr("skvae._fitted.LEFT_OUT_AT_ONCE", lot)
        np.testing.assert_allclose(vae.score_cells(rows, n_importance=16), expected, atol=1e-6)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_scores_of_the_cells_of_a_frame_are_a_frame(wine, library):
    frame = pd.DataFrame(wine[:, :3], columns=["a", "b", "n"]).astype({"n": int})
    frame["kind"] = np.where(wine[:, 0] > 13, "strong", "light")
    frame.index += 100
    array = frame.assign(kind=frame["kind"] == "strong").to_numpy(float)
    vae = VAETransformer(2, **QUICK, likelihood={3: "categorical"}).fit(array)
    expected, rows = vae.score_cells(array[5:8]), frame.iloc[5:8]
    if library == "polars":
        frame, rows = (pytest.importorskip("polars").from_pandas(one) for one in (frame, rows))
    cells = VAETransformer(2, **QUICK).fit(frame).score_cells(rows)
    assert type(cells) is type(frame)
    assert list(cells.columns) == ["a", "b", "n", "kind"]
    np.testing.assert_allclose(cells.to_numpy(), expected, rtol=1e-6)
    if library == "pandas":
        assert cells.index.tolist() == [105, 106, 107]


def test_one_hidden_layer_may_be_an_integer(wine):
    settings = QUICK | {"warm_start": True}
    vae = VAETransformer(2, **settings | {"hidden_layer_sizes": 16}).fit(wine)
    other = VAETransformer(2, **settings).fit(wine)
    assert vae.loss_curve_ == other.loss_curve_
    vae.set_params(hidden_layer_sizes=(16,), max_iter=4).fit(wine)  # the same architecture
    assert vae.n_iter_ == 4


def test_a_row_with_nothing_in_it_has_likelihood_one(gappy):
    vae, *_ = gappy
    empty = np.full((1, 6), np.nan)
    assert vae.score_samples(empty)[0] == pytest.approx(0.0, abs=0.02)
    assert np.isfinite(vae.impute(empty)).all()


def test_rows_may_have_gaps_where_training_had_none(wine, fitted):
    rows = wine[:5].copy()
    rows[:, 3] = np.nan
    assert np.isfinite(fitted.transform(rows)).all()
    assert np.isfinite(fitted.reconstruct(rows)).all()
    assert (fitted.score_samples(rows) != fitted.score_samples(wine[:5])).all()


def test_draws_given_by_name_keep_to_what_is_given(wine):
    frame = pd.DataFrame(wine[:, :4], columns=list("abcd"))
    frame["kind"] = pd.Categorical(np.where(wine[:, 0] > 13, "strong", "light"))
    vae = VAETransformer(2, random_state=0, max_iter=30).fit(frame)
    strong, light = (
        vae.sample(300, given={"kind": kind}, random_state=0) for kind in ("strong", "light")
    )
    assert set(strong["kind"]) == {"strong"}
    assert strong["a"].mean() > light["a"].mean() + 0.5
    assert (strong.dtypes == frame.dtypes).all()
    with pytest.raises(ValueError, match="'given' names 'age', but the columns are"):
        vae.sample(given={"age": 3})
    with pytest.raises(ValueError, match="Column 'kind' holds 'sweet', which training has not"):
        vae.sample(given={"kind": "sweet"})


def test_the_prior_that_is_fitted_is_used(wine):
    plain, mixed = (
        VAETransformer(1, random_state=0, max_iter=30, prior=prior).fit(wine)
        for prior in ("normal", "mixture")
    )
    np.testing.assert_array_equal(plain.transform(wine), mixed.transform(wine))
    assert mixed.score(wine) > plain.score(wine)
    again = pickle.loads(pickle.dumps(mixed))
    np.testing.assert_array_equal(again.score_samples(wine), mixed.score_samples(wine))
    np.testing.assert_array_equal(again.sample(3, random_state=0), mixed.sample(3, random_state=0))


def test_a_few_valued_column_under_a_density_warns(wine):
    frame = pd.DataFrame({"a": wine[:, 0], "grade": np.arange(178) % 3})
    with pytest.warns(UserWarning, match="Column 'grade' holds only 3 different values"):
        VAETransformer(1, **QUICK, likelihood="gaussian").fit(frame)


def test_gaps_of_near_copies_are_scored_exactly():
    # the encoder of complete rows puts such rows where p(x, z) is nowhere near
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1020, 2)) @ rng.normal(size=(2, 6)) + 0.03 * rng.normal(size=(1020, 6))
    vae = VAETransformer(2, hidden_layer_sizes=(), random_state=0, max_iter=60).fit(X[20:])
    mean, covariance = linear_normal(vae)
    there = [0, 1, 4]
    rows = np.full((20, 6), np.nan)
    rows[:, there] = X[:20, there]
    expected = multivariate_normal(mean[there], covariance[np.ix_(there, there)]).logpdf(
        X[:20, there]
    )
    np.testing.assert_allclose(vae.score_samples(rows), expected, atol=0.05)


@pytest.mark.parametrize("how", [{}, {"n_imputations": 2}])
def test_a_row_that_nothing_explains_is_not_imputed(fitted, wine, how):
    rows = wine[:3].copy()
    rows[1, 2], rows[1, 4] = 1e200, np.nan
    with pytest.raises(ValueError, match=r"likelihood of row 1 is 0 .* column 2 holds a value far"):
        fitted.impute(rows, **how)


def test_a_value_that_training_has_not_seen_has_no_score():
    X = np.column_stack([np.arange(90) % 3, np.arange(90) / 7])
    vae = VAETransformer(1, **QUICK, likelihood={0: "categorical"}).fit(X)
    with pytest.warns(UserWarning, match="training has not seen") as caught:
        cells = vae.score_cells([[7.0, 0.1], [1.0, 0.1]])
    assert len(caught) == 1
    assert np.isnan(cells).tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("method", ["transform", "score_samples", "score_cells", "impute"])
@pytest.mark.parametrize("store", [np.asarray, csc_array, lambda X: Parts([X[:7], X[7:]])],
                         ids=["array", "sparse", "parts"])  # fmt: skip
def test_a_level_that_training_has_not_seen_counts_as_missing(store, method):
    X = np.column_stack([np.arange(90) % 3, np.arange(90) / 7])
    vae = VAETransformer(1, **QUICK, likelihood={0: "categorical"}).fit(X)
    X[5, 0] = 7.0
    with pytest.warns(UserWarning, match="not seen, which count as missing: 7"):
        found = getattr(vae, method)(store(X))
    X[5, 0] = np.nan
    np.testing.assert_array_equal(found, getattr(vae, method)(X))


def test_many_draws_of_one_row():
    X = np.random.default_rng(0).normal(size=(90, 1)) * [1.0, -1.0]
    vae = VAETransformer(1, **QUICK).fit(X)
    drawn = vae.sample(5000, given={0: 0.5}, random_state=0)
    assert drawn.shape == (5000, 2)
    assert (drawn[:, 0] == 0.5).all()


def test_many_levels_do_not_drown_the_numbers():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(1500, 3))
    numbers = codes @ rng.normal(size=(3, 10)) + 0.5 * rng.normal(size=(1500, 10))
    ranks = (codes + 0.2 * rng.normal(size=codes.shape)).argsort(axis=0).argsort(axis=0)
    frame = pd.DataFrame(numbers).add_prefix("number ")
    both = frame.assign(**{f"town {i}": [f"{r // 38}" for r in ranks[:, i]] for i in range(3)})
    train, test = slice(0, 1200), slice(1200, None)
    alone, together = (VAETransformer(3, random_state=0).fit(t[train]) for t in (frame, both))

    def unexplained(vae, table):
        back = vae.reconstruct(table)[frame.columns].to_numpy()
        return np.square(back - numbers[test]).mean() / numbers[test].var()

    assert unexplained(together, both[test]) < 1.6 * unexplained(alone, frame[test])
    # 40 levels of which the numbers tell a few
    towns = together.score_cells(both[test]).iloc[:, 10:]
    assert (towns.mean() > np.log(1 / 40) + 0.7).all()


# -- tables that are sparse, or larger than a copy may be --------------------------


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.3, size=(80, 5)).astype(float)


@pytest.mark.parametrize(
    "as_sparse", [csr_matrix, csc_array, coo_array], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize("gaps", [False, True])
def test_a_sparse_table_is_its_dense_one(counts, as_sparse, gaps):
    if gaps:
        counts[::20, 3] = np.nan
    sparse = as_sparse(counts)
    settings = {"n_components": 2, "likelihood": "poisson", "max_iter": 3, "random_state": 0}
    dense_vae, vae = (VAETransformer(**settings).fit(X) for X in (counts, sparse))
    assert_same_state(vae, dense_vae)
    for method in ("transform", "score_samples", "reconstruct", "impute", "score_cells", "elbo"):
        found, expected = (getattr(vae, method)(X) for X in (sparse, counts))
        np.testing.assert_array_equal(found, expected)
    vae.partial_fit(sparse)
    assert vae.n_iter_ == 4


def test_a_sparse_table_is_refused_where_fit_saw_categories():
    frame = pd.DataFrame({"size": [1.0, 2.5] * 8, "color": ["red", "blue"] * 8})
    vae = VAETransformer(1, **QUICK).fit(frame)
    with pytest.raises(TypeError, match="X is sparse, and column 'color' held categories"):
        vae.transform(csr_matrix(np.ones((3, 2))))


def test_a_sparse_table_with_infinity_names_the_cell(counts):
    counts[70, 4] = np.inf
    with pytest.raises(ValueError, match="infinity: inf in column 4, row 70"):
        VAETransformer(2).fit(csr_matrix(counts))


@pytest.mark.parametrize("kind", ["array", "memmap", "sparse", "gaps"])
def test_rows_that_stay_where_they_are_train_as_well(monkeypatch, tmp_path, kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(2000, 6))
    if kind == "gaps":
        X[rng.random(X.shape) < 0.1] = np.nan
    stored = X
    if kind == "memmap":
        np.save(tmp_path / "X.npy", X)
        stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    elif kind == "sparse":
        stored = csr_matrix(X)
    weight = rng.integers(1, 3, len(X))
    settings = {"n_components": 2, "max_iter": 8, "random_state": 0}
    at_hand = VAETransformer(**settings).fit(X, sample_weight=weight).score(X)
    monkeypatch.setattr(_fit, "LARGEST_COPY", 6 * 4 * 512)
    monkeypatch.setattr(rows, "BLOCK_ROWS", 64)
    vae = VAETransformer(**settings).fit(stored, sample_weight=weight)
    assert vae.score(stored) == pytest.approx(at_hand, abs=0.2)
    again = VAETransformer(**settings).fit(stored, sample_weight=weight)
    np.testing.assert_array_equal(again.transform(X), vae.transform(X))
    vae.set_params(prior="mixture").partial_fit(stored)
    assert vae.sample(10, random_state=0).shape == (10, 6)


def test_held_out_rows_are_no_more_than_a_score_needs(monkeypatch, wine):
    monkeypatch.setattr(_fit, "MOST_HELD_OUT", 20)
    vae = VAETransformer(2, max_iter=1, validation_fraction=0.5).fit(wine)
    data = _fit.WeightedTable(wine, np.arange(178), np.ones(178), np.arange(178, dtype=np.uint64))
    train, held_out = _fit.split(data, vae.validation_fraction, seed=0)
    assert (len(train), len(held_out)) == (158, 20)


# -- a GPU --------------------------------------------------------------------------


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@needs_cuda
def test_scores_on_cuda_are_those_of_the_cpu(fitted, wine):
    moved = copy.deepcopy(fitted)
    moved.module_.to("cuda")
    np.testing.assert_allclose(moved.score_samples(wine), fitted.score_samples(wine), rtol=1e-4)


@needs_cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_fit_on_cuda_repeats_itself_and_loads_anywhere(wine, precision):
    one, other = (
        VAETransformer(2, device="cuda", precision=precision, **QUICK).fit(wine) for _ in range(2)
    )
    np.testing.assert_array_equal(one.transform(wine), other.transform(wine))
    loaded = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(loaded.transform(wine), one.transform(wine))
    assert one.loss_curve_[-1] < one.loss_curve_[0]


@needs_cuda
@pytest.mark.parametrize("kind", ["at hand", "stored", "gaps", "iwae", "bfloat16"])
def test_steps_that_arereplayed_are_those_done_one_by_one(monkeypatch, wine, kind):
    X = np.where(np.arange(wine.size).reshape(wine.shape) % 7 == 0, np.nan, wine)
    changes = {"iwae": {"objective": "iwae", "n_draws": 3}, "bfloat16": {"precision": "bfloat16"}}
    settings = QUICK | {"batch_size": 32, "device": "cuda", "max_iter": 6} | changes.get(kind, {})
    if kind == "stored":
        monkeypatch.setattr(_fit, "LARGEST_COPY", 4 * 13 * 4 * 64)
        monkeypatch.setattr(rows, "BLOCK_ROWS", 32)
    found = []
    for calls in (replay.CALLS_BEFORE, 10**9):
        monkeypatch.setattr(replay, "CALLS_BEFORE", calls)
        vae = VAETransformer(2, **settings).fit(X if kind == "gaps" else wine)
        found.append(parameters_to_vector(vae.module_.parameters()).detach().cpu().numpy())
        found.append(vae.loss_curve_)
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])


@needs_cuda
@pytest.mark.touches_global_state
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("likelihood", ["auto", "student_t", "histogram"])
def test_no_step_on_cuda_waits_for_the_device(monkeypatch, wine, likelihood):
    monkeypatch.setattr(replay, "CALLS_BEFORE", 10**9)
    take, steps = loop.Step.__call__, []

    def watched(*args, **kwargs):
        steps.append(args)
        torch.cuda.set_sync_debug_mode("error")
        try:
            take(*args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop.Step, "__call__", watched)
    X = np.where(np.arange(wine.size).reshape(wine.shape) % 7 == 0, np.nan, wine)
    VAETransformer(2, likelihood=likelihood, device="cuda", **QUICK).fit(X)
    assert steps


@needs_cuda
def test_a_likelihood_of_ones_own_may_read_results_on_cuda(wine):
    class Careful(Gaussian):
        def log_prob(self, x, outputs, parameters):
            found = super().log_prob(x, outputs, parameters)
            assert bool(found.isfinite().all())
            return found

    vae = VAETransformer(2, likelihood=Careful(), device="cuda", **QUICK).fit(wine)
    assert vae.loss_curve_[-1] < vae.loss_curve_[0]


@needs_cuda
def test_cells_are_imputed_and_drawn_on_cuda(wine):
    gaps = np.where(np.arange(13) % 4 == 0, np.nan, wine)
    vae = VAETransformer(2, device="cuda", prior="mixture", **QUICK).fit(wine)
    assert np.isfinite(vae.impute(gaps[:5])).all()
    assert np.isfinite(vae.sample(5, given=gaps[:2])).all()
