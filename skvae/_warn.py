"""Warnings that show the caller's line, not a line of this package or of scikit-learn."""

from __future__ import annotations

import sys
import warnings

# packages between a warning and the caller
OWN = ("skvae", "sklearn", "joblib", "contextlib")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called this package, directly or through scikit-learn."""
    level = 2
    while _package(level) in OWN:
        level += 1
    warnings.warn(message, category, stacklevel=level)


def _package(level: int) -> str:
    """The top-level package of the code ``level`` calls above ``warn``; "" beyond the last."""
    try:
        name: str = sys._getframe(level).f_globals.get("__name__") or ""
    except ValueError:
        return ""
    return name.partition(".")[0]
