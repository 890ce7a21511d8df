"""Tables at the limits of what fits."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from fits import QUICK, assert_same_state
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.likelihoods import Gaussian

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
def test_odd_tables_are_accepted(X):
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
    monkeypatch.setattr("skvae._inference.map_rows.CHUNK_BYTES", 40_000)
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
    monkeypatch.setattr("skvae._inference.map_rows.CHUNK_BYTES", 40_000)
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


@pytest.mark.filterwarnings(r"ignore:'given' holds 1e\+200 in column 2")
def test_an_error_in_one_of_many_chunks_is_raised(fitted, wine, chunks_side_by_side):
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
    assert np.isfinite(np.delete(scores[1], 4)).all()
    np.testing.assert_allclose(scores[[0, 2]], fitted.score_cells(wine[[0, 2]]), rtol=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.3])
@pytest.mark.parametrize("value", [3.4e38, -1e20])
def test_fit_warns_of_values_that_may_mark_missing_ones(wine, value, share):
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


def test_a_likelihood_that_is_not_a_number_warns(wine):
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
