"""Minibatch stochastic gradient variational Bayes: rows in, a trained module out.

This file knows nothing of scikit-learn. The article's recipe [1]_, Adam [2]_ with every
element of the gradient clipped, over minibatches whose composition follows the weights.

References
----------
.. [1] "Under the Hood of the Variational Autoencoder (in Prose and Code)",
       Fast Forward Labs, 2016.
.. [2] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from skvae._chunks import chunks
from skvae._fused import kernels
from skvae._model import VAE, WHOLE, Cells, Phase
from skvae._replay import FEWEST_STEPS, Replay
from skvae._rows import Rows, WeightedRows
from skvae._runtime import networks_in
from skvae.sgvb import Draws, Objective, kl_to_standard_normal

# The share of the steps in which "cosine" raises the learning rate from zero to its start value:
# Adam's first steps, when it knows little of the gradients, would else bound how large that may be.
RATE_WARMUP = 0.1
# Adam's, but for how long it averages squared gradients.
BETA1, EPSILON = 0.9, 1e-8
# The learning rate as a share of its start value, by the share of the steps that are done.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "adaptive": lambda progress: 1.0,
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: min(
        progress / RATE_WARMUP,
        0.5 + 0.5 * math.cos(math.pi * (progress - RATE_WARMUP) / (1 - RATE_WARMUP)),
    ),
}
# What "adaptive" multiplies it by, once, when the validation score no longer rises.
REDUCTION = 0.2

# Validation draws this many posterior samples in all, so that few rows are scored with many.
VALIDATION_DRAWS = 256
CHUNK_ROWS = 4096
# An epoch of fit takes at least so many steps: it passes several times over a small table, whose
# validation would else cost more than its training and whose patience would end in a few steps.
MIN_STEPS = 16
# An epoch's loss is told by evenly spread steps of so many rows at least, and by at least so many
# steps: others spare the bound, a twentieth of their time, and follow its gradient alone.
LOSS_ROWS, LOSS_STEPS = 2**13, 8


def auto_batch_size(n_rows: int) -> int:
    """Small batches for few rows, of which there are else few steps, larger ones for many."""
    share = max(64, n_rows // 64)
    return min(1 << (share.bit_length() - 1), 512)


def averaged_steps(learning_rate: str, n_steps: int) -> float:
    """Over how many steps Adam averages squared gradients, 1000 as its authors have it.

    "cosine", whose end is known, takes a share of all: those of the start would else be felt to
    the end of a short run.
    """
    return min(max(n_steps / 25, 20.0), 1000.0) if learning_rate == "cosine" else 1000.0


@dataclass(frozen=True)
class Plan:
    """How to train, by the names of the parameters of ``VAETransformer``."""

    objective: Objective
    kl_warmup: float
    n_draws: int
    alpha: float
    learning_rate: str
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


@dataclass
class History:
    """What training did, epoch by epoch, in nats per row and the caller's units."""

    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_validation_score: float | None = None
    stopped: bool = False  # by a callback or the keyboard
    interrupted: bool = False  # by the keyboard


