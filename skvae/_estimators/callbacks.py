"""scikit-learn's callbacks (from version 1.9), or stand-ins that do nothing before."""

from __future__ import annotations

from typing import Any

import sklearn

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

        def set_callbacks(self, *callbacks: Any) -> None:
            """Raise ImportError."""
            raise ImportError(
                "Callbacks need scikit-learn 1.9 or later; this is version "
                f"{sklearn.__version__}: pip install --upgrade scikit-learn"
            )

        def _init_callback_context(self, **_: Any) -> _SilentContext:
            return _SilentContext()

    def with_callbacks(method: Any) -> Any:
        """Return the method unchanged."""
        return method


__all__ = ["CallbackSupportMixin", "with_callbacks"]
