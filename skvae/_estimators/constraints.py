"""The package's rules as constraints of scikit-learn's parameter validation.

They are stricter than scikit-learn's own: True, False and ``fractions.Fraction`` are no numbers.
"""

from __future__ import annotations

from typing import Any

from sklearn.utils._param_validation import Options

from skvae._rules import Rule


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
