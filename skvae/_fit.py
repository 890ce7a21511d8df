"""Fit a model to a table: split the rows, initialise and train the model, and judge the result.

``parameters`` is any object with the parameters of ``VAETransformer`` as attributes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from skvae._blocks import LARGEST_COPY
from skvae._fitted import Architecture, Fitted, build
from skvae._model.cells import Cells
from skvae._start import start_from_pca
from skvae._table.columns import Columns
from skvae._table.container import BOOL, LEVEL, Container
from skvae._table.distinct import smallest
from skvae._torch.random import derive, generator_from
from skvae._torch.runtime import resolve_device, seeded, torch_runtime
from skvae._training.bounds import MeanBound, posterior_draws, posterior_means
from skvae._training.fit import rows_to_start_from, train_stages
from skvae._training.loop import History
from skvae._training.plan import Plan, Stage, auto_batch_size, auto_kl_warmup
from skvae._training.rows import Rows, StoredRows, WeightedRows
from skvae._training.schedules import resolve_schedule
from skvae._value import Value
from skvae.networks import MLP, Network, layer_sizes
from skvae.objectives import OBJECTIVES, Objective
from skvae.priors import PRIORS, Normal, Prior, StandardNormal

Array = NDArray[Any]

# Mean KL divergence, in nats, below which a component carries no information.
UNUSED = 0.01
# Fall of the mean bound, in nats, from which on training has failed. The noise of a mean of few
# rows is smaller.
LOST = 1.0
# The rows whose bounds change most are not used to judge training: this share of the rows, and at
# least a few if that is at most a tenth. A warning names at most MOST_NAMED of them.
EXTREME_SHARE, FEW_EXTREME, MOST_NAMED = 0.01, 3, 3
# Working units, or nats, beyond which the density of a value is inaccurate in float32.
FARTHEST = 1e15
# The smallest factor of the codes.
SMALLEST_SCALE = 1e-3
# Number of rows for judging a fit, and the largest number of held-out rows.
SAMPLE_ROWS, MOST_HELD_OUT = 1000, 2**16


@dataclass
class WeightedTable:
    """Rows of a checked table: their numbers, weights, and hashes for random choices (n,)."""

    table: Any
    index: NDArray[np.intp]
    weight: NDArray[np.float64]
    hashes: NDArray[np.uint64]

    @classmethod
    def of_all(cls, table: Any) -> WeightedTable:
        """All rows of a table, with weight 1."""
        n = len(table)
        return cls(table, np.arange(n), np.ones(n), np.arange(n, dtype=np.uint64))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> WeightedTable:
        return WeightedTable(
            self.table, self.index[chosen], self.weight[chosen], self.hashes[chosen]
        )


# -- before training ------------------------------------------------------------------


def check_parts(parameters: Any) -> None:
    """Raise ValueError if a part of the model, or one of its fields, is out of bounds."""
    resolve_schedule(parameters.learning_rate)
    likelihood = parameters.likelihood
    likelihoods = likelihood.values() if isinstance(likelihood, Mapping) else [likelihood]
    others = parameters.encoder, parameters.decoder, parameters.prior, parameters.objective
    default = MLP(parameters.hidden_layer_sizes, parameters.activation, parameters.dropout)
    for part in (default, *others, *likelihoods):
        if isinstance(part, Value):
            part.check()


def untrained(parameters: Any, container: Container, data: WeightedTable, seed: int) -> Fitted:
    """A model for a table with its initial weights, on its device."""
    n_columns = data.table.shape[1]
    columns = Columns.fit(
        data.table,
        data.index,
        data.weight,
        names=container.column_names(n_columns),
        likelihood=copy.deepcopy(parameters.likelihood),
        is_category=container.holds(LEVEL, n_columns),
        is_bool=container.holds(BOOL, n_columns),
    )
    chosen = architecture(parameters, columns)
    device = resolve_device(parameters.device)
    with torch_runtime(device):
        module = build(columns, chosen, seed, prior_of(parameters)).to(device)
    nothing = np.zeros(chosen.n_components)
    return Fitted(container, columns, chosen, module, seed, nothing + 1, nothing)


def continued(fitted: Fitted, parameters: Any, data: WeightedTable) -> Fitted:
    """A copy of a fitted model, to continue training with the rows of a table."""
    columns = fitted.columns.continued(data.table, data.index)
    device = resolve_device(parameters.device)
    with torch_runtime(device):
        module = copy.deepcopy(fitted.module).to(device)
    return replace(fitted, columns=columns, module=module)


def architecture(parameters: Any, columns: Columns) -> Architecture:
    """The architecture that the parameters describe, copied."""
    encoder, decoder = parameters.encoder, parameters.decoder
    sizes = layer_sizes(parameters.hidden_layer_sizes)
    default = MLP(sizes, parameters.activation, float(parameters.dropout))
    if encoder is None:
        encoder = default
    if decoder is None:
        decoder = (encoder if isinstance(encoder, MLP) else default).mirror()
    skip = any(group.likelihood.has_location for group in columns.groups)
    encoder, decoder = _with_skip(encoder, skip), _with_skip(decoder, skip)
    chosen = Architecture(int(parameters.n_components), encoder, decoder, parameters.likelihood)
    return copy.deepcopy(chosen)


def prior_of(parameters: Any) -> Prior:
    """The prior with the given name, or the given instance."""
    prior = parameters.prior
    return PRIORS[prior]() if isinstance(prior, str) else prior


def _with_skip(network: Network, skip: bool) -> Network:
    """The network; for an MLP with ``skip=None``, a copy with this ``skip``."""
    if isinstance(network, MLP) and network.skip is None:
        return replace(network, skip=skip)
    return network


def split(data: WeightedTable, fraction: float, seed: int) -> tuple[WeightedTable, WeightedTable]:
    """Split into training and validation rows, at least one each. A single row is in both."""
    row_bytes = data.table.shape[1] * np.dtype(np.float32).itemsize
    most = min(MOST_HELD_OUT, LARGEST_COPY // (4 * row_bytes), len(data) - 1)
    n = min(round(fraction * len(data)), most)
    held = smallest(data.hashes, max(1, n), derive(seed, "split") >> 1)
    return (data if held.all() else data[~held]), data[held]


def rows_of(fitted: Fitted, data: WeightedTable, *, in_memory: bool = False) -> WeightedRows:
    """Rows for training, in memory on the model's device if their copy is small enough."""
    table, index, weight = data.table, data.index, data.weight
    row_bytes = table.shape[1] * np.dtype(np.float32).itemsize
    is_stored = not in_memory and len(index) * row_bytes > LARGEST_COPY
    if is_stored:
        order = np.argsort(index)  # blocks of neighbours in the table are read together
        index, weight = index[order], weight[order]
    columns, module, device = fitted.columns, fitted.module, fitted.device
    log_jacobian = columns.log_jacobian(table, index)
    if log_jacobian.min() < -FARTHEST:
        columns.refuse_row(table, int(index[log_jacobian.argmin()]))

    def load(rows: Any) -> Cells:
        working = columns.to_working(table, index[rows], np.float32)
        far = np.abs(working) > FARTHEST
        if far.any():
            columns.refuse_row(table, int(index[rows][far.any(axis=1).argmax()]))
        return module.cells(torch.as_tensor(working, device=device))

    mean_log_jacobian = float(np.average(log_jacobian, weights=weight))
    with torch_runtime(device):
        shared = torch.as_tensor(weight, device=device), mean_log_jacobian
        if is_stored:
            return StoredRows(*shared, load, LARGEST_COPY // (4 * row_bytes), index=index)
        return Rows(*shared, load(slice(None)), index=index)


def plan(parameters: Any, n_rows: int, **instead: Any) -> Plan:
    """The plan of training that the parameters describe; fields in ``instead`` replace theirs."""
    values = {field.name: _plain(getattr(parameters, field.name)) for field in fields(Plan)}
    values["objective"] = objective_of(parameters)
    values["learning_rate"] = resolve_schedule(parameters.learning_rate)
    if parameters.kl_warmup == "auto":
        values["kl_warmup"] = auto_kl_warmup(parameters.max_iter)
    if parameters.alpha == "auto":
        values["alpha"] = 0.0
    if parameters.batch_size == "auto":
        values["batch_size"] = auto_batch_size(n_rows)
    values["batch_size"] = min(values["batch_size"], n_rows)
    return Plan(**values | instead)


def objective_of(parameters: Any) -> Objective:
    """The objective with the given name, ``beta`` and ``free_bits``, or a copy of the instance."""
    chosen, beta, free_bits = parameters.objective, parameters.beta, parameters.free_bits
    if isinstance(chosen, str):
        return OBJECTIVES[chosen](float(beta), float(free_bits))
    if (beta, free_bits) != (1.0, 0.0):
        raise ValueError(
            f"objective={chosen!r} has its own beta and free_bits, so beta={beta} and "
            f"free_bits={free_bits} would have no effect. Set objective__beta and "
            "objective__free_bits, or objective to a name."
        )
    own: Objective = copy.deepcopy(chosen)
    return own


def _plain(value: Any) -> Any:
    """Convert a numpy number to a Python number, which cannot overflow as a uint8 can."""
    return value.item() if isinstance(value, np.generic) else value


# -- training -------------------------------------------------------------------------


def start(fitted: Fitted, rows: WeightedRows) -> None:
    """Initialise the weights by PCA."""
    seed, device = derive(fitted.seed, "start"), fitted.device
    with torch_runtime(device):
        sample = rows.sample(rows_to_start_from(fitted.module), generator_from(seed, device))
        start_from_pca(fitted.module, sample.cells, sample.share, seed)


def run(
    fitted: Fitted,
    rows: WeightedRows,
    stages: Sequence[Stage],
    *,
    prior: Prior,
    whiten: bool,
    is_fresh: bool,
    **how: Any,
) -> History:
    """Train a model in place, sort its components if it is new, and fit its prior.

    After a keyboard interrupt the prior is the standard normal.
    """
    seed = derive(fitted.seed, "prior", fitted.training.n_epochs)
    fitted.training, history = train_stages(
        fitted.module, fitted.training, stages, rows, seed=fitted.seed, **how
    )

    def describe() -> None:
        describe_components(fitted, rows, whiten=whiten, order=is_fresh)
        _fit_prior(fitted, rows, Normal(), seed)

    history.finish(describe)
    if not history.interrupted:
        try:
            _fit_prior(fitted, rows, prior, seed)
        except KeyboardInterrupt:
            history.interrupt()
    return history


def describe_components(
    fitted: Fitted, rows: WeightedRows, *, whiten: bool, order: bool = False
) -> None:
    """Set the KL divergence and the scale of each component, after sorting them if ``order``."""
    model, few = fitted.module, sample(fitted, rows)
    with torch_runtime(fitted.device):
        if order and model.learned_prior is None:  # the dimensions of a learned prior differ
            model.components.reset()  # an interrupt may have left one
            kl, _ = posterior_means(model, few)
            _, loadings = fitted.loadings()
            model.components.sort(torch.from_numpy(kl), torch.from_numpy(loadings.T))
        fitted.kl_divergence, log_std = posterior_means(model, few)
    # signal-to-noise ratio: the prior variance 1 over the posterior variance, minus 1
    ratio = np.sqrt(np.maximum(np.exp(-2 * log_std) - 1, SMALLEST_SCALE**2))
    fitted.scale = np.ones_like(ratio) if whiten else ratio


def _fit_prior(fitted: Fitted, rows: WeightedRows, prior: Prior, seed: int) -> None:
    """Fit the prior to draws from the rows' posteriors."""

    def draw(n: int) -> NDArray[np.float64]:
        with torch_runtime(fitted.device):
            generator = generator_from(seed, fitted.device)
            codes = posterior_draws(fitted.module, rows, n, generator)
            found: NDArray[np.float64] = codes.double().cpu().numpy()
            return found

    with torch_runtime(fitted.device), seeded(derive(seed, "global")):
        found = prior.fit(draw, len(rows), fitted.n_components, seed)
        if found is None:
            found = fitted.module.learned_prior or StandardNormal(fitted.n_components)
        fitted.module.prior = found.to(fitted.device)


# -- judging --------------------------------------------------------------------------


def sample(fitted: Fitted, rows: WeightedRows) -> Rows:
    """A sample of up to 1,000 rows, for judging a fit."""
    with torch_runtime(fitted.device):
        generator = generator_from(derive(fitted.seed, "sample"), fitted.device)
        return rows.sample(SAMPLE_ROWS, generator)


def bounds(fitted: Fitted, few: Rows, how: Plan) -> NDArray[np.float64]:
    """The bound of each row that training maximises, with the same noise at every call. -> (n,)."""
    with torch_runtime(fitted.device):
        generator = generator_from(derive(fitted.seed, "sample bound"), fitted.device)
        found: NDArray[np.float64] = (
            MeanBound(fitted.module, few, how, generator).of_rows().cpu().numpy()
        )
        return found


def problem(
    fitted: Fitted,
    parameters: Any,
    judged: Rows,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    *,
    n_rows: int,
    table: str,
) -> tuple[str, type[Warning]] | None:
    """The message and category of a warning about the result of training; None if it is sound.

    Parameters
    ----------
    fitted : Fitted
    parameters
    judged : Rows
        The n rows used to judge training.
    before, after : ndarray of shape (n,)
        The bound of each row before and after training, in nats.
    n_rows : int
        Number of training rows.
    table : str
        The name of the argument that holds the rows.
    """
    share = judged.share.cpu().numpy()
    with np.errstate(invalid="ignore"):  # a bound may be infinite
        gains = after - before
        is_extreme = extreme(gains)
        gain, usual_gain = share @ gains, np.average(gains[~is_extreme], weights=share[~is_extreme])
    if not usual_gain >= -LOST:  # also if the bound is not a number
        return (
            "Training made the model worse than it was: the bound that it maximises fell by "
            f"{-usual_gain:.3g} nats per row. Lower learning_rate_init="
            f"{parameters.learning_rate_init}, or raise max_iter={parameters.max_iter} if the loss "
            "was still falling.",
            ConvergenceWarning,
        )
    if n_rows > 1 and fitted.kl_divergence.max() < UNUSED:
        return (
            "Posterior collapse: the codes carry no information about the rows, since the KL "
            "divergence of no component exceeds "
            f"{UNUSED} nats. If the columns depend on each other, lower beta={parameters.beta} or "
            f"learning_rate_init={parameters.learning_rate_init}, or raise "
            f"n_draws={parameters.n_draws} or max_iter={parameters.max_iter}.",
            ConvergenceWarning,
        )
    if not gain >= -LOST:
        harmed = np.flatnonzero(is_extreme & ~(gains >= -LOST))
        lowest = harmed[np.argsort(gains[harmed])[:MOST_NAMED]]
        named = sorted(judged.index[lowest].tolist())
        return (
            f"A few rows are far less likely than the others, among them rows {named} of {table}: "
            f"training changed the mean bound by {gain:+.3g} nats with these rows, and by "
            f"{usual_gain:+.3g} nats without them. Look for errors in these rows, and correct "
            "them, or mark the cells as missing by NaN. Or choose a likelihood with heavy tails, "
            "'student_t' or 'histogram', for the columns in which these rows are extreme.",
            UserWarning,
        )
    return None


def extreme(gains: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the few rows whose bounds changed most, which may dominate a mean. (n,) -> (n,)."""
    n = len(gains)
    few = min(max(int(EXTREME_SHARE * n), FEW_EXTREME), n // 10)
    marked = np.zeros(n, dtype=np.bool_)
    marked[np.argsort(np.abs(gains))[n - few :]] = True
    return marked
