"""The variational autoencoder as a module: encoder, decoder, observation model and prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from skvae._prior import NormalMixture
from skvae._vjp import Backward, Later
from skvae.likelihoods import Constants, Likelihood
from skvae.modes import LogJoint
from skvae.networks import Network, NetworkModule
from skvae.normals import Normals
from skvae.proposals import FEWEST_TO_ADAPT, Pool, is_good
from skvae.sgvb import ELBO, Draws, Objective, importance_weighted_bound

hardtanh_backward = torch.ops.aten.hardtanh_backward

# The encoder starts close to the prior and the decoder close to the mean of the data.
ENCODER_GAIN, DECODER_GAIN = 0.1, 0.5
# Bounds on log std of the posterior: rows far outside the training data stay finite.
LOG_STD_RANGE = (-10.0, 5.0)
# Draws of a row go through the decoder so many at a time, which leaves room for more rows that look
# for their modes together.
DRAWS_AT_ONCE = 64

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

    def take(self, rows: Tensor) -> Cells:
        """The rows of these numbers, faster than by brackets."""
        observed = None if self.observed is None else self.observed.index_select(0, rows)
        return Cells(self.values.index_select(0, rows), observed)

    def copy_(self, other: Cells) -> None:
        """Become equal to others of the same shape, in place."""
        self.values.copy_(other.values)
        if self.observed is not None and other.observed is not None:
            self.observed.copy_(other.observed)

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
        for name, tensor in likelihood.parameters(constants).items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)

    @property
    def tensors(self) -> dict[str, Tensor]:
        # named_parameters and named_buffers are slow
        found = {**self._parameters, **self._buffers}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def features(self, x: Tensor) -> Tensor:
        return self.likelihood.features(x, self.tensors)

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

    gaps: Tensor

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
        self.groups = [ObservationModel(*group) for group in groups]
        self.observations = nn.ModuleList(self.groups)  # whose parameters are the module's too
        self.n_columns = [group.n_columns for group in self.groups]
        self.n_outputs = [group.n_outputs for group in self.groups]
        numbers = torch.tensor(gaps, dtype=torch.int64, device="cpu")
        self.register_buffer("gaps", numbers, persistent=False)
        self.encoder = encoder.build(
            sum(group.n_features for group in self.groups) + len(gaps),
            2 * n_components,
            output_gain=ENCODER_GAIN,
            generator=generator,
        )
        self.decoder = decoder.build(
            n_components, sum(self.n_outputs), output_gain=DECODER_GAIN, generator=generator
        )
        for network, module in ((encoder, self.encoder), (decoder, self.decoder)):
            if not isinstance(module, NetworkModule):
                raise TypeError(
                    f"{type(network).__name__}.build must return a skvae.networks.NetworkModule; "
                    f"got a {type(module).__name__}. Let its class derive from that."
                )
        self.prior = NormalMixture.standard(n_components)  # until training is over
        self.eval()  # what differs in training comes with a generator, not with a mode

    @property
    def replayable(self) -> bool:
        """Whether a step of training on a GPU may be recorded once and replayed."""
        networks = self.encoder.replayable and self.decoder.replayable
        return networks and all(group.likelihood.replayable for group in self.groups)

    # -- rows ---------------------------------------------------------------------

    def cells(self, x: Tensor) -> Cells:
        """Rows with NaN where a cell is missing. (N, D) -> N rows."""
        if not bool(x.sum().isnan()):  # faster than to look at each cell
            return Cells(x, None)
        missing = x.isnan()
        fillers = [group.likelihood.filler for group in self.groups for _ in range(group.n_columns)]
        return Cells(torch.where(missing, x.new_tensor(fillers), x), ~missing)

    def draw_target(self, cells: Cells, generator: Generator) -> Cells:
        """What a training step should see for the rows."""
        values = self._by_group(
            lambda group, x: group.likelihood.draw_target(x, generator),
            split(cells.values, self.n_columns),
        )
        return Cells(values, cells.observed)

    # -- the two networks -----------------------------------------------------------

    def encode(self, cells: Cells) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z|x), x the cells that are there. -> 2 x (N, K)."""
        mean, log_std = self.encoder(self._features(cells)).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def _features(self, cells: Cells) -> Tensor:
        """What the encoder sees: zeros for a missing cell, and which cells are there."""
        parts = [
            group.features(x)
            for group, x in zip(self.groups, split(cells.values, self.n_columns), strict=True)
        ]
        if cells.observed is not None:
            observed = split(cells.observed.unsqueeze(-1), self.n_columns, dim=-2)
            parts = [part * there for part, there in zip(parts, observed, strict=True)]
        parts = [part.flatten(-2) for part in parts]
        if len(self.gaps):
            everywhere = torch.ones_like(cells.values) if cells.observed is None else cells.observed
            parts.append(everywhere.index_select(1, self.gaps).to(cells.values.dtype))
        return join(parts)

    # -- p(x|z) ---------------------------------------------------------------------

    def log_prob(self, cells: Cells, outputs: Tensor) -> Tensor:
        """log p(x|z), by the decoder's outputs for z. N rows, (S, N, P) -> (S, N)."""
        found = self._by_group(
            lambda group, x, outputs: group.log_prob(x, outputs),
            split(cells.values, self.n_columns),
            split(outputs, self.n_outputs),
        )
        return observed_sum(found, cells)

    def log_prob_vjp(self, cells: Cells, outputs: Tensor) -> tuple[Later, Backward]:
        """A function that gives ``log_prob`` in training, and the way back to ``outputs``."""
        values, outs = split(cells.values, self.n_columns), split(outputs, self.n_outputs)
        pieces = [group.vjp(*pair) for group, *pair in zip(self.groups, values, outs, strict=True)]

        def log_prob() -> Tensor:
            return observed_sum(join([of_group() for of_group, _ in pieces]), cells)

        def backward(gradient: Tensor) -> Tensor:
            by_cell = gradient.unsqueeze(-1)
            if cells.observed is None:
                by_cell = by_cell.expand(*gradient.shape, sum(self.n_columns))
            else:
                by_cell = by_cell * cells.observed
            by_group = split(by_cell, self.n_columns)
            return join([back(part) for (_, back), part in zip(pieces, by_group, strict=True)])

        return log_prob, backward

    def mean(self, z: Tensor) -> Tensor:
        """E[x|z], the mode of categories, in the units of means. (N, K) -> (N, D)."""
        return self.weighted_mean(z[None], z.new_ones(1, len(z)))

    def weighted_mean(self, z: Tensor, weight: Tensor) -> Tensor:
        """E[x] over weighted codes, the mode of categories. (S, N, K), (S, N) -> (N, D)."""
        totals = [z.new_zeros(())] * len(self.groups)
        for some, share in zip(z.split(DRAWS_AT_ONCE), weight.split(DRAWS_AT_ONCE), strict=True):
            for place, outputs in enumerate(split(self.decoder(some), self.n_outputs)):
                statistics = self.groups[place].statistics(outputs)
                totals[place] = totals[place] + torch.einsum("sn,sndm->ndm", share, statistics)
        return self._by_group(lambda group, total: group.likelihood.summary(total), totals)

    def sample(self, z: Tensor, generator: Generator) -> Tensor:
        """Draws from p(x|z) in working units. (S, N, K) -> (S, N, D)."""
        return self._by_group(
            lambda group, outputs: group.sample(outputs, generator),
            split(self.decoder(z), self.n_outputs),
        )

    def _by_group(self, call: Callable[..., Tensor], *per_group: Sequence[Tensor]) -> Tensor:
        return join([call(*args) for args in zip(self.groups, *per_group, strict=True)])

    # -- bounds ---------------------------------------------------------------------

    def bound(self, objective: Objective, cells: Cells, noise: Tensor) -> Tensor:
        """What training raises, of each row, prior N(0, I). N rows, (S, N, K) -> (N,)."""
        draws = Draws.of(*self.encode(cells), noise)
        return objective.bound(self.log_prob(cells, self.decoder(draws.z)), draws)

    def find_gradient(
        self, objective: Objective, cells: Cells, noise: Tensor, generator: Generator
    ) -> Later:
        """Put the gradient of minus the mean ``bound`` into each ``grad``.

        Returns a function that gives the bound, until the parameters change.
        """
        codes, into_encoder = self.encoder.vjp(self._features(cells), generator, to_x=False)
        mean, free_log_std = codes.to(noise.dtype).chunk(2, dim=-1)
        draws = Draws.of(mean, free_log_std.clamp(*LOG_STD_RANGE), noise)
        outputs, into_decoder = self.decoder.vjp(draws.z.flatten(0, 1), generator, to_x=True)
        log_px, into_outputs = self.log_prob_vjp(cells, outputs.unflatten(0, draws.z.shape[:2]))
        bound, by_log_px, into_codes = objective.vjp(log_px, draws, scale=-1 / len(cells))
        by_z = into_decoder(into_outputs(by_log_px).flatten(0, 1)).view_as(draws.z)
        by_mean, by_log_std = into_codes(by_z)
        by_log_std = hardtanh_backward(by_log_std, free_log_std, *LOG_STD_RANGE)
        into_encoder(torch.cat([by_mean, by_log_std], dim=-1))
        return bound

    def elbo(self, cells: Cells, noise: Tensor) -> Tensor:
        """The evidence lower bound, whatever trained the model. N rows, (S, 1, K) -> (N,)."""
        return self.bound(ELBO(), cells, noise)

    def log_likelihood(self, cells: Cells, noise: Tensor) -> Tensor:
        """The importance-weighted bound on log p(x). N rows, (2 S, 1, K) -> (N,).

        Half of the noise is for draws around the encoder's posterior. For rows where these are
        bad, and for rows with gaps, draws by the other half join, from normals at modes of
        p(x, z).
        """
        own, spare = noise.chunk(2)
        pool = self._pool(cells, own)
        log_weight = pool.log_weight()
        bound = importance_weighted_bound(log_weight)
        bad = ~is_good(log_weight) & bound.isfinite()
        if cells.observed is not None:
            # a posterior that is too narrow, as where training had no gaps, hides what it misses
            bad |= ~cells.observed.all(dim=-1)
        if len(spare) >= FEWEST_TO_ADAPT and bool(bad.any()):
            joined = pool[bad].with_modes(spare, self._log_joint(cells[bad]))
            bound[bad] = importance_weighted_bound(joined.log_weight())
        return bound

    def posterior_draws(self, cells: Cells, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws of z and their log importance weights for p(z|x). -> (S', N, K), (S', N).

        Around the encoder's posterior and from normals at modes, as in ``log_likelihood``.
        """
        own, spare = noise.chunk(2)
        pool = self._pool(cells, own).with_modes(spare, self._log_joint(cells))
        return pool.z, pool.log_weight()

    def _pool(self, cells: Cells, noise: Tensor) -> Pool:
        posterior = Normals.diagonal(*self.encode(cells))
        return Pool.around(posterior, noise, self._log_joint(cells))

    def _log_joint(self, cells: Cells) -> LogJoint:
        """log p(x, z) of codes (S, n, K) or (S, 1, K) for the rows with the numbers (n,)."""

        def log_joint(z: Tensor, rows: Tensor) -> Tensor:
            taken = cells.take(rows)
            parts = []
            for part in z.split(DRAWS_AT_ONCE):
                outputs = self.decoder(part).expand(-1, len(rows), -1)
                parts.append(self.log_prob(taken, outputs) + self.prior.log_prob(part))
            found = torch.cat(parts)
            return torch.where(found.isnan(), -torch.inf, found)  # the maximum of NaN is NaN

        return log_joint


def observed_sum(x: Tensor, cells: Cells) -> Tensor:
    """The sum over the cells of a row that are there. (S, N, D) -> (S, N)."""
    return (x if cells.observed is None else torch.where(cells.observed, x, 0.0)).sum(-1)


def split(x: Tensor, sizes: Sequence[int], dim: int = -1) -> Sequence[Tensor]:
    """The parts of an axis, the last one if not told; ``x`` itself where there is only one."""
    return [x] if len(sizes) == 1 else x.split(sizes, dim=dim)


def join(parts: Sequence[Tensor]) -> Tensor:
    """The parts side by side along the last axis."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=-1)
