"""Errors of floating point that are ignored."""

import signal

import numpy as np
import pytest

from skvae._floats import float_errors_ignored


def test_only_the_named_errors_are_ignored():
    zero = np.zeros(1)
    with np.errstate(all="raise"):
        before = np.geterr()
        with float_errors_ignored("divide", "over"):
            assert np.isposinf(1 / zero)
            with pytest.raises(FloatingPointError, match="invalid"):
                zero / zero
        assert np.geterr() == before


def test_an_interrupt_in_the_block_restores_the_former_settings():
    before = np.geterr()
    with pytest.raises(KeyboardInterrupt), float_errors_ignored("over"):
        signal.raise_signal(signal.SIGINT)
    assert np.geterr() == before
