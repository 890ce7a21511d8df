"""The phases of training."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from fits import QUICK, StopAt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from torch.nn.utils import parameters_to_vector

from skvae import VAETransformer, _fit
from skvae._model.phases import CODES, DECODER, WHOLE
from skvae._training.plan import stages
from skvae.likelihoods import Histogram


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


def test_the_decoder_phase_keeps_the_codes_of_columns_in_one_unit():
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
        _fit.plan_of(vae, n_rows),
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


def test_later_calls_keep_the_codes_of_a_fit_that_was_stopped_while_it_found_them():
    pytest.importorskip("sklearn.callback")
    X = load_digits().data[:200]
    vae = VAETransformer(2, **QUICK | {"max_iter": 9}).set_callbacks(StopAt(2)).fit(X)
    assert vae.n_iter_ == vae.n_iter_codes_ == 2
    codes = vae.module_.encode(vae.module_.cells(torch.ones(1, 64)))[0]
    vae.set_callbacks().partial_fit(X)
    torch.testing.assert_close(vae.module_.encode(vae.module_.cells(torch.ones(1, 64)))[0], codes)


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
def test_training_continues_after_two_phases(spiky, early_stopping):
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
