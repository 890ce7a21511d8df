"""When training ends, and which weights it keeps."""

from __future__ import annotations

import math

from skvae._training.average import LatestWeights
from skvae._training.plan import Plan
from skvae._training.schedules import REDUCTION
from skvae._training.snapshot import Snapshot


class Watch:
    """Track the validation scores: keep the best weights, and decide when training ends.

    Attributes
    ----------
    best : Snapshot
        The weights and buffers of the best epoch.
    best_score : float or None
        Its score; None before the first epoch.
    rate : float
        The factor by which the learning rate is multiplied.
    average : LatestWeights or AveragedWeights
        Restarts from the best epoch with another rate.
    """

    def __init__(self, best: Snapshot, plan: Plan, average: LatestWeights) -> None:
        self.best, self.plan, self.average = best, plan, average
        self.best_score: float | None = None
        self.rate, self.patience = 1.0, plan.n_iter_no_change
        self.bar, self.since_best = -math.inf, 0  # the next score must exceed the bar

    @property
    def numbers(self) -> dict[str, float | None]:
        """All that changes, except for the best weights."""
        names = "best_score", "rate", "patience", "bar", "since_best"
        return {name: getattr(self, name) for name in names}

    def begin(self, score: float, *, may_fall: bool) -> None:
        """Record the score of the start weights. The next scores may be lower if ``may_fall``."""
        self.best_score = score
        if not may_fall:
            self.bar = score + self.plan.tol

    def see(self, score: float) -> None:
        """Record the score of an epoch."""
        if self.best_score is None or score > self.best_score:
            self.best_score = score
            self.best.take()
        self.since_best = 0 if score > self.bar else self.since_best + 1
        self.bar = max(self.bar, score + self.plan.tol)

    def is_over(self) -> bool:
        """Whether training ends. Some schedules reduce the learning rate once before that."""
        if self.since_best < self.patience:
            return False
        if not self.plan.learning_rate.reduces or self.rate < 1:
            return True
        self.rate, self.patience, self.since_best = REDUCTION, -(-self.patience // 2), 0
        self.best.restore()
        self.average.restart()
        return False
