"""Continuous Bernoulli density."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.autograd import gradcheck

from skvae.likelihoods import (
    ContinuousBernoulli,
)

LOGITS = [0.0, 1e-12, 1e-3, 0.05, 0.19, 0.21, 0.5, 3.0, 20.0, 80.0]
LOGITS = torch.tensor([-value for value in LOGITS[:0:-1]] + LOGITS, dtype=torch.float64)
CB = ContinuousBernoulli()


def test_continuous_bernoulli_against_a_truncated_exponential():
    x = np.linspace(0, 1, 11)[:, None]
    for slope in LOGITS[LOGITS <= -0.05]:
        expected = stats.truncexpon(b=-slope, scale=-1 / slope)
        for flip in (False, True):  # x -> 1 - x flips the sign of the logit
            outputs = (-slope if flip else slope).expand(1, 11, 1)
            log_prob = CB.log_prob(torch.as_tensor(1 - x if flip else x), outputs, {})[0]
            np.testing.assert_allclose(log_prob, expected.logpdf(x), rtol=1e-7, atol=1e-9)
            mean = CB.mean(outputs, {})[0, 0].item()
            np.testing.assert_allclose(1 - mean if flip else mean, expected.mean(), rtol=1e-7)


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_continuous_bernoulli_is_smooth_through_zero(x):
    outputs = LOGITS.clone().requires_grad_()
    log_prob = CB.log_prob(torch.full_like(LOGITS, x), outputs, {})
    (slope,) = torch.autograd.grad(log_prob.sum(), outputs)
    # an exponential family: the slope of the log-density is x less its mean
    torch.testing.assert_close(slope, x - CB.mean(LOGITS, {}), atol=1e-12, rtol=0)
    assert gradcheck(lambda o: CB.log_prob(torch.full_like(LOGITS, x), o, {}), outputs)
    assert gradcheck(lambda o: CB.mean(o, {}), outputs)


def test_continuous_bernoulli_has_no_step_where_its_formulas_meet():
    fine = torch.linspace(-0.3, 0.3, 60_001, dtype=torch.float64)
    mean = CB.mean(fine, {})
    torch.testing.assert_close(
        mean.diff() / fine.diff(), torch.full((60_000,), 1 / 12).double(), atol=0.004, rtol=0
    )
    half = fine.numel() // 2
    assert mean[half] == 0.5
    log_prob = CB.log_prob(torch.ones_like(fine), fine, {})
    torch.testing.assert_close(log_prob.diff() / fine.diff(), 1 - mean[1:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_stays_finite(dtype):
    outputs = torch.tensor([-1e4, -80.0, -1e-30, 0.0, 1e-30, 80.0, 1e4], dtype=dtype)
    outputs.requires_grad_()
    for x in (0.0, 1.0):
        log_prob = CB.log_prob(torch.full_like(outputs, x), outputs, {})
        (slope,) = torch.autograd.grad(log_prob.sum(), outputs)
        draw = CB.sample(outputs.detach(), {}, torch.Generator().manual_seed(0))
        for value in (log_prob, slope, draw, CB.mean(outputs, {})):
            assert torch.isfinite(value).all()
        assert ((draw >= 0) & (draw <= 1)).all()
