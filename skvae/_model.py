"""The variational autoencoder as a module: encoder, decoder, observation model and prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from skvae._prior import NormalMixture
from skvae._runtime import network_type
from skvae.likelihoods import Constants, Likelihood
from skvae.networks import Network
from skvae.proposals import (
    FEWEST_TO_ADAPT,
    Normals,
    at_modes,
    is_good,
    log_mixture_weight,
)
from skvae.sgvb import OBJECTIVES, importance_weighted_bound, reparameterize

# The encoder starts close to the prior and the decoder close to the mean of the data.
ENCODER_GAIN, DECODER_GAIN = 0.1, 0.5
# Bounds on log std of the posterior: rows far outside the training data stay finite.
LOG_STD_RANGE = (-10.0, 5.0)

Group = tuple[Likelihood, Constants, int]  # a likelihood, its constants, its number of columns


@dataclass
class Cells:
    """Rows in working units (N, D), a value of the support where one is missing.

    ``observed`` (N, D) tells which are there; None for all of them.
    """

    values: Tensor
    observed: Tensor | None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Tensor | slice) -> Cells:
        observed = None if self.observed is None else self.observed[rows]
        return Cells(self.values[rows], observed)


class ObservationModel(nn.Module):
    """p(x|z) of a group of columns: a likelihood with the tensors it owns."""

    def __init__(self, likelihood: Likelihood, constants: Constants, n_columns: int) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.n_columns = n_columns
        self.n_outputs = likelihood.n_outputs(constants) * n_columns
        self.n_features = likelihood.n_features(constants) * n_columns
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

    def features(self, x: Tensor, out: Tensor) -> None:
        self.likelihood.features(x, self.tensors, out)

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        return self.likelihood.log_prob(x, outputs, self.tensors)

    def statistics(self, outputs: Tensor) -> Tensor:
        return self.likelihood.statistics(outputs, self.tensors)

    def sample(self, outputs: Tensor, generator: Generator) -> Tensor:
        return self.likelihood.sample(outputs, self.tensors, generator)


class VAE(nn.Module):
    """A variational autoencoder over working units.

    The columns of a row lie group by group, one likelihood a group. Nothing is averaged over
    rows. A method that takes ``generator=None`` is deterministic without one.

    Parameters
    ----------
    groups : sequence of (Likelihood, constants, number of columns)
    gaps : sequence of int
        Columns that miss cells in training: the encoder is told which of them are there.
    encoder, decoder : Network
    n_components : int
    generator : Generator
        Draws the start weights.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        gaps: Sequence[int],
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
        self.n_features_each = [group.n_features for group in observations]
        self.n_features = sum(self.n_features_each) + len(gaps)
        self.gaps = list(gaps)
        plain = Likelihood.draw_target
        self.redraws = any(type(group.likelihood).draw_target != plain for group in observations)
        self.encoder = encoder.build(
            self.n_features, 2 * n_components, output_gain=ENCODER_GAIN, generator=generator
        )
        self.decoder = decoder.build(
            n_components, sum(self.n_outputs), output_gain=DECODER_GAIN, generator=generator
        )
        self.prior = NormalMixture.standard(n_components)  # until training is over
        self.eval()  # what differs in training comes with a generator, not with a mode

    # -- rows ---------------------------------------------------------------------

    def cells(self, x: Tensor) -> Cells:
        """Rows with NaN where a cell is missing. (N, D) -> N rows."""
        missing = x.isnan()
        if not bool(missing.any()):
            return Cells(x, None)
        fillers = [
            group.likelihood.filler for group in self._groups() for _ in range(group.n_columns)
        ]
        return Cells(torch.where(missing, x.new_tensor(fillers), x), ~missing)

    def draw_target(self, cells: Cells, generator: Generator) -> Cells:
        """What a training step should see for the rows."""
        if not self.redraws:
            return cells
        values = self._by_group(
            lambda group, x: group.likelihood.draw_target(x, generator),
            self._split(cells.values),
        )
        return Cells(values, cells.observed)

    # -- the two networks -----------------------------------------------------------

    def encode(self, cells: Cells, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z|x), x the cells that are there. -> 2 x (N, K)."""
        outputs = self.encoder(self._features(cells), generator).to(cells.values.dtype)
        mean, log_std = outputs.chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def _features(self, cells: Cells) -> Tensor:
        """What the encoder sees: zeros for a missing cell, and which cells are there."""
        dtype = network_type(cells.values)
        found = cells.values.new_zeros(len(cells), self.n_features, dtype=dtype)
        *flat, present = found.split([*self.n_features_each, len(self.gaps)], dim=-1)
        groups = self._groups()
        parts = [
            part.unflatten(-1, (group.n_columns, -1))
            for group, part in zip(groups, flat, strict=True)
        ]
        for group, x, part in zip(groups, self._split(cells.values), parts, strict=True):
            group.features(x, part)
        if cells.observed is None:
            present.fill_(1.0)
        else:
            present.copy_(cells.observed[:, self.gaps])
            for observed, part in zip(self._split(cells.observed), parts, strict=True):
                part.mul_(observed.unsqueeze(-1))
        return found

    def decode(self, z: Tensor, generator: Generator | None = None) -> list[Tensor]:
        """The outputs of the decoder for each group of columns. (S, N, K) -> [(S, N, P)]."""
        found = self.decoder(z, generator).to(z.dtype)
        # of a single group split would copy the gradient
        return [found] if len(self.n_outputs) == 1 else list(found.split(self.n_outputs, dim=-1))

    # -- p(x|z) ---------------------------------------------------------------------

    def cell_log_prob(self, cells: Cells, z: Tensor, generator: Generator | None = None) -> Tensor:
        """log p(x[n, d] | z[s, n]), 0 for a missing cell. N rows, (S, N, K) -> (S, N, D)."""
        found = self._by_group(
            lambda group, outputs, x: group.log_prob(x, outputs),
            self.decode(z, generator),
            self._split(cells.values),
        )
        return found if cells.observed is None else torch.where(cells.observed, found, 0.0)

    def mean(self, z: Tensor) -> Tensor:
        """E[x|z], the mode of categories, in the units of means. (N, K) -> (N, D)."""
        return self.weighted_mean(z[None], z.new_ones(1, len(z)))

    def weighted_mean(self, z: Tensor, weight: Tensor) -> Tensor:
        """E[x] over weighted codes, the mode of categories. (S, N, K), (S, N) -> (N, D)."""
        return self._by_group(
            lambda group, outputs: group.likelihood.summary(
                torch.einsum("sn,sndm->ndm", weight, group.statistics(outputs))
            ),
            self.decode(z),
        )

    def sample(self, z: Tensor, generator: Generator) -> Tensor:
        """Draws from p(x|z) in working units. (S, N, K) -> (S, N, D)."""
        return self._by_group(
            lambda group, outputs: group.sample(outputs, generator), self.decode(z)
        )

    def _split(self, x: Tensor) -> Sequence[Tensor]:
        """The columns of each group. (N, D) -> [(N, d)]."""
        found: Sequence[Tensor] = x.split(self.n_columns, dim=-1)
        return found

    def _groups(self) -> list[ObservationModel]:
        return list(self.observations)  # type: ignore[arg-type]

    def _by_group(self, call: Callable[..., Tensor], *per_group: Sequence[Tensor]) -> Tensor:
        parts = [call(*args) for args in zip(self.observations, *per_group, strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    # -- bounds ---------------------------------------------------------------------

    def objective(
        self,
        cells: Cells,
        noise: Tensor,
        *,
        name: str,
        beta: float,
        free_bits: float,
        generator: Generator | None = None,
    ) -> Tensor:
        """The bound that training raises, of each row, prior N(0, I). N rows, (S, N, K) -> (N,)."""
        mean, log_std = self.encode(cells, generator)
        z = reparameterize(mean, log_std, noise)
        log_px = self.cell_log_prob(cells, z, generator).sum(-1)
        return OBJECTIVES[name](log_px, z, mean, log_std, beta=beta, free_bits=free_bits)

    def elbo(self, cells: Cells, noise: Tensor) -> Tensor:
        """The evidence lower bound, whatever trained the model. N rows, (S, 1, K) -> (N,)."""
        return self.objective(cells, noise, name="elbo", beta=1.0, free_bits=0.0)

    def log_likelihood(self, cells: Cells, noise: Tensor) -> Tensor:
        """The importance-weighted bound on log p(x). N rows, (2 S, 1, K) -> (N,).

        Half of the noise is for the encoder's posterior as proposal. For rows where that is bad,
        and for rows with gaps, a quarter finds modes of p(x, z), and draws from normals at these
        by the last quarter join.
        """
        posterior = Normals.diagonal(*self.encode(cells))
        own, spare = noise.chunk(2)
        z = posterior.sample(own)
        log_joint = self._log_joint(cells, z)
        log_weight = log_joint - posterior.log_prob(z)
        bound = importance_weighted_bound(log_weight)
        bad = ~is_good(log_weight) & bound.isfinite()
        if cells.observed is not None:
            # a posterior that is too narrow, as where training had no gaps, hides what it misses
            bad |= ~cells.observed.all(dim=-1)
        if len(spare) >= FEWEST_TO_ADAPT and bool(bad.any()):
            _, pooled = self._joined(
                cells[bad], posterior[bad], z[:, bad], log_joint[:, bad], spare
            )
            bound[bad] = importance_weighted_bound(pooled)
        return bound

    def posterior_draws(self, cells: Cells, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws of z and their log importance weights for p(z|x). -> (S', N, K), (S', N).

        From the encoder's posterior and from normals at modes, as in ``log_likelihood``.
        """
        posterior = Normals.diagonal(*self.encode(cells))
        own, spare = noise.chunk(2)
        z = posterior.sample(own)
        return self._joined(cells, posterior, z, self._log_joint(cells, z), spare)

    def _joined(
        self, cells: Cells, posterior: Normals, z: Tensor, log_joint: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draws z of the posterior, joined by those of normals at modes; their log weights."""
        search, draw = noise.chunk(2)
        normals = at_modes(lambda z, rows: self._log_joint(cells[rows], z), posterior, search)
        shares = draw.tensor_split(len(normals))
        found = [normal.sample(share) for normal, share in zip(normals, shares, strict=True)]
        joint = [log_joint, self._log_joint(cells, torch.cat(found))]
        draws = [z, *found]
        return torch.cat(draws), log_mixture_weight(joint, draws, [posterior, *normals])

    def _log_joint(self, cells: Cells, z: Tensor) -> Tensor:
        """log p(x, z). N rows, (S, N, K) -> (S, N)."""
        return self.cell_log_prob(cells, z).sum(-1) + self.prior.log_prob(z)
