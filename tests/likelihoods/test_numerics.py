"""Numerical functions of likelihoods."""

import numpy as np
import pytest
from cases import REALS, RNG

from skvae.likelihoods import (
    _numerics,
)


@pytest.mark.parametrize("cells", [1, 7, 200 * 2])
def test_standardisation_does_not_depend_on_the_size_of_pieces(monkeypatch, cells):
    monkeypatch.setattr(_numerics, "PIECE_CELLS", cells)
    weight = RNG.random(len(REALS))
    for factor in (1.0, 1e200):
        mean, spread = _numerics.standardisation(factor * REALS, weight)
        expected = np.average(REALS, axis=0, weights=weight)
        np.testing.assert_allclose(mean / factor, expected, rtol=1e-12)
        square = np.average(np.square(REALS - expected), axis=0, weights=weight)
        np.testing.assert_allclose(spread / factor, np.sqrt(square), rtol=1e-12)
    mean, spread = _numerics.standardisation(np.full((200, 2), 0.1), weight)
    assert (mean == 0.1).all()
    assert (spread == 0).all()
