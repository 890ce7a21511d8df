"""Torch modules of the priors, which the classes of ``skvae.priors`` build or fit."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from skvae.objectives import LOG_2PI

START_STD = 0.5  # of each normal of a mixture before training


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
        return _log_density(z, self.log_share, self.mean, self.whiten)

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


class LearnedMixture(PriorModule):
    """A mixture of C normals in K dimensions that training learns.

    Parameters
    ----------
    free_log_share : Tensor of shape (C,)
        Logs of the weights of the normals, up to a constant.
    mean, log_diagonal : Tensor of shape (C, K)
        Their means, and the logs of the diagonals of ``whiten``.
    below : Tensor of shape (C, K (K - 1) / 2)
        The elements of ``whiten`` below the diagonals, row by row.
    """

    def __init__(
        self, free_log_share: Tensor, mean: Tensor, log_diagonal: Tensor, below: Tensor
    ) -> None:
        super().__init__()
        self.free_log_share, self.mean = nn.Parameter(free_log_share), nn.Parameter(mean)
        self.log_diagonal, self.below = nn.Parameter(log_diagonal), nn.Parameter(below)

    @classmethod
    def near_standard_normal(cls, n_normals: int, n_components: int, generator: Generator) -> Self:
        """A start close to N(0, I): equal normals around draws from a narrower normal."""
        mean = np.sqrt(1 - START_STD**2) * torch.randn(n_normals, n_components, generator=generator)
        below = np.zeros((n_normals, n_components * (n_components - 1) // 2))
        log_diagonal = np.full(mean.shape, -np.log(START_STD))
        return cls.of_arrays(np.zeros(n_normals), mean.numpy(), log_diagonal, below)

    @classmethod
    def of_arrays(cls, *arrays: NDArray[Any]) -> Self:
        """The mixture with the given parameters, on the CPU."""
        with torch.inference_mode(False):
            return cls(*(torch.as_tensor(a, dtype=torch.float32, device="cpu") for a in arrays))

    @property
    def n_numbers(self) -> int:
        return self.mean.numel()

    @property
    def log_share(self) -> Tensor:
        """Logs of the weights of the normals, (C,)."""
        return torch.log_softmax(self.free_log_share, dim=0)

    @property
    def whiten(self) -> Tensor:
        """Lower triangular matrices that map the deviations from a mean to N(0, I). (C, K, K)."""
        found = torch.diag_embed(self.log_diagonal.exp())
        size, device = found.shape[-1], found.device
        rows, columns = torch.tril_indices(size, size, offset=-1, device=device)
        each = torch.arange(len(found), device=device).unsqueeze(-1)
        return found.index_put((each, rows, columns), self.below)

    def log_prob(self, z: Tensor) -> Tensor:
        return _log_density(z, self.log_share, self.mean, self.whiten)

    def sample(self, n: int, generator: Generator) -> Tensor:
        root = torch.linalg.inv(self.whiten.double()).to(self.mean.dtype)
        return NormalMixture(self.log_share, self.mean, root).sample(n, generator)

    def __reduce__(self) -> tuple[Any, ...]:
        parts = self.free_log_share, self.mean, self.log_diagonal, self.below
        return LearnedMixture.of_arrays, tuple(part.detach().cpu().numpy() for part in parts)


def _log_density(z: Tensor, log_share: Tensor, mean: Tensor, whiten: Tensor) -> Tensor:
    """log sum_c share_c N(z; mean_c, (whiten_c' whiten_c)^-1). (..., K) -> (...)."""
    # one product of matrices for all normals: whiten_c z - whiten_c mean_c
    own = (whiten @ mean.unsqueeze(-1)).flatten()
    rows, size = z.reshape(-1, z.shape[-1]), mean.shape
    standard = torch.addmm(-own, rows, whiten.flatten(0, 1).T).view(*z.shape[:-1], *size)
    log_scale = whiten.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * LOG_2PI * size[1]
    log_each = log_scale - 0.5 * standard.square().sum(-1)
    return torch.logsumexp(log_each + log_share, dim=-1)
