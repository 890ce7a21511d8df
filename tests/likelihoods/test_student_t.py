"""Student's t density."""

import numpy as np
import pytest
import torch
from cases import REALS, fit, peak, start
from scipy import stats

from skvae.likelihoods import (
    StudentT,
)


def test_outliers_do_not_move_student_t():
    table = REALS.copy()
    table[:5] = 1e8
    here, there = fit(StudentT(), REALS), fit(StudentT(), table)
    for name in ("location", "spread"):
        np.testing.assert_allclose(there[name], here[name], rtol=0.1)
    assert (there["floor"] < 0.02).all()


def test_student_t_of_a_column_with_a_spike_has_a_scale():
    table = np.where(np.arange(200)[:, None] % 5 == 0, REALS, 3.0)
    assert np.abs(StudentT().to_working(table, fit(StudentT(), table))).max() < 10


@pytest.mark.parametrize("df", [0, -1.0, np.inf, np.nan, True, "many"])
def test_invalid_df(df):
    with pytest.raises(ValueError, match=r"'df' of StudentT must be .*; got"):
        StudentT(df=df).check()


def test_student_t_of_many_degrees_draws_a_normal():
    case = start(StudentT(df=1e300), REALS)
    draws = case.sample(5000)
    for place in range(2):
        expected = stats.norm(case.mean()[place], peak(case)[place])
        assert stats.kstest(draws[:, place], expected.cdf).pvalue > 1e-3


def test_student_t_of_few_degrees_draws_finite_numbers():
    likelihood = StudentT(df=0.01)
    parameters = likelihood.parameters(fit(likelihood, REALS))
    generator = torch.Generator().manual_seed(0)
    assert torch.isfinite(likelihood.sample(torch.zeros(1, 1000, 2), parameters, generator)).all()