class Optimizer:
    """Adam over the parameters of a module, or those ``learned``, laid out as one vector.

    The parameters become views of ``values`` and their gradients views of ``gradient``, so
    that a clip, a step or a copy is one call. Within ``steps`` those of networks in closed form
    are copies in the plan's precision, made and read back by one call too.
    """

    def __init__(
        self,
        module: nn.Module,
        plan: Plan,
        state: dict[str, NDArray[Any]] | None,
        learned: Sequence[nn.Parameter] | None = None,
    ) -> None:
        networks = [m for m in module.children() if getattr(m, "closed_form", False)]
        closed = {p for network in networks for p in network.parameters()}
        # weight matrices first, since L2 spares the rest; networks in closed form in the middle
        parameters = sorted(
            module.parameters() if learned is None else learned,
            key=lambda p: (p.dim() < 2, (p in closed) == (p.dim() >= 2)),
        )
        self.n_decayed = sum(p.numel() for p in parameters if p.dim() >= 2)
        self.values = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradient = torch.zeros_like(self.values)
        _lay(parameters, self.values, self.gradient)
        self.closed = [p for p in parameters if p in closed]
        start = sum(p.numel() for p in parameters if p.dim() >= 2 and p not in closed)
        place = slice(start, start + sum(p.numel() for p in self.closed))
        # a kernel's call takes what has one kind of gradient, and all of it decays or none
        borders = sorted({0, place.start, self.n_decayed, place.stop, len(self.values)})
        self.pieces = [slice(*ends) for ends in pairwise(borders)]
        self.place = place
        self.owned = self.values[place], self.gradient[place]
        # in float32 the same tensors, so that copies between them are none
        self.working = tuple(t.to(getattr(torch, plan.precision)) for t in self.owned)
        self.added_to = [g for g in (self.gradient[:start], self.gradient[place.stop :]) if len(g)]
        self.plan = plan
        self.moments = {
            "first": torch.zeros_like(self.values),
            "second": torch.zeros_like(self.values),
            "steps": self.values.new_zeros(()),
        }
        self.averaged_steps = averaged_steps("constant", 0)
        if state is not None:
            for name, moment in self.moments.items():
                moment.copy_(torch.from_numpy(state[name]))
            self.averaged_steps = float(state["averaged_steps"])

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Where gradients are found and ``step`` is called."""
        try:
            self.working[0].copy_(self.owned[0])
            _lay(self.closed, *self.working)
            yield
        finally:
            _lay(self.closed, *self.owned)

    def average_over(self, n_steps: float) -> None:
        """Average squared gradients over so many steps from now on."""
        taken = float(self.moments["steps"])
        if taken > 0:
            # Adam divides the average by the weight of what it has seen, which changes too
            seen = [1 - (1 - 1 / n) ** taken for n in (n_steps, self.averaged_steps)]
            self.moments["second"] *= seen[0] / seen[1]
        self.averaged_steps = n_steps

    def step(self, rate: float | Tensor) -> None:
        """Go one step down the gradient, at ``rate`` times the first step size."""
        self.moments["steps"] += 1
        # alpha / (2 batch_size) |W|^2, as in MLPClassifier
        decay = self.plan.alpha / self.plan.batch_size
        fused = kernels()
        if fused is not None:
            self._step_by_kernel(fused.adam, float(rate), decay)
        else:
            self._step_by_torch(rate, decay)
        for gradient in self.added_to:
            gradient.zero_()

    def _step_by_torch(self, rate: float | Tensor, decay: float) -> None:
        self.owned[1].copy_(self.working[1])
        if decay > 0:
            self.gradient[: self.n_decayed].add_(self.values[: self.n_decayed], alpha=decay)
        if self.plan.gradient_clip is not None:
            self.gradient.clamp_(-self.plan.gradient_clip, self.plan.gradient_clip)
        # the kernel of torch.optim.Adam, whose import and calls cost more than a small step
        torch._fused_adam_(
            [self.values],
            [self.gradient],
            [self.moments["first"]],
            [self.moments["second"]],
            [],
            [self.moments["steps"]],
            lr=rate * self.plan.learning_rate_init,
            beta1=BETA1,
            beta2=1 - 1 / self.averaged_steps,
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
        self.working[0].copy_(self.owned[0])

    def _step_by_kernel(self, adam: Callable[..., None], rate: float, decay: float) -> None:
        """The same by a kernel, which copies to and from what networks work with too."""
        apart = self.working[0] is not self.owned[0]
        values, first, second = self.values, self.moments["first"], self.moments["second"]
        for piece in self.pieces:
            copied = apart and self.place.start <= piece.start < self.place.stop
            within = slice(piece.start - self.place.start, piece.stop - self.place.start)
            adam(
                values[piece],
                self.working[1][within] if copied else self.gradient[piece],
                first[piece],
                second[piece],
                self.working[0][within] if copied else None,
                decay=decay if piece.start < self.n_decayed else 0.0,
                clip=self.plan.gradient_clip or math.inf,
                betas=(BETA1, 1 - 1 / self.averaged_steps),
                n_steps=float(self.moments["steps"]),
                rate=rate * self.plan.learning_rate_init,
                eps=EPSILON,
            )

    def state(self) -> dict[str, NDArray[Any]]:
        """The running moments and what they are averages over, as arrays."""
        arrays = {name: tensor.cpu().numpy().copy() for name, tensor in self.moments.items()}
        return arrays | {"averaged_steps": np.array(self.averaged_steps)}


class Step:
    """A step of training. The tensors that it needs beside the rows are made once."""

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
        many = values.device.type == "cuda" and n_steps >= FEWEST_STEPS
        self.replay = Replay(generator) if many and model.replayable else None
        self.held: dict[bool, tuple[Cells, Tensor]] = {}

    def __call__(self, cells: Cells, done: float, rate: float, *, tell: bool) -> None:
        """Go one step, after the share ``done`` of them; ``loss`` grows by its loss if told."""
        objective = self.plan.objective_at(done)
        rate *= SCHEDULES[self.plan.learning_rate](done)
        if self.replay is None:
            self._go(cells, objective, rate, tell)
        else:
            # where the first minibatch lies all of them will, and their rates in one tensor
            whole = cells.observed is None
            held, rate_held = self.held.setdefault(whole, (cells, self.noise.new_empty(())))
            held.copy_(cells)
            rate_held.fill_(rate)
            key = whole, objective, tell
            self.replay(key, lambda: self._go(held, objective, rate_held, tell))

    def _go(self, cells: Cells, objective: Objective, rate: float | Tensor, tell: bool) -> None:
        cells = self.model.draw_target(cells, self.generator)
        self.noise.normal_(generator=self.generator)
        bound = self.model.find_gradient(objective, cells, self.noise, self.generator, self.phase)
        if tell:
            self.loss -= bound()
        del bound  # and the minibatch that it holds
        self.optimizer.step(rate)


def _lay(parameters: Iterable[nn.Parameter], values: Tensor, gradient: Tensor) -> None:
    """Make the parameters and their gradients views of two vectors, one after the other."""
    start = 0
    for parameter in parameters:
        place = slice(start, start + parameter.numel())
        parameter.data = values[place].view_as(parameter)
        parameter.grad = gradient[place].view_as(parameter)
        start = place.stop


def train(
    model: VAE,
    rows: WeightedRows,
    plan: Plan,
    *,
    epochs: range,
    min_steps: int,
    validation: Rows | None,
    optimizer: Optimizer,
    generator: Generator,
    on_epoch: Callable[[History], bool],
    phase: Phase = WHOLE,
    history: History | None = None,
) -> History:
    """Train ``model`` in place and return what happened, after what ``history`` holds.

    Runs the epochs numbered ``epochs`` of ``epochs.stop`` in all, each a pass over the rows and at
    least ``min_steps`` steps.
    With ``plan.early_stopping`` training ends once the validation bound has not risen by ``tol``
    nats in ``n_iter_no_change`` epochs, and the weights of its best epoch come back. The "adaptive"
    learning rate first goes on from there in smaller steps, which show sooner that no more comes:
    until that happens in half as many epochs.
    ``on_epoch`` is called after each epoch and ends training by returning True; so does an
    interrupt from the keyboard. Raises ValueError when an epoch's loss or a weight is not finite.
    """
    history = History() if history is None else history
    best = optimizer.values.clone()
    rate, patience = 1.0, plan.n_iter_no_change
    bar, since_best = -math.inf, 0  # what the next score must exceed to count as progress
    history.best_validation_score = None
    score = None if validation is None else MeanBound(model, validation, plan, generator, phase)
    per_epoch = max(min_steps, -(-len(rows) // plan.batch_size))
    n_steps = per_epoch * len(epochs)
    step = Step(model, plan, optimizer, generator, phase=phase, n_steps=n_steps)
    optimizer.average_over(averaged_steps(plan.learning_rate, per_epoch * epochs.stop))
    try:
        if score is not None:
            history.best_validation_score = score()
            # the first epochs of a fit may take a detour, those after a fit or a phase may not
            if epochs.start > 0 or history.loss_curve:
                bar = history.best_validation_score + plan.tol
        for epoch in epochs:
            progress = [(epoch + (i + 0.5) / per_epoch) / epochs.stop for i in range(per_epoch)]
            loss = _epoch(rows, progress, rate, step)
            value = 0.0 if score is None else score()
            finite = math.isfinite(loss) and math.isfinite(value)
            if not (finite and bool(torch.isfinite(optimizer.values).all())):
                number = max(epoch, len(history.loss_curve)) + 1
                raise ValueError(
                    f"Training diverged in epoch {number}: the loss, a weight or the validation "
                    f"score is not finite at learning_rate_init={plan.learning_rate_init}. Lower "
                    "learning_rate_init or gradient_clip, or look for outliers in the rows."
                )
            history.loss_curve.append(loss - rows.log_jacobian)
            if score is not None:
                history.validation_scores.append(value)
                if history.best_validation_score is None or value > history.best_validation_score:
                    history.best_validation_score = value
                    best.copy_(optimizer.values)
                since_best = 0 if value > bar else since_best + 1
                bar = max(bar, value + plan.tol)
            if on_epoch(history):
                history.stopped = True
                break
            if plan.early_stopping and since_best >= patience:
                if plan.learning_rate != "adaptive" or rate < 1:
                    break
                rate, patience, since_best = REDUCTION, -(-patience // 2), 0
                optimizer.values.copy_(best)
    except KeyboardInterrupt:
        history.stopped = history.interrupted = True
    if plan.early_stopping and history.best_validation_score is not None:
        optimizer.values.copy_(best)
    return history


def _epoch(rows: WeightedRows, progress: list[float], rate: float, step: Step) -> float:
    """A step for each entry of ``progress`` through training; the mean loss."""
    plan, device = step.plan, step.loss.device
    n_steps = len(progress)
    stride = max(1, min(n_steps * plan.batch_size // LOSS_ROWS, n_steps // LOSS_STEPS))
    told = range(stride // 2, n_steps, stride)
    step.loss.zero_()
    numbered = iter(enumerate(progress))
    for lot in rows.lots(n_steps, plan.batch_size, step.generator):
        # what is made here stays here, so torch need not keep the books that autograd would want
        with step.optimizer.steps(), torch.inference_mode(), networks_in(plan.precision, device):
            for batch in lot.batches:
                number, done = next(numbered)
                step(lot.cells.take(batch), done, rate, tell=number in told)
    return float(step.loss.mean()) / len(told)


class MeanBound:
    """The weighted mean bound of rows, with the same noise at every call."""

    def __init__(
        self, model: VAE, rows: Rows, plan: Plan, generator: Generator, phase: Phase = WHOLE
    ) -> None:
        self.phase = phase
        n_draws = max(plan.n_draws, min(VALIDATION_DRAWS // len(rows), 50), 1)
        shape = (n_draws, len(rows), model.n_components)
        self.model = model
        self.objective = plan.objective
        self.log_jacobian = rows.log_jacobian
        self.cells = model.draw_target(rows.cells, generator)
        self.share = rows.share
        self.noise = rows.cells.values.new_empty(shape).normal_(generator=generator)

    def __call__(self) -> float:
        bound = torch.cat(
            [
                self.model.bound(self.objective, self.cells[rows], self.noise[:, rows], self.phase)
                for rows in chunks(len(self.cells), CHUNK_ROWS // len(self.noise))
            ]
        )
        return float(self.share @ bound.double()) + self.log_jacobian


def posterior_draws(model: VAE, rows: WeightedRows, n: int, generator: Generator) -> Tensor:
    """Draws from the posteriors of the rows, in number by their weights. -> (n, K)."""
    slots = rows.slots(n, generator)
    found = []
    for place in chunks(n, CHUNK_ROWS):
        mean, log_std = model.encode(rows.take(slots[place]))
        noise = torch.empty_like(mean).normal_(generator=generator)
        found.append(Draws.of(mean, log_std, noise).z)
    return torch.cat(found)


def posterior_means(model: VAE, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted means over the posteriors, of each component. -> 2 x (K,).

    Of the divergence from N(0, 1), in nats, and of the log standard deviation.
    """
    kl, log_std = [], []
    for place in chunks(len(rows), CHUNK_ROWS):
        posterior = model.encode(rows.cells[place])
        kl.append(kl_to_standard_normal(*posterior))
        log_std.append(posterior[1])
    kl_mean, log_std_mean = (rows.share @ torch.cat(part).double() for part in (kl, log_std))
    return kl_mean.cpu().numpy(), log_std_mean.cpu().numpy()
