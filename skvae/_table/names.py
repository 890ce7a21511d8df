"""Find columns by the names that the caller gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def find_columns(names: Sequence[Any], wanted: Iterable[Any], parameter: str) -> list[int]:
    """The places of the ``wanted`` columns among all ``names``. True is not the name 1.

    Raises ValueError for the first name that no column has; ``parameter`` is where it was given.
    """
    places = {_key(name): place for place, name in enumerate(names)}
    found = []
    for name in wanted:
        try:
            found.append(places[_key(name)])
        except (KeyError, TypeError):  # unknown, or not hashable as a list is
            raise ValueError(
                f"{parameter!r} names {name!r}, but the columns are {list(names)}."
            ) from None
    return found


def _key(name: Any) -> tuple[bool, Any]:
    return isinstance(name, bool | np.bool_), name
