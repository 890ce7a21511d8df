"""Weights averaged over the steps of training.

References
----------
.. [1] B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by
       Averaging", SIAM Journal on Control and Optimization, 1992.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


class WeightAverage:
    """An exponential moving average of weights over about ``n_steps`` steps.

    At a constant learning rate, averages are closer to an optimum than the weights of any step
    ([1]_). ``values`` are the averages, except within ``steps``.
    """

    def __init__(self, values: Tensor, n_steps: float = 1.0) -> None:
        self.values, self.n_steps = values, n_steps
        self.mean, self.latest = values.clone(), values.clone()
        self.n_seen = values.new_zeros(())

    @property
    def tensors(self) -> list[Tensor]:
        """What changes in place, besides ``values``."""
        return [self.mean, self.latest, self.n_seen]

    @contextmanager
    def steps(self) -> Iterator[None]:
        """The context of steps, in which ``values`` are those of the latest step."""
        self.values.copy_(self.latest)
        try:
            yield
        finally:
            self.latest.copy_(self.values)
            self.values.copy_(self.mean)

    def update(self) -> None:
        """Include the values of a step."""
        self.n_seen += 1
        # m + w (x - m), w = max(1 / n_seen, 1 / n_steps): the first steps have equal weights
        weight = self.n_seen.reciprocal().clamp_(min=1 / self.n_steps)
        self.mean.lerp_(self.values, weight)

    def restart(self) -> None:
        """Continue from ``values``, which have been set, and average the steps from now on."""
        self.mean.copy_(self.values)
        self.latest.copy_(self.values)
        self.n_seen.zero_()
