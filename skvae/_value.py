"""Small values with scikit-learn's parameter interface."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self


class Value:
    """Base of the dataclasses that configure a model: a likelihood, a network.

    ``get_params`` and ``set_params`` follow scikit-learn, so that ``clone`` copies
    a value and a nested name such as ``vae__encoder__activation`` reaches into it.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The fields of this value by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def set_params(self, **params: Any) -> Self:
        """Set fields by name; an unknown name raises ValueError."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}. "
                    f"Valid parameters are: {sorted(known)}."
                )
            setattr(self, name, value)
        return self
