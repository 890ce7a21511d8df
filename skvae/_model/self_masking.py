"""Values that are missing because of what they are: self-masking.

The probability that a value x_j is missing depends on the observed values of its row and on the
value itself, by a probit regression on the encoder's features f:

    P(m_j | x) = Phi(bias_j + sum over observed i != j of w_ij . f(x_i) + w_jj . f(x_j))

Without the last term, values are missing at random, and that they are missing says nothing about
them. With it alone, this is the self-masking model of [1]_, which takes any dependence on other
columns for one on the value itself. With both, training finds which of them explains the missing
values. The weights have normal priors; those of the own weights w_jj share a variance.

References
----------
.. [1] N. B. Ipsen, P.-A. Mattei and J. Frellsen, "not-MIWAE: Deep Generative Modelling with Missing
       not at Random Data", ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skvae._model.cells import Cells, join, split
from skvae._model.locations import LocationNoise
from skvae._model.missing_regressions import PRECISION, simpler_explanation
from skvae._model.observation import ObservationModel
from skvae._torch.vjp import Backward, Later
from skvae.likelihoods._missing import clipped, probability, ratio

# The variance of own weights is their mean square plus this: all of them are close to 0 if values
# are missing at random, and hardly shrunk if not.
OWN_VARIANCE = 0.002
# Variance of a number among observed values, and rows with the rarer value of an indicator, below
# which it has no own weight. That values are missing could otherwise be put down to a value that
# hardly any row has.
LEAST_VARIANCE = 0.5
FEWEST_ROWS = 5


class SelfMasking(nn.Module):
    """The probit regressions, for groups with P features and D columns in all.

    Parameters
    ----------
    groups : sequence of ObservationModel
    gaps : sequence of int
        The columns with missing values in training. Those whose likelihood has no ``missing`` are
        left out, as if their values were missing at random.

    Attributes
    ----------
    columns : Tensor of int of shape (J,)
        The columns that are not left out.
    bias, weight : Parameter of shape (J,) and (P, J)
        Own weights without ``has_own`` stay 0, and so do all weights of columns without any: their
        values are missing at random, which says nothing about codes.
    has_own : Tensor of shape (Q,)
        1 for each feature of these columns with an own weight, else 0.
    kept : Tensor of int of shape (A,)
        Which of ``columns`` have an own weight.
    n_rows : Tensor of shape ()
        The number of rows of training, in the call that had most.
    """

    columns: Tensor
    kept: Tensor
    own_features: Tensor
    own_columns: Tensor
    own_weights: Tensor
    is_level: Tensor
    has_own: Tensor
    n_rows: Tensor

    def __init__(self, groups: Sequence[ObservationModel], gaps: Sequence[int]) -> None:
        super().__init__()
        each = [group for group in groups for _ in range(group.n_columns)]
        owner = [j for j, g in enumerate(each) for _ in range(g.n_features // g.n_columns)]
        columns = [j for j in gaps if each[j].masks_itself]
        place = {j: i for i, j in enumerate(columns)}
        self.n_columns = [group.n_columns for group in groups]
        self.n_features = [group.n_features for group in groups]
        own = [(p, j) for p, j in enumerate(owner) if j in place]

        def numbers(values: Sequence[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device="cpu")

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float32, device="cpu")

        self.register_buffer("columns", numbers(columns), persistent=False)
        # the features of these columns, and where their own weights are in the flat matrix
        self.register_buffer("own_features", numbers([p for p, _ in own]), persistent=False)
        self.register_buffer("own_columns", numbers([j for _, j in own]), persistent=False)
        flat = numbers([p * len(columns) + place[j] for p, j in own])
        self.register_buffer("own_weights", flat, persistent=False)
        levels = numbers([each[j].has_levels for _, j in own])
        self.register_buffer("is_level", levels, persistent=False)
        self.register_buffer("has_own", zeros(len(own)) + 1)
        self.register_buffer("n_rows", zeros() + 1)
        self.register_buffer("kept", numbers(range(len(columns))), persistent=False)
        self.bias = nn.Parameter(zeros(len(columns)))
        self.weight = nn.Parameter(zeros(len(owner), len(columns)))

    @torch.no_grad()
    def start(self, features: Tensor, missing: Tensor, share: Tensor, n_rows: int) -> None:
        """Start from the simpler explanation of each column, and set ``has_own`` by it.

        Features (N, P), missing values (N, D) and shares (N,) of a sample of the ``n_rows`` rows.
        """
        self.n_rows.fill_(n_rows)
        features, of_row = self._clipped(features).double(), len(share) * share
        own, observed = features[:, self.own_features], ~missing[:, self.own_columns]
        weight = of_row.double()[:, None] * observed
        total = weight.sum(0).clamp(min=torch.finfo(weight.dtype).tiny)
        mean = (weight * own).sum(0) / total
        variance = (weight * (own - mean).square()).sum(0) / total
        n_other = torch.minimum((weight * (own > 0)).sum(0), (weight * (own <= 0)).sum(0))
        varied = torch.where(self.is_level > 0, n_other >= FEWEST_ROWS, variance >= LEAST_VARIANCE)
        self.has_own.copy_(varied)
        columns = [self.own_features[self.own_columns == j] for j in self.columns]
        counts = torch.zeros(len(self.weight), dtype=torch.bool, device=self.weight.device)
        counts[self.own_features] = self.has_own > 0
        parts = features, missing[:, self.columns], of_row.double()
        x, y, weights = (part.cpu().numpy() for part in parts)
        own_features = [column.cpu().numpy() for column in columns]
        start = simpler_explanation(x, y, weights, own_features, counts.cpu().numpy())
        found = torch.from_numpy(start).to(self.weight)
        self.has_own.copy_(found[1:].reshape(-1)[self.own_weights] != 0)
        self._keep()
        is_kept = torch.zeros_like(found[0]).index_fill(0, self.kept, 1.0)
        self.bias.copy_(found[0] * is_kept)
        self.weight.copy_(found[1:] * is_kept)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        self._keep()

    def _keep(self) -> None:
        """Set ``kept`` by ``has_own``."""
        owners = self.own_columns[self.has_own > 0]
        self.kept = torch.isin(self.columns, owners).nonzero()[:, 0]

    @property
    def is_needed(self) -> bool:
        """Whether any value says something about itself by being missing."""
        return len(self.kept) > 0

    @property
    def kept_columns(self) -> Tensor:
        """The columns with an own weight. (A,)."""
        return self.columns.index_select(0, self.kept)

    def ends_by_masking(self) -> Tensor:
        """Whether the observed values of each column end sooner because others are missing. (D, 2).

        At the upper end if larger values are missing more often, else at the lower end.
        """
        own = self.weight.new_zeros(sum(self.n_columns))
        own = own.index_add(0, self.own_columns, self._own())
        return torch.stack([own < 0, own > 0], dim=1)

    def probit(self, features: Tensor) -> Tensor:
        """The probits by the observed values, 0 for columns without an own weight. -> (N, D).

        Features (N, P) of missing values are 0. Flags of observed values after them don't count.
        """
        bias, weight = (p.index_select(-1, self.kept) for p in (self.bias, self.weight))
        # in place, which autocast doesn't compute in bfloat16
        found = bias.repeat(len(features), 1)
        found = found.addmm_(self._clipped(features).to(bias.dtype), weight)
        all_columns = found.new_zeros(len(found), sum(self.n_columns))
        return all_columns.index_copy(1, self.kept_columns, found)

    def log_prob(
        self,
        groups: Sequence[ObservationModel],
        cells: Cells,
        outputs: Sequence[Tensor],
        noise: LocationNoise | None,
    ) -> Tensor:
        """log P(m | observed values, z), given the outputs decoded from z. -> (S, N).

        ``cells`` have a ``probit``. Located columns have the ``noise``, if there is one.
        """
        found = []
        for group, out, part in zip(groups, outputs, self._missing(groups, cells), strict=True):
            if len(part.cells) == 0:
                continue
            if noise is not None and group.is_located:
                log_prob, _ = noise.missing(group, out[..., : group.n_columns], *part)
            else:
                log_prob, _ = group.missing(out, *part)
            found.append(_by_row(log_prob, part.cells, len(cells), group.n_columns))
        observed = self._log_observed(cells).expand(len(outputs[0]), -1)
        return torch.stack([observed, *(part.to(observed.dtype) for part in found)]).sum(0)

    def vjp(
        self,
        groups: Sequence[ObservationModel],
        cells: Cells,
        features: Tensor,
        outputs: Sequence[Tensor],
        noise: LocationNoise | None,
    ) -> tuple[Later, Callable[[Tensor], list[Tensor | None]]]:
        """A function that computes ``log_prob``, and its backward function.

        The latter adds the gradients by bias and weight, and that of the weights' prior. It returns
        those by the outputs of each group, None for 0. ``features`` are those of the rows.
        """
        parts = list(self._missing(groups, cells))

        def of_group(
            group: ObservationModel, out: Tensor, part: Missing
        ) -> tuple[Tensor, Backward] | None:
            if len(part.cells) == 0:
                return None
            out = out.to(features.dtype)
            if noise is not None and group.is_located:
                return noise.missing_vjp(group, out, *part)
            return group.missing_vjp(out, *part)

        vjps = [of_group(*each) for each in zip(groups, outputs, parts, strict=True)]

        def log_prob() -> Tensor:
            found = [self._log_observed(cells).expand(len(outputs[0]), -1)]
            for group, part, vjp in zip(groups, parts, vjps, strict=True):
                if vjp is not None:
                    found.append(_by_row(vjp[0], part.cells, len(cells), group.n_columns))
            return torch.stack(found).sum(0)

        def backward(gradient: Tensor) -> list[Tensor | None]:
            by_outputs: list[Tensor | None] = []
            # first as if all values were observed
            assert cells.probit is not None
            less = ratio(-cells.probit, probability(-cells.probit))
            by_probit = -less * gradient.sum(0).unsqueeze(-1)
            by_probits = [part.flatten() for part in split(by_probit, self.n_columns)]
            by_slopes = [features.new_zeros(n) for n in self.n_features]
            for i, (part, vjp) in enumerate(zip(parts, vjps, strict=True)):
                if vjp is None:
                    by_outputs.append(None)
                    continue
                row = part.cells.div(self.n_columns[i], rounding_mode="floor")
                by_out, by_bias, by_slope = vjp[1](gradient.index_select(1, row))
                by_outputs.append(by_out)
                by_probits[i] = by_probits[i].index_copy(0, part.cells, by_bias)
                by_slopes[i] = groups[i].emphasised(by_slope.T).T.flatten()
            by_probit = join([part.view(len(cells), -1) for part in by_probits])
            self._add_gradients(features, by_probit, join(by_slopes), -gradient.sum())
            return by_outputs

        return log_prob, backward

    def _add_gradients(
        self, features: Tensor, by_probit: Tensor, by_slope: Tensor, scale: Tensor
    ) -> None:
        """Add the gradients of minus the bound, by probits (N, D) and slopes (P,).

        Those of the prior, of which each row has a share, are multiplied by ``scale``.
        """
        by_probit, per_row = by_probit.index_select(1, self.kept_columns), scale / self.n_rows
        if self.bias.grad is not None:
            self.bias.grad.index_add_(0, self.kept, by_probit.sum(0))
        if self.weight.grad is None:
            return
        by_weight = self.weight.new_zeros(len(self.weight), len(self.kept))
        by_weight.addmm_(self._clipped(features).T, by_probit)
        self.weight.grad.index_add_(1, self.kept, by_weight)  # each column once
        gradient = self.weight.grad.add_(self.weight * (per_row * PRECISION))
        own = self._own()
        variance = own.square().sum() / len(self.columns) + OWN_VARIANCE
        flat = gradient.view(-1)
        of_own = flat.index_select(0, self.own_weights) + by_slope[self.own_features]
        of_own += own * (per_row * (1 / variance - PRECISION))
        flat.index_copy_(0, self.own_weights, of_own * self.has_own)

    def given_missing(
        self, groups: Sequence[ObservationModel], cells: Cells, outputs: Sequence[Tensor]
    ) -> list[Tensor]:
        """The outputs, with those that describe p(x | z, m) for missing values."""
        return [
            group.missing(out, *part)[1]() if len(part.cells) else out
            for group, out, part in zip(groups, outputs, self._missing(groups, cells), strict=True)
        ]

    def _missing(self, groups: Sequence[ObservationModel], cells: Cells) -> Iterator[Missing]:
        """The missing values of each group, of columns with an own weight."""
        assert cells.probit is not None
        modelled = cells.missing.new_zeros(cells.probit.shape[-1])
        modelled = modelled.index_fill(0, self.kept_columns, True)
        masks = split(cells.missing & modelled, self.n_columns)
        slopes = self.weight.new_zeros(sum(self.n_features))
        slopes = slopes.index_copy(0, self.own_features, self._own())
        of_group = zip(
            groups,
            masks,
            split(cells.probit, self.n_columns),
            split(slopes, self.n_features),
            strict=True,
        )
        for group, mask, probit, slope in of_group:
            numbers = mask.flatten().nonzero()[:, 0]
            biases = probit.flatten().index_select(0, numbers)
            # on the scale of the likelihood's features
            slope = group.emphasised(slope.view(group.n_columns, -1).T).T
            yield Missing(numbers, biases, slope)

    def _clipped(self, features: Tensor) -> Tensor:
        """Features without outliers, and without flags of observed values."""
        return clipped(features[:, : len(self.weight)])

    def _own(self) -> Tensor:
        """The own weights of all columns."""
        return self.weight.view(-1).index_select(0, self.own_weights)

    def _log_observed(self, cells: Cells) -> Tensor:
        """log P that the observed values are not missing, of columns with an own weight. (N,)."""
        assert cells.probit is not None
        columns = self.kept_columns
        probit = cells.probit.index_select(-1, columns)
        observed = ~cells.missing.index_select(-1, columns)
        return torch.where(observed, probability(-probit).log(), 0.0).sum(-1)


class Missing(NamedTuple):
    """Missing values of a group: their numbers (M,), biases (M,), and the slopes (d, F)."""

    cells: Tensor
    bias: Tensor
    slope: Tensor


def _by_row(log_prob: Tensor, cells: Tensor, n_rows: int, n_columns: int) -> Tensor:
    """The sums over the cells of a row. (S, M), (M,) -> (S, N)."""
    # not index_add, whose sums on a GPU have no fixed order
    of_cells = log_prob.new_zeros(len(log_prob), n_rows * n_columns)
    return of_cells.index_copy(1, cells, log_prob).view(-1, n_rows, n_columns).sum(-1)
