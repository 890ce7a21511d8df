"""What a run of training leaves besides the weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from skvae._training.schedules import REDUCTION


@dataclass
class History:
    """The losses and scores of each epoch, in nats per row and the caller's units."""

    loss_curve: list[float] = field(default_factory=list)
    reconstruction_curve: list[float] = field(default_factory=list)
    kl_curve: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    diverged: list[int] = field(default_factory=list)  # numbers of epochs that were taken again
    validation_scores: list[float] = field(default_factory=list)
    best_validation_score: float | None = None
    stopped: bool = False  # by a callback or the keyboard
    interrupted: bool = False  # by the keyboard
    error: Exception | None = None  # after training

    @property
    def retreat(self) -> float:
        """The factor of the learning rate after the epochs that diverged."""
        return REDUCTION ** len(self.diverged)

    def interrupt(self) -> None:
        """Record an interrupt from the keyboard."""
        self.stopped = self.interrupted = True

    @property
    def kept(self) -> dict[str, Any]:
        """The fields as they are now, for a run that continues."""
        return {name: copy.copy(value) for name, value in vars(self).items()}

    def raise_error(self) -> None:
        """Raise the interrupt or the error, if there was one."""
        if self.interrupted:
            raise KeyboardInterrupt
        if self.error is not None:
            raise self.error
