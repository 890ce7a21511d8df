"""Minibatch stochastic gradient variational Bayes: rows in, a trained module out.

The method of [1]_, with minibatches that contain rows in proportion to their weights.

References
----------
.. [1] "Under the Hood of the Variational Autoencoder (in Prose and Code)",
       Fast Forward Labs, 2016.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from skvae._interrupts import interrupts_allowed, interrupts_held
from skvae._model.cells import Cells
from skvae._model.phases import WHOLE, Phase
from skvae._model.state import all_arrays_of, load_all_arrays
from skvae._model.vae import VAE
from skvae._torch.pace import Take, call, paced
from skvae._torch.replay import FEWEST_STEPS, Replay
from skvae._torch.runtime import networks_in
from skvae._training.average import AveragedWeights, LatestWeights
from skvae._training.bounds import MeanBound
from skvae._training.optimizer import Optimizer
from skvae._training.plan import Plan, Stage
from skvae._training.progress import (
    BetweenEpochs,
    copies,
    generator_state,
    set_generator_state,
    set_tensors,
)
from skvae._training.rows import Rows, WeightedRows
from skvae._training.snapshot import LastTwo, Snapshot
from skvae.objectives import Objective

# "adaptive" multiplies the learning rate by this, once, when the validation score stops rising, and
# all schedules do so after an epoch that diverged, at most MOST_RETREATS times in a fit.
REDUCTION, MOST_RETREATS = 0.2, 5
# An epoch's loss is the mean over evenly spaced steps, at least this many. The other steps compute
# only the gradient, which saves a twentieth of their time.
LOSS_STEPS = 8


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


class Step:
    """A step of training. The tensors that it needs besides the rows are allocated once."""

    def __init__(
        self,
        model: VAE,
        plan: Plan,
        optimizer: Optimizer,
        generator: Generator,
        *,
        n_steps: int,
        phase: Phase = WHOLE,
    ) -> None:
        self.phase = phase
        values, batch = optimizer.values, plan.batch_size
        self.model, self.plan, self.optimizer, self.generator = model, plan, optimizer, generator
        self.noise = values.new_empty(plan.n_draws, batch, model.n_components)
        self.loss = values.new_zeros(batch, dtype=torch.float64)
        # its two terms: log p(x|z), and the KL divergence of each dimension, or of all of them
        n_divergences = model.n_components if model.learned_prior is None else 1
        self.log_px = values.new_zeros(plan.n_draws, batch)
        self.kl = values.new_zeros(batch, n_divergences)
        many = values.device.type == "cuda" and n_steps >= FEWEST_STEPS
        replays = many and model.replayable and plan.objective.replayable
        self.replay = Replay(generator) if replays else None
        self.held: dict[bool, tuple[Cells, Tensor]] = {}
        self.pace: Callable[[Take], None] = call

    def __call__(self, cells: Cells, done: float, rate: float, *, with_loss: bool) -> None:
        """Take one step, after the share ``done`` of all steps; optionally add to ``sums``."""
        objective = self.plan.objective_at(done)
        rate *= self.plan.learning_rate.factor(done)
        if self.replay is None:
            self.pace(lambda: self._take(cells, objective, rate, with_loss))
        else:
            # a recording reads fixed memory: each minibatch and rate is copied to that of the first
            whole = cells.observed is None
            held, rate_held = self.held.setdefault(whole, (cells, self.noise.new_empty(())))
            held.copy_(cells)
            rate_held.fill_(rate)
            key = whole, objective.beta, with_loss  # all else of the objective is fixed
            self.replay(key, lambda: self._take(held, objective, rate_held, with_loss))

    @property
    def sums(self) -> list[Tensor]:
        """The loss and its terms, added up over steps."""
        return [self.loss, self.log_px, self.kl]

    def _take(
        self, cells: Cells, objective: Objective, rate: float | Tensor, with_loss: bool
    ) -> None:
        cells = self.model.draw_target(cells, self.generator)
        self.noise.normal_(generator=self.generator)
        terms = self.model.find_gradient(objective, cells, self.noise, self.generator, self.phase)
        if with_loss:
            bound, log_px, kl = terms()
            self.loss -= bound
            self.log_px += log_px
            self.kl += kl
        del terms  # frees the minibatch that it references
        self.optimizer.step(rate)


def train(
    model: VAE,
    rows: WeightedRows,
    stage: Stage,
    *,
    validation: Rows | None,
    optimizer: Optimizer,
    generator: Generator,
    on_epoch: Callable[[History], bool],
    history: History,
    resumed: BetweenEpochs | None = None,
    offer: Callable[[Callable[[], BetweenEpochs]], None] = lambda state: None,
) -> None:
    """Train ``model`` in place by the epochs of a stage, and append these to ``history``.

    With ``plan.early_stopping`` training ends when the validation bound has not risen by ``tol``
    nats in ``n_iter_no_change`` epochs, and the weights of the best epoch are restored. The
    "adaptive" learning rate is first reduced, and training continues from the best epoch until the
    bound has not risen in half as many epochs.

    ``on_epoch`` is called after each epoch, and ends training by returning True. An interrupt from
    the keyboard also ends training; the steps of the interrupted epoch are discarded.

    An epoch diverged if its loss, its validation score or a weight is not finite. Training then
    goes back to the state before it, or one epoch further if it diverges again, and takes it again
    at a lower learning rate, which later epochs keep. Raises ValueError after MOST_RETREATS times.

    ``offer`` is called after each epoch that another one may follow, with a function that returns
    the state between them. With such a state as ``resumed``, the remaining epochs are the same as
    those that followed.
    """
    phase, plan, epochs = stage.phase, stage.plan, stage.epochs
    n_before = len(history.loss_curve)
    if resumed is not None:
        n_before = resumed.n_before
        set_generator_state(generator, resumed.start)
    start = generator_state(generator)
    per_epoch = stage.steps_of_epoch(len(rows))
    history.best_validation_score = None
    score = None if validation is None else MeanBound(model, validation, plan, generator, phase)
    n_steps = per_epoch * len(epochs)
    step = Step(model, plan, optimizer, generator, phase=phase, n_steps=n_steps)
    optimizer.average_over(plan.learning_rate.averaged_steps(per_epoch * epochs.stop))
    n_averaged = plan.average * per_epoch
    if n_averaged > 1:
        optimizer.average = AveragedWeights(optimizer.values, n_averaged)
    average = optimizer.average
    weights = [optimizer.values, *model.network_buffers()]
    last = LastTwo([*weights, *average.tensors, *optimizer.moments.values()])
    watch = Watch(Snapshot(weights), plan, average)
    state = [*last.tensors, *step.sums]

    changing = [*average.tensors, *optimizer.moments.values()]

    def between() -> BetweenEpochs:
        return BetweenEpochs(
            n_before,
            start,
            generator_state(generator),
            all_arrays_of(model),
            copies(changing),
            copies(watch.best.copies),
            watch.numbers,
            history.kept,
        )

    def resume(state: BetweenEpochs) -> None:
        load_all_arrays(model, state.model)
        set_tensors(changing, state.tensors)
        set_tensors(watch.best.copies, state.best)
        vars(watch).update(state.watch)
        set_generator_state(generator, state.generator)
        last.take()

    def outcome(take: Take) -> list[Tensor]:
        before, of_generator = Snapshot(state), generator.get_state()
        take()
        after = [*(tensor.clone() for tensor in state), step.loss.mean()]
        scores = [] if score is None else [torch.tensor(score())]
        before.restore()
        generator.set_state(of_generator)
        return after + scores

    def finite_epoch(number: int, progress: list[float]) -> tuple[list[float], float]:
        while True:
            with average.at_latest():
                terms = _epoch(rows, progress, watch.rate * history.retreat, step)
            value = 0.0 if score is None else score()
            if _is_finite(terms[0], value, optimizer.values):
                return terms, value
            if len(history.diverged) == MOST_RETREATS:
                raise ValueError(divergence(plan, [*history.diverged, number]))
            # the weights may be finite after an epoch, and yet too large for another step
            (last.restore_before if number in history.diverged else last.restore)()
            history.diverged.append(number)

    try:
        undone = outcome if _may_be_undone(model, plan) else None
        with interrupts_held(), paced(undone) as step.pace, interrupts_allowed():
            if resumed is not None:
                resume(resumed)
            elif score is not None:
                # the score may fall in the first epochs of a fit, but not after a fit or a phase
                watch.begin(score(), may_fall=epochs.start == 0 and not history.loss_curve)
            for epoch in epochs[len(history.loss_curve) - n_before :]:
                progress = [(epoch + (i + 0.5) / per_epoch) / epochs.stop for i in range(per_epoch)]
                number = max(epoch, len(history.loss_curve)) + 1
                (loss, reconstruction, kl), value = finite_epoch(number, progress)
                rate = plan.learning_rate.factor(progress[-1]) * plan.learning_rate_init
                rate *= watch.rate * history.retreat
                with interrupts_held():
                    last.take()
                    history.loss_curve.append(loss - rows.log_jacobian)
                    history.reconstruction_curve.append(reconstruction - rows.log_jacobian)
                    history.kl_curve.append(kl)
                    history.learning_rates.append(float(rate))
                    if score is not None:
                        history.validation_scores.append(value)
                        watch.see(value)
                    history.best_validation_score = watch.best_score
                if on_epoch(history):
                    history.stopped = True
                    break
                if plan.early_stopping and watch.is_over():
                    break
                offer(between)
    except KeyboardInterrupt:
        history.interrupt()
        optimizer.settle()
        last.restore()
    history.best_validation_score = watch.best_score
    if plan.early_stopping and watch.best_score is not None:
        watch.best.restore()


def _may_be_undone(model: VAE, plan: Plan) -> bool:
    """Whether a step changes nothing but weights, moments and the generator, all in float32."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    built_in = model.replayable and plan.objective.replayable
    return on_cpu and built_in and plan.precision == "float32"


