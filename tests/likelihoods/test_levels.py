"""Masses of levels: categorical, in clusters, and ordinal."""

import numpy as np
import pytest
import torch
from cases import BITS, LEVELS, fit, start, values_seen
from scipy.special import logit
from torch import nn

from skvae.likelihoods import (
    Bernoulli,
    Categorical,
    Ordinal,
)
from skvae.likelihoods._categorical import MOST_LEVELS
from skvae.likelihoods._clusters import ClusteredCategorical

LIKELIHOODS = [Categorical(), Ordinal(), ClusteredCategorical(1, 2, 3)]


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
class TestValues:
    def test_initial_masses_are_the_shares_of_training(self, likelihood):
        case = start(likelihood, LEVELS)
        for place, column in enumerate(LEVELS.T):
            share = (column == column[:, None]).mean(axis=0)
            found = np.exp(case.log_density(LEVELS)[:, place])
            np.testing.assert_allclose(found, share, rtol=2e-5)

    def test_values_that_training_has_not_seen_are_missing(self, likelihood):
        constants = fit(likelihood, LEVELS)
        x = np.array([[0.5, 1.0, 2.0], [np.nan, 3.0, 0.0], [8.0, np.nan, 1.0]])
        expected = np.array([[1, np.nan, np.nan], [np.nan, 1, np.nan], [np.nan, np.nan, 0]])
        np.testing.assert_array_equal(likelihood.to_working(x, constants), expected)

    def test_padding_changes_nothing(self, likelihood):
        padded = start(likelihood, LEVELS)
        for place in range(LEVELS.shape[1]):
            alone = start(likelihood, LEVELS[:, [place]])
            np.testing.assert_allclose(
                padded.log_density(LEVELS)[:, place], alone.log_density(LEVELS[:, [place]])[:, 0]
            )

    def test_gradients_of_padded_columns_stay_finite(self, likelihood):
        tensors = likelihood.parameters(fit(likelihood, LEVELS))
        learned = [t for t in tensors.values() if isinstance(t, nn.Parameter)]
        x = torch.as_tensor(likelihood.to_working(LEVELS, fit(likelihood, LEVELS))).float()
        n_outputs = likelihood.n_outputs(fit(likelihood, LEVELS)) * LEVELS.shape[1]
        outputs = torch.full((1, len(x), n_outputs), 30.0, requires_grad=True)
        likelihood.log_prob(x, outputs, tensors).sum().backward()
        likelihood.statistics(outputs, tensors).sum().backward()
        assert all(torch.isfinite(t.grad).all() for t in [outputs, *learned])

    def test_a_rare_level_among_many(self, likelihood):
        column = np.repeat(np.arange(50.0), np.r_[1, np.full(48, 3), 100_000])[:, None]
        case = start(likelihood, column)
        nodes = values_seen(case)
        assert np.isfinite(case.log_density(nodes.x)).all()
        np.testing.assert_allclose(np.exp(case.log_density(nodes.x)).sum(), 1, rtol=1e-6)


def test_two_ordered_levels_are_a_bernoulli():
    ordinal, bernoulli = start(Ordinal(), BITS), start(Bernoulli(), BITS)
    share = BITS.mean(axis=0)
    for output in (-20.0, -1.0, 0.0, 3.0):
        ordinal.outputs = [output] * 2
        bernoulli.outputs = output + logit(share)
        np.testing.assert_allclose(
            ordinal.log_density(BITS), bernoulli.log_density(BITS), rtol=1e-5, atol=1e-12
        )


def test_ordered_levels_rise_with_the_output():
    case, means = start(Ordinal(), LEVELS), []
    for output in np.linspace(-30, 30, 61):
        case.outputs = [output] * 3
        means.append(case.mean())
    assert (np.diff(means, axis=0) >= 0).all()
    assert (means[0] == LEVELS.min(axis=0)).all()
    assert (means[-1] == LEVELS.max(axis=0)).all()


@pytest.mark.parametrize("n_levels", [2, MOST_LEVELS, MOST_LEVELS + 1])
def test_more_levels_than_a_limit_are_modelled_in_clusters(n_levels):
    class Own(Categorical):
        pass

    constants = fit(Categorical(), np.arange(float(n_levels))[:, None])
    chosen = Categorical().at_size(constants)
    is_large = n_levels > MOST_LEVELS
    assert chosen == (ClusteredCategorical() if is_large else Categorical())
    own = Own()
    assert own.at_size(constants) is own  # it may override what clusters would ignore


def test_outputs_grow_slowly_with_the_levels_and_masses_sum_to_one():
    n_levels = 20_000
    share = 1 / np.arange(1.0, n_levels + 1)
    constants = {"share": share[None] / share.sum()}
    likelihood = ClusteredCategorical()
    n_outputs = likelihood.n_outputs(constants)
    assert max(n_outputs, likelihood.n_features(constants)) < 700
    outputs = 3 * torch.randn(1, 1, n_outputs, generator=torch.Generator().manual_seed(0)).double()
    tensors = {
        name: tensor.detach().double() for name, tensor in likelihood.parameters(constants).items()
    }
    log_mass = likelihood.log_mass(outputs, tensors)[0, 0, 0]
    np.testing.assert_allclose(log_mass.exp().sum(), 1, rtol=1e-12)
    some = torch.arange(0, n_levels, 99)
    of_some = likelihood.log_prob(some[:, None], outputs.expand(1, len(some), -1), tensors)
    np.testing.assert_allclose(of_some[0, :, 0], log_mass[some], rtol=1e-9)


def test_frequent_levels_have_outputs_and_rare_levels_have_vectors():
    column = np.repeat(np.arange(6.0), [1, 2, 9, 8, 2, 1])[:, None]  # 2 and 3 are common
    case = start(ClusteredCategorical(2, 2, 3), column)
    features = case.likelihood.features(case.working(np.arange(6.0)[:, None]), case.parameters)
    indicator, vector = features[:, 0].split([4, 3], dim=-1)
    # the share of 1 and 4 is larger than that of 0 and 5
    assert indicator.argmax(-1).tolist() == [3, 2, 0, 1, 2, 3]
    assert (vector.abs().sum(-1) > 0).tolist() == [True, True, False, False, True, True]
