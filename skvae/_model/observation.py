"""p(x|z) of a group of columns: a likelihood with the tensors that it owns."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from skvae._torch.vjp import Backward, Later
from skvae.likelihoods import Array, Constants, Likelihood
from skvae.likelihoods._numerics import float32

# a likelihood, its constants, its number of columns, and their emphasis in a unit that they share
Columns = tuple[Likelihood, Constants, int, Array | None]


class ObservationModel(nn.Module):
    """p(x|z) of a group of columns: a likelihood with the tensors it owns.

    Attributes
    ----------
    n_outputs, n_shape_outputs, n_features : int
        Numbers that it takes from the decoder, how many of these from the network for shapes, and
        numbers that it gives the encoder.
    is_located : bool
        Whether training finds the codes by the locations of these columns.
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
        self.likelihood = likelihood
        self.n_columns = n_columns
        self.n_outputs = likelihood.n_outputs(constants) * n_columns
        self.n_shape_outputs = likelihood.n_shape_outputs(constants) * n_columns
        self.n_features = likelihood.n_features(constants) * n_columns
        self.is_located = likelihood.location_first or emphasis is not None
        own = likelihood.parameters(constants)
        self.own_names = list(own)
        for name, tensor in own.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)
        self.float()  # a custom likelihood may keep the float64 of its constants
        self.register_buffer("emphasis", None if emphasis is None else float32(emphasis))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the likelihood."""
        # named_parameters and named_buffers are slow
        found = {**self._parameters, **self._buffers}
        own = {name: found[name] for name in self.own_names}
        return {name: tensor for name, tensor in own.items() if tensor is not None}

    def features(self, x: Tensor) -> Tensor:
        features = self.likelihood.features(x, self.tensors)
        return features if self.emphasis is None else features * self.emphasis.unsqueeze(-1)

    def emphasised(self, locations: Tensor) -> Tensor:
        """Locations on the scale on which all columns have one noise. (..., d) -> (..., d)."""
        return locations if self.emphasis is None else locations * self.emphasis

    def location(self, x: Tensor) -> Tensor:
        """Where the values lie on that scale. (N, d) -> (N, d)."""
        return self.emphasised(self.likelihood.location(x, self.tensors))

    def fit_noise(self, x: Tensor, outputs: Tensor, weight: Tensor) -> None:
        """Set the learned noise by decoded locations. (N, d), (N, P), (N, d), of sum 1 or less."""
        error = self.likelihood.location(x, self.tensors) - outputs[:, : self.n_columns]
        # the variance 1 counts as one row more, since a column may have few values here
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

    def sample(self, outputs: Tensor, generator: Generator) -> Tensor:
        return self.likelihood.sample(outputs, self.tensors, generator)
