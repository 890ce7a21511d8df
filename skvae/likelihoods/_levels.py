"""What the likelihoods of levels share: a mass for each level of a column."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from skvae._floats import float_errors_ignored
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._base import Array, Constants, Likelihood, Parameters
from skvae.likelihoods._missing import clipped, probability, ratio
from skvae.likelihoods._numerics import distinct, float32, pick


class _Levels(Likelihood):
    """Values whose working units are the number of a level.

    The constant "share" (d, L) holds the shares of a column's levels in the training rows, NaN
    where a column has fewer than L.
    """

    ragged: ClassVar[bool] = True

    def n_levels(self, constants: Constants) -> int:
        """L, the largest number of levels of a column."""
        return int(constants["share"].shape[1])

    def n_features(self, constants: Constants) -> int:
        return self.n_levels(constants)

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        with float_errors_ignored("divide"):
            return {"log_share": float32(np.log(np.nan_to_num(constants["share"])))}

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        # only one of the L features is not 0; as sqrt(L), it gives them a mean square of 1
        n_levels = parameters["log_share"].shape[-1]
        out = x.new_zeros(*x.shape, n_levels)
        return out.scatter_(-1, x.long().unsqueeze(-1), math.sqrt(n_levels))

    @abstractmethod
    def log_mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """log p of each level. (S, N, P) -> (S, N, d, L)."""

    def mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """p of each level. (S, N, P) -> (S, N, d, L)."""
        return self.log_mass(outputs, parameters).exp()

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        log_mass = self.log_mass(distinct(outputs), parameters).expand(-1, len(x), -1, -1)
        return log_mass.gather(-1, level_of(x, log_mass)).squeeze(-1)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        return gumbel_argmax(self.log_mass(outputs, parameters), generator).to(outputs.dtype)


class _Softmax(_Levels):
    """Levels in no order: log p is the log share plus the decoder's output, normalised."""

    def n_outputs(self, constants: Constants) -> int:
        return self.n_levels(constants)

    def logits(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """(S, N, P) -> (S, N, d, L)."""
        log_share = parameters["log_share"]
        found: Tensor = outputs.unflatten(-1, log_share.shape) + log_share
        return found

    def log_mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return torch.log_softmax(self.logits(outputs, parameters), dim=-1)

    def mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return torch.softmax(self.logits(outputs, parameters), dim=-1)

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        log_mass = self.log_mass(outputs, parameters)
        level = level_of(x, log_mass)

        def backward(gradient: Tensor) -> Tensor:
            by_logits = gradient_of_logits(gradient, log_mass, level)
            return self.logits_backward(by_logits, outputs, parameters)

        return lambda: log_mass.gather(-1, level).squeeze(-1), backward

    def logits_backward(self, by_logits: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        """The gradient by outputs; adds those by learned tensors. (S, N, d, L) -> (S, N, P)."""
        return by_logits.flatten(-2)

    def missing(
        self, outputs: Tensor, parameters: Parameters, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Later]:
        d, n_levels = parameters["log_share"].shape
        probit = self._probits(parameters, cells, bias, slope)
        p = probability(probit).to(outputs.dtype)

        def given_missing() -> Tensor:
            rest, logits = outputs.tensor_split([outputs.shape[-1] - d * n_levels], dim=-1)
            more = p.log().expand(len(outputs), -1, -1)
            logits = logits.unflatten(-1, (d, n_levels)).flatten(1, 2).index_add(1, cells, more)
            return torch.cat([rest, logits.reshape(*rest.shape[:-1], -1)], dim=-1)

        return (self._masses(outputs, parameters, cells) * p).sum(-1).log(), given_missing

    def missing_vjp(
        self, outputs: Tensor, parameters: Parameters, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Backward]:
        d, n_levels = parameters["log_share"].shape
        probit = self._probits(parameters, cells, bias, slope)
        p = probability(probit)
        mass = self._masses(outputs, parameters, cells)
        joint = mass * p
        total = joint.sum(-1, keepdim=True)

        def backward(gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            by_level = gradient.unsqueeze(-1)
            given_missing = joint / total * by_level  # times the gradient
            by_logits = outputs.new_zeros(len(outputs), outputs.shape[1] * d, n_levels)
            by_logits.index_copy_(1, cells, given_missing - mass * by_level)
            by_outputs = self.logits_backward(by_logits.unflatten(1, (-1, d)), outputs, parameters)
            by_probit = given_missing.sum(0) * ratio(probit, p)
            of_column = by_probit.new_zeros(d, n_levels).index_add_(0, cells % d, by_probit)
            features = self._features_of_levels(parameters, bias)
            by_slope = torch.einsum("dl,ldf->df", of_column, features)
            return by_outputs, by_probit.sum(-1), by_slope

        return total[..., 0].log(), backward

    def _features_of_levels(self, parameters: Parameters, like: Tensor) -> Tensor:
        """The clipped features of each level. (L, d, F)."""
        d, n_levels = parameters["log_share"].shape
        level = torch.arange(n_levels, dtype=like.dtype, device=like.device)
        return clipped(self.features(level.unsqueeze(-1).expand(-1, d), parameters))

    def _probits(
        self, parameters: Parameters, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> Tensor:
        """The probit of missing at each level, for M cells. -> (M, L)."""
        features = self._features_of_levels(parameters, bias)
        own = torch.einsum("ldf,df->dl", features, slope)
        return bias.unsqueeze(-1) + own.index_select(0, cells % len(own))

    def _masses(self, outputs: Tensor, parameters: Parameters, cells: Tensor) -> Tensor:
        """The mass of each level, for M cells. -> (S, M, L)."""
        logits = self.logits(distinct(outputs), parameters).flatten(1, 2)
        return torch.softmax(logits.index_select(1, cells % logits.shape[1]), dim=-1)


class _Values(_Levels):
    """Levels that are the values seen in training."""

    support: ClassVar[str] = "the values seen in training"
    takes_levels: ClassVar[bool] = True

    def fit(self, x: Array, weight: Array) -> Constants:
        values, level = np.unique(x[:, 0], return_inverse=True)
        share = np.bincount(level, weights=weight) / weight.sum()
        return {"values": values[None], "share": share[None]}

    def to_working(self, x: Array, constants: Constants) -> Array:
        """The number of each value's level; NaN for a value not seen in training."""
        pairs = zip(constants["values"], x.T, strict=True)
        return np.stack([_level_of_values(values, column) for values, column in pairs], axis=1)

    def from_working(self, x: Array, constants: Constants) -> Array:
        return np.take_along_axis(constants["values"].T, x.astype(np.intp), axis=0)

    def values(self, constants: Constants) -> Array:
        return constants["values"]

    def n_statistics(self, constants: Constants) -> int:
        return self.n_levels(constants)

    def statistics(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return self.mass(outputs, parameters)

    def summary(self, statistics: Tensor) -> Tensor:
        return statistics.argmax(-1).to(statistics.dtype)

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        return self.summary(self.statistics(outputs, parameters))


def _level_of_values(values: Array, x: Array) -> Array:
    """The place of each x among the sorted ``values`` (L,), NaN if it is none of them. (n,)."""
    # NaN sorts last, where the padding is
    level = np.minimum(np.searchsorted(values, x), len(values) - 1)
    return np.where(pick(values, level) == x, level, np.nan)


def gumbel_argmax(log_mass: Tensor, generator: Generator) -> Tensor:
    """Draw from each of the distributions on the last axis, up to a constant. (..., L) -> (...)."""
    # the Gumbel trick: the largest of log p - log(-log u), where -log u is exponential
    exponential = torch.empty_like(log_mass).exponential_(generator=generator)
    return (log_mass - exponential.log()).argmax(-1)


def level_of(x: Tensor, log_mass: Tensor) -> Tensor:
    """The index of each value's level on the last axis of ``log_mass``. (N, d) -> (S, N, d, 1)."""
    return x.long().unsqueeze(-1).expand(*log_mass.shape[:-1], 1)


def gradient_of_logits(gradient: Tensor, log_mass: Tensor, level: Tensor) -> Tensor:
    """The gradient by logits of ``log_mass`` at ``level``, times ``gradient``. -> (S, N, d, L)."""
    # d log p_l / d logit_k = [k = l] - p_k
    by_level = gradient.unsqueeze(-1)
    return log_mass.exp().mul_(-by_level).scatter_add_(-1, level, by_level)
