"""The keyboard interrupts a call at any of its lines: all of an epoch is kept, or nothing of it."""

import copy
import signal
import sys

import numpy as np
import pytest
from fits import QUICK, StopAt

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.priors import Mixture

TABLE = np.random.default_rng(0).normal(size=(40, 3)) @ np.ones((3, 3))
GAPS = np.where(np.random.default_rng(1).random((40, 3)) < 0.2, np.nan, TABLE)
CODE = "skvae", "contextlib", "grad_mode", "autocast_mode", "threadpoolctl"
N_PLACES = 8  # lines at which each call is interrupted


class Lines:
    """Counts the lines that a call runs, and interrupts it at one of them."""

    def __init__(self, interrupted=0):
        self.n, self.interrupted, self.last = 0, interrupted, {}

    def run(self, call):
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(None)

    def _enter(self, frame, event, argument):
        name = frame.f_code.co_filename
        return self._line if any(part in name for part in CODE) else None

    def _line(self, frame, event, argument):
        if event == "line":
            self.n += 1
            self.last[frame.f_code.co_filename, frame.f_lineno] = self.n
            if self.n == self.interrupted:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return self._line


def places(call):
    """Numbers of lines all over a call, each with another code."""
    for _ in range(2):  # the first call also fills caches
        lines = Lines()
        lines.run(call)
    found = sorted(lines.last.values())
    return found[:: -(-len(found) // N_PLACES)]


FITS = {
    "early stopping": (TABLE, {}),
    "gaps, no early stopping": (GAPS, {"early_stopping": False}),
    "average": (TABLE, {"early_stopping": False, "average": 1.0}),
    "mixture": (TABLE, {"prior": Mixture(2, learned=False)}),
}


@pytest.mark.filterwarnings("ignore:Posterior collapse")
@pytest.mark.parametrize(("X", "settings"), FITS.values(), ids=FITS)
def test_an_interrupted_fit_has_the_weights_of_its_last_complete_epoch(X, settings):
    reported = []

    class Reporting(VAETransformer):
        def _report(self, fitted):
            reported.append(fitted.training.n_epochs)

    def new():
        return Reporting(2, **QUICK | settings)

    stopped = [new().set_callbacks(StopAt(n)).fit(X) for n in range(1, 4)]
    for place in places(lambda: new().fit(X)):
        vae = new()
        reported.clear()
        with pytest.raises(KeyboardInterrupt):
            Lines(place).run(lambda vae=vae: vae.fit(X))
        if not hasattr(vae, "_fitted"):
            assert not reported
            assert vars(vae) == vars(new())
            continue
        assert vae.n_iter_ >= max(reported, default=0)
        expected = stopped[vae.n_iter_ - 1]
        np.testing.assert_array_equal(vae.transform(X), expected.transform(X))
        np.testing.assert_array_equal(vae.reconstruct(X), expected.reconstruct(X))
        for curve in ("loss_curve_", "kl_curve_", "learning_rates_", "validation_scores_"):
            assert getattr(vae, curve) == getattr(expected, curve)


@pytest.mark.filterwarnings("ignore:Posterior collapse")
def test_an_interrupted_refit_changes_all_or_nothing():
    before = VAETransformer(1, **QUICK).fit(TABLE)
    vae = None

    def refit():
        nonlocal vae
        vae = copy.copy(before).fit(TABLE[:, :2])

    def train_further():
        nonlocal vae
        vae = copy.copy(before).partial_fit(TABLE)

    for call in (refit, train_further):
        for place in places(call):
            vae = copy.copy(before)
            with pytest.raises(KeyboardInterrupt):
                Lines(place).run(call)
            assert vae.transform(TABLE[:, : vae.n_features_in_]).shape == (40, 1)


@pytest.mark.filterwarnings("ignore:Posterior collapse")
@pytest.mark.parametrize("kind", [VAEImputer, VAEOutlierDetector])
def test_an_interrupted_imputer_or_detector_is_unchanged(kind):
    before = kind(VAETransformer(1, **QUICK)).fit(TABLE)
    for place in places(lambda: copy.copy(before).fit(TABLE[:30])):
        estimator = copy.copy(before)
        with pytest.raises(KeyboardInterrupt):
            Lines(place).run(lambda estimator=estimator: estimator.fit(TABLE[:30]))
        assert vars(estimator) == vars(before)


CALLS = {
    "score_samples": lambda vae: vae.score_samples(GAPS),
    "impute": lambda vae: vae.impute(GAPS),
    "sample": lambda vae: vae.sample(3, random_state=0),
    "sample given": lambda vae: vae.sample(2, given=GAPS[:5], random_state=0),
    "score_cells": lambda vae: vae.score_cells(GAPS[:5]),
}


@pytest.mark.filterwarnings("ignore:Posterior collapse")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_interrupted_call_changes_nothing(call):
    vae = VAETransformer(2, **QUICK).fit(TABLE)
    expected = call(vae)
    for place in places(lambda: call(vae)):
        with pytest.raises(KeyboardInterrupt):
            Lines(place).run(lambda: call(vae))
    np.testing.assert_array_equal(call(vae), expected)
