"""Bernoulli mass of yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from skvae._rules import TRUTH, Rule
from skvae._torch.fused import kernels
from skvae._torch.random import draw_bernoulli
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._base import Array, Constants, Parameters
from skvae.likelihoods._missing import probability
from skvae.likelihoods._numerics import distinct
from skvae.likelihoods._sample import ColumnSample
from skvae.likelihoods._unit_interval import _UnitInterval

RARE = 0.05  # a value in a smaller share of the rows does not show a yes/no column


@dataclass
class Bernoulli(_UnitInterval):
    """Mass of a yes or no, its logit from the decoder, for values in [0, 1].

    A value strictly between 0 and 1 counts as that share of a yes: x log p + (1 - x)
    log(1 - p) [1]_. That is a loss and not a density. For log-likelihoods of grey levels, use
    :class:`ContinuousBernoulli` or draw them to 0 or 1.

    Parameters
    ----------
    binarize : bool, default=False
        Whether each training step replaces every value by a new draw of 0 or 1, with the grey
        level as the probability of a 1 (dynamic binarisation). Rows to be scored are not drawn.
    """

    takes_bfloat16: ClassVar[bool] = True
    replayable: ClassVar[bool] = True

    binarize: bool = False

    rules: ClassVar[Mapping[str, Rule]] = {"binarize": TRUTH}

    @classmethod
    def auto_score(cls, column: ColumnSample) -> float | None:
        """2 for bools, and for 0 and 1 where neither is rare or the table has no other numbers."""
        if column.is_category or not len(column.values):
            return None
        if column.is_bool or (column.is_binary and column.is_table_binary):
            return 2.0
        # a count that stayed below 2 is rarely 1
        is_yes_no = column.is_binary and has_both_values(column.values, column.weight)
        return 2.0 if is_yes_no else None

    def values(self, constants: Constants) -> Array:
        return np.array([[0.0, 1.0]])

    def draw_target(self, x: Tensor, generator: Generator) -> Tensor:
        return draw_bernoulli(x, x, generator) if self.binarize else x

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        # x l - log(1 + e^l)
        return torch.addcmul(F.softplus(outputs).neg_(), x, outputs)

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        def backward(gradient: Tensor) -> Tensor:
            fused = kernels()
            fits = x.dtype == gradient.dtype == torch.float32 and gradient.stride(-1) == 0
            if fused is not None and fits and outputs.dtype in fused.DTYPES:
                parts = x.contiguous(), outputs.contiguous()
                return fused.bernoulli_gradient(*parts, gradient[..., 0])
            mean = torch.sigmoid(outputs.to(x.dtype))
            return torch.sub(x, mean, out=mean).mul_(gradient)

        return lambda: self.log_prob(x, outputs.to(x.dtype), parameters), backward

    def missing(
        self, outputs: Tensor, parameters: Parameters, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Later]:
        # of a 0 and of a 1, which are their own features
        own = slope[cells % outputs.shape[-1], 0]
        of_zero, of_one = probability(bias), probability(bias + own)
        known = distinct(outputs).flatten(1)
        p = torch.sigmoid(known.index_select(1, cells % known.shape[1]))
        log_prob = torch.lerp(of_zero, of_one, p).log()

        def given_missing() -> Tensor:
            more = (of_one.log() - of_zero.log()).expand(len(outputs), -1)
            return outputs.flatten(1).index_add(1, cells, more).view_as(outputs)

        return log_prob, given_missing

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return torch.sigmoid(outputs)

    def masses(self, statistics: Tensor) -> Tensor:
        return torch.cat([1 - statistics, statistics], dim=-1)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        p = self.mean(outputs, parameters)
        return (torch.empty_like(p).uniform_(generator=generator) < p).to(p.dtype)


def has_both_values(x: Array, weight: Array) -> bool:
    """Whether neither 0 nor 1 is rare. (n,), (n,)."""
    ones = weight @ x / weight.sum()
    return bool(min(ones, 1 - ones) >= RARE)
