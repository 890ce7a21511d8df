"""Evaluate training: bounds and posteriors of rows, as weighted means."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from skvae._blocks import CHUNK_ROWS, chunks
from skvae._model.cells import Cells
from skvae._model.phases import WHOLE, Phase
from skvae._model.vae import VAE
from skvae._training.plan import Plan
from skvae._training.rows import Rows, WeightedRows
from skvae.objectives import Draws, kl_to_standard_normal

# Total posterior draws in validation. The fewer the rows, the more draws each row gets.
VALIDATION_DRAWS = 256


class MeanBound:
    """The bounds of rows and their weighted mean. The noise is the same at every call."""

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
        return float(self.share @ self.of_rows()) + self.log_jacobian

    def of_rows(self) -> Tensor:
        """The bound of each row, in working units. -> (n,)."""
        bound = torch.cat(
            [
                self.model.bound(
                    self.objective,
                    self.model.with_evidence(self.cells[rows]),
                    self.noise[:, rows],
                    self.phase,
                )
                for rows in chunks(len(self.cells), CHUNK_ROWS // len(self.noise))
            ]
        )
        return bound.double()


def draw_codes(model: VAE, rows: WeightedRows, n: int, generator: Generator) -> Tensor:
    """Draws from the posteriors of the rows, in proportion to their weights. -> (n, K)."""
    slots = rows.slots(n, generator)
    found = []
    for place in chunks(n, CHUNK_ROWS):
        mean, log_std = model.encode(rows.take(slots[place]))
        noise = torch.empty_like(mean).normal_(generator=generator)
        found.append(Draws.of(mean, log_std, noise).z)
    return torch.cat(found)


def component_divergence(
    model: VAE, cells: Cells, moments: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The divergence of each component of q(z|x), in nats, and its log std. -> 2 x (n, K).

    Both are relative to a normal with the moments (K,) of the prior: its mean and its standard
    deviation.
    """
    center, spread = moments
    mean, log_std = model.encode(cells)
    log_std = log_std - spread.log()
    return kl_to_standard_normal((mean - center) / spread, log_std), log_std


def posterior_means(
    model: VAE, rows: Rows, generator: Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted means over the posteriors, for each component. -> 2 x (K,).

    The mean divergence from a normal with the mean and the variance of the prior of training, in
    nats, and the mean log of the standard deviation over that of the prior.
    """
    moments = model.prior_moments(generator)
    parts = [
        component_divergence(model, rows.cells[place], moments)
        for place in chunks(len(rows), CHUNK_ROWS)
    ]
    kl_mean, log_std_mean = (
        rows.share @ torch.cat(part).double() for part in zip(*parts, strict=True)
    )
    return kl_mean.cpu().numpy(), log_std_mean.cpu().numpy()
