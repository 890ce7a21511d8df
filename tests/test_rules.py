"""The rules of parameters, and the same rules as constraints of scikit-learn."""

import math
from fractions import Fraction

import numpy as np
import pytest

from skvae._estimators.constraints import Ruled
from skvae._rules import NOTHING, POSITIVE, TRUTH, number, one_of, whole

ODD = [True, np.True_, "1", None, math.nan, math.inf, -math.inf, Fraction(1, 2), 1j, [1]]
RULES = {
    "whole": (whole(1, 3), "a whole number from 1 to 3", [1, 3, np.int8(2)], [0, 4, 2.0]),
    "unbounded": (whole(1), "a whole number of at least 1", [1, 10**400], [0, 1.5]),
    "both": (
        number(0, 1e6),
        "a finite number from 0 to 1000000.0",
        [0, 1e6, np.float16(2)],
        [-1e-9, 10**400],
    ),
    "left": (number(0, 1, closed="left"), "a finite number in [0, 1)", [0, 0.5], [1, 1.0]),
    "right": (number(0, 1, closed="right"), "a finite number in (0, 1]", [1, 1e-300], [0, 0.0]),
    "neither": (number(0, 1, closed="neither"), "a finite number in (0, 1)", [0.5], [0, 1]),
    "positive": (POSITIVE, "a positive finite number", [1, 1e-300], [0, -1]),
    "union": (one_of("auto") | whole(2), "'auto' or a whole number of at least 2", ["auto", 2], []),
}


@pytest.mark.parametrize(("rule", "text", "good", "bad"), RULES.values(), ids=RULES)
def test_a_rule_holds_for_its_values_only(rule, text, good, bad):
    assert str(Ruled(rule)) == rule.text == text
    for value in good:
        assert rule.holds(value)
        assert Ruled(rule).is_satisfied_by(value)
        rule.check("x", value)
    for value in [*bad, *ODD]:
        assert not rule.holds(value)
        assert not Ruled(rule).is_satisfied_by(value)
        with pytest.raises(ValueError, match=r"^x must be .*; got "):
            rule.check("x", value)


def test_none_and_bools_have_rules_of_their_own():
    assert [NOTHING.holds(value) for value in (None, 0)] == [True, False]
    assert [TRUTH.holds(value) for value in (True, np.False_, 1)] == [True, True, False]
