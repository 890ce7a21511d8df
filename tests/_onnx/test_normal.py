import numpy as np
import torch
from scipy.special import ndtr, ndtri

from skvae._onnx.normal import normal_probability, normal_quantile


def test_probabilities_are_those_of_scipy():
    x = np.linspace(-37.0, 37.0, 2001)
    found = normal_probability(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, ndtr(x), rtol=1.2e-7)


def test_quantiles_are_those_of_scipy():
    p = ndtr(np.linspace(-37.0, 8.0, 2001))
    found = normal_quantile(torch.from_numpy(p)).numpy()
    np.testing.assert_allclose(found, ndtri(p), rtol=1.2e-9, atol=1e-15)


def test_quantiles_of_0_and_1_are_finite():
    low, high = normal_quantile(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert low < -37 < 37 < high < np.inf
