"""A fitted model: what one fit learned, and the methods that use it.

This module is independent of scikit-learn. Tables are checked arrays of numbers, with NaN for a
missing value. Results are arrays in the units of the table.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skvae._architecture import Architecture
from skvae._blocks import DRAWS_AT_ONCE, FEWEST_AT_ONCE, LEFT_OUT_AT_ONCE, chunks
from skvae._floats import float_errors_ignored
from skvae._inference.averages import decoded_mean, weighted_masses, weighted_mean
from skvae._inference.effort import FEW_COMPONENTS, FEWEST_CODES, STANDARD_ERROR, Effort
from skvae._inference.map_rows import Input, Size, map_rows
from skvae._inference.missingness import Missingness, inputs_of
from skvae._inference.scores import log_likelihood, weighted_codes
from skvae._inference.slopes import slopes_in_prior
from skvae._model.cells import Cells
from skvae._model.state import arrays_of, load_arrays
from skvae._model.vae import VAE
from skvae._table.bounds import bounds_of
from skvae._table.columns import Columns
from skvae._table.container import Container
from skvae._torch.random import derive, generator_from, quasi_normal
from skvae._torch.runtime import resolve_device, torch_runtime
from skvae._training.bounds import component_divergence
from skvae._training.stages import TrainingState
from skvae._warn import warn

Array = NDArray[Any]

# Number of codes over which the slopes of the decoder are averaged.
SLOPE_DRAWS = 256
# Default number of draws for the evidence lower bound, in few latent dimensions and in many.
ELBO_DRAWS = (256, 512)


@dataclass
class Fitted:
    """One fitted model.

    Attributes
    ----------
    container : Container
        The kind of table of the training data, and of results.
    columns : Columns
        The likelihood and the constants of each column.
    architecture : Architecture
    module : VAE
        The networks, observation model and prior, in the working units of the columns.
    seed : int
        The seed of all randomness of the fit.
    scale : ndarray of shape (n_components,)
        The factor of codes on the scale of N(0, 1).
    kl_divergence : ndarray of shape (n_components,)
        Mean KL divergence of each component, in nats.
    missingness : Missingness
        Which values of a new row are missing.
    training : TrainingState
        The history of training, and the state that it needs to continue.
    """

    container: Container
    columns: Columns
    architecture: Architecture
    module: VAE
    seed: int
    scale: Array
    kl_divergence: Array
    missingness: Missingness = field(default_factory=Missingness)
    training: TrainingState = field(default_factory=TrainingState)

    @property
    def n_components(self) -> int:
        """The number of latent dimensions."""
        return self.architecture.n_components

    @property
    def device(self) -> torch.device:
        """The device of the module."""
        return next(self.module.parameters()).device

    @property
    def categories(self) -> dict[Any, Array]:
        """The sorted values of each column that has a mass for each of a few values, by name."""
        return {
            self.columns.names[place]: self.container.sorted_values(place, values)[0]
            for place, values in self.columns.values.items()
        }

    @property
    def bounds(self) -> dict[Any, tuple[Any, Any]]:
        """The limits of draws of each column of numbers, by name."""
        return bounds_of(self.columns, self.container)

    # -- codes ----------------------------------------------------------------------

    def codes(self, table: Array, dtype: Any) -> Array:
        """The mean of q(z|x) of each row, times ``scale``. -> (n, K)."""

        def encode(model: VAE, x: Tensor, _: slice) -> Tensor:
            mean, _log_std = model.encode(model.cells(x))
            return mean

        mean = map_rows(self.module, encode, self._rows(table, dtype))
        codes: Array = mean * self.scale.astype(mean.dtype)
        return codes

    def posterior(self, table: Array, dtype: Any) -> tuple[Array, Array]:
        """Mean and standard deviation of q(z|x) of each row, times ``scale``. -> 2 x (n, K)."""

        def encode(model: VAE, x: Tensor, _: slice) -> Tensor:
            return torch.cat(model.encode(model.cells(x)), dim=-1)

        both = map_rows(self.module, encode, self._rows(table, dtype))
        mean, log_std = np.split(both, 2, axis=1)
        scale = self.scale.astype(both.dtype)
        return mean * scale, np.exp(log_std) * scale

    def divergence(self, table: Array, dtype: Any) -> Array:
        """The KL divergence of each component of q(z|x), as in ``kl_divergence``. -> (n, K)."""
        with torch_runtime(self.device):
            moments = self.module.prior_moments(self.generator_of_moments())

        def of_rows(model: VAE, x: Tensor, _: slice) -> Tensor:
            likewise = moments[0].to(x), moments[1].to(x)
            kl, _log_std = component_divergence(model, model.cells(x), likewise)
            return kl

        return map_rows(self.module, of_rows, self._rows(table, dtype))

    def decode(self, codes: Array) -> Array:
        """E[x|z] for codes on the scale of ``codes``. (n, K) -> (n, d)."""
        z = codes / self.scale.astype(codes.dtype)

        def mean(model: VAE, z: Tensor, _: slice) -> Tensor:
            return decoded_mean(model, z)

        return map_rows(self.module, mean, _codes(z), finish=self.columns.from_mean)

    def loadings(self) -> tuple[list[str], Array]:
        """Names of features and levels in the order of the table, and their loadings (F, K)."""
        noise = quasi_normal(SLOPE_DRAWS, self.n_components, derive(self.seed, "slopes"))
        parameter = next(self.module.parameters())
        with torch_runtime(parameter.device):
            draws = torch.as_tensor(noise, dtype=parameter.dtype, device=parameter.device)
            slopes = slopes_in_prior(self.module, draws, self.generator_of_moments())
        names: list[str] = []
        loadings: list[Array] = []
        places: list[int] = []
        values = self.columns.values
        for group, slope in zip(self.columns.groups, slopes, strict=True):
            scaled = slope.cpu().numpy() * self.columns.mean_slope_unit(group)[:, None]
            for i, place in enumerate(map(int, group.places)):
                of_levels = values[place] if group.likelihood.takes_levels else None
                levels = self._names_of_statistics(place, of_levels)
                names += levels
                loadings += list(scaled[:, i, : len(levels)].T)
                places += [place] * len(levels)
        order = np.argsort(places, kind="stable")
        return [names[i] for i in order], np.array(loadings)[order]

    def generator_of_moments(self) -> torch.Generator:
        """The generator of the draws by which the moments of a learned prior are computed."""
        return generator_from(derive(self.seed, "moments"), self.device)

    def _names_of_statistics(self, place: int, levels: Array | None) -> list[str]:
        """The names of the statistics of the column at ``place``, one for each of its levels."""
        name = f"x{place}" if self.container.fields is None else self.columns.names[place]
        if levels is None:
            return [str(name)]
        return [f"{name}={level}" for level in self.container.levels(place, levels)]

    # -- log-likelihoods --------------------------------------------------------------

    def log_likelihood(
        self, table: Array, dtype: Any, n_draws: int | None = None, error: float = STANDARD_ERROR
    ) -> Array:
        """An estimate of log p(x) of each row by importance sampling, in nats. -> (n,).

        With ``n_draws`` draws, or as many as a row needs for this standard error, in nats.
        """
        return self._scores(table, dtype, Effort.of_score(self.n_components, n_draws, error))

    def _scores(self, table: Array, dtype: Any, effort: Effort) -> Array:
        bound = partial(log_likelihood, effort=effort)
        return self._bound(bound, table, dtype, effort.n_noise, self._size(effort))

    def elbo(self, table: Array, dtype: Any, n_draws: int | None = None) -> Array:
        """The evidence lower bound of each row, in nats. -> (n,)."""
        n_draws = n_draws or ELBO_DRAWS[self.n_components > FEW_COMPONENTS]
        size = Size(min(n_draws, DRAWS_AT_ONCE), n_draws)
        return self._bound(VAE.elbo, table, dtype, n_draws, size)

    def log_likelihood_of_cells(
        self, table: Array, dtype: Any, n_draws: int | None = None, error: float = STANDARD_ERROR
    ) -> Array:
        """log p of each value given the others within training's ranges, per spread. -> (n, d)."""
        self.columns.check_cells_can_be_left_out()
        table = np.asarray(table, dtype=dtype)
        n, d = table.shape
        beyond = self.columns.beyond_training(table)
        evidence = np.where(beyond, np.nan, table)
        # errors of a difference cancel in part if both rows start with the same draws
        effort = Effort.of_score(self.n_components, n_draws, error)._replace(first_of_complete=None)
        observed = np.flatnonzero(~np.isnan(table))
        parts = []
        # the rows, and then for each observed value its row without it, or with it if it is beyond
        for part in chunks(n + len(observed), LEFT_OUT_AT_ONCE // d):
            cells = observed[max(part.start - n, 0) : max(part.stop - n, 0)]
            row, place = np.divmod(cells, d)
            changed = evidence[row]
            value = np.where(beyond.flat[cells], table.flat[cells], np.nan)
            changed[np.arange(len(row)), place] = value
            rows = np.concatenate([evidence[part], changed])
            parts.append(self._scores(rows, dtype, effort))
        scores = np.concatenate(parts)
        with float_errors_ignored("invalid"):  # -inf - (-inf), if both likelihoods are 0
            gain = scores[observed // d] - scores[n:]
        out = np.full((n, d), np.nan, dtype=scores.dtype)
        out.flat[observed] = np.where(beyond.flat[observed], -gain, gain)
        out += self.columns.log_unit(table)
        return out

    def _bound(
        self,
        bound: Callable[[VAE, Cells, Tensor], Tensor],
        table: Array,
        dtype: Any,
        n_noise: int,
        size: Size,
    ) -> Array:
        """A bound of each row by noise that all rows share, in the caller's units. -> (n,)."""
        noise = self._scoring_noise(n_noise)

        def of_rows(model: VAE, x: Tensor, _: slice) -> Tensor:
            return bound(model, model.cells(x), x.new_tensor(noise))

        working = map_rows(
            self.module, of_rows, self._rows(table, dtype), size=size, float32_networks=True
        )
        undefined = np.isnan(working)
        if undefined.any():
            warn(
                f"The log-likelihood is not a number and counts as -inf in {undefined.sum()} rows. "
                "Look for values far outside the range of the training rows, or for an error in a "
                "custom likelihood or network."
            )
            working[undefined] = -np.inf
        return working + self.columns.log_jacobian(table, None)

    def _scoring_noise(self, n: int) -> Array:
        """Noise that is the same for all rows and calls, (n, 1, K)."""
        return quasi_normal(n, self.n_components, derive(self.seed, "scoring"))[:, None, :]

    # -- missing values and new rows ----------------------------------------------------

    def conditional_mean(
        self, table: Array, numbers: Array, dtype: Any, *, evidence: bool = False
    ) -> Array:
        """E[x | x_observed] of missing values; arbitrary for observed ones. -> (n, d).

        With ``evidence``, that a value is missing says something about it, if the model knows what.
        Without, it is just not given. ``numbers`` name the rows in errors.
        """

        def mean(model: VAE, cells: Cells, z: Tensor, weight: Tensor) -> Tensor:
            return weighted_mean(model, z, weight, cells)

        return self._conditional(
            mean, table, numbers, dtype, finish=self.columns.from_mean, evidence=evidence
        )

    def conditional_masses(
        self,
        table: Array,
        place: int,
        dtype: Any,
        finish: Callable[[Array], Array] = np.asarray,
    ) -> Array:
        """p(x_place | x_observed) for each of its ``categories``, in their order. -> (n, L).

        ``finish`` is applied to chunks of rows.
        """
        g, i = self.columns.group_of(place)
        _, order = self.container.sorted_values(place, self.columns.values[place])

        def masses(model: VAE, cells: Cells, z: Tensor, weight: Tensor) -> Tensor:
            return weighted_masses(model, g, z, weight, cells)[:, i, order]

        return self._conditional(masses, table, np.arange(len(table)), dtype, finish)

    def most_likely(self, table: Array, place: int, dtype: Any) -> NDArray[np.intp]:
        """The number of the most likely of its ``categories`` given x_observed. -> (n,)."""
        found = self.conditional_masses(table, place, dtype, lambda masses: masses.argmax(axis=1))
        return found.astype(np.intp)

    def _conditional(
        self,
        call: Callable[[VAE, Cells, Tensor, Tensor], Tensor],
        table: Array,
        numbers: Array,
        dtype: Any,
        finish: Callable[[Array], Array] = np.asarray,
        *,
        evidence: bool = False,
    ) -> Array:
        """``call`` with rows and weighted codes given their observed values. -> (n, ...)."""
        effort = Effort.of_mean()
        noise = self._scoring_noise(effort.n_noise)

        def of_rows(model: VAE, x: Tensor, rows: slice) -> Tensor:
            cells = _cells(model, x, evidence)
            return self._by_weighted_codes(model, cells, noise, numbers[rows], effort, call)

        source = self._rows(table, dtype)
        return map_rows(
            self.module,
            of_rows,
            source,
            size=self._size(effort),
            finish=finish,
            float32_networks=True,
        )

    def conditional_draws(
        self,
        table: Array,
        numbers: Array,
        dtype: Any,
        n: int,
        seed: int,
        *,
        evidence: bool = False,
        missing: bool = False,
    ) -> Array:
        """Draws from p(x | x_observed), as in ``conditional_mean``. -> (n_rows, n, d).

        With ``missing``, some of the values that the rows lack are NaN.
        """
        effort = Effort.of_draws(n)
        is_beyond: NDArray[np.bool_] = np.any(self.columns.beyond_training(table), axis=1)
        noise = quasi_normal(effort.n_noise, self.n_components, derive(seed, "pool"))[:, None, :]
        generator = generator_from(derive(seed, "conditional"), self.device)
        rng = np.random.default_rng(derive(seed, "missing"))
        is_missing = np.zeros((n, *table.shape), dtype=bool)
        from_one_code = 0  # rows

        def pick(model: VAE, cells: Cells, z: Tensor, weight: Tensor) -> Tensor:
            nonlocal from_one_code
            from_one_code += int((1 / weight.square().sum(0) < FEWEST_CODES).sum())
            picked = torch.multinomial(weight.T, n, replacement=True, generator=generator).T
            return z.gather(0, picked[..., None].expand(-1, -1, z.shape[-1])).transpose(0, 1)

        def draw(model: VAE, x: Tensor, rows: slice) -> Tensor:
            cells, parts = _cells(model, x, evidence), []
            codes = self._by_weighted_codes(model, cells, noise, numbers[rows], effort, pick)
            # with many levels, all n draws at once would not fit in memory
            for some in chunks(n, DRAWS_AT_ONCE):
                z = codes[:, some].transpose(0, 1)
                drawn, beyond = model.sample(z, generator, cells), is_beyond[rows]
                shown = self._shown(drawn)
                if beyond.any():
                    shown[:, beyond] = self._extrapolated(model, z[:, beyond], drawn[:, beyond])
                if missing:
                    is_missing[some, rows] = self._missing(model, shown, x, rng)
                parts.append(shown)
            return torch.from_numpy(np.concatenate(parts)).transpose(0, 1)

        size = self._size(effort, max(n, DRAWS_AT_ONCE))
        source = self._rows(table, dtype)
        drawn = map_rows(
            self.module,
            draw,
            source,
            size=size,
            in_order=True,
            float32_networks=True,
        )
        drawn[is_missing.swapaxes(0, 1)] = np.nan
        if n > 1 and from_one_code:
            warn(
                f"For {from_one_code} of {len(table)} rows with missing values, nearly all draws "
                "come from a single code and differ too little. These rows may be unlike the "
                "training rows, or the model may have too many components."
            )
        return drawn

    def _shown(self, drawn: Tensor) -> Array:
        """Draws in the caller's units: on the grid and within limits. (S, N, D) -> (S, N, d)."""
        return self.columns.from_working(drawn.flatten(0, 1).cpu().numpy()).reshape(drawn.shape)

    def _extrapolated(self, model: VAE, z: Tensor, drawn: Tensor) -> Array:
        """Draws of codes (S, N, K) as by ``_shown``, where the model extrapolates.

        Where the mean of a draw lies beyond a limit of training, the draw has no limit but the
        bounds that the user named, at which it is clipped.
        """
        columns, flat = self.columns, drawn.flatten(0, 1).cpu().numpy()
        named = np.where(np.isnan(columns.bounds), [-np.inf, np.inf], columns.bounds)
        free = columns.bounded(np.full_like(named, [-np.inf, np.inf]))
        mean = free.from_mean(decoded_mean(model, z.flatten(0, 1)).cpu().numpy())
        found = np.where(
            columns.beyond(mean, columns.limits),
            free.from_working(flat).clip(*named.T),
            columns.from_working(flat),
        )
        return found.reshape(drawn.shape)

    def sample(self, n: int, seed: int, *, missing: bool = False) -> Array:
        """New rows: a code z from the prior for each, and a draw from p(x|z). -> (n, d).

        With ``missing``, values are missing (NaN) as in the training rows.
        """
        noise = generator_from(derive(seed, "observation"), self.device)
        rng = np.random.default_rng(derive(seed, "missing"))
        is_missing = np.zeros((n, len(self.columns.names)), dtype=bool)

        def draw(model: VAE, z: Tensor, rows: slice) -> Tensor:
            x = model.sample(z[None], noise)
            shown = self._shown(x)
            if missing:
                nothing = torch.full_like(x[0], torch.nan)
                is_missing[rows] = self._missing(model, shown, nothing, rng)[0]
            return torch.from_numpy(shown[0])

        source = _codes(self.prior_codes(n, seed))
        drawn = map_rows(self.module, draw, source, in_order=True)
        drawn[is_missing] = np.nan
        return drawn

    def _missing(
        self, model: VAE, shown: Array, given: Tensor, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Which of the drawn values are missing. Given values are not.

        Drawn values (S, N, d) as the user will see them, and given ones (N, D) in working units,
        NaN if not given. -> (S, N, d).
        """
        known = ~given.isnan()
        working = self.columns.to_working(shown.reshape(-1, shown.shape[-1]), None, np.float64)
        drawn = given.new_tensor(working).view(len(shown), *given.shape)
        rows = torch.where(known, given, drawn).flatten(0, 1)
        observed = known.expand_as(drawn).flatten(0, 1).cpu().numpy()
        found = self.missingness.draw(inputs_of(model, model.cells(rows)), observed, rng)
        return found[:, np.argsort(self.columns.order)].reshape(drawn.shape)

    def prior_codes(self, n: int, seed: int) -> Array:
        """Draw codes z from the prior, on the scale of N(0, 1). -> (n, K)."""
        cpu = torch.device("cpu")
        with torch_runtime(cpu):
            draws = self.module.prior_on(cpu).sample(n, generator_from(derive(seed, "codes"), cpu))
            return draws.double().numpy()

    def _by_weighted_codes(
        self,
        model: VAE,
        cells: Cells,
        noise: Array,
        numbers: Array,
        effort: Effort,
        call: Callable[[VAE, Cells, Tensor, Tensor], Tensor],
    ) -> Tensor:
        """``call`` with rows, codes (S, n, K) and weights (S, n) that sum to 1. -> (N, ...)."""
        parts, places, noises = [], [], cells.values.new_tensor(noise)
        for rows, z, log_weight in weighted_codes(model, cells, noises, effort=effort):
            some = cells.take(rows)
            self._check_weights(log_weight, some, numbers[rows.cpu().numpy()])
            parts.append(call(model, some, z, torch.softmax(log_weight, dim=0)))
            places.append(rows)
        return torch.cat(parts)[torch.cat(places).argsort()]

    def _check_weights(self, log_weight: Tensor, cells: Cells, numbers: Array) -> None:
        """Raise ValueError if all weights of a row are 0."""
        lost = ~log_weight.isfinite().any(0)
        if bool(lost.any()):
            first = int(lost.nonzero()[0])
            farthest = self.columns.order[int(cells.values[first].abs().argmax())]
            raise ValueError(
                f"The likelihood of row {numbers[first]} is 0 in floating point for every code: "
                f"its column {self.columns.names[farthest]!r} holds a value far outside the range "
                "of the training rows. Correct the value, or mark it as missing by NaN."
            )

    def _rows(self, table: Array, dtype: Any) -> Input:
        """The rows of a checked table, in working units."""
        return Input(
            lambda rows: self.columns.to_working(table[rows], None, dtype), len(table), dtype
        )

    def _size(self, effort: Effort, n_results: int = 1) -> Size:
        """The memory that a row needs for weighted codes, and for results."""
        # a Hessian takes a code for each dimension; few rows need all draws
        decoded = max(FEWEST_AT_ONCE, self.n_components, n_results)
        return Size(decoded, max(effort.first, effort.n_noise // 4))

    # -- pickling -------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """The state with arrays in place of tensors, so that it can be loaded without a GPU."""
        state = {one.name: getattr(self, one.name) for one in fields(self)}
        priors = copy.deepcopy((self.module.learned_prior, self.module.prior))
        on_cpu = [None if prior is None else prior.cpu() for prior in priors]
        return state | {
            "columns": _as_unpickled(self.columns),
            "module": arrays_of(self.module),
            "priors": on_cpu,
            "device": str(self.device),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        device, arrays, priors = (state.pop(name) for name in ("device", "module", "priors"))
        vars(self).update(state)
        with torch_runtime(torch.device("cpu")):
            learned_prior, prior = priors
            self.module = self.architecture.build(self.columns, self.seed, learned_prior)
            load_arrays(self.module, arrays)
            self.module.prior = prior
            try:
                self.module.to(resolve_device(device))
            except ValueError as error:
                warn(f"The model was saved on another device and is now on the CPU: {error}")


def _as_unpickled(columns: Columns) -> Columns:
    """Columns whose empty arrays have the strides of unpickled ones, as joblib's hash needs."""
    try:
        copied: Columns = pickle.loads(pickle.dumps(columns))
    except (AttributeError, TypeError, pickle.PicklingError):  # of a class within a function
        return columns
    return copied


def _cells(model: VAE, x: Tensor, evidence: bool) -> Cells:
    """The rows as cells, whose missing values may be evidence of themselves."""
    return model.with_evidence(model.cells(x)) if evidence else model.cells(x)


def _codes(z: Array) -> Input:
    """Codes on the scale of N(0, 1)."""
    return Input(z.__getitem__, len(z), z.dtype)
