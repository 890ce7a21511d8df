"""Schedules of the learning rate."""

from itertools import pairwise

import numpy as np
import pytest
from walks import walk

from skvae._training.schedules import SCHEDULES, resolve_schedule


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("cosine", [0.5, 1, 0.5, 0.083, 0]),
        ("adaptive", [1, 1, 1, 0.55, 0.1]),
    ],
)
def test_schedules(name, values):
    found = [SCHEDULES[name].factor(p) for p in (0.05, 0.1, 0.55, 5 / 6, 1.0)]
    assert found == pytest.approx(values, abs=0.001)
    course = [SCHEDULES[name].factor(p) for p in np.linspace(0.1, 1, 50)]
    assert all(a >= b for a, b in pairwise(course))


def test_a_function_of_the_share_of_the_steps_is_a_schedule():
    theta, _ = walk(
        learning_rate=resolve_schedule(lambda progress: 1 - progress),
        validation=False, epochs=range(4), learning_rate_init=0.1,
    )  # fmt: skip
    assert float(theta) == pytest.approx(0.1 * 0.5 * 4, rel=0.01)
    with pytest.raises(ValueError, match=r"learning_rate\(1.0\) must be a finite number"):
        resolve_schedule(lambda progress: -progress)
    with pytest.raises(ValueError, match=r"learning_rate\(0.0\) raises ZeroDivisionError"):
        resolve_schedule(lambda progress: 1 / progress)


@pytest.mark.parametrize(
    ("learning_rate", "n_steps", "averaged"),
    [("cosine", 2, 20), ("cosine", 2000, 80), ("cosine", 10**6, 1000), ("constant", 2000, 1000)],
)
def test_a_run_of_known_length_averages_squares_over_a_share_of_it(
    learning_rate, n_steps, averaged
):
    assert SCHEDULES[learning_rate].averaged_steps(n_steps) == averaged
