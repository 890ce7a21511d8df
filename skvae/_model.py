"""The variational autoencoder as a module: encoder, decoder and observation model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

from skvae.likelihoods import Constants, Likelihood
from skvae.networks import Network
from skvae.sgvb import (
    FEWEST_TO_ADAPT,
    OBJECTIVES,
    adapted_proposal,
    importance_weighted_bound,
    log_mixture_weight,
    log_normal,
    log_standard_normal,
    proposal_is_good,
    reparameterize,
)

# The encoder starts close to the prior and the decoder close to the mean of the data.
ENCODER_GAIN, DECODER_GAIN = 0.1, 0.5
# Bounds on log std of the posterior: rows far outside the training data stay finite.
LOG_STD_RANGE = (-10.0, 5.0)

Group = tuple[Likelihood, Constants, int]  # a likelihood, its constants, its number of columns


class ObservationModel(nn.Module):
    """p(x|z) of a group of columns: a likelihood with the tensors it owns."""

    def __init__(self, likelihood: Likelihood, constants: Constants, n_columns: int) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.n_columns = n_columns
        self.n_outputs = likelihood.n_outputs * n_columns
        self.owned = []
        for name, tensor in likelihood.parameters(constants).items():
            self.owned.append(name)
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.owned}

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        return self.likelihood.log_prob(x, outputs, self.tensors)

    def mean(self, outputs: Tensor) -> Tensor:
        return self.likelihood.mean(outputs, self.tensors)

    def sample(self, outputs: Tensor, generator: Generator) -> Tensor:
        return self.likelihood.sample(outputs, self.tensors, generator)


class VAE(nn.Module):
    """A variational autoencoder over working units.

    The columns of ``x`` lie group by group, one likelihood a group. Nothing is averaged over
    rows. A method that takes ``generator=None`` is deterministic without one.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        encoder: Network,
        decoder: Network,
        n_components: int,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.n_components = n_components
        observations = [ObservationModel(*group) for group in groups]
        self.observations = nn.ModuleList(observations)
        self.n_columns = [group.n_columns for group in observations]
        self.n_outputs = [group.n_outputs for group in observations]
        self.encoder = encoder.build(
            sum(self.n_columns), 2 * n_components, output_gain=ENCODER_GAIN, generator=generator
        )
        self.decoder = decoder.build(
            n_components, sum(self.n_outputs), output_gain=DECODER_GAIN, generator=generator
        )
        self.eval()  # what differs in training comes with a generator, not with a mode

    def encode(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z|x). (N, D) -> (N, K), (N, K)."""
        mean, log_std = self.encoder(x, generator).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def decode(self, z: Tensor, generator: Generator | None = None) -> list[Tensor]:
        """The outputs of the decoder for each group of columns. (S, N, K) -> [(S, N, P)]."""
        return list(self.decoder(z, generator).split(self.n_outputs, dim=-1))

    def cell_log_prob(self, x: Tensor, z: Tensor, generator: Generator | None = None) -> Tensor:
        """log p(x[n, d] | z[s, n]) in nats. (N, D), (S, N, K) -> (S, N, D)."""
        return self._by_group(
            lambda group, outputs, cells: group.log_prob(cells, outputs),
            self.decode(z, generator),
            x.split(self.n_columns, dim=-1),
        )

    def mean(self, z: Tensor) -> Tensor:
        """E[x|z] in working units. (S, N, K) -> (S, N, D)."""
        return self._by_group(lambda group, outputs: group.mean(outputs), self.decode(z))

    def sample(self, z: Tensor, generator: Generator) -> Tensor:
        """Draws from p(x|z) in working units. (S, N, K) -> (S, N, D)."""
        return self._by_group(
            lambda group, outputs: group.sample(outputs, generator), self.decode(z)
        )

    def _by_group(self, call: Callable[..., Tensor], *per_group: Sequence[Tensor]) -> Tensor:
        parts = [call(*args) for args in zip(self.observations, *per_group, strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def draw_target(self, x: Tensor, generator: Generator) -> Tensor:
        """What a training step should see for the rows ``x``. (N, D) -> (N, D)."""
        return self._by_group(
            lambda group, cells: group.likelihood.draw_target(cells, generator),
            x.split(self.n_columns, dim=-1),
        )

    def objective(
        self,
        x: Tensor,
        noise: Tensor,
        *,
        name: str,
        beta: float,
        free_bits: float,
        generator: Generator | None = None,
    ) -> Tensor:
        """The bound that training raises, of each row. (N, D), (S, N, K) -> (N,)."""
        mean, log_std = self.encode(x, generator)
        z = reparameterize(mean, log_std, noise)
        log_px = self.cell_log_prob(x, z, generator).sum(-1)
        return OBJECTIVES[name](log_px, z, mean, log_std, beta=beta, free_bits=free_bits)

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        """The evidence lower bound, whatever trained the model. (N, D), (S, 1, K) -> (N,)."""
        return self.objective(x, noise, name="elbo", beta=1.0, free_bits=0.0)

    def log_likelihood(self, x: Tensor, noise: Tensor) -> Tensor:
        """The importance-weighted bound on log p(x). (N, D), (2 S, 1, K) -> (N,).

        Half of the noise is for the encoder's posterior as proposal. For rows where that is bad, a
        quarter adapts a second one, and a quarter is drawn from it and joins the draws.
        """
        normal = self.encode(x)
        own, spare = noise.chunk(2)
        z = reparameterize(*normal, own)
        log_joint = self._log_joint(x)(z)
        log_weight = log_joint - log_normal(z, *normal)
        bound = importance_weighted_bound(log_weight)
        bad = ~proposal_is_good(log_weight) & bound.isfinite()
        if len(own) >= FEWEST_TO_ADAPT and bool(bad.any()):
            call, normal = self._log_joint(x[bad]), (normal[0][bad], normal[1][bad])
            learn, draw = spare.chunk(2)
            moved = adapted_proposal(call, *normal, learn)
            joined = reparameterize(*moved, draw)
            bound[bad] = importance_weighted_bound(
                log_mixture_weight(
                    [log_joint[:, bad], call(joined)], [z[:, bad], joined], [normal, moved]
                )
            )
        return bound

    def _log_joint(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """log p(x, z) as a function of z, (S, N, K) -> (S, N)."""
        return lambda z: self.cell_log_prob(x, z).sum(-1) + log_standard_normal(z)
