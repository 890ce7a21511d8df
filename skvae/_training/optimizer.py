"""AdamW over all parameters at once, with each element of the gradient clipped.

References
----------
.. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
.. [2] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skvae._torch.fused import kernels
from skvae._torch.operations import adam
from skvae._training.average import LatestWeights
from skvae._training.plan import Plan
from skvae._training.schedules import ADAM_STEPS

# Constants of Adam. The schedule sets the number of steps for the average of squared gradients.
BETA1, EPSILON = 0.9, 1e-8


class Optimizer:
    """Adam over the parameters of a module, or those in ``learned``, stored as one vector.

    The parameters become views of ``values`` and their gradients views of ``gradient``, so
    that a clip, a step or a copy is one call. Within ``steps``, the parameters of networks in
    closed form are copies in the plan's precision. They too are made and read back in one call.
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
        names = "observations", "learned_prior", "self_masking"
        others = [getattr(module, name, None) for name in names]
        not_of_networks = {p for other in others if other is not None for p in other.parameters()}

        def is_decayed(p: nn.Parameter) -> bool:
            return p.dim() >= 2 and p not in not_of_networks

        # weights of networks first, since only these are decayed; closed forms in the middle
        parameters = sorted(
            [p for p in module.parameters() if p.requires_grad] if learned is None else learned,
            key=lambda p: (not is_decayed(p), (p in closed) == is_decayed(p)),
        )
        self.n_decayed = sum(p.numel() for p in parameters if is_decayed(p))
        self.values = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradient = torch.zeros_like(self.values)
        _lay(parameters, self.values, self.gradient)
        self.closed = [p for p in parameters if p in closed]
        start = sum(p.numel() for p in parameters if is_decayed(p) and p not in closed)
        place = slice(start, start + sum(p.numel() for p in self.closed))
        # a kernel call takes parameters with one dtype of gradient, all of them decayed or none
        borders = sorted({0, place.start, self.n_decayed, place.stop, len(self.values)})
        self.pieces = [slice(*ends) for ends in pairwise(borders)]
        self.place = place
        self.owned = self.values[place], self.gradient[place]
        # in float32 these are the same tensors, so that nothing is copied
        self.working = tuple(t.to(getattr(torch, plan.precision)) for t in self.owned)
        self.added_to = [g for g in (self.gradient[:start], self.gradient[place.stop :]) if len(g)]
        self.plan = plan
        self.moments = {
            "first": torch.zeros_like(self.values),
            "second": torch.zeros_like(self.values),
            "steps": self.values.new_zeros(()),
        }
        self.averaged_steps = ADAM_STEPS
        self.average = LatestWeights()
        if state is not None:
            for name, moment in self.moments.items():
                moment.copy_(torch.from_numpy(state[name]))
            self.averaged_steps = float(state["averaged_steps"])

    def settle(self) -> None:
        """End ``steps`` that an interrupt left half-way."""
        _lay(self.closed, *self.owned)

    @contextmanager
    def steps(self) -> Iterator[None]:
        """The context in which gradients are computed and ``step`` is called."""
        try:
            self.working[0].copy_(self.owned[0])
            _lay(self.closed, *self.working)
            yield
        finally:
            self.settle()

    def average_over(self, n_steps: float) -> None:
        """Average squared gradients over ``n_steps`` steps from now on."""
        taken = float(self.moments["steps"])
        if taken > 0:
            # Adam divides the average by the total weight of the gradients seen, which changes too
            seen = [1 - (1 - 1 / n) ** taken for n in (n_steps, self.averaged_steps)]
            self.moments["second"] *= seen[0] / seen[1]
        self.averaged_steps = n_steps

    def step(self, rate: float | Tensor) -> None:
        """Take one step down the gradient, with ``rate`` times the initial learning rate."""
        self.moments["steps"] += 1
        # alpha / (2 batch_size) |W|^2, as in MLPClassifier
        decay = self.plan.alpha / self.plan.batch_size
        if self.plan.weight_decay > 0:
            # W <- (1 - rate lambda) W, apart from the gradient [2]
            shrunk = rate * (self.plan.learning_rate_init * self.plan.weight_decay)
            self.values[: self.n_decayed] *= 1 - shrunk
        fused = kernels()
        if fused is not None:
            self._step_by_kernel(fused.adam, float(rate), decay)
        else:
            self._step_by_torch(rate, decay)
        self.average.update()
        for gradient in self.added_to:
            gradient.zero_()

    def _step_by_torch(self, rate: float | Tensor, decay: float) -> None:
        self.owned[1].copy_(self.working[1])
        if decay > 0:
            self.gradient[: self.n_decayed].add_(self.values[: self.n_decayed], alpha=decay)
        if self.plan.gradient_clip is not None:
            self.gradient.clamp_(-self.plan.gradient_clip, self.plan.gradient_clip)
        adam(
            self.values,
            self.gradient,
            **self.moments,
            rate=rate * self.plan.learning_rate_init,
            betas=(BETA1, 1 - 1 / self.averaged_steps),
            eps=EPSILON,
        )
        self.working[0].copy_(self.owned[0])

    def _step_by_kernel(self, adam: Callable[..., None], rate: float, decay: float) -> None:
        """The same step by a kernel, which also copies to and from the working precision."""
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
        """The running moments, and the number of steps they average over, as arrays."""
        arrays = {name: tensor.cpu().numpy().copy() for name, tensor in self.moments.items()}
        return arrays | {"averaged_steps": np.array(self.averaged_steps)}


def _lay(parameters: Iterable[nn.Parameter], values: Tensor, gradient: Tensor) -> None:
    """Make the parameters and their gradients consecutive views of two vectors."""
    start = 0
    for parameter in parameters:
        place = slice(start, start + parameter.numel())
        parameter.data = values[place].view_as(parameter)
        parameter.grad = gradient[place].view_as(parameter)
        start = place.stop