def _is_finite(loss: float, score: float, weights: Tensor) -> bool:
    return math.isfinite(loss) and math.isfinite(score) and bool(torch.isfinite(weights).all())


def divergence(plan: Plan, epochs: list[int]) -> str:
    """The message of an error after the last of the epochs that diverged."""
    return (
        f"Training diverged in epoch {epochs[-1]}: the loss, a weight or the validation score is "
        f"not finite, at learning_rate_init={plan.learning_rate_init} and after "
        f"{len(epochs) - 1} reductions of it to a fifth. Lower learning_rate_init or "
        "gradient_clip, or look for outliers in the rows."
    )


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


def _epoch(rows: WeightedRows, progress: list[float], rate: float, step: Step) -> list[float]:
    """Take a step for each entry of ``progress`` through training.

    Returns the means of the loss, of -log p(x|z) and of the KL divergence.
    """
    plan, device = step.plan, step.loss.device
    n_steps = len(progress)
    stride = max(1, n_steps // LOSS_STEPS)
    steps_with_loss = range(stride // 2, n_steps, stride)
    for total in step.sums:
        total.zero_()
    numbered = iter(enumerate(progress))
    for buffer in rows.buffers(n_steps, plan.batch_size, step.generator):
        # tensors made here are not used outside, so torch can skip the bookkeeping for autograd
        with (
            interrupts_held() as hold,
            step.optimizer.steps(),
            torch.inference_mode(),
            networks_in(plan.precision, device),
            hold.lifted(),
        ):
            for batch in buffer.batches:
                number, done = next(numbered)
                step(buffer.cells.take(batch), done, rate, with_loss=number in steps_with_loss)
    means = step.loss.mean(), -step.log_px.mean(), step.kl.sum(-1).mean()
    return [float(mean) / len(steps_with_loss) for mean in means]
