"""The variational autoencoder as a module: encoder, decoder, observation model and prior."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Generator, Tensor, nn

from skvae._blocks import DRAWS_AT_ONCE
from skvae._model.cells import Cells, join, observed_sum, split, with_context
from skvae._model.components import ComponentOrder
from skvae._model.locations import LocationNoise
from skvae._model.observation import Group, ObservationModel
from skvae._model.phases import CODES, WHOLE, Phase
from skvae._model.positions import positions
from skvae._model.self_masking import SelfMasking
from skvae._torch.row_wise import is_exact, is_row_wise
from skvae._torch.vjp import Backward, Later, by_autograd
from skvae.networks import Network, NetworkModule
from skvae.networks._base import build_network
from skvae.objectives import ELBO, Draws, LogPrior, Objective
from skvae.priors._modules import PriorModule, StandardNormal

# Hidden layers start with small outputs, so that the encoder starts close to the prior and the
# decoder close to the mean of the data, or both close to PCA.
ENCODER_GAIN, DECODER_GAIN = 0.1, 0.0
# Bounds on log std of the posterior, so that rows far outside the training data stay finite, and
# rows far from the others disturb training less.
LOG_STD_RANGE = (-10.0, 2.0)
# Features beyond this are clipped where networks compute in float32, so that sums stay finite.
LARGEST_FLOAT32 = torch.finfo(torch.float32).max ** 0.75


class VAE(nn.Module):
    """A variational autoencoder over working units.

    The columns of a row are ordered by group, with one likelihood for each group. Nothing is
    averaged over rows. A method with ``generator=None`` is deterministic if none is given.

    Parameters
    ----------
    groups : sequence of (Likelihood, constants, number of columns, emphasis or None)
    gaps : sequence of int
        Columns with missing values in training. For these the encoder has an input that is 1 for
        observed and 0 for missing values.
    encoder, decoder : Network
    n_components : int
    generator : Generator
        For the initial weights.
    learned_prior : PriorModule, default=None
        The prior in training; None for N(0, I).
    places : sequence of int, default=None
        The place in the table of each column; None if they are in the order of the table.
    n_context : int, default=0
        C, the number of conditioning variables of a row. The networks take them as further inputs,
        and ``log_prob`` and ``sample`` of the prior as an argument ``context`` (N, C).
    self_masking : bool, default=False
        Whether training learns how missing values depend on what they are.
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
        learned_prior: PriorModule | None = None,
        places: Sequence[int] | None = None,
        n_context: int = 0,
        self_masking: bool = False,
    ) -> None:
        super().__init__()
        self.n_context = n_context
        self.n_components = n_components
        self.groups = [ObservationModel(*group) for group in groups]
        # if any column is located, one noise serves all columns that have a location
        if any(group.is_located for group in self.groups):
            for group in self.groups:
                group.is_located = group.likelihood.has_location
        self.observations = nn.ModuleList(self.groups)  # registers their parameters
        self.n_columns = [group.n_columns for group in self.groups]
        self.n_outputs = [group.n_outputs for group in self.groups]
        self.n_first = [group.n_outputs - group.n_shape_outputs for group in self.groups]
        numbers = torch.tensor(gaps, dtype=torch.int64, device="cpu")
        self.register_buffer("gaps", numbers, persistent=False)
        places = range(sum(self.n_columns)) if places is None else places
        self.encoder = self._build_encoder(encoder, places, gaps, generator)
        build = partial(self._build_decoder, decoder, places, generator)
        self.decoder = build(self.n_first, DECODER_GAIN, "decoder")
        # for the outputs that are learned after the codes are found, initially 0
        n_shapes = [group.n_shape_outputs for group in self.groups]
        self.shapes = build(n_shapes, 0.0, "shapes") if sum(n_shapes) else None
        self.location_noise = LocationNoise()
        masking = SelfMasking(self.groups, gaps) if self_masking else None
        self.self_masking = masking if masking is not None and len(masking.columns) else None
        self.components = ComponentOrder(n_components)
        self.float32_networks = False  # whatever the type of the rows
        # the prior in training, if one is learned, and the prior for sampling and scores
        self.learned_prior = learned_prior
        self.prior = self.prior_of_training()
        self.eval()  # training differs by the generator that is passed, not by a mode

    def _build_encoder(
        self, network: Network, places: Sequence[int], gaps: Sequence[int], generator: Generator
    ) -> NetworkModule:
        n_features = [group.n_features for group in self.groups]
        return build_network(
            network,
            positions(n_features, self.n_columns, places, gaps),
            sum(n_features) + len(gaps) + self.n_context,
            2 * self.n_components,
            output_gain=ENCODER_GAIN,
            generator=generator,
            role="encoder",
        )

    def _build_decoder(
        self,
        network: Network,
        places: Sequence[int],
        generator: Generator,
        sizes: Sequence[int],
        gain: float,
        role: str,
    ) -> NetworkModule:
        """A network from codes to ``sizes`` numbers for the columns of each group."""
        return build_network(
            network,
            positions(sizes, self.n_columns, places),
            self.n_components + self.n_context,
            sum(sizes),
            output_gain=gain,
            generator=generator,
            role=role,
        )

    @property
    def replayable(self) -> bool:
        """Whether a step of training may be recorded and replayed on a GPU."""
        prior = self.learned_prior
        # with masking, the number of missing values differs from step to step
        return self.undoable and self.masking is None and (prior is None or prior.replayable)

    @property
    def undoable(self) -> bool:
        """Whether a step of training may be undone, since it changes nothing but tensors."""
        prior = self.learned_prior
        return (
            all(module.replayable for module in self._networks())
            and all(group.likelihood.replayable for group in self.groups)
            and (prior is None or prior.replayable or prior.undoable)
        )

    @property
    def width(self) -> int:
        """The number of elements of the largest tensor that is computed for a code or a row."""
        shapes = [max(parameter.shape, default=1) for parameter in self.parameters()]
        return max(sum(self.n_outputs), self.prior.n_numbers, *shapes)

    @property
    def code_bytes(self) -> int:
        """The memory of the largest tensor that a network computes for a code, in bytes."""
        dtype = torch.float32 if self.float32_networks else next(self.parameters()).dtype
        return self.width * dtype.itemsize

    @property
    def n_in_unit(self) -> int:
        """The number of columns that share a unit."""
        return sum(group.n_columns for group in self.groups if group.emphasis is not None)

    @property
    def finds_codes_first(self) -> bool:
        """Whether there are columns whose locations training uses to find the codes."""
        return any(group.is_located for group in self.groups)

    def log_prior_in_training(
        self, context: Tensor | None, *, own: bool = False
    ) -> LogPrior | None:
        """log p(z) of the prior that training learns; None for N(0, I).

        With ``own``, the codes are those of the networks' own components.
        """
        prior = self.learned_prior
        if prior is None:
            return None
        of_own = _given(prior.log_prob, context)
        if own and context is None:
            return LogPrior(of_own, prior.vjp)
        log_prob = of_own if own else lambda z: of_own(self.components.own(z))
        return LogPrior(log_prob, partial(by_autograd, log_prob))

    def _own_prior(self) -> PriorModule:
        """The prior in training of the networks' own components: what is learned, or N(0, I)."""
        learned = self.learned_prior
        return StandardNormal(self.n_components) if learned is None else learned

    def prior_of_training(self) -> PriorModule:
        """The prior in training; a copy if it is learned and components are sorted."""
        prior = self._own_prior()
        if self.learned_prior is None or self.components.is_own:
            return prior
        return prior.reordered(self.components.order, self.components.sign)

    @property
    def is_sortable(self) -> bool:
        """Whether components may get another order: not if it would change a learned prior."""
        return self.learned_prior is None or self.learned_prior.is_sortable

    @torch.no_grad()
    def prior_moments(self, generator: Generator, *, own: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each component in the prior of training. -> 2 x (K,).

        With ``own``, they are those of the networks' own components.
        """
        like = next(self.parameters())
        center, spread = (moment.to(like) for moment in self._own_prior().moments(generator))
        if own:
            return center, spread
        return self.components.shown(center), spread.index_select(-1, self.components.order)

    def log_prior(self, z: Tensor, context: Tensor | None) -> Tensor:
        """log p(z) of the prior for sampling and scores. (S, N, K), (N, C) -> (S, N)."""
        return _given(self.prior.log_prob, context)(z)

    def _networks(self) -> list[NetworkModule]:
        return [m for m in (self.encoder, self.decoder, self.shapes) if m is not None]

    def network_buffers(self) -> list[Tensor]:
        """What networks learn besides parameters, such as running means."""
        return [buffer for network in self._networks() for buffer in network.buffers()]

    def learned(self, phase: Phase) -> list[nn.Parameter]:
        """The parameters that a phase of training changes: not those without ``requires_grad``."""
        parts: list[nn.Module] = [self.encoder, self.decoder] if phase.encoder else [self.decoder]
        if self.shapes is not None and not phase.by_location:
            parts.append(self.shapes)
        parts += [g for g in self.groups if not (phase.by_location and g.is_located)]
        if self.learned_prior is not None:
            parts.append(self.learned_prior)
        if self.self_masking is not None:
            parts.append(self.self_masking)
        if phase.by_location:
            parts.append(self.location_noise)
        found = [p for part in parts for p in part.parameters() if p.requires_grad]
        if not phase.encoder:  # its inputs would otherwise change after it was trained
            fixed = {p for group in self.groups for p in group.learned_features}
            found = [p for p in found if p not in fixed]
        return found

    @torch.no_grad()
    def fit_noise(self, cells: Cells, share: Tensor, noise: Tensor) -> None:
        """Set the noise of located columns from weighted rows. N rows, (N,), (1, N, K)."""
        z = Draws.of(*self.encode(cells), noise).z
        for group, place, outputs in self._located(self.decode(z, cells.context, CODES)):
            weight = share.unsqueeze(-1).expand(-1, group.n_columns)
            if cells.observed is not None:
                weight = weight * cells.observed[:, place]
            group.fit_noise(cells.values[:, place], outputs[0], weight)

    def _located(
        self, outputs: Sequence[Tensor]
    ) -> Iterator[tuple[ObservationModel, slice, Tensor]]:
        """The groups of located columns, the places of the columns, and their outputs."""
        start = 0
        for group, out in zip(self.groups, outputs, strict=True):
            if group.is_located:
                yield group, slice(start, start + group.n_columns), out
            start += group.n_columns

    # -- rows ---------------------------------------------------------------------

    def cells(self, x: Tensor, context: Tensor | None = None) -> Cells:
        """Rows with NaN for missing values, as cells. (N, D), (N, C) -> N rows."""
        if not bool(x.sum().isnan()):  # faster than to check each value
            return Cells(x, None, context)
        missing = x.isnan()
        fillers = [group.likelihood.filler for group in self.groups for _ in range(group.n_columns)]
        return Cells(torch.where(missing, x.new_tensor(fillers), x), ~missing, context)

    @property
    def masking(self) -> SelfMasking | None:
        """``self_masking``, None unless missing values say something about themselves."""
        found = self.self_masking
        return found if found is not None and found.is_needed else None

    def with_evidence(self, cells: Cells) -> Cells:
        """The rows, with missing values as evidence of themselves if there is ``masking``."""
        if self.masking is None:
            return cells
        return replace(cells, probit=self.masking.probit(self.features(cells)))

    def draw_target(self, cells: Cells, generator: Generator) -> Cells:
        """The values that a training step uses for the rows."""
        parts = split(cells.values, self.n_columns)
        pairs = zip(self.groups, parts, strict=True)
        drawn = [group.likelihood.draw_target(x, generator) for group, x in pairs]
        if all(new is x for new, x in zip(drawn, parts, strict=True)):
            return cells
        return Cells(join(drawn), cells.observed, cells.context)

    def in_precision(self, dtype: torch.dtype, *, float32_networks: bool = False) -> VAE:
        """A copy in another precision, on the same device.

        With ``float32_networks``, the networks and the likelihoods for which that is enough stay in
        float32, which takes half the time. This requires a CPU, networks that are ``row_wise``, so
        that results of a row don't depend on the other rows, and torch's full precision of float32.
        """
        parameter = next(self.parameters())
        copied = copy.deepcopy(self).to(parameter.device, dtype)  # a copied prior is on the CPU
        networks = copied._networks()
        row_wise = parameter.device.type == "cpu" and all(n.row_wise for n in networks)
        if float32_networks and row_wise and is_row_wise() and is_exact():
            copied.float32_networks = True
            stays = [group for group in copied.groups if group.likelihood.takes_float32]
            for part in [*networks, *stays]:
                part.float()
        return copied

    def prior_on(self, device: torch.device) -> PriorModule:
        """A copy of the prior on a device."""
        return copy.deepcopy(self.prior).to(device)

    # -- the two networks -----------------------------------------------------------

    def encode(self, cells: Cells) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z|x) for observed values x. -> 2 x (N, K)."""
        x = with_context(self.features(cells), cells.context)
        if self.float32_networks:
            x = x.clamp(-LARGEST_FLOAT32, LARGEST_FLOAT32).float()
        codes = self.encoder(x).to(cells.values.dtype)
        mean, log_std = codes.chunk(2, dim=-1)
        log_std = log_std.index_select(-1, self.components.order)
        return self.components.shown(mean), log_std.clamp(*LOG_STD_RANGE)

    def decode(
        self, z: Tensor, context: Tensor | None = None, phase: Phase = WHOLE
    ) -> list[Tensor]:
        """The parameters of p(x|z). (S, N, K), (N, C) -> (S, N, P) of each group."""
        own = with_context(self.components.own(z), context)
        if self.float32_networks:
            own = own.float()
        shapes = None if self.shapes is None or phase.by_location else self.shapes(own)
        outputs = self._outputs(self.decoder(own), shapes)
        if not self.float32_networks:
            return outputs
        return [
            out if group.likelihood.takes_float32 else out.to(z.dtype)
            for group, out in zip(self.groups, outputs, strict=True)
        ]

    def _outputs(self, first: Tensor, shapes: Tensor | None) -> list[Tensor]:
        """The outputs of the two networks, for each group."""
        parts = list(split(first, self.n_first))
        if shapes is not None:
            n_shape = [group.n_shape_outputs for group in self.groups]
            pairs = zip(parts, shapes.split(n_shape, dim=-1), strict=True)
            parts = [torch.cat(pair, dim=-1) if pair[1].shape[-1] else pair[0] for pair in pairs]
        return parts

    def features(self, cells: Cells) -> Tensor:
        """Features of the rows, 0 for missing values, and flags of observed values.

        The flags are those of the columns in ``gaps``.
        """
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

    def log_prob(self, cells: Cells, outputs: Sequence[Tensor], phase: Phase = WHOLE) -> Tensor:
        """log p(x|z), given the outputs decoded from z. N rows, (S, N, P) of each group -> (S, N).

        Only observed values count, and the missing ones if the cells have a ``probit``.
        """

        def of_group(group: ObservationModel, x: Tensor, outputs: Tensor) -> Tensor:
            if phase.by_location and group.is_located:
                return self.location_noise.log_prob(group, x, outputs[..., : group.n_columns])
            return group.log_prob(x, outputs)

        values, observed = split(cells.values, self.n_columns), cells.observed
        unknown = [None] * len(self.groups)
        known = unknown if observed is None else split(observed, self.n_columns)
        # the sum of each group, since all values together would be one more large tensor
        sums = [
            observed_sum(of_group(group, x, out).to(x.dtype), there)
            for group, x, out, there in zip(self.groups, values, outputs, known, strict=True)
        ]
        if self.self_masking is not None and cells.probit is not None:
            noise = self.location_noise if phase.by_location else None
            sums.append(self.self_masking.log_prob(self.groups, cells, outputs, noise))
        return torch.stack(sums).sum(0)

    def log_prob_vjp(
        self, cells: Cells, features: Tensor, outputs: Sequence[Tensor], phase: Phase
    ) -> tuple[Later, Backward]:
        """A function that computes ``log_prob`` in training, and the backward of ``outputs``.

        ``features`` are those of the cells.
        """
        pieces = [
            self.location_noise.vjp(group, x, out)
            if phase.by_location and group.is_located
            else group.vjp(x, out)
            for group, x, out in zip(
                self.groups, split(cells.values, self.n_columns), outputs, strict=True
            )
        ]

        masks, masking = None, self.masking
        if masking is not None:
            noise = self.location_noise if phase.by_location else None
            rows = replace(cells, probit=masking.probit(features))
            masks = masking.vjp(self.groups, rows, features, outputs, noise)

        def log_prob() -> Tensor:
            log_px = observed_sum(join([of_group() for of_group, _ in pieces]), cells.observed)
            return log_px if masks is None else log_px + masks[0]()

        def backward(gradient: Tensor) -> list[Tensor]:
            by_cell = gradient.unsqueeze(-1)
            if cells.observed is None:
                by_cell = by_cell.expand(*gradient.shape, sum(self.n_columns))
            else:
                by_cell = by_cell * cells.observed
            by_group = split(by_cell, self.n_columns)
            found = [back(part) for (_, back), part in zip(pieces, by_group, strict=True)]
            if masks is None:
                return found
            more = masks[1](gradient)
            pairs = zip(found, more, strict=True)
            return [one if other is None else one + other for one, other in pairs]

        return log_prob, backward

    def decode_for(self, cells: Cells | None, z: Tensor) -> list[Tensor]:
        """``decode`` for N rows, with p(x|z, missing) for missing values if they are evidence."""
        outputs = self.decode(z, None if cells is None else cells.context)
        if cells is None or cells.probit is None or self.self_masking is None:
            return outputs
        return self.self_masking.given_missing(self.groups, cells, outputs)

    def sample(self, z: Tensor, generator: Generator, cells: Cells | None = None) -> Tensor:
        """Draws from p(x|z) in working units, for N rows. (S, N, K) -> (S, N, D)."""
        pairs = zip(self.groups, self.decode_for(cells, z), strict=True)
        return join([group.sample(outputs, generator).to(z.dtype) for group, outputs in pairs])

    # -- bounds ---------------------------------------------------------------------

    def bound(
        self, objective: Objective, cells: Cells, noise: Tensor, phase: Phase = WHOLE
    ) -> Tensor:
        """The objective of each row under the prior of training. N rows, (S, N, K) -> (N,)."""
        log_prior = self.log_prior_in_training(cells.context)
        draws = Draws.of(*self.encode(cells), noise, log_prior=log_prior)
        outputs = self.decode(draws.z, cells.context, phase)
        bound = objective.bound(self.log_prob(cells, outputs, phase), draws)
        if bound.shape != (len(cells),):
            raise ValueError(
                f"{type(objective).__name__}.bound must return the bound of each row, of shape "
                f"({len(cells)},); got the shape {tuple(bound.shape)}."
            )
        return bound

    def find_gradient(
        self,
        objective: Objective,
        cells: Cells,
        noise: Tensor,
        generator: Generator,
        phase: Phase = WHOLE,
    ) -> Callable[[], tuple[Tensor, Tensor, Tensor]]:
        """Store the gradient of minus the mean ``bound`` in the ``grad`` of each parameter.

        Returns a function that computes the bound (N,), log p(x|z) of each draw (S, N) and
        ``Draws.kl``. It is valid until the parameters change.
        """
        features = self.features(cells)
        inputs = with_context(features, cells.context)
        if self.masking is not None and inputs is features:
            inputs = features.clone()  # a custom encoder may overwrite them
        mean, log_std, into_encoder = self._encode_vjp(inputs, generator, phase)
        posterior = mean.to(noise.dtype), log_std.to(noise.dtype)
        log_prior = self.log_prior_in_training(cells.context, own=True)
        draws = Draws.of(*posterior, noise, log_prior=log_prior)
        outputs, into_decoder = self._decode_vjp(draws.z, cells.context, generator, phase)
        log_px, into_outputs = self.log_prob_vjp(cells, features, outputs, phase)
        log_px = cache(log_px)
        bound, by_log_px, into_codes = objective.vjp(log_px, draws, scale=-1 / len(cells))
        into_encoder(*into_codes(into_decoder(into_outputs(by_log_px))))
        return lambda: (bound(), log_px(), draws.kl())

    def _encode_vjp(
        self, x: Tensor, generator: Generator, phase: Phase
    ) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], None]]:
        """Mean and log standard deviation, in the networks' order, and their backward function."""
        if not phase.encoder:  # then the encoder is applied as after training, without dropout
            mean, log_std = self.encoder(x).chunk(2, dim=-1)
            return mean, log_std.clamp(*LOG_STD_RANGE), lambda by_mean, by_log_std: None
        codes, into_encoder = self.encoder.vjp(x, generator, to_x=False)
        mean, free_log_std = codes.chunk(2, dim=-1)
        log_std = free_log_std.clamp(*LOG_STD_RANGE)

        def backward(by_mean: Tensor, by_log_std: Tensor) -> None:
            # beyond a bound, a step may lead back inside, but not further out
            is_outward = (free_log_std - log_std) * by_log_std < 0
            by_log_std = by_log_std.masked_fill(is_outward, 0.0)
            into_encoder(torch.cat([by_mean, by_log_std], dim=-1))

        return mean, log_std, backward

    def _decode_vjp(
        self, z: Tensor, context: Tensor | None, generator: Generator, phase: Phase
    ) -> tuple[list[Tensor], Backward]:
        """The outputs decoded from z in training, and the backward function to z."""
        rows = with_context(z, context).flatten(0, 1)
        first, into_first = self.decoder.vjp(rows, generator, to_x=True)
        shapes = None
        if self.shapes is not None and not phase.by_location:
            shapes, into_shapes = self.shapes.vjp(rows, generator, to_x=True)
        outputs = [part.unflatten(0, z.shape[:2]) for part in self._outputs(first, shapes)]

        def backward(gradients: Sequence[Tensor]) -> Tensor:
            flat = [gradient.flatten(0, 1) for gradient in gradients]
            if shapes is None:
                by_z: Tensor = into_first(join(flat))
            else:
                pairs = zip(flat, self.n_first, strict=True)
                parts = [gradient.tensor_split([n], dim=-1) for gradient, n in pairs]
                by_first, by_shapes = zip(*parts, strict=True)
                by_z = into_first(join(by_first)) + into_shapes(join(by_shapes))
            return by_z[:, : z.shape[-1]].view_as(z)

        return outputs, backward

    def elbo(self, cells: Cells, noise: Tensor) -> Tensor:
        """The evidence lower bound, for any training objective. N rows, (S, 1, K) -> (N,)."""
        parts = noise.split(DRAWS_AT_ONCE)
        bounds = [self.bound(ELBO(), cells, part) * (len(part) / len(noise)) for part in parts]
        return torch.stack(bounds).sum(0)


def _given(log_prob: Callable[..., Tensor], context: Tensor | None) -> Callable[[Tensor], Tensor]:
    """log p(z) given the context of the rows, which is not passed if there is none."""
    if context is None:
        return log_prob
    # a copy, since autograd cannot record a tensor of inference mode
    return lambda z: log_prob(z, context=context.clone())
