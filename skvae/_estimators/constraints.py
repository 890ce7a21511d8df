"""The package's rules as constraints of scikit-learn's parameter validation.

They are stricter than scikit-learn's own: True, False and ``fractions.Fraction`` are no numbers.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval, Options

from skvae._rules import Rule, number

MOST_DRAWS = 10**4  # of codes for a row; larger numbers, mostly mistakes, would exceed the memory


class Ruled(Options):
    """The values for which a rule holds."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(object, set())
        self.rule = rule

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether the rule holds for the value."""
        return self.rule.holds(val)

    def __str__(self) -> str:
        return self.rule.text


class RuledInterval(Interval):
    """Numbers above ``low`` and up to ``high``, for a check of scikit-learn that needs Interval."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(Real, low, high, closed="right")
        self.rule = number(low, high, closed="right")

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether the rule holds for the value."""
        return self.rule.holds(val)

    def __str__(self) -> str:
        return self.rule.text
