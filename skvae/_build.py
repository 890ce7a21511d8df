"""Make the model, the prior and the objective that the parameters of an estimator describe.

``parameters`` is any object with the parameters of ``VAETransformer`` as attributes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from skvae._architecture import Architecture
from skvae._data import WeightedTable
from skvae._fitted import Fitted
from skvae._table.bounds import check_training, with_bounds
from skvae._table.columns import Columns
from skvae._table.container import Container
from skvae._table.fields import BOOL, LEVEL
from skvae._torch.runtime import resolve_device, torch_runtime
from skvae._training.schedules import resolve_schedule
from skvae._value import Value
from skvae.networks import MLP
from skvae.networks._base import layer_sizes
from skvae.objectives import OBJECTIVES, Objective
from skvae.priors import PRIORS, Normal, Prior


def check_parts(parameters: Any) -> None:
    """Raise ValueError if a part of the model, or one of its fields, is out of bounds."""
    resolve_schedule(parameters.learning_rate)
    likelihood = parameters.likelihood
    likelihoods = likelihood.values() if isinstance(likelihood, Mapping) else [likelihood]
    others = parameters.encoder, parameters.decoder, parameters.prior, objective_of(parameters)
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
        resolution=parameters.resolution,
    )
    columns = with_bounds(columns, container, parameters.bounds)
    chosen = architecture(parameters, columns)
    device = resolve_device(parameters.device)
    with torch_runtime(device):
        prior = chosen.build_prior(len(data.index), seed)
        module = chosen.build(columns, seed, prior).to(device)
    nothing = np.zeros(chosen.n_components)
    return Fitted(container, columns, chosen, module, seed, nothing + 1, nothing)


def continued(fitted: Fitted, parameters: Any, data: WeightedTable) -> Fitted:
    """A copy of a fitted model, to continue training with the rows of a table."""
    columns = fitted.columns.continued(data.table, data.index)
    check_training(columns, fitted.container)
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
        decoder = encoder.mirror() or default.mirror()
    skip = any(group.likelihood.has_location for group in columns.groups)
    prior = prior_of(parameters)
    return copy.deepcopy(
        Architecture(
            int(parameters.n_components),
            encoder.resolved(skip),
            decoder.resolved(skip),
            parameters.likelihood,
            parameters.bounds,
            parameters.resolution,
            prior if prior.is_learned else Normal(),
            bool(parameters.self_masking),
        )
    )


def prior_of(parameters: Any) -> Prior:
    """The prior with the given name, or the given instance."""
    prior = parameters.prior
    return PRIORS[prior]() if isinstance(prior, str) else prior


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
