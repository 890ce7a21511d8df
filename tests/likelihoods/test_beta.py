"""Beta density."""

import numpy as np
import pytest
import torch
from cases import SHARES, Case
from scipy.special import logit

from skvae.likelihoods import (
    Beta,
)


@pytest.mark.parametrize("share", [1e-30, 0.5 + 2**-12, 1 - 1e-12])
def test_beta_of_high_precision_in_single_precision(share):
    x = torch.tensor([[logit(share)]]).float()
    tensors = {"mean": x[0], "log_precision": torch.tensor([np.log(1e5) / 10]).float()}
    single = Beta().log_prob(x, torch.zeros(1, 1, 1), tensors)
    double = {name: tensor.double() for name, tensor in tensors.items()}
    exact = Beta().log_prob(x.double(), torch.zeros(1, 1, 1).double(), double)
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=0.01)


def test_beta_draws_stay_inside_the_open_interval():
    case = Case(Beta(), SHARES, [-500.0, 500.0])
    assert Beta().in_support(case.sample(1000), {}).all()
    assert (case.sample(1000)[:, 0] < 0.5).all()
