"""Much data a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` items, but at least one, that cover ``n``."""
    size = max(1, size)
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
