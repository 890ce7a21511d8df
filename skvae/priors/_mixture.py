"""The prior of the codes as a module: a mixture of normals, one of which is the standard one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor, nn

from skvae.objectives import LOG_2PI


class NormalMixture(nn.Module):
    """A mixture of C normals in K dimensions.

    Parameters
    ----------
    log_share : Tensor of shape (C,)
        Logs of their shares.
    mean : Tensor of shape (C, K)
    root : Tensor of shape (C, K, K)
        Lower triangular roots of their covariances.
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
    def standard(cls, n_components: int) -> NormalMixture:
        """N(0, I)."""
        arrays = np.zeros(1), np.zeros((1, n_components)), np.eye(n_components)[None]
        return cls(*(torch.as_tensor(a, dtype=torch.float32, device="cpu") for a in arrays))

    @property
    def n_numbers(self) -> int:
        """How many numbers a code takes on its way to ``log_prob``."""
        return self.mean.numel()

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats. (..., K) -> (...)."""
        # log sum_c share_c N(z; mean_c, root_c root_c'), each by what whitens it
        standard = torch.einsum("...ck,cjk->...cj", z.unsqueeze(-2) - self.mean, self.whiten)
        log_scale = self.whiten.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_each = -0.5 * (standard.square() + LOG_2PI).sum(-1) + log_scale
        return torch.logsumexp(log_each + self.log_share, dim=-1)

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draws, (n, K)."""
        which = torch.multinomial(self.log_share.exp(), n, replacement=True, generator=generator)
        noise = self.mean.new_empty(n, self.mean.shape[1]).normal_(generator=generator)
        return self.mean[which] + torch.einsum("nkj,nj->nk", self.root[which], noise)
