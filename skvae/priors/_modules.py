"""Torch modules of the priors, which the classes of ``skvae.priors`` build or fit."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from skvae.objectives import LOG_2PI


class PriorModule(nn.Module):
    """Base class of the modules of priors: the density p(z) in K dimensions, and draws from it.

    Attributes
    ----------
    replayable : bool
        Whether a GPU may record the operations of ``log_prob`` once and replay them, as that of
        :class:`~skvae.networks.NetworkModule`.
    """

    replayable: ClassVar[bool] = False

    @property
    def n_numbers(self) -> int:
        """Number of elements that ``log_prob`` computes for each code, to choose chunk sizes."""
        return 1

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats. (..., K) -> (...)."""
        raise NotImplementedError(f"{type(self).__name__} has no method log_prob(z).")

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draw n codes with the generator. -> (n, K)."""
        raise NotImplementedError(f"{type(self).__name__} has no method sample(n, generator).")


class StandardNormal(PriorModule):
    """N(0, I) in K dimensions."""

    # a module's device and dtype are those of its tensors
    place: Tensor

    def __init__(self, n_components: int) -> None:
        super().__init__()
        with torch.inference_mode(False):
            place = torch.zeros(n_components, dtype=torch.float32, device="cpu")
        self.register_buffer("place", place, persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        # -1/2 (K log 2 pi + |z|^2)
        return -0.5 * (z.square() + LOG_2PI).sum(-1)

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.place.new_empty(n, len(self.place)).normal_(generator=generator)

    def __reduce__(self) -> tuple[Any, ...]:
        return StandardNormal, (len(self.place),)


class NormalMixture(PriorModule):
    """A mixture of C normals in K dimensions.

    Parameters
    ----------
    log_share : Tensor of shape (C,)
        Logs of the weights of the normals.
    mean : Tensor of shape (C, K)
    root : Tensor of shape (C, K, K)
        Lower triangular (Cholesky) factors of their covariances.
    """

    log_share: Tensor
    mean: Tensor
    root: Tensor
    whiten: Tensor

    def __init__(self, log_share: Tensor, mean: Tensor, root: Tensor) -> None:
        super().__init__()
        self.register_buffer("log_share", log_share)
        self.register_buffer("mean", mean)
        self.register_buffer("root", root)
        # computed once, in float64
        self.register_buffer("whiten", torch.linalg.inv(root.double()).to(root.dtype))

    @classmethod
    def of_arrays(cls, *arrays: NDArray[Any]) -> NormalMixture:
        """The mixture with the given log weights, means and roots, on the CPU."""
        with torch.inference_mode(False):
            return cls(*(torch.as_tensor(a, dtype=torch.float32, device="cpu") for a in arrays))

    @property
    def n_numbers(self) -> int:
        return self.mean.numel()

    def log_prob(self, z: Tensor) -> Tensor:
        # log sum_c share_c N(z; mean_c, root_c root_c'), with z whitened by root_c^-1
        standard = torch.einsum("...ck,cjk->...cj", z.unsqueeze(-2) - self.mean, self.whiten)
        log_scale = self.whiten.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_each = -0.5 * (standard.square() + LOG_2PI).sum(-1) + log_scale
        return torch.logsumexp(log_each + self.log_share, dim=-1)

    def sample(self, n: int, generator: Generator) -> Tensor:
        which = torch.multinomial(self.log_share.exp(), n, replacement=True, generator=generator)
        z = self.mean.new_empty(n, self.mean.shape[1]).normal_(generator=generator)
        for component in which.unique():
            rows = which == component
            z[rows] = self.mean[component] + z[rows] @ self.root[component].T
        return z

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = (self.log_share, self.mean, self.root)
        return NormalMixture.of_arrays, tuple(np.asarray(a.cpu()) for a in arrays)
