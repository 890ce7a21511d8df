"""Dataclasses of settings with scikit-learn's parameter interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from skvae._rules import Rule


class Value:
    """Base of the dataclasses that configure a part of a model, such as a likelihood or a network.

    ``get_params`` and ``set_params`` follow scikit-learn, so ``clone`` copies a value, and a nested
    name such as ``vae__encoder__activation`` sets one of its fields. As in scikit-learn, nothing is
    checked before ``fit``.

    Attributes
    ----------
    rules : dict
        The rule of each field, by its name.
    """

    rules: ClassVar[Mapping[str, Rule]] = {}

    def check(self) -> None:
        """Raise ValueError if a field breaks its rule."""
        for name, rule in self.rules.items():
            rule.check(f"The {name!r} of {type(self).__name__}", getattr(self, name))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the fields of this value by name."""
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
