"""Fit a model to rows: training, the order of components, and the prior.

``parameters`` is any object with the parameters of ``VAETransformer`` as attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skvae._build import objective_of, prior_of
from skvae._data import WeightedTable, rows_in_memory, rows_of, split
from skvae._fitted import Fitted
from skvae._inference.missingness import Missingness, inputs_of, owners_of
from skvae._interrupts import interrupts_allowed, interrupts_held
from skvae._judgement import Judgement
from skvae._start import start_from_pca
from skvae._torch.random import derive, generator_from
from skvae._torch.runtime import seeded, torch_runtime
from skvae._training.bounds import draw_codes, posterior_means
from skvae._training.history import History
from skvae._training.plan import Plan, Stage, auto_batch_size, auto_kl_warmup, stages
from skvae._training.rows import Rows, WeightedRows
from skvae._training.schedules import SCHEDULES, resolve_schedule
from skvae._training.stages import Checkpoint, TrainingState, rows_to_start_from, train_stages
from skvae.priors import Normal, Prior

# Called after each epoch with a function that describes the components.
OnEpoch = Callable[[Callable[[], None]], bool]
# The smallest factor of the codes.
SMALLEST_SCALE = 1e-3
# Number of rows for the divergence of components, and for judging a fit.
JUDGED_ROWS = 1000
# Largest product of rows, features and columns of the regressions of missing values, from a
# thousand rows on.
MASKING_ELEMENTS = 2**28


def train(
    fitted: Fitted,
    parameters: Any,
    data: WeightedTable,
    epochs: range,
    *,
    validation: WeightedTable | None,
    is_fresh: bool,
    on_epoch: OnEpoch,
    checkpoint: Checkpoint | None = None,
) -> tuple[History, Judgement]:
    """Train a model in place for these epochs, with a part of the rows or others for validation.

    Call it in a block of ``interrupts_held`` that ends when the model is kept: it lets interrupts
    through where no training would be lost.

    ``on_epoch`` is called after each epoch, and ends training by returning True. The history in
    ``fitted`` is then that of all epochs so far. ``on_epoch`` is given a function that also sets
    what depends on the weights, the KL divergence and the scale of each component. A part of the
    rows is held out if ``parameters.early_stopping`` and no others are given. Training continues
    from the progress that a ``checkpoint`` has.
    """
    with interrupts_allowed():
        if validation is None and parameters.early_stopping:
            data, validation = split(data, parameters.validation_fraction, fitted.seed)
        held_out = None if validation is None else rows_in_memory(fitted, validation)
        rows = rows_of(fitted, data)
        if is_fresh:
            _start(fitted, rows)
            _describe_components(fitted, rows, whiten=parameters.whiten)  # callbacks may call score
        plan = plan_of(parameters, len(rows))
        # early stopping selects weights by the held-out rows; the bound of others may fall
        judges = rows if held_out is None or not parameters.early_stopping else held_out
        judgement = Judgement(fitted, _sample(fitted, judges), plan, judges is held_out)
        todo = stages(
            fitted.module,
            plan,
            epochs,
            len(rows),
            last_phase=fitted.training.phase,
            auto_alpha=parameters.alpha == "auto",
        )
    history = _run(
        fitted,
        rows,
        todo,
        parameters,
        is_fresh=is_fresh,
        validation=held_out,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )
    return history, judgement


def train_once(
    fitted: Fitted,
    parameters: Any,
    data: WeightedTable,
    *,
    is_fresh: bool,
    on_epoch: OnEpoch,
) -> History:
    """Train a model in place with one pass over the rows, at a constant learning rate.

    Interrupts are as in ``train``.
    """
    with interrupts_allowed():
        rows = rows_of(fitted, data)
        if is_fresh:
            _start(fitted, rows)
    n = fitted.training.n_epochs
    plan = plan_of(
        parameters, len(rows), learning_rate=SCHEDULES["constant"], kl_warmup=0.0, average=0.0
    )
    return _run(
        fitted,
        rows,
        [Stage(fitted.training.phase, plan, range(n, n + 1), min_steps=1)],
        parameters,
        is_fresh=is_fresh,
        validation=None,
        on_epoch=on_epoch,
    )


def plan_of(parameters: Any, n_rows: int, **instead: Any) -> Plan:
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


def _plain(value: Any) -> Any:
    """Convert a numpy number to a Python number, which cannot overflow as a uint8 can."""
    return value.item() if isinstance(value, np.generic) else value


def _start(fitted: Fitted, rows: WeightedRows) -> None:
    """Initialise the weights by PCA, and those of self-masking by regressions."""
    seed, device = derive(fitted.seed, "start"), fitted.device
    with interrupts_held() as hold, torch_runtime(device), hold.lifted():
        sample = rows.sample(rows_to_start_from(fitted.module), generator_from(seed, device))
        start_from_pca(fitted.module, sample.cells, sample.share, seed)
        masking = fitted.module.self_masking
        if masking is not None:
            n_rows = max(JUDGED_ROWS, MASKING_ELEMENTS // masking.weight.numel())
            if n_rows < len(sample):
                sample = rows.sample(n_rows, generator_from(derive(seed, "masking"), device))
            features = fitted.module.features(sample.cells)
            masking.start(features, sample.cells.missing, sample.share, len(rows))


def _run(
    fitted: Fitted,
    rows: WeightedRows,
    stages: Sequence[Stage],
    parameters: Any,
    *,
    is_fresh: bool,
    validation: Rows | None,
    on_epoch: OnEpoch,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train a model in place, sort its components if it is new, and fit what sampling needs.

    If fitting the prior fails or is interrupted, the prior is that of training.
    """
    seed = derive(fitted.seed, "prior", fitted.training.n_epochs)
    if fitted.module.self_masking is not None:
        fitted.module.self_masking.n_rows.clamp_(min=len(rows))
    describe = partial(_describe_components, fitted, rows, whiten=parameters.whiten)

    def at_epoch(so_far: TrainingState) -> bool:
        fitted.training = so_far
        return on_epoch(describe)

    fitted.training, history = train_stages(
        fitted.module,
        fitted.training,
        stages,
        rows,
        seed=fitted.seed,
        validation=validation,
        on_epoch=at_epoch,
        checkpoint=checkpoint,
    )

    if fitted.module.masking is not None:
        # where values are missing because of what they are, observed ones end too soon
        ends = fitted.module.masking.ends_by_masking()
        fitted.columns = fitted.columns.opened(ends.cpu().numpy())
    describe(order=is_fresh)
    _fit_missingness(fitted, rows)
    _fit_prior(fitted, rows, Normal(), seed)
    if not history.interrupted:
        try:
            with interrupts_allowed():
                _fit_prior(fitted, rows, prior_of(parameters), seed)
        except KeyboardInterrupt:
            history.interrupt()
        except Exception as error:
            history.error = error
    return history


