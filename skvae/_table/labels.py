"""The labels of the columns of a pandas frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from skvae._table.dtypes import dtype_from_list, dtype_to_list


@dataclass
class Labels:
    """An index of pandas as plain lists.

    Attributes
    ----------
    values : list
        The labels, which are tuples if there are several levels.
    names : list
        The names of the levels.
    dtype : list or None
        The dtype of the labels, as in ``dtype_to_list``; None for several levels.
    """

    values: list[Any]
    names: list[Any]
    dtype: list[Any] | None

    @classmethod
    def of(cls, index: pd.Index) -> Self:
        """The labels of an index."""
        has_levels = isinstance(index, pd.MultiIndex)
        return cls(
            index.tolist(), list(index.names), None if has_levels else dtype_to_list(index.dtype)
        )

    def index(self) -> pd.Index:
        """The labels as an index."""
        if self.dtype is None:
            return pd.MultiIndex.from_tuples(self.values, names=self.names)
        dtype = dtype_from_list(self.dtype)
        return pd.Index(self.values, dtype=dtype, name=self.names[0], tupleize_cols=False)
