"""Which numbers of a network's input or output belong to which column of the table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def positions(
    sizes: Sequence[int],
    n_columns: Sequence[int],
    places: Sequence[int],
    gaps: Sequence[int] | None = None,
) -> list[NDArray[np.intp]]:
    """The positions of the numbers of each column of the table.

    ``sizes`` and ``n_columns`` are the numbers and the columns of each group, ``places`` the places
    of these columns in the table. With ``gaps``, these are positions among features, which are
    ordered by column and followed by a flag for each column in ``gaps``. Otherwise they are
    positions among outputs, which are ordered by parameter.
    """
    found = []
    start = 0
    for size, d in zip(sizes, n_columns, strict=True):
        numbers = np.arange(start, start + size)
        found += list(numbers.reshape(d, -1) if gaps is not None else numbers.reshape(-1, d).T)
        start += size
    for flag, column in enumerate(gaps or ()):
        found[column] = np.append(found[column], start + flag)
    return [found[column] for column in np.argsort(places)]
