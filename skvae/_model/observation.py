"""The observation model p(x|z) of a group of columns, as a module."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from skvae._blocks import STATISTICS_ELEMENTS
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods import Array, Constants, Likelihood
from skvae.likelihoods._numerics import float32

# a likelihood, its constants, its number of columns, and their emphasis if they share a unit
Group = tuple[Likelihood, Constants, int, Array | None]


class ObservationModel(nn.Module):
    """p(x|z) of a group of columns: a likelihood and its tensors.

    Attributes
    ----------
    n_outputs, n_shape_outputs, n_features, n_statistics : int
        The number of its inputs from the decoder, how many of these are from the network for
        shapes, and the numbers of its features for the encoder and of its statistics.
    masks_itself : bool
        That of the likelihood.
    has_levels : bool
        Whether the columns have few values, each with a mass.
    is_located : bool
        Whether training finds the codes from the locations of these columns.
    """

    emphasis: Tensor | None

    def __init__(
        self,
        likelihood: Likelihood,
        constants: Constants,
        n_columns: int,
        emphasis: Array | None = None,
    ) -> None:
        super().__init__()
        self.likelihood = likelihood = likelihood.at_size(constants)
        self.n_columns = n_columns
        self.n_outputs = likelihood.n_outputs(constants) * n_columns
        self.n_shape_outputs = likelihood.n_shape_outputs(constants) * n_columns
        self.n_features = likelihood.n_features(constants) * n_columns
        self.n_statistics = likelihood.n_statistics(constants) * n_columns
        self.masks_itself = likelihood.masks_itself
        self.has_levels = likelihood.values(constants) is not None
        self.is_located = likelihood.location_first or emphasis is not None
        own = likelihood.parameters(constants)
        # a prefix, since a likelihood may give a tensor the name of an attribute of a module
        self._own = {name: f"own_{name}" for name in own}
        for name, tensor in own.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(self._own[name], tensor)
            else:
                self.register_buffer(self._own[name], tensor)
        self.float()  # the tensors of a custom likelihood may be float64, as its constants are
        self.register_buffer("emphasis", None if emphasis is None else float32(emphasis))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the likelihood."""
        # named_parameters and named_buffers are slow
        found = {**self._parameters, **self._buffers}
        own = {name: found[registered] for name, registered in self._own.items()}
        return {name: tensor for name, tensor in own.items() if tensor is not None}

    @property
    def learned_features(self) -> list[nn.Parameter]:
        """The learned tensors that the features depend on."""
        return [self.get_parameter(self._own[name]) for name in self.likelihood.learned_features]

    def features(self, x: Tensor) -> Tensor:
        features = self.likelihood.features(x, self.tensors)
        return features if self.emphasis is None else features * self.emphasis.unsqueeze(-1)

    def emphasised(self, locations: Tensor) -> Tensor:
        """Locations on the scale on which all columns share one noise. (..., d) -> (..., d)."""
        return locations if self.emphasis is None else locations * self.emphasis

    def missing(
        self, outputs: Tensor, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Later]:
        return self.likelihood.missing(outputs, self.tensors, cells, bias, slope)

    def missing_vjp(
        self, outputs: Tensor, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Backward]:
        return self.likelihood.missing_vjp(outputs, self.tensors, cells, bias, slope)

    def location(self, x: Tensor) -> Tensor:
        """The locations of the values on that scale. (N, d) -> (N, d)."""
        return self.emphasised(self.likelihood.location(x, self.tensors))

    def fit_noise(self, x: Tensor, outputs: Tensor, weight: Tensor) -> None:
        """Set the learned noise from the errors of decoded locations.

        Values (N, d), outputs (N, P) and weights (N, d), which sum to at most 1 in a column.
        """
        error = self.likelihood.location(x, self.tensors) - outputs[:, : self.n_columns]
        # one more row of variance 1 as a prior, since a column may have few observed values here
        prior = 1 / len(x)
        total = (weight * error.double().square()).sum(0) + prior
        variance = total / (weight.sum(0) + prior)
        self.likelihood.fit_noise(variance.float(), self.tensors)

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        return self.likelihood.log_prob(x, outputs, self.tensors)

    def vjp(self, x: Tensor, outputs: Tensor) -> tuple[Later, Backward]:
        if not self.likelihood.takes_bfloat16:
            outputs = outputs.to(x.dtype)
        return self.likelihood.vjp(x, outputs, self.tensors)

    def statistics(self, outputs: Tensor) -> Tensor:
        return self.likelihood.statistics(outputs, self.tensors)

    def mean_statistics(self, outputs: Tensor) -> Tensor:
        """The mean of the statistics over N codes, in float64. (S, N, P) -> (S, d, M)."""
        of_code = len(outputs) * self.n_statistics
        parts = outputs.split(max(1, STATISTICS_ELEMENTS // of_code), dim=1)
        totals = [self.statistics(part).double().sum(1) for part in parts]
        return torch.stack(totals).sum(0) / outputs.shape[1]

    def sample(self, outputs: Tensor, generator: Generator) -> Tensor:
        return self.likelihood.sample(outputs, self.tensors, generator)
