"""The container that ``fit`` saw, given back."""

from __future__ import annotations

from typing import Any, Self

import narwhals as nw
import numpy as np
from numpy.typing import NDArray


class Container:
    """Array or data frame: remembers which, with its column names, and wraps arrays likewise."""

    def __init__(self, backend: Any, columns: list[Any]) -> None:
        self.backend = backend
        self.columns = columns

    @classmethod
    def of(cls, X: Any) -> Self:
        frame = nw.from_native(X, eager_only=True, pass_through=True)
        if not isinstance(frame, nw.DataFrame):
            return cls(None, [])
        return cls(frame.implementation, list(frame.columns))

    def wrap(self, array: NDArray[Any], like: Any = None) -> Any:
        """The array (n, n_features) as ``fit`` saw its table, with the index of ``like``."""
        if self.backend is None:
            return array
        named = all(isinstance(name, str) for name in self.columns)
        schema = self.columns if named else [str(place) for place in range(len(self.columns))]
        native = nw.from_numpy(np.asarray(array), schema=schema, backend=self.backend).to_native()
        if self.backend.is_pandas_like():
            native.columns = self.columns
            source = nw.from_native(like, eager_only=True, pass_through=True)
            index = nw.maybe_get_index(source) if isinstance(source, nw.DataFrame) else None
            native.index = native.index if index is None else index
        return native