def _describe_components(
    fitted: Fitted, rows: WeightedRows, *, whiten: bool, order: bool = False
) -> None:
    """Set the KL divergence and the scale of each component, after sorting them if ``order``."""
    model, few = fitted.module, _sample(fitted, rows)
    with torch_runtime(fitted.device):
        generator = fitted.generator_of_moments()
        if order and model.is_sortable:
            kl, _ = posterior_means(model, few, generator)
            _, loadings = fitted.loadings()
            model.components.sort(torch.from_numpy(kl), torch.from_numpy(loadings.T))
        fitted.kl_divergence, log_std = posterior_means(model, few, generator)
    # signal-to-noise ratio: the variance of the prior over that of the posterior, minus 1
    ratio = np.sqrt(np.maximum(np.exp(-2 * log_std) - 1, SMALLEST_SCALE**2))
    fitted.scale = np.ones_like(ratio) if whiten else ratio


def _sample(fitted: Fitted, rows: WeightedRows) -> Rows:
    """A sample of up to 1,000 rows."""
    with torch_runtime(fitted.device):
        generator = generator_from(derive(fitted.seed, "sample"), fitted.device)
        return rows.sample(JUDGED_ROWS, generator)


def _fit_missingness(fitted: Fitted, rows: WeightedRows) -> None:
    """Fit the model of missing values to a sample of rows."""
    model, gaps = fitted.module, fitted.columns.gaps
    if not gaps:
        return
    with torch_runtime(fitted.device):
        generator = generator_from(derive(fitted.seed, "missingness"), fitted.device)
        sample = rows.sample(rows_to_start_from(model), generator)
        observed = sample.cells.observed
        if observed is None:  # the rows of a later call
            fitted.missingness = Missingness()
            return
        fitted.missingness = Missingness.fit(
            inputs_of(model, sample.cells),
            owners_of(model),
            ~observed.cpu().numpy(),
            gaps,
            sample.weight.cpu().numpy(),
        )


def _fit_prior(fitted: Fitted, rows: WeightedRows, prior: Prior, seed: int) -> None:
    """Fit the prior to draws from the rows' posteriors."""

    def draw(n: int) -> NDArray[np.float64]:
        with torch_runtime(fitted.device):
            generator = generator_from(seed, fitted.device)
            codes = draw_codes(fitted.module, rows, n, generator)
            found: NDArray[np.float64] = codes.double().cpu().numpy()
            return found

    with (
        interrupts_held() as hold,
        torch_runtime(fitted.device),
        seeded(derive(seed, "global")),
        hold.lifted(),
    ):
        trained = fitted.module.prior_of_training()
        found = prior.fit(draw, len(rows), fitted.n_components, seed, trained)
        fitted.module.prior = (trained if found is None else found).to(fitted.device)
