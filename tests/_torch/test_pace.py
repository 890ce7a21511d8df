"""The number of threads of training, with a clock that the test moves."""

from itertools import repeat

import pytest
import torch

from skvae._torch.pace import LONGEST_WAIT, Pace, call, paced
from skvae._torch.runtime import limit, thread_pools


class Machine:
    """A step on two threads takes ``many`` seconds, and on one ``single``."""

    def __init__(self, many, single, outcome=lambda take: [torch.zeros(2)]):
        self.many, self.single = many, single
        self.now, self.is_single = 0.0, False
        self.pace = Pace(outcome, self.set_single, lambda: self.now)

    def set_single(self, is_single):
        self.is_single = is_single

    def take(self):
        self.now += self.single if self.is_single else self.many

    def run(self, seconds):
        """Take steps for this time; the share of the time that they took on one thread."""
        alone, start = 0.0, self.now
        while self.now < start + seconds:
            before, was_single = self.now, self.is_single
            self.pace(self.take)
            alone += (self.now - before) * was_single
        return alone / (self.now - start)


def test_an_idle_machine_uses_all_threads():
    machine = Machine(many=0.02, single=0.03)
    machine.run(5.0)
    assert machine.run(100.0) < 0.01


def test_beside_other_work_most_steps_take_one_thread():
    machine = Machine(many=0.6, single=0.03)
    machine.run(5.0)
    n, start = 0, machine.now
    while machine.now < start + 100:
        machine.run(0.0001)
        n += 1
    assert n * machine.single > 0.9 * 100  # nine tenths of the steps of one thread alone


def test_the_threads_follow_the_work_of_others():
    machine = Machine(many=0.02, single=0.03)
    machine.run(20.0)
    machine.many = 0.6
    assert machine.run(5.0) > 0.2  # five slow steps, and then one thread
    assert machine.run(10.0) > 0.8
    machine.many = 0.02
    machine.run(LONGEST_WAIT + 1)
    assert machine.run(10.0) < 0.05


def test_a_trial_that_is_slow_in_its_second_step_is_in_vain():
    machine = Machine(many=0.2, single=0.3)
    seen = []
    for duration in [0.2] * 5 + [0.1, 0.3] + [0.2] * 5:
        seen.append(machine.is_single)
        machine.many = machine.single = duration
        machine.pace(machine.take)
    assert seen == [False] * 5 + [True] * 2 + [False] * 5


def test_threads_stay_if_the_result_depends_on_them():
    """By the last bit of a number."""
    seen = []

    def outcome(take):
        seen.append(machine.is_single)
        return [torch.ones(2), torch.tensor([1.0 + machine.is_single * 2.0**-23])]

    machine = Machine(many=0.6, single=0.03, outcome=outcome)
    assert machine.run(100.0) == 0.0
    assert seen == [False, True]  # asked once


@pytest.mark.parametrize("wanted", [True, False])
def test_the_threads_are_restored(wanted):
    pools = thread_pools()
    with limit(pools, repeat(2)):
        with paced((lambda take: []) if wanted else None) as pace:
            assert isinstance(pace, Pace) == wanted
            for single in (True, False, True) if wanted else ():
                pace.set_single(single)
                assert torch.get_num_threads() == 2 - single
        assert [pool.num_threads for pool in pools] == [2] * len(pools)


def test_one_thread_stays_one():
    with limit(thread_pools(), repeat(1)), paced(lambda take: []) as pace:
        assert pace is call
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # which sets the pool of torch alone
    try:
        with paced(lambda take: []) as pace:
            assert pace is call
    finally:
        torch.set_num_threads(before)
