"""What the callbacks share: hooks that do nothing, and the codes whose images show the prior."""

from __future__ import annotations

from typing import Any

import numpy as np

from skvae._walks import percentiles, square


class EpochCallback:
    """Base of the callbacks. A subclass overrides ``on_fit_task_end``."""

    def setup(self, estimator: Any, context: Any) -> None:
        """Called before a fit."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Called before a fit and before each of its epochs."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Called after a fit, also one that failed."""


def prior_grid(n_steps, n_components):
    """Codes on the scale of N(0, I). -> (n_steps, n_steps, n_components).

    In two dimensions, they are at equally spaced percentiles, component 0 to the right and
    component 1 upwards. Otherwise they are draws, always the same.
    """
    if n_components == 2:
        return square(percentiles(n_steps))[::-1]
    return np.random.default_rng(0).standard_normal((n_steps, n_steps, n_components))
