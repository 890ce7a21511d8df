"""Fits on a GPU."""

import copy
import pickle

import numpy as np
import pytest
import torch
from fits import QUICK
from torch.nn.utils import parameters_to_vector

from skvae import VAETransformer, _data
from skvae._torch import replay
from skvae._training import loop, rows
from skvae.likelihoods import Gaussian

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
@pytest.mark.parametrize("kind", ["in memory", "stored", "gaps", "iwae", "bfloat16", "average"])
def test_replayed_steps_equal_steps_taken_one_by_one(monkeypatch, wine, kind):
    X = np.where(np.arange(wine.size).reshape(wine.shape) % 7 == 0, np.nan, wine)
    changes = {
        "iwae": {"objective": "iwae", "n_draws": 3},
        "bfloat16": {"precision": "bfloat16"},
        "average": {"average": 2.0},
    }
    settings = QUICK | {"batch_size": 32, "device": "cuda", "max_iter": 6} | changes.get(kind, {})
    if kind == "stored":
        monkeypatch.setattr(_data, "LARGEST_COPY", 4 * 13 * 4 * 64)
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
def test_a_custom_likelihood_may_read_results_on_cuda(wine):
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
