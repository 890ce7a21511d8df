"""scikit-learn's callbacks (from version 1.9), or stand-ins that do nothing before."""

from __future__ import annotations

from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn 1.8

    class _SilentContext:
        def subcontext(self, **_: Any) -> _SilentContext:
            return self

        def call_on_fit_task_begin(self, **_: Any) -> _SilentContext:
            return self

        def call_on_fit_task_end(self, **_: Any) -> bool:
            return False

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An estimator without callbacks."""

        def _init_callback_context(self, **_: Any) -> _SilentContext:
            return _SilentContext()

    def with_callbacks(method: Any) -> Any:
        """Return the method unchanged."""
        return method


__all__ = ["CallbackSupportMixin", "with_callbacks"]
