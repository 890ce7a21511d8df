"""How to train: the resolved parameters of the estimator, and the stages of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from skvae._model.phases import CODES, DECODER, WHOLE, Phase
from skvae._model.vae import VAE
from skvae._training.schedules import Schedule
from skvae.objectives import Objective

# Default number of epochs over which the weight of the divergence rises, and the largest share of
# all epochs that it may take.
WARMUP_EPOCHS, LARGEST_WARMUP = 2, 0.1
# The largest share of the epochs for the stage that finds the codes, if the rest of the model is
# trained after it.
CODES_SHARE = 2 / 3
# Factor on the batch size in that stage, where steps are cheap and need less noisy gradients.
CODES_BATCH = 2
# The L2 penalty of alpha="auto" in that stage, for each column that shares a unit.
UNIT_ALPHA = 1 / 64
# The minimum number of steps in an epoch of fit, which therefore passes several times over a small
# table. Otherwise validation would cost more than training, and early stopping would end training
# after a few steps.
MIN_STEPS = 16


@dataclass(frozen=True)
class Plan:
    """How to train. The fields are named as the parameters of ``VAETransformer``."""

    objective: Objective
    kl_warmup: float
    n_draws: int
    alpha: float
    weight_decay: float
    learning_rate: Schedule
    learning_rate_init: float
    batch_size: int
    average: float
    gradient_clip: float | None
    precision: str
    early_stopping: bool
    n_iter_no_change: int
    tol: float

    def objective_at(self, progress: float) -> Objective:
        """The objective after the share ``progress`` of the steps."""
        if progress >= self.kl_warmup:
            return self.objective
        return replace(self.objective, beta=progress / self.kl_warmup * self.objective.beta)


@dataclass(frozen=True)
class Stage:
    """Epochs of training: what they learn, and how.

    ``epochs`` are their numbers, and ``epochs.stop`` is the total of the fit. An epoch is a pass
    over the rows, of at least ``min_steps`` steps.
    """

    phase: Phase
    plan: Plan
    epochs: range
    min_steps: int = MIN_STEPS

    def steps_of_epoch(self, n_rows: int) -> int:
        """The number of steps in an epoch."""
        return max(self.min_steps, -(-n_rows // self.plan.batch_size))


def auto_batch_size(n_rows: int) -> int:
    """The batch size: small for few rows, so that there are enough steps, and larger for many."""
    share = max(64, n_rows // 64)
    return min(1 << (share.bit_length() - 1), 512)


def auto_kl_warmup(max_iter: int) -> float:
    """The share of the steps over which the weight of the divergence rises."""
    return min(WARMUP_EPOCHS / max_iter, LARGEST_WARMUP)


def stages(
    model: VAE, plan: Plan, epochs: range, n_rows: int, *, last_phase: Phase, auto_alpha: bool
) -> Sequence[Stage]:
    """The stages of a fit of at most these epochs.

    If there are columns whose locations find the codes, the first stage finds the codes. The next
    stage trains the whole model, or only the decoder if columns share a unit. A fit that continues
    has one stage.
    """
    n, n_in_unit = len(epochs), model.n_in_unit
    n_codes = int(CODES_SHARE * n)
    if epochs.start > 0 or n_codes == 0 or not model.finds_codes_first:
        return [Stage(last_phase, plan, epochs)]
    codes = replace(
        plan,
        kl_warmup=min(plan.kl_warmup * n / n_codes, 1.0),
        alpha=UNIT_ALPHA * n_in_unit if auto_alpha else plan.alpha,
        batch_size=min(CODES_BATCH * plan.batch_size, n_rows),
    )
    last = replace(plan, kl_warmup=0.0, n_iter_no_change=-(-plan.n_iter_no_change // 2))
    return [
        Stage(CODES, codes, range(n_codes)),
        Stage(DECODER if n_in_unit else WHOLE, last, epochs),
    ]
