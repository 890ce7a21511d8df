"""Where training starts, against scikit-learn's PCA."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skvae import _start
from skvae._inference.averages import decoded_mean
from skvae._model import vae as _model
from skvae._model.locations import NOISE_SPEED, SMALLEST_NOISE
from skvae._model.vae import VAE
from skvae._start import LEAST_NOISE, probabilistic_pca, start_from_pca
from skvae._table.columns import Columns
from skvae.likelihoods import Gaussian
from skvae.networks import MLP

RNG = np.random.default_rng(0)
NETWORKS = {"linear": MLP(()), "hidden": MLP((16,))}


def correlated(n, d, rank=3):
    return RNG.normal(size=(n, rank)) @ RNG.normal(size=(rank, d)) + 0.5 * RNG.normal(size=(n, d))


def equal(n):
    return np.full(n, 1 / n)


def assert_same_components(found, expected, atol=1e-6):
    """Equal up to the sign of each row."""
    sign = np.sign((found * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found * sign, expected, atol=atol)


def exact_pca(y, n_components):
    """The components of PCA, their variances and the noise, over n instead of n - 1."""
    pca = PCA(n_components, svd_solver="full").fit(y)
    unbiased = (len(y) - 1) / len(y)
    return pca.components_, pca.explained_variance_ * unbiased, pca.noise_variance_ * unbiased


# -- probabilistic PCA --------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 3, 5])
def test_pca_is_that_of_scikit_learn(n_components):
    y = correlated(200, 8)
    y -= y.mean(axis=0)
    components, variance, noise = probabilistic_pca(y, equal(200), n_components, 0)
    expected = exact_pca(y, n_components)
    assert_same_components(components, expected[0])
    np.testing.assert_allclose(variance, expected[1])
    assert noise == pytest.approx(expected[2])


def test_weights_are_repetitions():
    y, weight = correlated(60, 5), RNG.integers(0, 5, size=60)
    y -= weight @ y / weight.sum()
    components, variance, noise = probabilistic_pca(y, weight / weight.sum(), 2, 0)
    expected = exact_pca(np.repeat(y, weight, axis=0), 2)
    assert_same_components(components, expected[0])
    np.testing.assert_allclose(variance, expected[1])
    assert noise == pytest.approx(expected[2])


def test_constant_features_have_no_noise():
    y = np.zeros((200, 9))
    y[:, ::2] = correlated(200, 5)
    y -= y.mean(axis=0)
    components, variance, noise = probabilistic_pca(y, equal(200), 2, 0)
    expected = exact_pca(y[:, ::2], 2)
    assert_same_components(components[:, ::2], expected[0])
    np.testing.assert_allclose(components[:, 1::2], 0, atol=1e-12)
    np.testing.assert_allclose(variance, expected[1])
    assert noise == pytest.approx(expected[2])


@pytest.mark.parametrize("shape", [(100, 3), (4, 20)], ids=["few features", "few rows"])
def test_there_may_be_fewer_directions_than_components(shape):
    y = RNG.normal(size=shape)
    y -= y.mean(axis=0)
    components, variance, noise = probabilistic_pca(y, equal(len(y)), 6, 0)
    n_found = min(len(y) - 1, shape[1])
    assert components.shape == (6, shape[1])
    expected, expected_variance, _ = exact_pca(y, n_found)
    assert_same_components(components[:n_found], expected)
    np.testing.assert_allclose(variance[:n_found], expected_variance)
    # the others hold the noise, which is never nothing
    np.testing.assert_allclose(variance[n_found:], noise)
    assert noise == pytest.approx(0.01 * np.square(y).sum(axis=1).mean() / shape[1])
    assert (components[min(shape) :] == 0).all()


def test_nothing_varies():
    components, variance, noise = probabilistic_pca(np.zeros((9, 4)), equal(9), 2, 0)
    assert np.isfinite(components).all()
    assert noise > 0
    np.testing.assert_array_equal(variance, noise)


@pytest.mark.parametrize("shape", [(30, 200), (300, 40)], ids=["few rows", "many features"])
def test_a_randomised_pca_finds_the_same(shape, monkeypatch):
    monkeypatch.setattr(_start, "EXACT_SIZE", 20)
    y = correlated(*shape)
    y -= y.mean(axis=0)
    components, variance, noise = probabilistic_pca(y, equal(len(y)), 3, 2**40)
    expected, expected_variance, _ = exact_pca(y, 3)
    assert_same_components(components, expected, atol=1e-3)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-3)
    # the mean variance of all other directions, also of those that few rows cannot fill
    total = np.square(y).sum(axis=1).mean()
    assert noise == pytest.approx((total - expected_variance.sum()) / (shape[1] - 3), rel=1e-3)


# -- the start ------------------------------------------------------------------------


def started(X, n_components, likelihood, network, weight=None):
    """A model that starts from the PCA of a table, its columns and its rows."""
    weight = np.ones(len(X)) if weight is None else weight
    n, d = X.shape
    columns = Columns.fit(
        X,
        np.arange(n),
        weight,
        names=[f"x{i}" for i in range(d)],
        likelihood=likelihood,
        is_category=np.zeros(d, dtype=bool),
        is_bool=np.zeros(d, dtype=bool),
    )
    groups = [(g.likelihood, g.constants, len(g.places), g.emphasis) for g in columns.groups]
    generator = torch.Generator().manual_seed(0)
    model = VAE(groups, columns.gaps, network, network, n_components, generator)
    cells = model.cells(torch.as_tensor(columns.to_working(X, None, np.float32)))
    start_from_pca(model, cells, torch.as_tensor(weight / weight.sum()), 0)
    return model, columns, cells


@pytest.fixture
def no_hidden_part(monkeypatch):
    """Hidden layers of an encoder add nothing at the start."""
    monkeypatch.setattr(_model, "ENCODER_GAIN", 0.0)


@pytest.mark.parametrize("located", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@torch.no_grad()
def test_a_start_on_gaussian_columns_is_probabilistic_pca(
    network, weighted, located, no_hidden_part, monkeypatch
):
    monkeypatch.setattr(Gaussian, "location_first", located)
    X = correlated(300, 6) * [1, 10, 100, 1, 1, 0.01] + 5
    weight = RNG.integers(1, 4, size=300) if weighted else None
    model, _, cells = started(X, 2, "gaussian", network, weight)
    repeated = X if weight is None else np.repeat(X, weight, axis=0)
    scaler = StandardScaler().fit(repeated)
    y = scaler.transform(X)
    u, variance, noise = exact_pca(scaler.transform(repeated), 2)
    # where codes are found first, hidden layers are left room by the share c that PCA explains
    c = (variance - noise).sum() / 6 if located and network != MLP(()) else 1.0
    # E[z|y] = c (variance - noise)^(1/2) / variance u'y, Var[z|y] = 1 - c^2 (1 - noise / variance)
    mean, log_std = (part.numpy() for part in model.encode(cells))
    codes = c * y @ u.T * np.sqrt(variance - noise) / variance
    assert_same_components(mean.T, codes.T, atol=1e-4)
    std = np.sqrt(1 - c**2 * (1 - noise / variance))
    np.testing.assert_allclose(np.exp(log_std), np.tile(std, (300, 1)), 1e-4)
    # the decoder maps it to c^2 u (1 - noise / variance) u'y
    shrunk = c**2 * y @ u.T * (1 - noise / variance) @ u
    np.testing.assert_allclose(
        decoded_mean(model, torch.as_tensor(mean)).numpy(), shrunk, atol=1e-4
    )
    # and columns keep the variance that this leaves
    (group,) = model.groups
    sigma = group.likelihood.sigma(group.tensors).numpy()
    left = 1 - c**2 * (variance - noise) @ np.square(u)
    np.testing.assert_allclose(np.square(sigma), left, rtol=1e-3)


@torch.no_grad()
def test_hidden_layers_add_little_at_the_start():
    X = correlated(300, 6)
    (model, _, cells), (linear, _, _) = (
        started(X, 2, "gaussian", network) for network in (MLP((64, 64)), MLP(()))
    )
    found, expected = model.encode(cells)[0], linear.encode(cells)[0]
    assert 0 < (found - expected).square().mean() < 0.05 * expected.square().mean()
    torch.testing.assert_close(model.decode(expected[None])[0], linear.decode(expected[None])[0])


TABLES = {
    "bernoulli": lambda z: RNG.random((len(z), 12)) < 1 / (1 + np.exp(-2 * z)),
    "rare": lambda z: RNG.random((len(z), 12)) < 1 / (1 + np.exp(3 - 2 * z)),
    "categorical": lambda z: np.rint(np.clip(z + 0.5 * RNG.normal(size=(len(z), 12)), -1, 1)),
}


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("kind", TABLES)
@torch.no_grad()
def test_a_step_of_scoring_points_the_right_way(kind, network, missing, no_hidden_part):
    z = RNG.normal(size=(500, 1))
    X = np.column_stack([TABLES[kind](z).astype(float), z])
    X[RNG.random(X.shape) < missing] = np.nan
    scored = "categorical" if kind == "categorical" else "bernoulli"
    likelihood = dict.fromkeys([f"x{i}" for i in range(12)], scored) | {"x12": "gaussian"}
    model, _, cells = started(X, 1, likelihood, network)
    mean, _ = model.encode(cells)
    # alone, the columns that are scored
    cells.observed = torch.as_tensor(~np.isnan(X)) if cells.observed is None else cells.observed
    (gaussian,) = (i for i, group in enumerate(model.groups) if group.likelihood.has_location)
    start = sum(model.n_columns[:gaussian])
    cells.observed[:, start] = False

    def log_prob(z):
        return float(model.log_prob(cells, model.decode(z[None])).mean())

    known = ~np.isnan(X[:, :12])
    marginals = 0.0
    for x, there in zip(X.T[:12], known.T, strict=True):
        times = np.unique(x[there], return_counts=True)[1]
        marginals += times @ np.log(times / there.sum()) / len(X)
    assert log_prob(mean) > log_prob(0 * mean)
    assert log_prob(mean) > marginals


@torch.no_grad()
def test_missing_values_count_for_nothing(no_hidden_part):
    X = correlated(400, 6)
    gaps = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    gaps[:, 0] = X[:, 0]
    model, columns, cells = started(gaps, 2, "gaussian", MLP(()))
    order = columns.order
    mean, deviation = np.nanmean(gaps, axis=0), np.nanstd(gaps, axis=0)
    filled = np.nan_to_num((gaps - mean) / deviation)
    u, variance, noise = exact_pca(filled, 2)
    codes = filled @ u.T * np.sqrt(variance - noise) / variance
    found = model.encode(cells)[0].numpy()
    assert_same_components(found.T, codes.T, atol=1e-4)
    # which cells are missing does not matter yet, as PCA takes the mean for them
    observed = model.cells(torch.as_tensor(filled[:, order], dtype=torch.float32))
    np.testing.assert_allclose(found, model.encode(observed)[0].numpy(), atol=1e-5)
    # the decoder maps codes to covariances with the observed values of a column
    slope = np.array([codes[there].T @ y[there] / there.sum()
                      for y, there in zip(filled.T, ~np.isnan(gaps).T, strict=True)])  # fmt: skip
    loading = (decoded_mean(model, torch.eye(2)) - decoded_mean(model, torch.zeros(1, 2))).numpy()
    assert_same_components(loading, slope[order].T, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@torch.no_grad()
def test_a_column_may_miss_all_cells_of_the_rows_that_training_starts_from(likelihood):
    X = (correlated(100, 5) > 0).astype(float)
    X[:, 0] += RNG.normal(size=100)
    X += 0 if likelihood == "bernoulli" else RNG.normal(size=X.shape)
    likelihood = dict.fromkeys(["x1", "x2", "x3", "x4"], likelihood) | {"x0": "gaussian"}
    X[1:, 2] = np.nan  # the first row is held out
    model, _, cells = started(X, 2, likelihood, MLP(()))
    start_from_pca(model, cells[1:], torch.full((99,), 1 / 99).double(), 0)
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


@torch.no_grad()
def test_networks_without_a_linear_map_stay_as_they_are():
    X, network = correlated(100, 5), MLP((8,), skip=False)
    model, columns, _ = started(X, 2, "gaussian", network)
    groups = [(g.likelihood, g.constants, len(g.places), g.emphasis) for g in columns.groups]
    fresh = VAE(groups, columns.gaps, network, network, 2, torch.Generator().manual_seed(0))
    for found, expected in zip(model.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "histogram"])
@torch.no_grad()
def test_a_weight_is_as_many_repetitions(likelihood):
    X, weight = correlated(80, 5), RNG.integers(1, 4, size=80)
    if likelihood == "bernoulli":
        X[:, 1:] = X[:, 1:] > 0.3
        likelihood = dict.fromkeys(["x1", "x2", "x3", "x4"], likelihood) | {"x0": "gaussian"}
    one, _, cells = started(X, 2, likelihood, MLP(()), weight)
    repeated, _, _ = started(np.repeat(X, weight, axis=0), 2, likelihood, MLP(()))
    assert_same_components(
        one.encode(cells)[0].T.numpy(), repeated.encode(cells)[0].T.numpy(), atol=1e-4
    )
    mean, _ = one.encode(cells)
    other, _ = repeated.encode(cells)
    torch.testing.assert_close(
        decoded_mean(one, mean), decoded_mean(repeated, other), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("with_category", [False, True])
@torch.no_grad()
def test_the_smallest_noise_is_what_pca_leaves(with_category):
    X = correlated(2000, 6, rank=2)
    X[:, 1:5] = X[:, [0]] + 0.5 * X[:, 1:5]
    X[:, 5] = X[:, 5] > 0 if with_category else X[:, 5]
    likelihood = dict.fromkeys(["x0", "x1", "x2", "x3", "x4"], "histogram")
    likelihood["x5"] = "categorical" if with_category else "histogram"
    model, _, cells = started(X, 4, likelihood, MLP((8,)))
    smallest = float(model.location_noise.smallest)
    if with_category:
        assert smallest == SMALLEST_NOISE
    else:
        y = model.features(cells).double().numpy()
        _, variance, noise = exact_pca(y, 4)
        assert noise < 0.9 * SMALLEST_NOISE**2
        assert smallest == pytest.approx(np.sqrt(noise), rel=1e-3)
        # training starts with what the codes leave
        c = (variance - noise).sum() / np.square(y - y.mean(axis=0)).mean(axis=0).sum()
        left = noise + (1 - c**2) * (variance - noise).sum() / 6
        start = float((NOISE_SPEED * model.location_noise.log_excess).exp())
        assert np.hypot(start, smallest) == pytest.approx(np.sqrt(left), rel=1e-3)


def test_noise_has_a_lower_limit():
    model, _, _ = started(np.ones((1000, 3)), 2, "histogram", MLP((8,)))
    assert float(model.location_noise.smallest) == pytest.approx(LEAST_NOISE)
