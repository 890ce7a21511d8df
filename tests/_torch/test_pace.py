"""The number of threads of training, with a clock that the test moves."""

from itertools import repeat

import pytest
import torch

from skvae._torch.pace import LONGEST_WAIT, Pace, paced
from skvae._torch.runtime import limit, thread_pools


class Machine:
    """A step on two threads takes ``many`` seconds, and on one ``single``."""

    def __init__(self, many, single):
        self.many, self.single = many, single
        self.now, self.is_single, self.steps = 0.0, False, []
        self.pace = Pace(lambda single: setattr(self, "is_single", single), lambda: self.now)

    def run(self, seconds):
        """Take steps for this time; the share of the time that they took on one thread."""
        end, alone, start = self.now + seconds, 0.0, self.now
        while self.now < end:
            with self.pace:
                was_single = self.is_single
                duration = self.single if was_single else self.many
                self.now += duration
            alone += duration * was_single
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
    machine = Machine(many=0.02, single=0.03)
    durations = iter([0.02] * 5 + [0.01, 0.03] + [0.02] * 5)
    for duration in durations:
        with machine.pace:
            machine.now += duration
    assert not machine.is_single


@pytest.mark.parametrize("wanted", [True, False])
def test_the_threads_are_restored(wanted):
    pools = thread_pools()
    with limit(pools, repeat(2)):
        with paced(wanted) as pace:
            assert isinstance(pace, Pace) == wanted
            for single in (True, False, True) if wanted else ():
                pace.set_single(single)
                assert torch.get_num_threads() == 2 - single
        assert [pool.num_threads for pool in pools] == [2] * len(pools)


def test_one_thread_stays_one():
    with limit(thread_pools(), repeat(1)), paced(True) as pace:
        assert not isinstance(pace, Pace)
