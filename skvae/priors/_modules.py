"""Torch modules of the priors, which the classes of ``skvae.priors`` build or fit."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from skvae._interrupts import interrupts_held
from skvae._torch.vjp import Backward, by_autograd
from skvae.objectives import LOG_2PI

START_STD = 0.5  # of each normal of a mixture before training
MOMENT_DRAWS = 10_000  # for the moments of a prior that has no closed form


class PriorModule(nn.Module):
    """Base class of the modules of priors: the density p(z) in K dimensions, and draws from it.

    Attributes
    ----------
    replayable : bool
        Whether a GPU may record the operations of ``vjp`` once and replay them, as that of
        :class:`~skvae.networks.NetworkModule`.
    undoable : bool
        Whether training may repeat a step, since ``vjp`` changes nothing but gradients, and its
        result does not depend on the number of threads. It is so if ``replayable``.
    """

    replayable: ClassVar[bool] = False
    undoable: ClassVar[bool] = False

    @property
    def n_numbers(self) -> int:
        """Number of elements that ``log_prob`` computes for each code, to choose chunk sizes."""
        return 1

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats. (..., K) -> (...)."""
        raise NotImplementedError(f"{type(self).__name__} has no method log_prob(z).")

    def vjp(self, z: Tensor) -> tuple[Tensor, Backward]:
        """``log_prob`` in training, and its backward function (see ``skvae._torch.vjp``).

        By autograd. A subclass can override it with a gradient in closed form, which is faster. If
        a subclass of that overrides ``log_prob``, it has to override ``vjp`` too. If ``log_prob``
        takes a context, training does not call ``vjp`` and uses autograd.
        """
        return by_autograd(self.log_prob, z)

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draw n codes with the generator. -> (n, K)."""
        raise NotImplementedError(f"{type(self).__name__} has no method sample(n, generator).")

    @property
    def is_sortable(self) -> bool:
        """Whether components may be sorted after training: whether there is ``reordered``."""
        return type(self).reordered is not PriorModule.reordered

    def reordered(self, order: Tensor, sign: Tensor) -> PriorModule:
        """The prior of codes ``z[..., order] * sign``, if this is the prior of z. 2 x (K,).

        Without this method, components keep the order and signs of training.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method reordered(order, sign).")

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
        with torch.autocast(z.device.type, enabled=False):  # a difference would be rounded
            whiten = self.whiten
            log_parts = self._log_parts(self._standard(z, whiten), whiten)
            return torch.logsumexp(log_parts, dim=-1)

    def _standard(self, z: Tensor, whiten: Tensor) -> Tensor:
        """root_c^-1 (z - mean_c), by one product of matrices for all normals. -> (..., C, K)."""
        mean = self.mean
        own = (whiten @ mean.unsqueeze(-1)).flatten()
        standard = torch.addmm(-own, z.reshape(-1, z.shape[-1]), whiten.flatten(0, 1).T)
        return standard.view(*z.shape[:-1], *mean.shape)

    def _log_parts(self, standard: Tensor, whiten: Tensor) -> Tensor:
        """log share_c N(z; mean_c, root_c root_c'), from ``standard``. -> (..., C)."""
        log_scale = whiten.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = self.log_share + log_scale - 0.5 * LOG_2PI * standard.shape[-1]
        return torch.sub(constant, standard.square().sum(-1), alpha=0.5)

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

    undoable = True
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

    @torch.no_grad()
    def vjp(self, z: Tensor) -> tuple[Tensor, Backward]:
        whiten = self.whiten
        with torch.autocast(z.device.type, enabled=False):
            standard = self._standard(z, whiten)
            log_parts = self._log_parts(standard, whiten)
            log_p = torch.logsumexp(log_parts, dim=-1)

        @torch.no_grad()
        def backward(gradient: Tensor) -> Tensor:
            with torch.autocast(z.device.type, enabled=False):
                by_part = (log_parts - log_p.unsqueeze(-1)).exp() * gradient.unsqueeze(-1)
                by_standard = (by_part.unsqueeze(-1) * standard).neg_()
                by_standard = by_standard.reshape(-1, *self.mean.shape)
                by_constant = by_part.reshape(-1, self.n_normals).sum(0)
                self._add_gradients(by_constant, by_standard, z, whiten)
                return (by_standard.flatten(1) @ whiten.flatten(0, 1)).view_as(z)

        return log_p, backward

    def _add_gradients(
        self, by_constant: Tensor, by_standard: Tensor, z: Tensor, whiten: Tensor
    ) -> None:
        """Add the gradients of the parameters. (C,), (M, C, K), M codes (..., K), (C, K, K)."""
        by_own = -by_standard.sum(0)
        by_whiten = (by_standard.flatten(1).T @ z.reshape(-1, z.shape[-1])).view_as(whiten)
        by_whiten += by_own.unsqueeze(-1) * self.mean.unsqueeze(-2)
        diagonal = whiten.diagonal(dim1=-2, dim2=-1) * by_whiten.diagonal(dim1=-2, dim2=-1)
        rows, columns = self._places_below(whiten)
        share = self.log_share.exp()
        for parameter, found in (
            (self.free_log_share, by_constant - share * by_constant.sum()),
            (self.mean, (by_own.unsqueeze(-2) @ whiten).squeeze(-2)),
            (self.log_diagonal, diagonal + by_constant.unsqueeze(-1)),
            (self.below, by_whiten[:, rows, columns]),
        ):
            if parameter.grad is not None:
                parameter.grad.add_(found)

    def reordered(self, order: Tensor, sign: Tensor) -> LearnedMixture:
        with interrupts_held(), torch.inference_mode(False), torch.no_grad():
            # Q whiten has the same precision, and Q can make the reordered matrix triangular
            flipped = (self.whiten.double().index_select(-1, order) * sign).flip(-1)
            upper = torch.linalg.qr(flipped).R
            upper = upper * upper.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-1)
            whiten = upper.flip(-2, -1)
            rows, columns = self._places_below(whiten)
            log_diagonal = whiten.diagonal(dim1=-2, dim2=-1).log()
            mean = self.mean.index_select(-1, order) * sign
            free = self.free_log_share.clone(), mean, log_diagonal, whiten[:, rows, columns]
            return LearnedMixture(*(part.to(self.mean.dtype) for part in free))

    @property
    def log_share(self) -> Tensor:
        return torch.log_softmax(self.free_log_share, dim=0)

    @property
    def whiten(self) -> Tensor:
        found = torch.diag_embed(self.log_diagonal.exp())
        rows, columns = self._places_below(found)
        each = torch.arange(len(found), device=found.device).unsqueeze(-1)
        return found.index_put((each, rows, columns), self.below)

    @staticmethod
    def _places_below(matrices: Tensor) -> Tensor:
        """The rows and columns of the elements below the diagonals. (C, K, K) -> (2, n)."""
        size = matrices.shape[-1]
        return torch.tril_indices(size, size, offset=-1, device=matrices.device)

    @property
    def root(self) -> Tensor:
        whiten = self.whiten.double()
        one = torch.eye(whiten.shape[-1], dtype=whiten.dtype, device=whiten.device)
        found = torch.linalg.solve_triangular(whiten, one.expand_as(whiten), upper=False)
        root: Tensor = found.to(self.mean.dtype)
        return root
