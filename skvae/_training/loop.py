"""Minibatch stochastic gradient variational Bayes: rows in, a trained module out.

The method of [1]_, with minibatches that contain rows in proportion to their weights.

References
----------
.. [1] "Under the Hood of the Variational Autoencoder (in Prose and Code)",
       Fast Forward Labs, 2016.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from skvae._interrupts import interrupts_allowed, interrupts_held
from skvae._model.state import all_arrays_of, load_all_arrays
from skvae._model.vae import VAE
from skvae._torch.pace import Take, paced
from skvae._torch.runtime import networks_in
from skvae._training.average import AveragedWeights
from skvae._training.bounds import MeanBound
from skvae._training.early_stopping import Watch
from skvae._training.history import History
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
from skvae._training.step import Step

MOST_RETREATS = 5  # from epochs that diverged, in a fit
# An epoch's loss is the mean over evenly spaced steps, at least this many. The other steps compute
# only the gradient, which saves a twentieth of their time.
LOSS_STEPS = 8


class Run:
    """The epochs of a stage: their state, and how it changes.

    They are appended to ``history``. With a state that ``between`` returned as ``resumed``, the
    remaining epochs are the same as those that followed it.

    Attributes
    ----------
    step : Step
    score : callable or None
        The validation score of the weights.
    watch : Watch
        It keeps the weights of the best epoch.
    last : LastTwo
        The state after the last two epochs, for epochs that diverge or are interrupted.
    changing : list of Tensor
        What changes from step to step besides the weights.
    n_before, n_steps : int
        The number of epochs in ``history`` before the stage, and of steps in an epoch.
    """

    def __init__(
        self,
        model: VAE,
        rows: WeightedRows,
        stage: Stage,
        *,
        validation: Rows | None,
        optimizer: Optimizer,
        generator: Generator,
        history: History,
        resumed: BetweenEpochs | None = None,
    ) -> None:
        self.model, self.rows, self.plan, self.epochs = model, rows, stage.plan, stage.epochs
        self.optimizer, self.generator, self.history = optimizer, generator, history
        self.resumed, self.n_before = resumed, len(history.loss_curve)
        if resumed is not None:
            self.n_before = resumed.n_before
            set_generator_state(generator, resumed.start)
        self.start = generator_state(generator)
        self.n_steps = stage.steps_of_epoch(len(rows))
        history.best_validation_score = None
        self.score = (
            None
            if validation is None
            else MeanBound(model, validation, self.plan, generator, stage.phase)
        )
        n_steps = self.n_steps * len(self.epochs)
        self.step = Step(model, self.plan, optimizer, generator, phase=stage.phase, n_steps=n_steps)
        plan = self.plan
        optimizer.average_over(plan.learning_rate.averaged_steps(self.n_steps * self.epochs.stop))
        n_averaged = plan.average * self.n_steps
        if n_averaged > 1:
            optimizer.average = AveragedWeights(optimizer.values, n_averaged)
        weights = [optimizer.values, *model.network_buffers()]
        self.changing = [*optimizer.average.tensors, *optimizer.moments.values()]
        self.last = LastTwo([*weights, *self.changing])
        self.watch = Watch(Snapshot(weights), plan, optimizer.average)

    def train(
        self,
        on_epoch: Callable[[History], bool],
        offer: Callable[[Callable[[], BetweenEpochs]], None] = lambda state: None,
    ) -> None:
        """Train the model in place by the epochs that are left, and append these to the history.

        With ``plan.early_stopping`` training ends when the validation bound has not risen by
        ``tol`` nats in ``n_iter_no_change`` epochs, and the weights of the best epoch are restored.
        The "adaptive" learning rate is first reduced, and training continues from the best epoch
        until the bound has not risen in half as many epochs.

        ``on_epoch`` is called after each epoch, and ends training by returning True. An interrupt
        from the keyboard also ends training; the steps of the interrupted epoch are discarded.

        An epoch diverged if its loss, its validation score or a weight is not finite. Training then
        goes back to the state before it, or one epoch further if it diverges again, and takes it
        again at a lower learning rate, which later epochs keep. Raises ValueError after
        MOST_RETREATS times.

        ``offer`` is called after each epoch that another one may follow, with a function that
        returns the state between them.
        """
        try:
            undone = self.outcome if _may_be_undone(self.model, self.plan) else None
            with interrupts_held(), paced(undone) as self.step.pace, interrupts_allowed():
                self.begin()
                for epoch in self.epochs_left:
                    self.take_epoch(epoch)
                    if on_epoch(self.history):
                        self.history.stopped = True
                        break
                    if self.plan.early_stopping and self.watch.is_over():
                        break
                    offer(self.between)
        except KeyboardInterrupt:
            self.history.interrupt()
            self.undo_epoch()
        self.end()

    @property
    def epochs_left(self) -> range:
        """The epochs of the stage that the history does not have."""
        return self.epochs[len(self.history.loss_curve) - self.n_before :]

    def begin(self) -> None:
        """Continue from the progress that was kept, or score the start weights."""
        if self.resumed is not None:
            load_all_arrays(self.model, self.resumed.model)
            set_tensors(self.changing, self.resumed.tensors)
            set_tensors(self.watch.best.copies, self.resumed.best)
            vars(self.watch).update(self.resumed.watch)
            set_generator_state(self.generator, self.resumed.generator)
            self.last.take()
        elif self.score is not None:
            # the score may fall in the first epochs of a fit, but not after a fit or a phase
            is_first = self.epochs.start == 0 and not self.history.loss_curve
            self.watch.begin(self.score(), may_fall=is_first)

    def between(self) -> BetweenEpochs:
        """The state from which the remaining epochs follow."""
        return BetweenEpochs(
            self.n_before,
            self.start,
            generator_state(self.generator),
            all_arrays_of(self.model),
            copies(self.changing),
            copies(self.watch.best.copies),
            self.watch.numbers,
            self.history.kept,
        )

    def take_epoch(self, epoch: int) -> None:
        """Take the steps of an epoch, and append it to the history."""
        history, n = self.history, self.n_steps
        progress = [(epoch + (i + 0.5) / n) / self.epochs.stop for i in range(n)]
        number = max(epoch, len(history.loss_curve)) + 1
        (loss, reconstruction, kl), score = self._finite_epoch(number, progress)
        schedule = self.plan.learning_rate.factor(progress[-1])
        rate = schedule * self.plan.learning_rate_init * self.watch.rate * history.retreat
        with interrupts_held():
            self.last.take()
            history.loss_curve.append(loss - self.rows.log_jacobian)
            history.reconstruction_curve.append(reconstruction - self.rows.log_jacobian)
            history.kl_curve.append(kl)
            history.learning_rates.append(float(rate))
            if self.score is not None:
                history.validation_scores.append(score)
                self.watch.see(score)
            history.best_validation_score = self.watch.best_score

    def _finite_epoch(self, number: int, progress: list[float]) -> tuple[list[float], float]:
        """The terms of an epoch's loss and its validation score, at a rate where all are finite."""
        diverged = self.history.diverged
        while True:
            with self.optimizer.average.at_latest():
                rate = self.watch.rate * self.history.retreat
                terms = _epoch(self.rows, progress, rate, self.step)
            score = 0.0 if self.score is None else self.score()
            if _is_finite(terms[0], score, self.optimizer.values):
                return terms, score
            if len(diverged) == MOST_RETREATS:
                raise ValueError(divergence(self.plan, [*diverged, number]))
            # the weights may be finite after an epoch, and yet too large for another step
            (self.last.restore_before if number in diverged else self.last.restore)()
            diverged.append(number)

    def outcome(self, take: Take) -> list[Tensor]:
        """Take a step and undo it. Returns what it changed, and the score after it."""
        state = [*self.last.tensors, *self.step.sums]
        before, of_generator = Snapshot(state), self.generator.get_state()
        take()
        after = [*(tensor.clone() for tensor in state), self.step.loss.mean()]
        scores = [] if self.score is None else [torch.tensor(self.score())]
        before.restore()
        self.generator.set_state(of_generator)
        return after + scores

    def undo_epoch(self) -> None:
        """Go back to the state after the last complete epoch."""
        self.optimizer.settle()
        self.last.restore()

    def end(self) -> None:
        """Keep the weights of the best epoch, with early stopping."""
        self.history.best_validation_score = self.watch.best_score
        if self.plan.early_stopping and self.watch.best_score is not None:
            self.watch.best.restore()


def _may_be_undone(model: VAE, plan: Plan) -> bool:
    """Whether a step changes nothing but weights, moments and the generator, all in float32."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    built_in = model.undoable and plan.objective.replayable
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
