"""End the work of other threads early when nobody waits for its result any more."""

from __future__ import annotations

import threading

_here = threading.local()


class Abandoned(Exception):
    """The result of this thread is no longer needed."""


def listen_to(abandoned: threading.Event) -> None:
    """Let ``check_needed`` raise in this thread once the event is set."""
    _here.abandoned = abandoned


def check_needed() -> None:
    """Raise Abandoned if the result of this thread is no longer needed."""
    abandoned: threading.Event | None = getattr(_here, "abandoned", None)
    if abandoned is not None and abandoned.is_set():
        raise Abandoned
