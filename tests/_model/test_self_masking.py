"""Which columns' missing values count as evidence."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from skvae._model.cells import Cells
from skvae._model.observation import ObservationModel
from skvae._model.self_masking import SelfMasking
from skvae.likelihoods import Gaussian

RNG = np.random.default_rng(0)
X = torch.from_numpy(RNG.normal(size=(30, 3)))
OBSERVED = torch.from_numpy(RNG.random((30, 3)) > 0.4)
OUTPUTS = torch.from_numpy(RNG.normal(size=(2, 30, 3)))
WEIGHT = torch.from_numpy(RNG.normal(size=(3, 3)))


@pytest.fixture
def groups():
    likelihood = Gaussian()
    constants = likelihood.fit(RNG.normal(size=(30, 3)), np.ones(30))
    return [ObservationModel(likelihood, constants, 3).double()]


def masking(groups, gaps, own):
    """With the weights of the columns ``gaps``, and own weights of the columns ``own``."""
    found = SelfMasking(groups, gaps).double()
    state = found.state_dict()
    is_own = torch.isin(found.own_columns, torch.tensor(own)).double()
    state |= {"bias": WEIGHT[0, gaps], "weight": WEIGHT[:, gaps], "has_own": is_own}
    found.load_state_dict(state)
    return found


def cells_of(found):
    rows = Cells(torch.where(OBSERVED, X, 0.0), OBSERVED)
    return replace(rows, probit=found.probit(rows.values))


def gradients(found, groups):
    for parameter in found.parameters():
        parameter.grad = torch.zeros_like(parameter)
    cells = cells_of(found)
    log_prob, backward = found.vjp(groups, cells, cells.values, [OUTPUTS], None)
    by_outputs = backward(-torch.ones(2, 30).double())
    return log_prob(), by_outputs[0]


def test_columns_without_an_own_weight_are_no_evidence(groups):
    some, fewer = masking(groups, [0, 1, 2], [1, 2]), masking(groups, [1, 2], [1, 2])
    some = copy.deepcopy(some)
    assert some.kept_columns.tolist() == fewer.kept_columns.tolist() == [1, 2]
    found = gradients(some, groups)
    expected = gradients(fewer, groups)
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part, other)
    torch.testing.assert_close(some.bias.grad[1:], fewer.bias.grad)
    assert some.bias.grad[0] == 0
    direct = some.log_prob(groups, cells_of(some), [OUTPUTS], None)
    torch.testing.assert_close(direct, found[0])


def test_it_is_needed_if_a_column_has_an_own_weight(groups):
    assert masking(groups, [0, 1], [1]).is_needed
    assert not masking(groups, [0, 1], []).is_needed


def test_probits_and_gradients_are_not_in_bfloat16(groups):
    groups, found = [groups[0].float()], masking(groups, [0, 1, 2], [1, 2]).float()
    values, outputs = torch.where(OBSERVED, X, 0.0).float(), OUTPUTS.float()
    results = []
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.weight.grad, found.bias.grad = torch.zeros(3, 3), torch.zeros(3)
            cells = replace(Cells(values, OBSERVED), probit=found.probit(values))
            log_prob, backward = found.vjp(groups, cells, values, [outputs], None)
            (by_outputs,) = backward(-torch.ones(2, 30))
        results.append([cells.probit, log_prob(), by_outputs, found.weight.grad, found.bias.grad])
    for precise, under_autocast in zip(*results, strict=True):
        torch.testing.assert_close(under_autocast, precise, rtol=0, atol=0)
