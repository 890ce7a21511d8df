"""Python objects as JSON and arrays, and back. No code of a file is run.

Strings, whole numbers, booleans, None and lists are themselves. Any other value is a JSON object
with a ``kind``, by which the value is made again from its ``state``. The reader makes only the
kinds that it knows by name. Functions, and settings of classes that the writer does not know, are
of the kind "custom": only their name is written, and the reader is given the function or the class.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import date, datetime
from datetime import time as clock
from decimal import Decimal
from functools import partial
from math import isfinite
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from skvae._table.dtypes import dtype_from_list, dtype_to_list
from skvae._value import Value

Node = Any  # JSON
CUSTOM, LAMBDA = "custom", "<lambda>"
LARGEST_OF_OBJECTS = 2**30  # bytes of an array of strings, of which each takes as much as the dtype


class Kind(NamedTuple):
    """How objects of a class are taken apart and made again."""

    made: type
    state: Callable[[Any], Any]
    make: Callable[[Any], Any]


class Tree(NamedTuple):
    """A value as JSON, the arrays that it refers to by name, and its custom functions and classes.

    Of the last only the names are in the JSON.
    """

    node: Node
    arrays: dict[str, NDArray[Any]]
    custom: dict[str, Any]


class Unknown(ValueError):
    """A value that cannot be written, or a name that the reader does not know."""


def to_tree(value: Any, kinds: Mapping[str, Kind]) -> Tree:
    """A value as a tree. Raises Unknown for a value of no known kind."""
    writer = _Writer({**BUILT_IN, **kinds})
    return Tree(writer.node(value), writer.arrays, writer.custom)


def from_tree(tree: Tree, kinds: Mapping[str, Kind]) -> Any:
    """The value of a tree.

    Raises Unknown for an unknown name, and other errors if the parts of an object do not fit.
    """
    return _Reader(tree, {**BUILT_IN, **kinds}).value(tree.node)


class _Writer:
    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.names = {kind.made: name for name, kind in kinds.items()}
        self.kinds = kinds
        self.custom: dict[str, Any] = {}
        self.arrays: dict[str, NDArray[Any]] = {}

    def node(self, value: Any) -> Node:
        made = type(value)
        if made in (type(None), bool, int, str):
            return value
        if made is np.str_:
            return str(value)
        if made is float and isfinite(value):
            return value
        if made is list:
            return [self.node(one) for one in value]
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            name = f"array {len(self.arrays)}"
            self.arrays[name] = value.astype(value.dtype.newbyteorder("="), copy=False)
            return {"kind": "array", "name": name}
        # classes of which each value has a class of its own
        if isinstance(value, np.dtype | pd.api.extensions.ExtensionDtype):
            made = np.dtype
        elif isinstance(value, os.PathLike):
            made = Path
        if made in self.names:
            name = self.names[made]
            return {"kind": name, "state": self.node(self.kinds[name].state(value))}
        if isinstance(value, Value):
            return {"kind": CUSTOM, "name": self.name(made), "state": self.node(value.get_params())}
        if isinstance(value, FunctionType | type) and value.__name__ != LAMBDA:
            return {"kind": CUSTOM, "name": self.name(value)}
        raise Unknown(f"{value!r}, of the class {made.__module__}.{made.__qualname__}")

    def name(self, custom: Any) -> str:
        """The name of a function or class, which no other one in the file may have."""
        name: str = custom.__name__
        if self.custom.setdefault(name, custom) is not custom:
            raise Unknown(f"two functions or classes that are named {name!r}; rename one")
        return name


class _Reader:
    def __init__(self, tree: Tree, kinds: Mapping[str, Kind]) -> None:
        self.tree = tree
        self.kinds = kinds

    def value(self, node: Node) -> Any:
        if isinstance(node, list):
            return [self.value(one) for one in node]
        if not isinstance(node, dict):
            return node
        kind = node["kind"]
        if kind == "array":
            return self.tree.arrays[node["name"]]
        if kind == CUSTOM:
            return self._custom(node)
        if kind not in self.kinds:
            raise Unknown(kind)
        return self.kinds[kind].make(self.value(node["state"]))

    def _custom(self, node: Node) -> Any:
        name = node["name"]
        if name not in self.tree.custom:
            raise Unknown(name)
        made = self.tree.custom[name]
        if "state" not in node:
            return made
        if not (isinstance(made, type) and issubclass(made, Value)):
            raise TypeError(f"custom[{name!r}] must be the class that was saved; got {made!r}")
        return made(**self.value(node["state"]))


# -- the kinds of other libraries ---------------------------------------------------


def _objects(values: NDArray[Any]) -> list[Any]:
    return [values.dtype.str, list(values.shape), values.ravel().tolist()]


def _make_objects(state: list[Any]) -> NDArray[Any]:
    name, shape, values = state
    dtype = np.dtype(name)
    if dtype.itemsize * len(values) > LARGEST_OF_OBJECTS:
        raise ValueError(f"{len(values)} values of the dtype {name!r} would take too much memory")
    return np.fromiter(values, dtype=dtype, count=len(values)).reshape(shape)


def _timestamp(time: pd.Timestamp) -> list[Any]:
    zone = None if time.tz is None else str(time.tz)
    return [int(time.asm8.astype(np.int64)), time.unit, zone]


def _make_timestamp(state: list[Any]) -> pd.Timestamp:
    ticks, unit, zone = state
    time = pd.Timestamp(np.datetime64(ticks, unit))
    return time if zone is None else time.tz_localize("UTC").tz_convert(zone)


def _random_state(random: np.random.RandomState) -> dict[str, Any]:
    state: Any = random.get_state(legacy=False)
    return dict(state)


def _make_random_state(state: dict[str, Any]) -> np.random.RandomState:
    random = np.random.RandomState()
    random.set_state(state)
    return random


BUILT_IN: dict[str, Kind] = {
    "float": Kind(float, str, float),  # NaN and infinities, which JSON lacks
    "tuple": Kind(tuple, list, tuple),
    "dict": Kind(dict, lambda found: [[*item] for item in found.items()], dict),
    "dtype": Kind(np.dtype, dtype_to_list, dtype_from_list),
    "objects": Kind(np.ndarray, _objects, _make_objects),
    "numpy.bool": Kind(np.bool_, bool, np.bool_),
    "bytes": Kind(bytes, bytes.hex, bytes.fromhex),
    "decimal": Kind(Decimal, str, Decimal),
    "date": Kind(date, date.isoformat, date.fromisoformat),
    "time": Kind(clock, clock.isoformat, clock.fromisoformat),
    "datetime": Kind(datetime, datetime.isoformat, datetime.fromisoformat),
    "timestamp": Kind(pd.Timestamp, _timestamp, _make_timestamp),
    "timedelta": Kind(
        pd.Timedelta,
        lambda span: [int(span.asm8.astype(np.int64)), span.unit],
        lambda state: pd.Timedelta(np.timedelta64(*state)),
    ),
    "period": Kind(
        pd.Period,
        lambda period: [period.ordinal, period.freqstr],
        lambda state: pd.Period(ordinal=state[0], freq=state[1]),
    ),
    "interval": Kind(
        pd.Interval,
        lambda interval: [interval.left, interval.right, interval.closed],
        lambda state: pd.Interval(*state),
    ),
    "path": Kind(Path, os.fspath, Path),
    "device": Kind(torch.device, str, torch.device),
    "random_state": Kind(np.random.RandomState, _random_state, _make_random_state),
} | {
    f"numpy.{scalar.__name__}": Kind(scalar, partial(np.asarray), scalar)
    for scalar in (
        *(np.int8, np.int16, np.int32, np.int64),
        *(np.uint8, np.uint16, np.uint32, np.uint64),
        *(np.float16, np.float32, np.float64),
    )
}
