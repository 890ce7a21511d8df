"""The mass of many levels, in clusters.

References
----------
.. [1] J. Goodman, "Classes for Fast Maximum Entropy Training", ICASSP 2001.
.. [2] E. Grave et al., "Efficient softmax approximation for GPUs", ICML 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from skvae._floats import float_errors_ignored
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._base import Constants, Parameters
from skvae.likelihoods._levels import _Values, gradient_of_logits, gumbel_argmax
from skvae.likelihoods._numerics import float32

VECTOR_SPREAD = 0.1  # initial standard deviation of the vectors of levels


class _Place(NamedTuple):
    """The place of each value's level. (N, d) each.

    ``is_common`` is True for a level that is a cluster of its own. Otherwise the level is number
    ``member`` of the shared cluster ``shared``, which is number ``cluster`` of all clusters.
    """

    is_common: Tensor
    cluster: Tensor
    shared: Tensor
    member: Tensor


@dataclass
class ClusteredCategorical(_Values):
    """Mass of each of many values, as that of its cluster times that within the cluster [1]_ [2]_.

    p(level) = p(cluster) p(level | cluster). Each of the ``n_common`` most frequent levels is a
    cluster of its own. The others are sorted by frequency and share clusters of ``cluster_size``.
    The decoder yields a logit of each cluster and a vector q of ``rank`` numbers. Within a cluster,
    p is a softmax of q'v plus the log share, for a learned vector v of each level. The vector of a
    level, and the indicator of its cluster, are also its features.

    The mass is exact, and its time and the number of weights of the networks hardly depend on the
    number of levels. ``Categorical`` takes this form for columns with many levels.
    """

    n_common: int = 512
    cluster_size: int = 256
    rank: int = 16

    learned_features: ClassVar[frozenset[str]] = frozenset({"vector"})

    def n_shared(self, constants: Constants) -> int:
        """T, the number of clusters that several levels share."""
        return max(1, -(-(self.n_levels(constants) - self.n_common) // self.cluster_size))

    def n_clusters(self, constants: Constants) -> int:
        """C, the number of clusters."""
        return self.n_common + self.n_shared(constants)

    def n_outputs(self, constants: Constants) -> int:
        return self.n_clusters(constants) + self.rank

    def n_features(self, constants: Constants) -> int:
        return self.n_clusters(constants) + self.rank

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        share = np.nan_to_num(constants["share"])
        d, n_levels = share.shape
        order = np.argsort(-share, axis=1, kind="stable")  # padding comes last
        shape = d, self.n_shared(constants), self.cluster_size
        by_place = np.zeros((d, self.n_common + shape[1] * shape[2]))
        by_place[:, :n_levels] = np.take_along_axis(share, order, axis=1)
        common, rest = np.split(by_place, [self.n_common], axis=1)
        of_member = rest.reshape(shape)
        of_shared = of_member.sum(axis=2)
        # a cluster of padding has the mass 0, however that is distributed within it
        of_member[of_shared == 0] = 1.0
        with float_errors_ignored("divide"):
            log_cluster = np.log(np.concatenate([common, of_shared], axis=1))
            log_member = np.log(of_member / of_member.sum(axis=2, keepdims=True))
        fixed = Generator().manual_seed(0)
        vector = torch.empty(*shape, self.rank, dtype=torch.float32, device="cpu")
        return {
            "log_share": float32(log_cluster),
            "log_share_within": float32(log_member),
            "level": torch.from_numpy(order),
            "place": torch.from_numpy(np.argsort(order, axis=1)),
            "vector": nn.Parameter(vector.normal_(std=VECTOR_SPREAD, generator=fixed)),
        }

    def _place(self, x: Tensor, parameters: Parameters) -> _Place:
        place = parameters["place"].long().T.gather(0, x.long())
        is_common = place < self.n_common
        rest = (place - self.n_common).clamp(min=0)
        shared = rest // self.cluster_size
        cluster = torch.where(is_common, place, self.n_common + shared)
        return _Place(is_common, cluster, shared, rest % self.cluster_size)

    def _split_outputs(self, outputs: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """The log masses of clusters (S, N, d, C), and the vectors q (S, N, d, rank)."""
        d, n_clusters = parameters["log_share"].shape
        logits, q = outputs.split([d * n_clusters, d * self.rank], dim=-1)
        logits = logits.unflatten(-1, (d, n_clusters)) + parameters["log_share"]
        return torch.log_softmax(logits, dim=-1), q.unflatten(-1, (d, self.rank))

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        place = self._place(x, parameters)
        n_clusters = parameters["log_share"].shape[-1]
        indicator = x.new_zeros(*x.shape, n_clusters)
        indicator.scatter_(-1, place.cluster.unsqueeze(-1), math.sqrt(n_clusters))
        column = torch.arange(x.shape[1], device=x.device)
        vector = parameters["vector"].detach()[column, place.shared, place.member]
        vector = vector.masked_fill(place.is_common.unsqueeze(-1), 0.0) / VECTOR_SPREAD
        return torch.cat([indicator, vector.to(x.dtype)], dim=-1)

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        log_cluster, q = self._split_outputs(outputs, parameters)
        place = self._place(x, parameters)
        log_member, _ = self._log_members(q, place, parameters)
        return _picked(log_cluster, log_member, place)

    def _log_members(
        self, q: Tensor, place: _Place, parameters: Parameters
    ) -> tuple[Tensor, Tensor]:
        """log p of each level of a row's cluster, and their vectors.

        (S, N, d, rank) -> (S, N, d, M), (N, d, M, rank).
        """
        column = torch.arange(q.shape[-2], device=q.device)
        vector = parameters["vector"][column, place.shared]
        logits = torch.einsum("ndmr,sndr->sndm", vector, q)
        logits = logits + parameters["log_share_within"][column, place.shared]
        return torch.log_softmax(logits, dim=-1), vector

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        log_cluster, q = self._split_outputs(outputs, parameters)
        place = self._place(x, parameters)
        log_member, vector = self._log_members(q, place, parameters)

        def backward(gradient: Tensor) -> Tensor:
            by_cluster = gradient_of_logits(gradient, log_cluster, _index(place.cluster, gradient))
            within = gradient.masked_fill(place.is_common, 0.0)
            by_member = gradient_of_logits(within, log_member, _index(place.member, gradient))
            learned = parameters["vector"].grad
            if learned is not None:
                column = torch.arange(x.shape[1], device=x.device).expand_as(place.shared)
                by_vector = torch.einsum("sndm,sndr->ndmr", by_member, q)
                # unlike index_add_, it is deterministic on a GPU too
                learned.index_put_((column, place.shared), by_vector, accumulate=True)
            by_q = torch.einsum("sndm,ndmr->sndr", by_member, vector)
            return torch.cat([by_cluster.flatten(-2), by_q.flatten(-2)], dim=-1)

        return lambda: _picked(log_cluster, log_member, place), backward

    def log_mass(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        log_cluster, q = self._split_outputs(outputs, parameters)
        logits = torch.einsum("dtmr,sndr->sndtm", parameters["vector"], q)
        log_member = torch.log_softmax(logits + parameters["log_share_within"], dim=-1)
        common, shared = log_cluster[..., : self.n_common], log_cluster[..., self.n_common :]
        log_shared = shared.unsqueeze(-1) + log_member
        by_place = torch.cat([common, log_shared.reshape(*shared.shape[:-1], -1)], dim=-1)
        place = parameters["place"].long()
        return by_place.gather(-1, place.expand(*by_place.shape[:-1], -1))

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        log_cluster, q = self._split_outputs(outputs, parameters)
        cluster = gumbel_argmax(log_cluster, generator)
        shared = (cluster - self.n_common).clamp(min=0)
        column = torch.arange(q.shape[-2], device=q.device)
        vector = parameters["vector"][column, shared]
        logits = (vector * q.unsqueeze(-2)).sum(-1) + parameters["log_share_within"][column, shared]
        member = gumbel_argmax(logits, generator)
        in_shared = self.n_common + shared * self.cluster_size + member
        place = torch.where(cluster < self.n_common, cluster, in_shared)
        level: Tensor = parameters["level"][column, place]
        return level.to(outputs.dtype)


def _index(place: Tensor, like: Tensor) -> Tensor:
    """An index of the last axis for each draw. (N, d), (S, N, d) -> (S, N, d, 1)."""
    return place.expand(like.shape).unsqueeze(-1)


def _picked(log_cluster: Tensor, log_member: Tensor, place: _Place) -> Tensor:
    """log p of the levels at these places. (S, N, d, C), (S, N, d, M) -> (S, N, d)."""
    of_level = log_cluster[..., 0]
    cluster = log_cluster.gather(-1, _index(place.cluster, of_level)).squeeze(-1)
    member = log_member.gather(-1, _index(place.member, of_level)).squeeze(-1)
    return cluster + member.masked_fill(place.is_common, 0.0)
