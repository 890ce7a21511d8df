"""VAETransformer: what its methods return, at the defaults and otherwise."""

import numpy as np
import pytest
import torch
from fits import QUICK
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP, NetworkModule


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
    assert fitted.score(X) == pytest.approx(fitted.score_samples(X).mean(), abs=0.02)
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


def test_a_network_that_wraps_an_mlp_trains_in_bfloat16():
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
    monkeypatch.setattr(
        "skvae.networks._mlp.cpu_has_bfloat16", lambda: False
    )  # it may be able or not
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


def test_the_elbo_is_below_the_score(fitted, wine):
    assert fitted.elbo(wine).mean() < fitted.score_samples(wine, n_importance=1024).mean()


@pytest.mark.parametrize("settings", [{"beta": 5.0}, {"free_bits": 0.5}, {"objective": "iwae"}])
def test_scores_do_not_depend_on_parameters_of_the_objective(wine, settings):
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


def test_codes_without_information_are_reported(wine):
    with pytest.warns(ConvergenceWarning, match=r"Posterior collapse: .* lower .*beta=20\.0"):
        vae = VAETransformer(2, beta=20.0, max_iter=20, random_state=0).fit(wine)
    assert np.all(vae.kl_divergence_ < 0.01)


# an early stop keeps the weights that it started from
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_model_that_training_made_worse_is_reported(wine, warm_start):
    vae = VAETransformer(
        2,
        early_stopping=False,
        learning_rate="cosine",
        max_iter=4,
        warm_start=True,
        random_state=0,
    )
    if warm_start:
        vae.fit(wine)
    vae.set_params(learning_rate_init=10, max_iter=20)
    with pytest.warns(ConvergenceWarning, match=r"worse .* Lower learning_rate_init=10"):
        vae.fit(wine)


def test_early_stopping_keeps_the_start_where_no_epoch_is_better(wine):
    vae = VAETransformer(
        2, hidden_layer_sizes=(), learning_rate_init=2.0, max_iter=20, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="did not improve .* Lower learning_rate_init=2.0"):
        vae.fit(wine)
    assert vae.best_validation_score_ > max(vae.validation_scores_)
    scaled = StandardScaler().fit(wine)
    pca = PCA(2).fit(scaled.transform(wine)).score(scaled.transform(wine))
    assert vae.score(wine) > pca - np.log(scaled.scale_).sum() - 0.5


def test_rows_far_from_the_others_do_not_disturb_training():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 8)) + 0.5 * rng.normal(size=(500, 8))
    X[:3] *= 100
    settings = {"likelihood": "gaussian", "prior": "mixture", "max_iter": 60, "random_state": 0}
    vae = VAETransformer(4, **settings).fit(X)
    assert max(vae.loss_curve_[5:]) < 1000  # in nats per row
    assert vae.loss_curve_[-1] < 30


def test_weights_of_the_last_epoch_are_not_called_those_from_before(wine):
    vae = VAETransformer(
        3, learning_rate_init=0.5, early_stopping=False, max_iter=20, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="Training made the model worse") as warned:
        vae.fit(wine, X_val=wine)
    assert len(warned) == 1


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


@pytest.mark.parametrize(
    ("load", "n_components"), [(load_wine, 3), (load_breast_cancer, 5), (load_iris, 2)]
)
def test_the_defaults_beat_pca(load, n_components):
    train, test = train_test_split(load().data, test_size=0.3, random_state=0)
    scaler = StandardScaler().fit(train)
    scaled = PCA(n_components).fit(scaler.transform(train)).score(scaler.transform(test))
    best = max(PCA(n_components).fit(train).score(test), scaled - np.log(scaler.scale_).sum())
    assert VAETransformer(n_components, random_state=0).fit(train).score(test) > best


@pytest.mark.parametrize("share_missing", [0.0, 0.2])
def test_more_draws_bring_the_score_closer_to_the_likelihood(fitted, wine, share_missing):
    is_missing = np.random.default_rng(0).random(wine.shape) < share_missing
    rows = np.where(is_missing, np.nan, wine)[:60]
    exact = fitted.score_samples(rows, n_importance=8192)
    few, some, many = (fitted.score_samples(rows, n_importance=n) for n in (16, 256, 4096))
    errors = [np.abs(score - exact).mean() for score in (few, some, many)]
    assert errors[0] > 1.5 * errors[1] > 3 * errors[2]


@pytest.mark.parametrize("share_missing", [0.0, 0.2])
def test_the_standard_error_bounds_the_error_of_most_rows(fitted, wine, share_missing):
    is_missing = np.random.default_rng(0).random(wine.shape) < share_missing
    rows = np.where(is_missing, np.nan, wine)
    exact = fitted.score_samples(rows, n_importance=2**14)
    for standard_error in (0.3, 0.1, 0.03):
        error = fitted.score_samples(rows, standard_error=standard_error) - exact
        assert np.quantile(np.abs(error), 0.95) < standard_error
        mean = fitted.score(rows, standard_error=standard_error) - exact.mean()
        assert mean == pytest.approx(error.mean())


def test_a_fixed_number_of_draws_does_not_depend_on_the_standard_error(fitted, wine):
    found = [
        fitted.score_samples(wine, n_importance=32, standard_error=error) for error in (0.001, 1)
    ]
    np.testing.assert_array_equal(*found)


def test_rows_with_and_without_gaps_keep_their_order(fitted, wine):
    rows = np.where(np.random.default_rng(0).random(wine.shape) < 0.1, np.nan, wine)
    rows[:20] += 5 * wine.std(axis=0)  # these take more draws
    order = np.random.default_rng(1).permutation(len(rows))
    for method in (fitted.score_samples, fitted.impute):
        np.testing.assert_allclose(method(rows[order]), method(rows)[order], rtol=1e-9)


@pytest.mark.parametrize("table", ["wine", "digits"])
@pytest.mark.parametrize(
    "parameters", [{}, {"beta": 4.0, "n_draws": 2}, {"prior": "mixture"}], ids=str
)
def test_the_loss_is_the_sum_of_its_two_terms(wine, table, parameters):
    X = wine if table == "wine" else load_digits().data[:200]
    vae = VAETransformer(2, kl_warmup=0.0, **QUICK, **parameters).fit(X)
    reconstruction, kl = np.array(vae.reconstruction_curve_), np.array(vae.kl_curve_)
    np.testing.assert_allclose(reconstruction + vae.beta * kl, vae.loss_curve_, rtol=1e-6)
    assert (kl > 0).all()


def test_the_two_terms_are_those_of_any_objective(wine):
    vae = VAETransformer(2, objective="iwae", n_draws=8, **QUICK).fit(wine)
    elbo = np.add(vae.reconstruction_curve_, vae.kl_curve_)
    assert (elbo > vae.loss_curve_).all()  # its bound is tighter
    assert elbo - vae.loss_curve_ == pytest.approx(1.0, abs=1.0)
