"""Dataclasses of settings with scikit-learn's parameter interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from skvae._rules import Rule


@dataclass
class Value:
    """Base of the dataclasses that configure a part of a model, such as a likelihood or a network.

    ``get_params`` and ``set_params`` follow scikit-learn, so ``clone`` copies a value, and a nested
    name such as ``vae__encoder__activation`` sets one of its fields. As in scikit-learn, nothing is
    checked before ``fit``.

    Attributes
    ----------
    rules : dict
        The rule of each field, by its name.
    not_inherited : frozenset of str
        Attributes that each class has from the class that first defines them, unless it defines
        them itself.
    """

    rules: ClassVar[Mapping[str, Rule]] = {}
    not_inherited: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in cls.not_inherited - vars(cls).keys():
            first = next(base for base in reversed(cls.__mro__) if name in vars(base))
            setattr(cls, name, vars(first)[name])

    def check(self) -> None:
        """Raise ValueError if a field breaks its rule, or TypeError if fields are not declared."""
        for kind in type(self).__mro__:
            if "__init__" in vars(kind) and kind is not object and not _is_dataclass(kind):
                raise TypeError(
                    f"{kind.__name__} has an __init__ but is not a dataclass, so its parameters "
                    "could not be copied and compared. Declare them as fields, with @dataclass "
                    "above the class."
                )
        for name, rule in self.rules.items():
            rule.check(f"The {name!r} of {type(self).__name__}", getattr(self, name))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the fields of this value by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

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


def _is_dataclass(kind: type) -> bool:
    """Whether the class itself is decorated, and not only a base of it."""
    return "__dataclass_fields__" in vars(kind)
