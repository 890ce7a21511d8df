"""The classes whose objects make up a fitted model.

A file has their names and the names of their fields. If either changes, older files must still
load: tests/_files/golden has some of each format.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from skvae import priors
from skvae._architecture import Architecture
from skvae._files.tree import Kind
from skvae._fitted import Fitted
from skvae._inference.missingness import Indicator, Missingness
from skvae._model.phases import Phase
from skvae._table.columns import Columns
from skvae._table.container import Container
from skvae._table.decimals import Decimals
from skvae._table.fields import Field
from skvae._table.grid import Grids
from skvae._table.group import ColumnGroup
from skvae._table.labels import Labels
from skvae._table.large import LargeNumbers
from skvae._table.times import Times
from skvae._training.progress import BetweenEpochs
from skvae._training.stages import Progress, TrainingState
from skvae.likelihoods import LIKELIHOODS
from skvae.likelihoods._score_map import ScoreMap
from skvae.likelihoods._spline import Spline
from skvae.networks import MLP, Conv, FromFunction, Recurrent, ResidualMLP
from skvae.objectives import OBJECTIVES
from skvae.priors._modules import LearnedMixture, NormalMixture, StandardNormal


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


DATACLASSES = (
    *LIKELIHOODS.values(),
    *(MLP, ResidualMLP, Conv, Recurrent, FromFunction),
    *priors.PRIORS.values(),
    *OBJECTIVES.values(),
    *(ColumnGroup, Grids, Labels, Times, LargeNumbers, Decimals),
    *(Missingness, Indicator, TrainingState, Phase, Progress, BetweenEpochs),
)
PICKLED = Container, Field, Fitted, StandardNormal, NormalMixture, LearnedMixture

KINDS: dict[str, Kind] = {
    **{made.__name__: of_fields(made) for made in DATACLASSES},
    **{made.__name__: of_pickled_state(made) for made in PICKLED},
    **{made.__name__: of_names(made) for made in (Architecture, ScoreMap, Spline)},
    "Columns": of_arguments(Columns),
}
