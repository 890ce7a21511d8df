"""How to train: the values that parameters of the estimator stand for, and the phases of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from skvae._model.phases import CODES, DECODER, WHOLE, Phase
from skvae._model.vae import VAE
from skvae._training.schedules import Schedule
from skvae.objectives import Objective

# Epochs over which the weight of the divergence rises, unless given, and the most of all.
WARMUP_EPOCHS, LARGEST_WARMUP = 2, 0.1
# The largest share of the epochs that finds the codes, where the rest of the model comes after.
CODES_SHARE = 2 / 3
# How much larger minibatches are there, where steps are cheap and should be sure.
CODES_BATCH = 2
# The L2 penalty there by "auto", for each column that shares a unit.
UNIT_ALPHA = 1 / 64


@dataclass(frozen=True)
class Plan:
    """How to train, by the names of the parameters of ``VAETransformer``."""

    objective: Objective
    kl_warmup: float
    n_draws: int
    alpha: float
    learning_rate: Schedule
    learning_rate_init: float
    batch_size: int
    gradient_clip: float | None
    precision: str
    early_stopping: bool
    n_iter_no_change: int
    tol: float

    def objective_at(self, progress: float) -> Objective:
        """The objective after this share of the steps."""
        if progress >= self.kl_warmup:
            return self.objective
        return replace(self.objective, beta=progress / self.kl_warmup * self.objective.beta)


@dataclass(frozen=True)
class Stage:
    """Epochs of training: what they learn, and how. ``epochs.stop`` counts all of the fit."""

    phase: Phase
    plan: Plan
    epochs: range


def auto_batch_size(n_rows: int) -> int:
    """Small batches for few rows, which would otherwise take few steps, larger ones for many."""
    share = max(64, n_rows // 64)
    return min(1 << (share.bit_length() - 1), 512)


def auto_kl_warmup(max_iter: int) -> float:
    """The share of the steps in which the weight of the divergence rises."""
    return min(WARMUP_EPOCHS / max_iter, LARGEST_WARMUP)


def stages(
    model: VAE, plan: Plan, epochs: range, n_rows: int, *, last_phase: Phase, auto_alpha: bool
) -> Sequence[Stage]:
    """The stages of a fit of so many epochs at most.

    Where columns have locations that find the codes, these come first, and the whole model, or the
    decoder of columns in one unit, after them. A fit that continues has one stage.
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
