"""numpy's errors of floating point."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from skvae._interrupts import interrupts_held


@contextmanager
def float_errors_ignored(*kinds: str) -> Iterator[None]:
    """A block without these errors: "divide", "over", "under" or "invalid".

    Interrupts are held back in it, since one that hits ``numpy.errstate`` while it is left would
    keep its setting.
    """
    ignored: dict[str, Any] = dict.fromkeys(kinds, "ignore")
    with interrupts_held(), np.errstate(**ignored):
        yield
