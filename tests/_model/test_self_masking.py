"""Which columns' missing values count as evidence."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from skvae._model.cells import Cells
from skvae._model.missing_regressions import PRECISION
from skvae._model.observation import ObservationModel
from skvae._model.self_masking import OWN_VARIANCE, SelfMasking
from skvae.likelihoods import Gaussian

RNG = np.random.default_rng(0)
X = torch.from_numpy(RNG.normal(size=(30, 3)))
OBSERVED = torch.from_numpy(RNG.random((30, 3)) > 0.4)
OUTPUTS = torch.from_numpy(RNG.normal(size=(2, 30, 3)))
WEIGHT = torch.from_numpy(RNG.normal(size=(3, 3)))


@pytest.fixture
def groups():
    likelihood = Gaussian()
    return [ObservationModel(likelihood, likelihood.fit(X.numpy(), np.ones(30)), 3).double()]


def masking(groups, own):
    """Of three columns, of which some have own weights and the others no weights."""
    found = SelfMasking(groups, [0, 1, 2]).double()
    is_own = torch.isin(torch.arange(3), torch.tensor(own)).double()
    state = {"bias": WEIGHT[0] * is_own, "weight": WEIGHT * is_own, "has_own": is_own}
    found.load_state_dict(found.state_dict() | state)
    return found


def cells_of(found, x=X):
    rows = Cells(torch.where(OBSERVED, x, 0.0), OBSERVED)
    return replace(rows, probit=found.probit(rows.values))


def test_the_columns_with_an_own_weight_are_evidence(groups):
    found = masking(groups, [0, 2])
    assert found.is_needed
    assert found.kept_columns.tolist() == [0, 2]
    assert copy.deepcopy(found).kept_columns.tolist() == [0, 2]
    assert found.ends_by_masking().tolist() == [
        [bool(WEIGHT[0, 0] < 0), bool(WEIGHT[0, 0] > 0)],
        [False, False],
        [bool(WEIGHT[2, 2] < 0), bool(WEIGHT[2, 2] > 0)],
    ]
    assert not masking(groups, []).is_needed


def test_log_prob_is_that_of_these_columns(groups):
    found = masking(groups, [0, 2])
    sigma = groups[0].likelihood.sigma(groups[0].tensors).detach()
    cells, normal = cells_of(found), torch.distributions.Normal(0.0, 1.0)
    expected = torch.zeros(2, 30).double()
    for j in (0, 2):
        # of a missing value, the mean over N(output, sigma^2)
        own = WEIGHT[j, j]
        of_missing = (cells.probit[:, j] + own * OUTPUTS[..., j]) / (
            1 + (own * sigma[j]) ** 2
        ) ** 0.5
        p = normal.cdf(torch.where(OBSERVED[:, j], -cells.probit[:, j], of_missing))
        expected += p.log()
    torch.testing.assert_close(found.log_prob(groups, cells, [OUTPUTS], None), expected)


def test_the_gradient_is_that_of_autograd(groups):
    found = masking(groups, [0, 2])
    log_prob = found.log_prob(groups, cells_of(found), [OUTPUTS], None)
    own = found.weight.diagonal()
    others = found.weight.square().sum() - own.square().sum()
    variance = own.square().sum() / 3 + OWN_VARIANCE
    log_prior = -PRECISION / 2 * others - 1.5 * variance.log()
    loss = -log_prob.sum() - log_prob.numel() * log_prior  # n_rows is 1
    parameters = [found.bias, found.weight]
    expected = torch.autograd.grad(loss, parameters)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    cells = cells_of(found)
    with torch.no_grad():
        again, backward = found.vjp(groups, cells, cells.values, [OUTPUTS], None)
        backward(-torch.ones(2, 30).double())
    torch.testing.assert_close(again(), log_prob)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
        assert not parameter.grad[..., 1].any()


def test_probits_and_gradients_are_not_in_bfloat16(groups):
    groups, found = [groups[0].float()], masking(groups, [0, 2]).float()
    outputs, results = OUTPUTS.float(), []
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.weight.grad, found.bias.grad = torch.zeros(3, 3), torch.zeros(3)
            cells = cells_of(found, X.float())
            log_prob, backward = found.vjp(groups, cells, cells.values, [outputs], None)
            (by_outputs,) = backward(-torch.ones(2, 30))
        results.append([cells.probit, log_prob(), by_outputs, found.weight.grad, found.bias.grad])
    for precise, under_autocast in zip(*results, strict=True):
        torch.testing.assert_close(under_autocast, precise, rtol=0, atol=0)
