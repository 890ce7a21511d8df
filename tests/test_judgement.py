"""Warnings about the result of a fit."""

import re

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer
from skvae._judgement import problem
from skvae._training.rows import Rows


def judged(gains, kl):
    """The problem of a fit by which the bounds of rows changed so."""
    rows = Rows(torch.ones(len(gains)).double(), 0.0, None, index=np.arange(len(gains)) + 100)
    before, after, kl_divergence = np.zeros(len(gains)), np.array(gains), np.array([kl])
    vae = VAETransformer()
    return problem(before, after, rows, kl_divergence, vae, n_rows=len(gains), table="X")


@pytest.mark.parametrize(
    ("gains", "kl", "kind", "message"),
    [
        ([2.0] * 300, 1.0, type(None), "None"),
        ([-2.0] * 300, 1.0, ConvergenceWarning, "worse .* fell by 2 nats"),
        ([-2.0] * 299 + [1e6], 1.0, ConvergenceWarning, "worse .* fell by 2 nats"),
        ([np.nan] * 300, 1.0, ConvergenceWarning, "worse"),
        ([2.0] * 300, 0.001, ConvergenceWarning, "Posterior collapse"),
        (
            [2.0] * 7 + [-1e6] + [2.0] * 292,
            1.0,
            UserWarning,
            r"rows \[107\] of X.*\+2 nats without",
        ),
        ([2.0] * 7 + [-np.inf] + [2.0] * 292, 1.0, UserWarning, r"\[107\] of X"),
        ([-1e6] * 30 + [2.0] * 270, 1.0, ConvergenceWarning, "worse"),  # no few rows
        ([-1e6, 2.0, 2.0], 1.0, ConvergenceWarning, "worse"),  # one of three is no exception
    ],
)
def test_a_fit_is_judged_by_its_usual_rows(gains, kl, kind, message):
    found, category = judged(gains, kl) or ("None", type(None))
    assert category is kind
    assert re.search(message, found)


def test_rows_that_carry_the_mean_are_named():
    rng = np.random.default_rng(0)
    prices = 50 + 8 * rng.normal(size=(600, 2)) @ rng.normal(size=(2, 5))
    prices += 2 * rng.normal(size=(600, 5))
    wrong = [7, 101, 350]
    prices[wrong, [0, 2, 4]] *= 100  # the decimal point was left out
    vae = VAETransformer(
        2, likelihood="gaussian", early_stopping=False, max_iter=20, random_state=0
    )
    with pytest.warns(UserWarning, match=r"among them rows \[7, 101, 350\] of X.*mark the cells"):
        vae.fit(prices)
    prices[wrong, [0, 2, 4]] = np.nan  # as it says
    vae.fit(prices)
