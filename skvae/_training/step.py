"""A step of training: a minibatch, its gradient and a step of Adam."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from skvae._model.cells import Cells
from skvae._model.phases import WHOLE, Phase
from skvae._model.vae import VAE
from skvae._torch.pace import Take, call
from skvae._torch.replay import FEWEST_STEPS, Replay
from skvae._training.optimizer import Optimizer
from skvae._training.plan import Plan
from skvae.objectives import Objective


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
