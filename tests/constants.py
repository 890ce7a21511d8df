"""Compare the constants of likelihoods."""

import numpy as np


def assert_close(one, other):
    """Arrays of numbers, or of named tuples of them, up to rounding."""
    if isinstance(one, tuple) or np.asarray(one).dtype == object:
        for part, counterpart in zip(one, other, strict=True):
            assert_close(part, counterpart)
    else:
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
