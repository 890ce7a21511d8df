"""The labels of the columns of a pandas frame as plain lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from skvae._table.dtypes import dtype_from_list, dtype_to_list


@dataclass
class Labels:
    """An index of pandas as lists, each with an entry for each level.

    Attributes
    ----------
    values, names, dtypes : list
        The labels of the columns, the name of the level, and its dtype as in ``dtype_to_list``.
    """

    values: list[list[Any]]
    names: list[Any]
    dtypes: list[Any]

    @classmethod
    def of(cls, index: pd.Index) -> Self:
        """The labels of an index."""
        levels = [index.get_level_values(level) for level in range(index.nlevels)]
        return cls(
            [level.tolist() for level in levels],
            list(index.names),
            [dtype_to_list(level.dtype) for level in levels],
        )

    def index(self) -> pd.Index:
        """The labels as an index."""
        levels = [
            pd.Index(values, dtype=dtype_from_list(dtype), name=name, tupleize_cols=False)
            for values, name, dtype in zip(self.values, self.names, self.dtypes, strict=True)
        ]
        return levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)
