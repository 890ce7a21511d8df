"""The noise around the locations of columns, by which training finds the codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skvae._model.observation import ObservationModel
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._missing import MissingNormal
from skvae.objectives import LOG_2PI

# The lower limit of the noise, unless PCA leaves less, and the speed at which the logarithm of the
# noise above it is learned.
SMALLEST_NOISE, NOISE_SPEED = 0.5, 10.0


class LocationNoise(nn.Module):
    """Normal noise with one standard deviation, (excess^2 + smallest^2)^(1/2), for all columns.

    Attributes
    ----------
    log_excess : Parameter of shape (1,)
        The logarithm of the excess, divided by ``NOISE_SPEED``. It is learned.
    smallest : Tensor of shape (1,)
    """

    smallest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log_excess = nn.Parameter(torch.zeros(1, dtype=torch.float32, device="cpu"))
        smallest = torch.full((1,), SMALLEST_NOISE, dtype=torch.float32, device="cpu")
        self.register_buffer("smallest", smallest)

    def log_prob(self, group: ObservationModel, x: Tensor, outputs: Tensor) -> Tensor:
        """log N(location; decoded location, noise^2) of each value. (N, d), (S, N, d) -> (S, N, d).

        Both locations are on the scale on which all columns share the noise.
        """
        noise, _ = self._noise()
        return self._log_density((group.location(x) - group.emphasised(outputs)) / noise, noise)

    def vjp(self, group: ObservationModel, x: Tensor, outputs: Tensor) -> tuple[Later, Backward]:
        """A function that computes ``log_prob``, and the backward function of ``outputs``."""
        noise, excess = self._noise()
        outputs = outputs.to(x.dtype)
        standard = (group.location(x) - group.emphasised(outputs)) / noise

        def backward(gradient: Tensor) -> Tensor:
            by_log_noise = (gradient * (standard.square() - 1)).sum()
            if self.log_excess.grad is not None:
                self.log_excess.grad.add_(
                    by_log_noise * (excess / noise).square(), alpha=NOISE_SPEED
                )
            return group.emphasised(gradient * standard / noise)

        return lambda: self._log_density(standard, noise), backward

    def missing(
        self, group: ObservationModel, outputs: Tensor, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Later]:
        """``Likelihood.missing`` of located columns, which depends on their locations."""
        noise, _ = self._noise()
        found = MissingNormal(outputs, self._sigma(group, noise), cells, bias, slope)
        return found.log_prob, found.given_missing

    def missing_vjp(
        self, group: ObservationModel, outputs: Tensor, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Backward]:
        """``Likelihood.missing_vjp`` of located columns."""
        noise, excess = self._noise()
        found = MissingNormal(outputs, self._sigma(group, noise), cells, bias, slope)

        def backward(gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            by_outputs, by_bias, by_slope, by_log_noise = found.backward(gradient)
            if self.log_excess.grad is not None:
                self.log_excess.grad.add_(
                    by_log_noise.sum() * (excess / noise).square(), alpha=NOISE_SPEED
                )
            return by_outputs, by_bias, by_slope

        return found.log_prob, backward

    def _sigma(self, group: ObservationModel, noise: Tensor) -> Tensor:
        """The noise in the units of each column's location. (d,)."""
        return noise / group.emphasised(noise.new_ones(group.n_columns))

    def _noise(self) -> tuple[Tensor, Tensor]:
        """The noise, and its excess."""
        excess = (NOISE_SPEED * self.log_excess).exp()
        return torch.hypot(excess, self.smallest), excess

    @staticmethod
    def _log_density(standard: Tensor, noise: Tensor) -> Tensor:
        return -0.5 * (standard.square() + LOG_2PI) - noise.log()
