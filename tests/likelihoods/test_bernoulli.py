"""Bernoulli mass."""

import numpy as np
import torch
from cases import CASES

from skvae.likelihoods import (
    Bernoulli,
)


def test_bernoulli_counts_a_grey_level_as_a_share():
    case = CASES["bernoulli"]
    no, grey, yes = case.log_density(np.array([[0.0], [0.3], [1.0]]).repeat(2, axis=1))
    np.testing.assert_allclose(grey, 0.7 * no + 0.3 * yes)


def test_binarize_draws_yes_and_no_at_the_grey_level():
    grey = torch.tensor([0.0, 0.2, 0.7, 1.0]).expand(20_000, 4)
    draws = [
        Bernoulli(binarize=True).draw_target(grey, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert set(draws[0].unique().tolist()) == {0.0, 1.0}
    assert (draws[0][:, [0, 3]] == grey[:, [0, 3]]).all()
    torch.testing.assert_close(draws[0].mean(0), grey[0], atol=0.015, rtol=0)
