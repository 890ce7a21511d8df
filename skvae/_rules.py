"""Rules for values of parameters: a test, and its description for error messages."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Rule:
    """A test of a value, and the text that follows "must be" in an error message."""

    text: str
    holds: Callable[[Any], bool]

    def __or__(self, other: Rule) -> Rule:
        return Rule(
            f"{self.text} or {other.text}", lambda value: self.holds(value) or other.holds(value)
        )

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError if the value breaks the rule."""
        if not self.holds(value):
            raise ValueError(f"{name} must be {self.text}; got {value!r}.")


def is_whole(value: Any) -> bool:
    """Whether the value is an integer. True and False do not count, unlike in Python."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether the value is an integer or a finite float."""
    return is_whole(value) or (isinstance(value, float | np.floating) and math.isfinite(value))


def whole(least: int, most: float = math.inf) -> Rule:
    """Integers from ``least`` to ``most``."""
    return Rule(
        f"a whole number {_from_to(least, most)}",
        lambda value: is_whole(value) and least <= value <= most,
    )


def number(
    least: float,
    most: float = math.inf,
    closed: Literal["both", "left", "right", "neither"] = "both",
) -> Rule:
    """Finite numbers from ``least`` to ``most``; ``closed`` names the bounds that are included."""
    left, right = closed in ("both", "left"), closed in ("both", "right")
    ends = "[" if left else "(", "]" if right else ")"
    interval = _from_to(least, most) if left and right else f"in {ends[0]}{least}, {most}{ends[1]}"

    def holds(value: Any) -> bool:
        if not is_number(value):
            return False
        if isinstance(value, np.floating):
            value = float(value)  # comparing a float16 with a larger bound would overflow
        return bool(least <= value <= most and (left or value > least) and (right or value < most))

    return Rule(f"a finite number {interval}", holds)


def one_of(*names: str) -> Rule:
    """One of the given strings."""
    words = ", ".join(map(repr, names))
    return Rule(
        f"one of {words}" if len(names) > 1 else words,
        lambda value: isinstance(value, str) and value in names,
    )


def instance_of(kind: type, text: str) -> Rule:
    """Instances of a class, with their description."""
    return Rule(text, lambda value: isinstance(value, kind))


TRUTH = Rule("a bool", lambda value: isinstance(value, bool | np.bool_))
NOTHING = Rule("None", lambda value: value is None)
POSITIVE = Rule("a positive finite number", lambda value: is_number(value) and value > 0)


def _from_to(least: float, most: float) -> str:
    return f"from {least} to {most}" if most < math.inf else f"of at least {least}"
