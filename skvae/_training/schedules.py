"""How the learning rate changes during training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from skvae._rules import number

# The share of the steps in which "cosine" raises the learning rate from zero. Adam's averages are
# of few gradients in its first steps, which would otherwise limit the learning rate of all steps.
RATE_WARMUP = 0.1
# The share of the steps in which "adaptive" keeps the learning rate.
CONSTANT_SHARE = 2 / 3
# "adaptive" multiplies the learning rate by this, once, when the validation score stops rising, and
# all schedules do so after an epoch that diverged.
REDUCTION = 0.2
# Steps over which Adam averages squared gradients, the default of its authors.
ADAM_STEPS = 1000.0


@dataclass(frozen=True)
class Schedule:
    """The learning rate during a run.

    Parameters
    ----------
    factor : callable
        Maps the share of the steps done to the learning rate, as a share of
        ``learning_rate_init``.
    has_end : bool
        Whether training is expected to end with the last step, and not before. Adam then averages
        squared gradients over a share of the steps. Otherwise the first gradients would have an
        effect until the end of a short run.
    reduces : bool
        Whether the rate is reduced once when early stopping would end training.
    """

    factor: Callable[[float], float]
    has_end: bool = True
    reduces: bool = False

    def averaged_steps(self, n_steps: int) -> float:
        """The number of steps over which Adam averages squared gradients."""
        return min(max(n_steps / 25, 20.0), ADAM_STEPS) if self.has_end else ADAM_STEPS


def constant(progress: float) -> float:
    """The same rate in all steps."""
    return 1.0


def falling(progress: float) -> float:
    """The same rate in two thirds of the steps, then a linear fall to a tenth."""
    return min(1.0, 0.1 + 0.9 * (1 - progress) / (1 - CONSTANT_SHARE))


def cosine(progress: float) -> float:
    """A linear rise from 0, then half a period of a cosine down to 0."""
    after = (progress - RATE_WARMUP) / (1 - RATE_WARMUP)
    return min(progress / RATE_WARMUP, 0.5 + 0.5 * math.cos(math.pi * after))


SCHEDULES: dict[str, Schedule] = {
    "adaptive": Schedule(falling, has_end=False, reduces=True),
    "constant": Schedule(constant, has_end=False),
    "cosine": Schedule(cosine),
}


def resolve_schedule(learning_rate: str | Callable[[float], float]) -> Schedule:
    """The schedule with a name, or made from a function of the share of the steps done.

    Raises ValueError if the function fails at the start or the end of training, or if its result is
    not a number of at least 0.
    """
    if isinstance(learning_rate, str):
        return SCHEDULES[learning_rate]
    for progress in (0.0, 1.0):
        try:
            factor = learning_rate(progress)
        except Exception as error:
            raise ValueError(
                f"learning_rate={learning_rate!r} must be a function of the share of the steps "
                f"done, a number from 0 to 1; learning_rate({progress}) raises "
                f"{type(error).__name__}: {error}"
            ) from error
        number(0).check(f"learning_rate({progress})", factor)
    return Schedule(learning_rate)
