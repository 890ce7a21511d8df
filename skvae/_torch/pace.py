"""Steps of training on all threads or on one, by the time that they take.

The threads of an operation wait for each other. If another process occupies a core, each operation
waits until the system runs the thread of that core, and a step on two threads may take 30 times as
long as on one.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from statistics import median

import torch
from torch import Tensor

from skvae._torch.runtime import limit, set_threads, thread_pools

RECENT = 5  # steps whose median is compared
SLOWER = 1.5  # factor over the fastest median that is a reason to try the other number of threads
# Seconds until the next trial without a reason, and the most after trials that were in vain.
FIRST_WAIT, LONGEST_WAIT = 1.0, 32.0

Take = Callable[[], None]


@contextmanager
def paced(outcome: Callable[[Take], list[Tensor]] | None) -> Iterator[Callable[[Take], None]]:
    """A function that calls its argument, a step, on all threads of the caller or on one.

    Parameters
    ----------
    outcome : callable or None
        Takes a step, undoes it, and returns copies of all that it changed and that follows from it.
        If these depend on the number of threads, all steps run on all threads, so that a fit has
        the same result whatever else the machine does. So they do with None.
    """
    pools = thread_pools()
    counts = [pool.num_threads for pool in pools]
    if outcome is None or torch.get_num_threads() == 1:
        yield call
    else:
        with limit(pools, counts):
            yield Pace(outcome, lambda single: set_threads(pools, repeat(1) if single else counts))


def call(take: Take) -> None:
    """Take a step on the threads that are set."""
    take()


class Pace:
    """Measures each step, and tries the other number of threads at times.

    Parameters
    ----------
    outcome : callable
        As in ``paced``.
    set_single : callable
        Sets a single thread if its argument is True, and otherwise all threads.
    clock : callable, default=time.perf_counter
        The time in seconds.
    """

    def __init__(
        self,
        outcome: Callable[[Take], list[Tensor]],
        set_single: Callable[[bool], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.outcome, self.set_single, self.clock = outcome, set_single, clock
        self.may_change: bool | None = None  # None before it is known
        self.is_single, self.is_trial, self.n_tried = False, False, 0
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.fastest = math.inf  # median with this number of threads
        self.wait, self.next_trial = FIRST_WAIT, clock() + FIRST_WAIT

    def __call__(self, take: Take) -> None:
        if self.may_change is False:
            take()
            return
        start = self.clock()
        take()
        now = self.clock()
        if self.is_trial:
            self._see_trial(now - start, now)
        elif self._is_time_for_trial(now - start, now):
            if self.may_change is None:
                self.may_change = self._is_same_on_one_thread(take)
            if self.may_change:
                self.is_trial, self.n_tried = True, 0
                self._switch()

    def _is_time_for_trial(self, seconds: float, now: float) -> bool:
        """Record a step by the current number of threads. Is it a reason for a trial?"""
        self.recent.append(seconds)
        if len(self.recent) < RECENT:
            return False
        typical = median(self.recent)
        self.fastest = min(self.fastest, typical)
        return now >= self.next_trial or typical > SLOWER * self.fastest

    def _see_trial(self, seconds: float, now: float) -> None:
        """Record a step of a trial, which succeeds after two steps that are faster."""
        self.n_tried += 1
        if seconds < median(self.recent):
            if self.n_tried < 2:
                return
            self.recent.clear()
            self.fastest, self.wait = math.inf, FIRST_WAIT
        else:
            self._switch()
            self.fastest = median(self.recent)
            self.wait = min(2 * self.wait, LONGEST_WAIT)
        self.is_trial, self.next_trial = False, now + self.wait

    def _is_same_on_one_thread(self, take: Take) -> bool:
        """Whether a step has the same outcome, bit for bit, on one thread and on all."""
        on_all = self.outcome(take)
        self.set_single(True)
        on_one = self.outcome(take)
        self.set_single(False)
        return all(map(torch.equal, on_all, on_one))

    def _switch(self) -> None:
        self.is_single = not self.is_single
        self.set_single(self.is_single)
