"""Masses of counts: Poisson and negative binomial."""

import numpy as np
import pandas as pd
import pytest
from cases import COUNTS, Case, rates, start
from scipy import stats

from skvae import VAETransformer
from skvae.likelihoods import (
    NegativeBinomial,
    Poisson,
)


@pytest.mark.parametrize("likelihood", [Poisson(True), NegativeBinomial(True)], ids=repr)
class TestLibrarySize:
    def test_rates_are_shares_of_the_sum_of_a_row(self, likelihood):
        case = Case(likelihood, COUNTS, [0.3, -1.2], step=0.0)
        share = rates(case) / rates(case).sum()
        rate = np.maximum(COUNTS.sum(axis=1, keepdims=True), 1) * share
        expected = stats.poisson(rate)
        if isinstance(likelihood, NegativeBinomial):
            r = likelihood.dispersion(case.parameters).numpy()
            expected = stats.nbinom(r, r / (r + rate))
        np.testing.assert_allclose(case.log_density(COUNTS), expected.logpmf(COUNTS), rtol=1e-5)

    def test_means_and_draws_have_the_mean_sum(self, likelihood):
        case = Case(likelihood, COUNTS, [0.3, -1.2])
        mean = COUNTS.sum(axis=1).mean()
        np.testing.assert_allclose(case.mean().sum(), mean, rtol=1e-6)
        np.testing.assert_allclose(case.sample(20_000).mean(axis=0), case.mean(), rtol=0.05)

    def test_single_cells_have_no_score(self, likelihood, monkeypatch):
        counts = pd.DataFrame(COUNTS, columns=["a", "b"])
        vae = VAETransformer(1, likelihood=likelihood, max_iter=5, random_state=0).fit(counts)
        monkeypatch.setattr("skvae._fitted.log_likelihood", None)  # not a row is scored
        message = r"column 'a' is modelled by \w+\(library_size=True\).* library_size=False"
        with pytest.raises(ValueError, match=message):
            vae.score_cells(counts)

    def test_a_row_of_zeros(self, likelihood):
        case = Case(likelihood, COUNTS, [0.3, -1.2])
        assert np.isfinite(case.log_density(np.zeros((1, 2)))).all()


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()], ids=repr)
def test_a_column_of_zeros_has_a_small_rate(likelihood):
    case = start(likelihood, np.zeros((100, 1)))
    assert 0 < case.mean()[0] < 0.01
    assert case.log_density(np.zeros((1, 1)))[0, 0] > -0.01
    assert np.isfinite(case.log_density(np.ones((1, 1)))).all()


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()], ids=repr)
def test_rates_beyond_all_counts_still_draw_counts(likelihood):
    case = Case(likelihood, COUNTS, [1e4, -1e4])
    draws = case.sample(10)
    assert likelihood.in_support(draws, case.constants).all()
    assert np.isfinite(case.log_density(COUNTS)).all()


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()], ids=str)
def test_the_rate_of_a_column_of_zeros_is_half_a_count_in_all_rows(likelihood):
    weight = np.array([1.0, 200.0, 49.0])
    assert likelihood.fit(np.zeros((3, 1)), weight)["mean"] == pytest.approx(0.5 / 250)
