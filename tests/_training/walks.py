"""A plan of training, and a model whose course is known."""

from dataclasses import replace

import torch
from torch import nn

from skvae._model.cells import Cells
from skvae._model.phases import WHOLE
from skvae._torch.vjp import by_autograd
from skvae._training.history import History
from skvae._training.loop import Run
from skvae._training.optimizer import Optimizer
from skvae._training.plan import Plan, Stage
from skvae._training.rows import Rows
from skvae._training.schedules import SCHEDULES
from skvae.objectives import ELBO

PLAN = Plan(
    objective=ELBO(),
    kl_warmup=0.0,
    n_draws=1,
    alpha=0.0,
    weight_decay=0.0,
    learning_rate=SCHEDULES["constant"],
    learning_rate_init=0.1,
    batch_size=4,
    average=0.0,
    gradient_clip=5.0,
    precision="float32",
    early_stopping=True,
    n_iter_no_change=2,
    tol=0.0,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Walk(nn.Module):
    """theta walks up from 0 by the learning rate a step; held-out rows look for ``target``.

    A training row is (1, 0), its bound theta; a held-out row (0, 1), its bound
    -(theta - target)^2.
    """

    n_components, replayable, undoable, learned_prior = 1, False, False, None

    def __init__(self, target=0.32, loss=lambda theta: -theta):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1))
        self.target, self.loss = target, loss
        self.calls = []
        self.asked = 0  # how often for a bound in training

    def network_buffers(self):
        return []

    def draw_target(self, cells, generator):
        return cells

    def with_evidence(self, cells):
        return cells

    def value(self, x):
        return -x[:, 0] * self.loss(self.theta) - x[:, 1] * (self.theta - self.target).square()

    def _told(self, training, objective, noise, phase):
        told = {"training": training, "objective": objective, "noise": noise.clone()}
        self.calls.append(told | {"phase": phase})

    def bound(self, objective, cells, noise, phase):
        self._told(False, objective, noise, phase)
        return self.value(cells.values)

    def find_gradient(self, objective, cells, noise, generator, phase):
        self._told(True, objective, noise, phase)
        bound, backward = by_autograd(self.value, cells.values, to_x=False)
        backward(torch.full_like(bound, -1 / len(bound)))

        def later():
            self.asked += 1
            bound = self.value(cells.values)
            return bound, bound + 3.0, torch.full((len(bound), 1), 3.0)

        return later


def rows(*row, n=4, weight=None, log_jacobian=0.0):
    weight = torch.ones(n, dtype=torch.float64) if weight is None else torch.tensor(weight).double()
    return Rows(weight, log_jacobian, Cells(torch.tensor([row]).repeat(len(weight), 1), None))


def walk(
    model=None,
    *,
    on_epoch=lambda history: False,
    validation=True,
    epochs=range(20),
    min_steps=1,
    training_rows=None,
    optimizer=None,
    phase=WHOLE,
    history=None,
    **changes,
):
    """Train by ``PLAN`` with changes, one step an epoch; theta and the history."""
    plan = replace(PLAN, **changes)
    model = Walk() if model is None else model
    history = History() if history is None else history
    with torch.no_grad():
        run = Run(
            model,
            rows(1.0, 0.0) if training_rows is None else training_rows,
            Stage(phase, plan, epochs, min_steps),
            validation=rows(0.0, 1.0) if validation is True else validation or None,
            optimizer=optimizer or Optimizer(model, plan, None),
            generator=generator(),
            history=history,
        )
        run.train(on_epoch)
    return model.theta.item(), history
