"""Dtypes of numpy and of libraries of data frames, as lists of strings and numbers.

In this form they can be saved to files. The library of a dtype is needed only to read it back.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

# The parameters of the dtypes of polars that have some.
OF_POLARS = ("time_unit", "time_zone", "precision", "scale")


def dtype_to_list(dtype: Any) -> list[Any] | None:
    """The library of a dtype, and what it needs to make it again. None stays None.

    Raises ValueError for a dtype that cannot be made from its name.
    """
    if dtype is None:
        return None
    library = type(dtype).__module__.partition(".")[0]
    if library == "pyarrow":
        schema = import_module("pyarrow").schema([("", dtype)])
        return ["pyarrow", bytes(schema.serialize()).hex()]
    if library == "polars":
        return _polars_to_list(dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        own = None if categories is None else dtype_to_list(categories.dtype)
        return ["categories", own, None if own is None else list(categories), bool(dtype.ordered)]
    if isinstance(dtype, pd.ArrowDtype):
        return ["arrow", *dtype_to_list(dtype.pyarrow_dtype)]  # type: ignore[misc]
    if isinstance(dtype, pd.StringDtype):
        return ["string", dtype.storage, dtype.na_value is pd.NA]
    if isinstance(dtype, np.dtype):
        return ["numpy", dtype.str]
    name = str(dtype)
    try:
        is_named = pd.api.types.pandas_dtype(name) == dtype
    except TypeError:
        is_named = False
    if not is_named:
        raise ValueError(f"The dtype {dtype!r} cannot be saved. Convert its column with astype.")
    return ["pandas", name]


def dtype_from_list(listed: list[Any] | None) -> Any:
    """The dtype that ``dtype_to_list`` listed."""
    if listed is None:
        return None
    kind, *rest = listed
    if kind == "pyarrow":
        pyarrow = import_module("pyarrow")
        return pyarrow.ipc.read_schema(pyarrow.py_buffer(bytes.fromhex(rest[0]))).field(0).type
    if kind == "polars":
        return _polars_from_list(*rest)
    if kind == "categories":
        own, categories, ordered = rest
        if own is not None:
            categories = pd.Index(categories, dtype=dtype_from_list(own))
        return pd.CategoricalDtype(categories, ordered)
    if kind == "arrow":
        return pd.ArrowDtype(dtype_from_list(rest))
    if kind == "string":
        storage, is_nullable = rest
        return pd.StringDtype(storage, pd.NA if is_nullable else np.nan)
    if kind == "numpy":
        return np.dtype(rest[0])
    if kind == "pandas":
        return pd.api.types.pandas_dtype(rest[0])
    raise ValueError(f"There is no kind of dtype {kind!r}.")


def _polars_to_list(dtype: Any) -> list[Any]:
    polars = import_module("polars")
    kind = dtype if isinstance(dtype, type) else type(dtype)
    name = kind.__name__
    if issubclass(kind, polars.Enum):
        return ["polars", name, {"categories": dtype.categories.to_list()}]
    parameters = {key: getattr(dtype, key) for key in OF_POLARS if hasattr(dtype, key)}
    return ["polars", name, parameters]


def _polars_from_list(name: str, parameters: dict[str, Any]) -> Any:
    polars = import_module("polars")
    kind = getattr(polars, name, None)
    if not (isinstance(kind, type) and issubclass(kind, polars.DataType)):
        raise ValueError(f"polars has no dtype {name!r}.")
    return kind(**parameters)
