"""Recurrent networks: steps in their order, ragged sequences, models of sequences."""

import numpy as np
import pytest
import torch
from modules import build, build_decoder, normal

from skvae import VAETransformer
from skvae.networks import Recurrent

CELLS = ["gru", "lstm"]


def sines(n, n_steps=12, seed=0):
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    return np.sin(phase + np.arange(n_steps) / 2) + 0.1 * rng.normal(size=(n, n_steps))


@pytest.mark.parametrize("cell", CELLS)
def test_an_encoder_reads_the_variables_of_a_step_together(cell):
    module = build(Recurrent((5, 3), 4, cell, bidirectional=False, skip=False), 15)
    x = normal(2, 15)
    states, _ = module.cells(x.view(2, 5, 3))
    torch.testing.assert_close(module(x), module.last(states[:, -1]))


@pytest.mark.parametrize("cell", CELLS)
def test_a_decoder_of_one_direction_looks_back_only(cell):
    module = build_decoder(Recurrent((5, 3), 4, cell, bidirectional=False, skip=False), 2, 15)
    before = module(normal(1, 2)).view(5, 3)
    module.positions[2] += 1.0
    changed = (module(normal(1, 2)).view(5, 3) != before).any(1)
    assert changed.tolist() == [False, False, True, True, True]


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # after five epochs
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("skip", [None, False])
def test_ragged_sequences(cell, skip):
    X = sines(200)
    ends = np.random.default_rng(1).integers(6, 13, 200)
    X[np.arange(12) >= ends[:, None]] = np.nan
    network = Recurrent(12, 8, cell, skip=skip)
    vae = VAETransformer(3, encoder=network, max_iter=5, random_state=0).fit(X)
    assert np.isfinite(vae.score_samples(X[:4])).all()
    full = vae.impute(X[:20])
    assert np.isfinite(full).all()
    np.testing.assert_array_equal(full[~np.isnan(X[:20])], X[:20][~np.isnan(X[:20])])


def test_a_recurrent_network_learns_sequences():
    X = sines(400)
    network = Recurrent(12, 8, skip=False)
    vae = VAETransformer(
        2, max_iter=30, encoder=network, likelihood="gaussian", random_state=0
    ).fit(X)
    found = vae.inverse_transform(vae.transform(X))
    assert np.square(found - X).mean() < 0.1 * X.var()


def test_numpy_bools_are_bools():
    assert build(Recurrent(6, 4, bidirectional=np.True_)).cells.bidirectional


@pytest.mark.parametrize("shape", [5, (3, 5), (12, 2)], ids=str)
def test_the_shape_must_fit_the_columns(shape):
    vae = VAETransformer(encoder=Recurrent(shape), max_iter=1)
    with pytest.raises(
        ValueError, match=r"product 12, the number of columns; got .* Give the shape"
    ):
        vae.fit(sines(50))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence_shape", 0),
        ("sequence_shape", (2, 3, 4)),
        ("sequence_shape", 2.5),
        ("hidden_size", 0),
        ("cell", "rnn"),
        ("bidirectional", 1),
    ],
)
def test_errors_name_the_parameter(name, value):
    with pytest.raises(ValueError, match=rf"'{name}' of Recurrent must be"):
        Recurrent(**{"sequence_shape": 12} | {name: value}).check()
