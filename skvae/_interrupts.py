"""Hold back an interrupt from the keyboard where it would leave something half done.

Python raises KeyboardInterrupt between any two operations of the main thread, also while a context
is entered or left. Other threads are never interrupted. A context is always left, and its block can
be interrupted, in

    with interrupts_held() as hold, context(), hold.lifted():
"""

from __future__ import annotations

import _signal  # signal.signal converts handlers to enums, which takes ten times as long
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self

SIGINT = int(signal.SIGINT)


class _Recorder:
    """A handler of SIGINT that keeps the signal for the usual handler."""

    def __init__(self, usual: Callable[..., Any]) -> None:
        self.usual, self.caught = usual, False

    def __call__(self, *_: Any) -> None:
        self.caught = True

    def deliver(self) -> None:
        """Set the usual handler, which handles a signal that was kept."""
        _signal.signal(SIGINT, self.usual)
        if self.caught:
            self.caught = False
            signal.raise_signal(SIGINT)


def _handler() -> Any:
    """The handler of SIGINT in this thread; None if there is none in Python."""
    is_main = threading.current_thread() is threading.main_thread()
    return _signal.getsignal(SIGINT) if is_main else None


def _set_handler(handler: Any) -> bool:
    """Set the handler of SIGINT. False where Python cannot, as in a sub-interpreter."""
    try:
        _signal.signal(SIGINT, handler)
    except ValueError:
        return False
    return True


class interrupts_held(AbstractContextManager["interrupts_held"]):
    """A block that no interrupt leaves. One that occurs in it is raised at its end."""

    recorder: _Recorder | None = None  # None within another such block

    def __enter__(self) -> Self:
        usual = _handler()
        if callable(usual) and not isinstance(usual, _Recorder):
            recorder = _Recorder(usual)
            if _set_handler(recorder):
                self.recorder = recorder
        return self

    def __exit__(self, *_: object) -> None:
        if self.recorder is not None:
            self.recorder.deliver()

    def lifted(self) -> AbstractContextManager[None]:
        """A part that may be interrupted, unless this block is within another of its kind."""
        return _Lifted(self.recorder)


def interrupts_allowed() -> AbstractContextManager[None]:
    """A part that may be interrupted, whatever blocks of ``interrupts_held`` it is in."""
    handler = _handler()
    return _Lifted(handler if isinstance(handler, _Recorder) else None)


class _Lifted(AbstractContextManager[None]):
    def __init__(self, recorder: _Recorder | None) -> None:
        self.recorder = recorder

    def __enter__(self) -> None:
        if self.recorder is not None:
            try:
                self.recorder.deliver()
            except BaseException:
                _signal.signal(SIGINT, self.recorder)
                raise

    def __exit__(self, *_: object) -> None:
        if self.recorder is not None:
            present = _signal.getsignal(SIGINT)
            if present is not self.recorder:  # it may have been set within, as by a callback
                self.recorder.usual = present
            _signal.signal(SIGINT, self.recorder)
