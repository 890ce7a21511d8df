"""Warnings that show the caller's line, not one of ours or scikit-learn's."""

from __future__ import annotations

import sys
import warnings

# packages that stand between a warning and the caller
OWN = ("skvae", "sklearn", "joblib")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn where this package was called from, by scikit-learn perhaps."""
    level = 2
    while _package(level) in OWN:
        level += 1
    warnings.warn(message, category, stacklevel=level)


def _package(level: int) -> str:
    """The top package of the code that is so many calls above ``warn``'s, "" beyond the last."""
    try:
        name: str = sys._getframe(level).f_globals.get("__name__") or ""
    except ValueError:
        return ""
    return name.partition(".")[0]
