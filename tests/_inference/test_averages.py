"""Means and masses, averaged over weighted codes."""

import numpy as np
import pytest
import torch

from skvae._inference.averages import decoded_mean, weighted_masses, weighted_mean
from skvae._inference.slopes import mean_slopes
from skvae._model.cells import Cells
from skvae._model.vae import VAE
from skvae.likelihoods import Gaussian, Histogram
from skvae.likelihoods._clusters import ClusteredCategorical
from skvae.networks import MLP

N_ROWS, N_DRAWS, CLUSTERED = 20, 9, 2


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    numbers, levels = rng.normal(size=(N_ROWS, 2)), rng.integers(0, 6, size=(N_ROWS, 1)) * 1.0
    likelihoods = [
        (Gaussian(), numbers),
        (Histogram(n_bins=6, rows_per_bin=4), numbers[:, :1]),
        (ClusteredCategorical(2, 2, 3), levels),
    ]
    groups = [(one, one.fit(x, np.ones(N_ROWS)), x.shape[1], None) for one, x in likelihoods]
    generator = torch.Generator().manual_seed(0)
    found = VAE(groups, [], MLP(3), MLP((4,), "tanh"), 3, generator).double()
    for parameter in found.parameters():  # many start at zero
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return found


@pytest.fixture(scope="module")
def codes():
    return torch.randn(N_DRAWS, N_ROWS, 3, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture(scope="module")
def weight(codes):
    return torch.softmax(codes.sum(-1), dim=0)


def test_means_and_masses_are_weighted_sums(model, codes, weight):
    with torch.no_grad():
        each = torch.stack([decoded_mean(model, z) for z in codes])
        masses = torch.stack(
            [weighted_masses(model, CLUSTERED, z[None], torch.ones_like(weight[:1])) for z in codes]
        )
        mean = weighted_mean(model, codes, weight)
        found = weighted_masses(model, CLUSTERED, codes, weight)
    expected = torch.einsum("sn,snd->nd", weight, each)
    torch.testing.assert_close(mean[:, :3], expected[:, :3])  # of numbers
    torch.testing.assert_close(found, torch.einsum("sn,sndl->ndl", weight, masses))
    assert (mean[:, 3] == found[:, 0].argmax(-1)).all()


def test_blocks_give_what_all_rows_at_once_give(model, codes, weight, monkeypatch):
    def found():
        masses = weighted_masses(model, CLUSTERED, codes, weight)
        return [weighted_mean(model, codes, weight), masses, *mean_slopes(model, codes[0])]

    at_once = found()
    monkeypatch.setattr("skvae._inference.averages.STATISTICS_ELEMENTS", 100)
    monkeypatch.setattr("skvae._model.observation.STATISTICS_ELEMENTS", 100)
    for one, other in zip(at_once, found(), strict=True):
        torch.testing.assert_close(one, other)


def test_only_groups_with_missing_values_are_averaged(model, codes, weight):
    observed = torch.ones(N_ROWS, 4, dtype=torch.bool)
    observed[3, [0, 3]] = False
    mean, part = (
        weighted_mean(model, codes, weight),
        weighted_mean(model, codes, weight, Cells(torch.zeros(N_ROWS, 4), observed)),
    )
    torch.testing.assert_close(part[:, [0, 1, 3]], mean[:, [0, 1, 3]])
    with torch.no_grad():
        assert (part[:, 2] == decoded_mean(model, codes[0])[0, 2]).all()
