"""How the learning rate changes during training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

# The share of the steps in which "cosine" raises the learning rate from zero: Adam knows little of
# the gradients in its first steps, which would otherwise bound the rate of all.
RATE_WARMUP = 0.1
# Steps over which Adam averages squared gradients, as its authors have it.
ADAM_STEPS = 1000.0


@dataclass(frozen=True)
class Schedule:
    """The learning rate over a run.

    Parameters
    ----------
    factor : callable
        The learning rate as a share of ``learning_rate_init``, by the share of the steps done.
    has_end : bool
        Whether the rate depends on how many steps there will be. Adam then averages squared
        gradients over a share of them: those of the start would otherwise count to the end of a
        short run.
    reduces : bool
        Whether the rate is reduced once when early stopping would end training.
    """

    factor: Callable[[float], float]
    has_end: bool = True
    reduces: bool = False

    def averaged_steps(self, n_steps: int) -> float:
        """Over how many of the steps Adam averages squared gradients."""
        return min(max(n_steps / 25, 20.0), ADAM_STEPS) if self.has_end else ADAM_STEPS


def constant(progress: float) -> float:
    """The same rate in all steps."""
    return 1.0


def cosine(progress: float) -> float:
    """A linear rise from 0, then half a period of a cosine to 0."""
    falling = (progress - RATE_WARMUP) / (1 - RATE_WARMUP)
    return min(progress / RATE_WARMUP, 0.5 + 0.5 * math.cos(math.pi * falling))


SCHEDULES: dict[str, Schedule] = {
    "adaptive": Schedule(constant, has_end=False, reduces=True),
    "constant": Schedule(constant, has_end=False),
    "cosine": Schedule(cosine),
}


def resolve_schedule(learning_rate: str | Callable[[float], float]) -> Schedule:
    """The schedule of a name, or of a function of the share of the steps done."""
    if isinstance(learning_rate, str):
        return SCHEDULES[learning_rate]
    return Schedule(learning_rate)
