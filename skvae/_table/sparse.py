"""A sparse matrix that is indexed as an array, and made dense only in the parts that are read."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SparseTable:
    """A table of numbers in scipy's CSR format. Indexing returns dense arrays."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.shape, self.dtype = matrix.shape, matrix.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Rows by a slice or by their numbers, or columns as ``[:, places]``."""
        found = self._by_column[key] if isinstance(key, tuple) else self.matrix[key]
        dense: NDArray[Any] = found.toarray()
        return dense

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.matrix.toarray(), dtype=dtype)

    @cached_property
    def _by_column(self) -> Any:
        return self.matrix.tocsc()
