"""Values that are missing because of what they are, against draws and against autograd."""

import numpy as np
import pytest
import torch
from cases import CASES
from torch.special import ndtr

from skvae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    Gaussian,
    Histogram,
    Likelihood,
    LogNormal,
    NormalScores,
)
from skvae.likelihoods._clusters import ClusteredCategorical
from skvae.likelihoods._missing import FARTHEST, probability

N_DRAWS = 200_000
MASKED = {name: case for name, case in CASES.items() if case.likelihood.masks_itself}
SLOPES = (-0.8, 0.5, 1.2, -0.3)


def slopes_of(case):
    """A slope for each feature of each column. (d, F)."""
    shape = case.table.shape[1], case.likelihood.n_features(case.constants)
    return torch.tensor(np.resize(SLOPES, shape))


def cells_and_biases(case, rows):
    """Some cells of a table, as their numbers and biases."""
    numbers = torch.arange(rows * case.table.shape[1])
    numbers = numbers[numbers % 5 != 1]
    return numbers, torch.linspace(-1.0, 0.4, len(numbers)).double()


def test_the_likelihoods_that_mask_themselves():
    found = {kind for kind in LIKELIHOODS.values() if kind().masks_itself}
    assert found == {Gaussian, LogNormal, NormalScores, Histogram, Bernoulli, Categorical}
    assert not ClusteredCategorical().masks_itself


def test_a_subclass_that_changes_the_density_does_not_mask_itself():
    class Shifted(Gaussian):
        def log_prob(self, x, outputs, parameters):
            return super().log_prob(x - 1, outputs, parameters)

    assert not Shifted().masks_itself
    with pytest.raises(NotImplementedError, match="Shifted has no model of missing values"):
        Shifted().missing(*[None] * 5)


def test_a_probability_has_a_logarithm_far_out():
    for dtype in (torch.float32, torch.float64):
        assert torch.isfinite(probability(torch.tensor([-1e9, 1e9], dtype=dtype)).log()).all()


@pytest.mark.parametrize("case", MASKED.values(), ids=MASKED)
class TestMissing:
    def draws(self, case):
        """Biases (d,), features of draws (n, d, F), and probabilities that they are missing."""
        generator = torch.Generator().manual_seed(0)
        outputs = case.outputs_of(N_DRAWS)
        features = self.features_of_draws(case, outputs, generator)
        own = (features.clamp(-FARTHEST, FARTHEST) * slopes_of(case)).sum(-1)
        bias = torch.linspace(-1.0, 0.4, case.table.shape[1]).double()
        return bias, features, ndtr(bias + own)

    def features_of_draws(self, case, outputs, generator):
        x = case.likelihood.sample(outputs, case.parameters, generator)[0]
        if isinstance(case.likelihood, Histogram):  # a draw is a level and a place in it
            x = x.floor()
        return case.likelihood.features(x, case.parameters)

    def test_probability_is_that_of_draws(self, case):
        bias, _, p = self.draws(case)
        numbers = torch.arange(len(bias))
        found, _ = case.likelihood.missing(
            case.outputs_of(1), case.parameters, numbers, bias, slopes_of(case)
        )
        error = p.std(0) / N_DRAWS**0.5
        assert ((found[0].exp() - p.mean(0)).abs() < 4.5 * error + 1e-9).all()

    def test_outputs_for_missing_values_have_their_mean(self, case):
        bias, features, p = self.draws(case)
        numbers = torch.arange(len(bias))
        _, later = case.likelihood.missing(
            case.outputs_of(1), case.parameters, numbers, bias, slopes_of(case)
        )
        generator = torch.Generator().manual_seed(1)
        own = self.features_of_draws(case, later().expand(-1, N_DRAWS, -1), generator)
        share = (p / p.sum(0)).unsqueeze(-1)
        expected = (share * features).sum(0)
        error = (features.std(0) + own.std(0)) / N_DRAWS**0.5
        assert ((own.mean(0) - expected).abs() < 6 * error + 1e-9).all()

    def test_other_values_keep_their_outputs(self, case):
        numbers, bias = cells_and_biases(case, rows=4)
        outputs = case.outputs_of(4)
        _, later = case.likelihood.missing(
            outputs, case.parameters, numbers[:1], bias[:1], slopes_of(case)
        )
        assert torch.equal(later()[:, 1:], outputs[:, 1:])
        assert not torch.equal(later()[:, 0], outputs[:, 0])

    def test_vjp_is_that_of_autograd(self, case):
        numbers, bias = cells_and_biases(case, rows=5)
        generator = torch.Generator().manual_seed(2)
        outputs = case.outputs_of(5) + torch.randn(3, 5, len(case.outputs), generator=generator)
        parts = [outputs, bias, slopes_of(case)]
        leaves = [part.clone().requires_grad_() for part in parts]
        learned = {name: case.parameters[name].clone().requires_grad_() for name in case.learned}
        parameters = case.parameters | learned
        expected, _ = case.likelihood.missing(leaves[0], parameters, numbers, *leaves[1:])
        gradient = torch.randn(expected.shape, generator=generator).double()
        wanted = [*leaves, *learned.values()]
        by_autograd = torch.autograd.grad(
            expected, wanted, gradient, allow_unused=True, materialize_grads=True
        )
        for tensor in learned.values():
            tensor.grad = torch.zeros_like(tensor)
        with torch.inference_mode():
            found, backward = case.likelihood.missing_vjp(
                parts[0].clone(), parameters, numbers.clone(), *(p.clone() for p in parts[1:])
            )
            by = [*backward(gradient.clone()), *(tensor.grad for tensor in learned.values())]
        torch.testing.assert_close(found, expected)
        for one, other in zip(by, by_autograd, strict=True):
            torch.testing.assert_close(one, other)

    def test_codes_that_all_rows_share(self, case):
        numbers, bias = cells_and_biases(case, rows=3)
        shared = case.outputs_of(1).expand(-1, 3, -1)
        found, expected = (
            case.likelihood.missing(outputs, case.parameters, numbers, bias, slopes_of(case))[0]
            for outputs in (shared, shared.contiguous())
        )
        torch.testing.assert_close(found, expected)


def test_likelihoods_are_complete():
    # a closed form of the gradient needs a probability
    for kind in LIKELIHOODS.values():
        has_vjp = kind.missing_vjp is not Likelihood.missing_vjp
        assert kind().masks_itself or not has_vjp
