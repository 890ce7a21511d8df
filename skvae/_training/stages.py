"""Run the stages of training in order, and keep the state from which later runs continue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Generator

from skvae._blocks import START_CELLS, START_ROWS
from skvae._interrupts import interrupts_held
from skvae._model.phases import CODES, WHOLE, Phase
from skvae._model.state import load_all_arrays
from skvae._model.vae import VAE
from skvae._torch.random import derive, generator_from
from skvae._torch.runtime import resolve_precision, torch_runtime
from skvae._training.history import History
from skvae._training.loop import Run
from skvae._training.optimizer import Optimizer
from skvae._training.plan import Stage
from skvae._training.progress import BetweenEpochs
from skvae._training.rows import Rows, WeightedRows


@dataclass
class TrainingState:
    """The results of training so far, and the state that it needs to continue.

    ``optimizer`` and ``phase`` are those of the last stage. Only the first run has a stage that
    finds the codes, of ``n_codes_epochs`` epochs.
    """

    loss_curve: list[float] = field(default_factory=list)
    reconstruction_curve: list[float] = field(default_factory=list)
    kl_curve: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_validation_score: float | None = None
    precision: str = "float32"
    optimizer: dict[str, NDArray[Any]] | None = None
    phase: Phase = WHOLE
    n_codes_epochs: int = 0

    @property
    def n_epochs(self) -> int:
        """The number of epochs so far."""
        return len(self.loss_curve)

    def extended(self, history: History) -> TrainingState:
        """This state after the epochs of another run."""
        return replace(
            self,
            loss_curve=self.loss_curve + history.loss_curve,
            reconstruction_curve=self.reconstruction_curve + history.reconstruction_curve,
            kl_curve=self.kl_curve + history.kl_curve,
            learning_rates=self.learning_rates + history.learning_rates,
            validation_scores=self.validation_scores + history.validation_scores,
            best_validation_score=history.best_validation_score,
        )


@dataclass
class Progress:
    """How far a run is: the number of its stage, the state before that stage, and now."""

    stage: int
    before: TrainingState
    now: BetweenEpochs


class Checkpoint(Protocol):
    """Where the progress of a run is kept, so that the run can continue if it is killed."""

    def read(self) -> Progress | None:
        """The progress that was kept last; None if there is none."""

    def offer(self, progress: Callable[[], Progress]) -> None:
        """Keep this progress, unless the last one was kept a short time ago."""


def train_stages(
    model: VAE,
    state: TrainingState,
    stages: Sequence[Stage],
    rows: WeightedRows,
    *,
    seed: int,
    validation: Rows | None,
    on_epoch: Callable[[TrainingState], bool],
    checkpoint: Checkpoint | None = None,
) -> tuple[TrainingState, History]:
    """Train ``model`` in place, stage by stage. Returns the new state and this run's history.

    A stage gets the epochs that the stages before it left. ``on_epoch`` is that of ``Run.train``,
    but is called with the state so far, in the caller's torch modes. Raises KeyboardInterrupt if
    interrupted before the first epoch is complete.

    With the progress of a ``checkpoint``, training continues from there.
    """
    device = rows.weight.device
    n_weights = sum(parameter.numel() for parameter in model.parameters())
    work = max(stage.plan.n_draws * stage.plan.batch_size for stage in stages) * n_weights
    history, after = History(), replace(state)
    with torch_runtime(device, work=work) as caller:

        def report(history: History) -> bool:
            with interrupts_held() as hold, caller.modes(), hold.lifted():
                return on_epoch(after.extended(history))

        generator = generator_from(derive(seed, "training", state.n_epochs), device)
        progress = None if checkpoint is None else checkpoint.read()
        if progress is not None:
            load_all_arrays(model, progress.now.model)
            vars(history).update(progress.now.history)
            after = progress.before
        for number, stage in enumerate(stages):
            if progress is not None and number < progress.stage:
                continue
            resumed, progress = None if progress is None else progress.now, None
            n_before = len(history.loss_curve) if resumed is None else resumed.n_before

            def offer(state: Callable[[], BetweenEpochs], number: int = number) -> None:
                if checkpoint is not None:
                    checkpoint.offer(lambda: Progress(number, after, state()))

            precision = resolve_precision(stage.plan.precision, device, work)
            plan = replace(stage.plan, precision=precision)
            n_left = len(stage.epochs) - n_before
            optimizer = Optimizer(model, plan, after.optimizer, model.learned(stage.phase))
            run = Run(
                model,
                rows,
                replace(stage, plan=plan, epochs=stage.epochs[:n_left]),
                validation=validation,
                optimizer=optimizer,
                generator=generator,
                history=history,
                resumed=resumed,
            )
            run.train(report, offer)
            model.zero_grad(set_to_none=True)
            after.precision, after.optimizer, after.phase = (
                precision,
                optimizer.state(),
                stage.phase,
            )
            if stage.phase == CODES:
                _fit_noise(model, rows, generator)
                after.optimizer, after.phase = None, stages[-1].phase
                after.n_codes_epochs = len(history.loss_curve)
            if history.stopped:
                break
    if history.interrupted and not history.loss_curve:
        raise KeyboardInterrupt
    return after.extended(history), history


def rows_to_start_from(model: VAE) -> int:
    """The number of rows for what is fitted in closed form, before training and between stages.

    It is smaller for wide tables, whose features need more memory.
    """
    width = sum(group.n_features + group.n_outputs for group in model.groups)
    return max(min(START_ROWS, START_CELLS // width), 2 * model.n_components)


def _fit_noise(model: VAE, rows: WeightedRows, generator: Generator) -> None:
    """Set the noise of the columns whose locations were used to find the codes."""
    sample = rows.sample(rows_to_start_from(model), generator)
    noise = sample.cells.values.new_empty(1, len(sample), model.n_components)
    noise.normal_(generator=generator)
    model.fit_noise(sample.cells, sample.share, noise)
