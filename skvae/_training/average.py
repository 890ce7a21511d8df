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


class LatestWeights:
    """No average: the weights of the model are those of the latest step."""

    @property
    def tensors(self) -> list[Tensor]:
        """What changes in place, besides the weights of the model."""
        return []

    @contextmanager
    def at_latest(self) -> Iterator[None]:
        """The context of steps, in which the model has the weights of the latest step."""
        yield

    def update(self) -> None:
        """Include the weights of a step."""

    def restart(self) -> None:
        """Continue from the weights that the model has been given."""


class AveragedWeights(LatestWeights):
    """An exponential moving average of ``values`` over about ``n_steps`` steps.

    At a constant learning rate, averages are closer to an optimum than the weights of any step;
    [1]_ shows this for plain means. ``values`` are the averages, except within ``at_latest``.
    """

    def __init__(self, values: Tensor, n_steps: float) -> None:
        self.values, self.n_steps = values, n_steps
        self.mean, self.latest = values.clone(), values.clone()
        self.n_seen = values.new_zeros(())

    @property
    def tensors(self) -> list[Tensor]:
        return [self.mean, self.latest, self.n_seen]

    @contextmanager
    def at_latest(self) -> Iterator[None]:
        self.values.copy_(self.latest)
        try:
            yield
        finally:
            self.latest.copy_(self.values)
            self.values.copy_(self.mean)

    def update(self) -> None:
        self.n_seen += 1
        # m + w (x - m), w = max(1 / n_seen, 1 / n_steps): the first steps count equally
        share = self.n_seen.reciprocal().clamp_(min=1 / self.n_steps)
        self.mean.lerp_(self.values, share)

    def restart(self) -> None:
        self.mean.copy_(self.values)
        self.latest.copy_(self.values)
        self.n_seen.zero_()
