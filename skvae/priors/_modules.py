"""Torch modules of the priors, which the classes of ``skvae.priors`` build or fit."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from skvae._interrupts import interrupts_held
from skvae.objectives import LOG_2PI

START_STD = 0.5  # of each normal of a mixture before training
MOMENT_DRAWS = 10_000  # for the moments of a prior that has no closed form


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

    def search_starts(self) -> Tensor | None:
        """Codes (C, K) from which to search for those of a row, besides codes of N(0, I)."""
        return None

    def moments(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each component, by default of draws. -> 2 x (K,)."""
        draws = self.sample(MOMENT_DRAWS, generator).double()
        return draws.mean(0), draws.std(0)


class StandardNormal(PriorModule):
    """N(0, I) in K dimensions."""

    # a module's device and dtype are those of its tensors
    place: Tensor

    def __init__(self, n_components: int) -> None:
        super().__init__()
        with interrupts_held(), torch.inference_mode(False):
            place = torch.zeros(n_components, dtype=torch.float32, device="cpu")
        self.register_buffer("place", place, persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        # -1/2 (K log 2 pi + |z|^2)
        return -0.5 * (z.square() + LOG_2PI).sum(-1)

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.place.new_empty(n, len(self.place)).normal_(generator=generator)

    def moments(self, generator: Generator) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(self.place), torch.ones_like(self.place)

    def __getstate__(self) -> dict[str, Any]:
        return {"n_components": len(self.place)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class _Mixture(PriorModule):
    """A mixture of C normals in K dimensions.

    Attributes
    ----------
    log_share : Tensor of shape (C,)
        Logs of the weights of the normals.
    mean : Tensor of shape (C, K)
    root, whiten : Tensor of shape (C, K, K)
        Lower triangular (Cholesky) factors of their covariances, and the inverses of the factors.
    """

    arguments: ClassVar[tuple[str, ...]]  # of ``__init__``

    log_share: Any
    mean: Any
    root: Any
    whiten: Any

    @classmethod
    def of_arrays(cls, *arrays: NDArray[Any]) -> Self:
        """The mixture with the given arguments, on the CPU."""
        made = cls.__new__(cls)
        made.__setstate__(dict(zip(cls.arguments, arrays, strict=True)))
        return made

    def __getstate__(self) -> dict[str, Any]:
        """The arguments as arrays, so that a copy is on the CPU."""
        return {name: getattr(self, name).detach().cpu().numpy() for name in self.arguments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with interrupts_held(), torch.inference_mode(False):
            self.__init__(  # type: ignore[misc]
                **{
                    name: torch.tensor(array, dtype=torch.float32, device="cpu")
                    for name, array in state.items()
                }
            )

    @property
    def n_normals(self) -> int:
        return len(self.mean)

    def search_starts(self) -> Tensor:
        mean: Tensor = self.mean
        return mean

    @property
    def n_numbers(self) -> int:
        return int(self.mean.numel())

    def log_prob(self, z: Tensor) -> Tensor:
        # log sum_c share_c N(z; mean_c, root_c root_c')
        with torch.autocast(z.device.type, enabled=False):  # the difference below would be rounded
            mean, whiten = self.mean, self.whiten
            rows = z.reshape(-1, z.shape[-1])
            # root_c^-1 (z - mean_c), by one product of matrices for all normals
            own = (whiten @ mean.unsqueeze(-1)).flatten()
            standard = torch.addmm(-own, rows, whiten.flatten(0, 1).T)
            square = standard.view(*z.shape[:-1], *mean.shape).square().sum(-1)
            log_scale = whiten.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            constant = self.log_share + log_scale - 0.5 * LOG_2PI * z.shape[-1]
            return torch.logsumexp(constant - 0.5 * square, dim=-1)

    def sample(self, n: int, generator: Generator) -> Tensor:
        mean, root = self.mean, self.root
        which = torch.multinomial(self.log_share.exp(), n, replacement=True, generator=generator)
        z: Tensor = mean.new_empty(n, mean.shape[1]).normal_(generator=generator)
        for component in which.unique():
            rows = which == component
            z[rows] = mean[component] + z[rows] @ root[component].T
        return z

    def moments(self, generator: Generator) -> tuple[Tensor, Tensor]:
        share, mean = self.log_share.double().exp().unsqueeze(-1), self.mean.double()
        variance = self.root.double().square().sum(-1)
        center = (share * mean).sum(0)
        return center, (share * (variance + (mean - center).square())).sum(0).sqrt()


class NormalMixture(_Mixture):
    """A mixture that is fixed.

    Parameters
    ----------
    log_share, mean, root : Tensor
        As the attributes.
    """

    arguments = ("log_share", "mean", "root")

    def __init__(self, log_share: Tensor, mean: Tensor, root: Tensor) -> None:
        super().__init__()
        self.register_buffer("log_share", log_share)
        self.register_buffer("mean", mean)
        self.register_buffer("root", root)
        # computed once, in float64
        self.register_buffer("whiten", torch.linalg.inv(root.double()).to(root.dtype))


class LearnedMixture(_Mixture):
    """A mixture that training learns.

    Parameters
    ----------
    free_log_share : Tensor of shape (C,)
        Logs of the weights of the normals, up to a constant.
    mean, log_diagonal : Tensor of shape (C, K)
        Their means, and the logs of the diagonals of ``whiten``.
    below : Tensor of shape (C, K (K - 1) / 2)
        The elements of ``whiten`` below the diagonals, row by row.
    """

    arguments = ("free_log_share", "mean", "log_diagonal", "below")

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

    @property
    def log_share(self) -> Tensor:
        return torch.log_softmax(self.free_log_share, dim=0)

    @property
    def whiten(self) -> Tensor:
        found = torch.diag_embed(self.log_diagonal.exp())
        size, device = found.shape[-1], found.device
        rows, columns = torch.tril_indices(size, size, offset=-1, device=device)
        each = torch.arange(len(found), device=device).unsqueeze(-1)
        return found.index_put((each, rows, columns), self.below)

    @property
    def root(self) -> Tensor:
        whiten = self.whiten.double()
        one = torch.eye(whiten.shape[-1], dtype=whiten.dtype, device=whiten.device)
        found = torch.linalg.solve_triangular(whiten, one.expand_as(whiten), upper=False)
        root: Tensor = found.to(self.mean.dtype)
        return root
