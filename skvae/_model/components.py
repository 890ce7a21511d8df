"""The order and the signs of the components that users see."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ComponentOrder(nn.Module):
    """A permutation and signs between the networks' own components and those that users see.

    ``order`` (K,) holds, for each component that users see, the number of the networks' component.
    ``place`` is its inverse. ``sign`` (K,) is the sign of each component that users see, relative
    to that of the networks.
    """

    order: Tensor
    place: Tensor
    sign: Tensor

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.arange(n_components, device="cpu"))
        self.register_buffer("place", self.order.clone())
        self.register_buffer("sign", torch.ones(n_components, dtype=torch.float32, device="cpu"))

    @property
    def is_own(self) -> bool:
        """Whether users see the networks' own components."""
        n = torch.arange(len(self.order), device=self.order.device)
        return bool((self.order == n).all() and (self.sign == 1).all())

    def shown(self, own: Tensor) -> Tensor:
        """Codes (..., K) of the networks' own components, as users see them."""
        return own.index_select(-1, self.order) * self.sign

    def own(self, shown: Tensor) -> Tensor:
        """The inverse of ``shown``."""
        return (shown * self.sign).index_select(-1, self.place)

    @torch.no_grad()
    def sort(self, kl: Tensor, loading: Tensor) -> None:
        """Sort components by their divergence (K,), the largest first, and fix their signs.

        The loading (K, P) of largest absolute value of each component becomes positive, as in PCA.
        """
        kl, loading = kl.to(self.order.device), loading.to(self.order.device)
        order = torch.argsort(kl, descending=True, stable=True)
        largest = loading.gather(1, loading.abs().argmax(1, keepdim=True))[:, 0]
        sign = torch.where(largest < 0, -1, 1)[order]
        self.sign.copy_(self.sign[order] * sign)
        self.order.copy_(self.order[order])
        self.place.copy_(torch.argsort(self.order))
