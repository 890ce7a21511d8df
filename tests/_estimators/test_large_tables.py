"""Tables that are sparse, or larger than a copy may be."""

import numpy as np
import pandas as pd
import pytest
from fits import QUICK, assert_same_state
from scipy.sparse import coo_array, csc_array, csr_matrix

from skvae import VAETransformer, _data
from skvae._training import rows
from skvae.priors import Mixture


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
    monkeypatch.setattr(_data, "LARGEST_COPY", 6 * 4 * 512)
    monkeypatch.setattr(rows, "BLOCK_ROWS", 64)
    vae = VAETransformer(**settings).fit(stored, sample_weight=weight)
    assert vae.score(stored) == pytest.approx(at_hand, abs=0.2)
    again = VAETransformer(**settings).fit(stored, sample_weight=weight)
    np.testing.assert_array_equal(again.transform(X), vae.transform(X))
    vae.set_params(prior=Mixture(learned=False)).partial_fit(stored)
    assert vae.sample(10, random_state=0).shape == (10, 6)


def test_held_out_rows_are_no_more_than_a_score_needs(monkeypatch, wine):
    monkeypatch.setattr(_data, "MOST_HELD_OUT", 20)
    vae = VAETransformer(2, max_iter=1, validation_fraction=0.5).fit(wine)
    data = _data.WeightedTable(wine, np.arange(178), np.ones(178), np.arange(178, dtype=np.uint64))
    train, held_out = _data.split(data, vae.validation_fraction, seed=0)
    assert (len(train), len(held_out)) == (158, 20)
