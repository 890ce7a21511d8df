"""The classes whose objects make up a fitted model.

A file has their names and the names of their fields. If either changes, older files must still
load: tests/_files/golden has some of each format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from skvae import priors
from skvae._architecture import Architecture
from skvae._files.tree import Kind
from skvae._fitted import Fitted
from skvae._inference.missingness import Indicator, Missingness
from skvae._model.phases import Phase
from skvae._rules import whole
from skvae._table.columns import Columns
from skvae._table.container import Container
from skvae._table.decimals import Decimals
from skvae._table.fields import Field
from skvae._table.grid import Grids
from skvae._table.group import ColumnGroup
from skvae._table.labels import Labels
from skvae._table.large import LargeNumbers
from skvae._table.times import Times
from skvae._torch.random import MOST_COMPONENTS
from skvae._training.progress import BetweenEpochs
from skvae._training.stages import Progress, TrainingState
from skvae.likelihoods import LIKELIHOODS
from skvae.likelihoods._score_map import ScoreMap
from skvae.likelihoods._spline import Spline
from skvae.networks import MLP, Conv, FromFunction, Recurrent, ResidualMLP
from skvae.objectives import OBJECTIVES
from skvae.priors._modules import LearnedMixture, NormalMixture, StandardNormal

N_COMPONENTS = whole(1, MOST_COMPONENTS)


def of_fields(made: type) -> Kind:
    """A dataclass, by its fields."""

    def state(value: Any) -> dict[str, Any]:
        return {field.name: getattr(value, field.name) for field in fields(made)}

    return Kind(made, state, lambda state: made(**state))


def of_names(made: Any) -> Kind:
    """A named tuple."""
    return Kind(made, lambda value: value._asdict(), lambda state: made(**state))


def of_arguments(made: type) -> Kind:
    """A class whose attributes are the arguments of ``__init__``."""
    return Kind(made, lambda value: dict(vars(value)), lambda state: made(**state))


def of_pickled_state(made: Any) -> Kind:
    """A class that takes itself apart for pickles."""

    def make(state: Any) -> Any:
        value = made.__new__(made)
        value.__setstate__(state)
        return value

    return Kind(made, made.__getstate__, make)


def of_columns(kind: Kind, columns: str, **arrays: tuple[Any, ...]) -> Kind:
    """A kind with arrays of this dtype, whose rows for each of its ``columns`` have this shape."""

    def make(state: dict[str, Any]) -> Any:
        for name, (dtype, *shape) in arrays.items():
            array = np.asarray(state[name])
            if array.dtype != dtype or array.shape != (len(state[columns]), *shape):
                raise ValueError(f"{name!r} is of {array.dtype} and has the shape {array.shape}")
        return kind.make(state)

    return kind._replace(make=make)


def make_normal(state: dict[str, Any]) -> StandardNormal:
    """A standard normal prior, which takes memory by the number of its components."""
    N_COMPONENTS.check("the 'n_components' of its prior", state["n_components"])
    return StandardNormal(**state)


def make_fitted(state: dict[str, Any]) -> Any:
    """A fitted model, if its networks are no larger than its weights and its priors fit.

    Building a model takes memory by the sizes that its networks claim.
    """
    architecture = state["architecture"]
    n_weights = sum(array.size for array in state["module"].values())
    for network in (architecture.encoder, architecture.decoder):
        claimed = LEAST_WEIGHTS.get(type(network), lambda network: 0)(network)
        if max(claimed, architecture.n_components) > n_weights:
            raise ValueError(f"its {n_weights} weights are too few for {network!r}")
    for prior in state["priors"]:
        if isinstance(prior, PRIOR_MODULES):
            center, _ = prior.moments(torch.default_generator)  # in closed form
            if center.shape != (architecture.n_components,):
                raise ValueError(f"its prior is over codes of the shape {tuple(center.shape)}")
    return of_pickled_state(Fitted).make(state)


def between(widths: Sequence[int], per_pair: int = 1) -> int:
    """The number of weights between consecutive layers, and of their biases."""
    return sum(per_pair * one * other for one, other in pairwise(widths)) + sum(widths)


# A number of weights that a network has at least, by the sizes in its description.
LEAST_WEIGHTS: dict[type, Callable[[Any], int]] = {
    MLP: lambda network: between(network.hidden_layer_sizes),
    ResidualMLP: lambda network: between([network.width] * (2 * network.n_blocks + 1)),
    Conv: lambda network: (
        between(network.channels, 9)
        + sum(network.n_blocks * between([width] * 2, 9) for width in network.channels)
        + network.width
    ),
    Recurrent: lambda network: between([network.hidden_size] * 2),
}
NETWORKS = MLP, ResidualMLP, Conv, Recurrent, FromFunction
DATACLASSES = (
    *LIKELIHOODS.values(),
    *NETWORKS,
    *priors.PRIORS.values(),
    *OBJECTIVES.values(),
    *(Grids, Labels, Times, LargeNumbers, Decimals),
    *(Missingness, Indicator, TrainingState, Phase, Progress, BetweenEpochs),
)
PRIOR_MODULES = StandardNormal, NormalMixture, LearnedMixture
PICKLED = Container, Field, NormalMixture, LearnedMixture

KINDS: dict[str, Kind] = {
    **{made.__name__: of_fields(made) for made in DATACLASSES},
    **{made.__name__: of_pickled_state(made) for made in PICKLED},
    **{made.__name__: of_names(made) for made in (Architecture, ScoreMap, Spline)},
    "ColumnGroup": of_columns(of_fields(ColumnGroup), "places", lenient=(bool,), bounds=(float, 2)),
    "Columns": of_columns(
        of_arguments(Columns), "names", spread=(float,), ranges=(float, 2), origin=(float,)
    ),
    "StandardNormal": Kind(StandardNormal, StandardNormal.__getstate__, make_normal),
    "Fitted": Kind(Fitted, Fitted.__getstate__, make_fitted),
}
