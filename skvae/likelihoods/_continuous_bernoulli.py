"""Continuous Bernoulli density of grey levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from skvae.likelihoods._base import Parameters
from skvae.likelihoods._unit_interval import _UnitInterval


@dataclass
class ContinuousBernoulli(_UnitInterval):
    """Density proportional to e^(l x) on [0, 1], l from the decoder [2]_.

    A proper density for grey levels, and so comparable between models; l = 0 is uniform.
    """

    replayable: ClassVar[bool] = True

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # l (x - 1/2) - log(sinh(l/2) / (l/2)), since the integral of e^(lx) is (e^l - 1) / l
        return outputs * (x - 0.5) - _log_sinhc(0.5 * outputs)

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        # the derivative of the log normaliser: 1/2 + 1/2 (coth h - 1/h), h = l/2
        h = 0.5 * outputs
        small = h.abs() < 0.1
        safe = torch.where(small, torch.ones_like(h), h)
        langevin = torch.where(small, h / 3 - h**3 / 45, 1 / torch.tanh(safe) - 1 / safe)
        return 0.5 + 0.5 * langevin

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        # the inverse of F(x) = (e^(lx) - 1) / (e^l - 1) for l < 0; x -> 1 - x flips the sign of l
        u = torch.empty_like(outputs).uniform_(generator=generator)
        slope = -outputs.abs().clamp(min=1e-4)
        draw = torch.log1p(u * torch.expm1(slope)) / slope
        return torch.where(outputs < 0, draw, 1 - draw).clamp(0, 1)


def _log_sinhc(h: Tensor) -> Tensor:
    """log(sinh(h) / h), smooth through 0."""
    small = h.abs() < 0.1
    a = torch.where(small, torch.ones_like(h), h.abs())
    large = a + torch.log1p(-torch.exp(-2 * a)) - torch.log(2 * a)
    return torch.where(small, h.square() / 6 - h**4 / 180, large)
