"""Custom likelihoods."""

import numpy as np
import pytest
import torch
from cases import fit

from skvae.likelihoods import (
    Bernoulli,
    Gaussian,
)


class Sharper(Gaussian):
    def log_prob(self, x, outputs, parameters):
        return 3 * super().log_prob(x, outputs, parameters)


class Narrower(Gaussian):
    def sigma(self, parameters):
        return super().sigma(parameters) / 3**0.5


@pytest.mark.parametrize("likelihood", [Sharper(), Narrower()], ids=str)
def test_a_density_of_ones_own_has_the_gradient_of_its_own(likelihood):
    x, outputs = torch.zeros(4, 1), torch.ones(1, 4, 1)
    parameters = likelihood.parameters(fit(likelihood, np.arange(4.0)[:, None]))
    parameters["log_sigma"].grad = torch.zeros(1)
    plain = Gaussian().vjp(x, outputs, parameters)[1](torch.ones(1, 4, 1))
    found = likelihood.vjp(x, outputs, parameters)[1](torch.ones(1, 4, 1))
    torch.testing.assert_close(found, 3 * plain)


def test_what_is_true_of_a_closed_form_is_not_inherited():
    class Own(Bernoulli):
        pass

    class Told(Bernoulli):
        takes_bfloat16 = True
        replayable = True

    assert Bernoulli.takes_bfloat16
    assert Bernoulli.replayable
    assert not Own.takes_bfloat16
    assert not Own.replayable
    assert Told.takes_bfloat16
    assert Told.replayable
