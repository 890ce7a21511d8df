"""Mass of ordered values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skvae.likelihoods._base import Constants, Parameters
from skvae.likelihoods._levels import _Values
from skvae.likelihoods._numerics import float32


@dataclass
class Ordinal(_Values):
    """Mass of ordered values, by thresholds along the one output of the decoder [4]_.

    p(level <= k) = sigmoid(c_k - output), the thresholds c_k learned for each column. Numbers are
    in their order, categories in that of their dtype, other strings in alphabetical order. The
    mode takes the place of the mean. A value that training has not seen counts as missing.
    """

    takes_float32: ClassVar[bool] = True
    replayable: ClassVar[bool] = True

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        share = constants["share"]
        below = np.cumsum(np.nan_to_num(share), axis=1)[:, :-1].clip(1e-6, 1 - 1e-6)
        threshold = np.log(below / (1 - below))
        gap = np.diff(threshold, axis=1).clip(1e-3)
        return super().parameters(constants) | {
            "first": nn.Parameter(float32(threshold[:, :1])),
            "log_gap": nn.Parameter(float32(np.log(gap))),
            # whether a level has a threshold on both sides, and whether there are two levels
            "inner": float32(~np.isnan(share[:, 2:])),
            "two": float32(~np.isnan(share[:, 1:2])),
        }

    def log_mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        # log(s(b) - s(a)) = log s(b) + log s(-a) + log(1 - e^(a-b)), s the sigmoid, a < b
        inner, two = parameters["inner"] > 0, parameters["two"] > 0
        gap = torch.where(inner, parameters["log_gap"].exp(), torch.inf)
        first = torch.where(two, parameters["first"], torch.inf)
        threshold = torch.cat([first, first + gap.cumsum(-1)], dim=-1)
        distance = threshold - outputs.unsqueeze(-1)
        below = F.pad(F.logsigmoid(distance), (0, 1))
        above = F.pad(F.logsigmoid(-distance), (1, 0))
        return below + above + F.pad(torch.log(-torch.expm1(-gap)), (1, 1))[..., : below.shape[-1]]
