"""The order, signs and scale of components, and their loadings."""

import numpy as np
import pandas as pd
import pytest
from fits import QUICK, assert_same_state, mixed
from scipy.linalg import hadamard
from scipy.spatial.distance import pdist
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer


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
