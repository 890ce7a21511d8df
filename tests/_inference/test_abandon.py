"""Threads whose results are not needed end early."""

import threading

import pytest
import torch

from skvae import VAETransformer
from skvae._inference import map_rows, scores
from skvae._inference.abandon import Abandoned, check_needed


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(map_rows, "SHARED_WORK", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_thread_ends_after_an_error_in_another(fitted, wine, two_threads):
    source = map_rows.Input(wine.__getitem__, len(wine), wine.dtype)
    begun, ended = threading.Event(), []

    def call(model, x, rows):
        if rows.start == 0:
            begun.wait()
            raise OverflowError
        begun.set()
        try:
            while True:
                check_needed()
        except Abandoned:
            ended.append(rows)
            raise

    with pytest.raises(OverflowError):
        map_rows.map_rows(fitted._fitted.module, call, source)
    assert ended == [slice(89, 178)]
    check_needed()  # in this thread, whose results are needed


def test_scores_are_computed_in_steps_that_can_be_abandoned(wine, monkeypatch):
    n_checks = 0

    def count():
        nonlocal n_checks
        n_checks += 1

    monkeypatch.setattr(scores, "check_needed", count)
    VAETransformer(2, max_iter=1, random_state=0).fit(wine).score_samples(wine)
    assert n_checks > 10
