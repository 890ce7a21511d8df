"""Training on all threads or on one, by the time of its steps.

The threads of an operation wait for each other. If another process occupies a core, each operation
waits until the system runs the thread of that core, and a step on two threads may take 30 times as
long as on one. In float32 the weights do not depend on the number of threads.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import repeat
from statistics import median
from typing import Any

from skvae._torch.runtime import limit, set_threads, thread_pools

RECENT = 5  # steps whose median is compared
SLOWER = 1.5  # factor over the fastest median that is a reason to try the other number of threads
# Seconds until the next trial without a reason, and the most after trials that were in vain.
FIRST_WAIT, LONGEST_WAIT = 1.0, 32.0


@contextmanager
def paced(wanted: bool) -> Iterator[AbstractContextManager[Any]]:
    """A context for each step, which sets the number of threads of torch.

    All threads of the caller, or one while that is faster. The caller's number is restored
    afterwards, and does not change unless ``wanted``.
    """
    pools = thread_pools()
    counts = [pool.num_threads for pool in pools]
    if not wanted or max(counts, default=1) == 1:
        yield nullcontext()
    else:
        with limit(pools, counts):
            yield Pace(lambda single: set_threads(pools, repeat(1) if single else counts))


class Pace:
    """A context for steps: measures each, and tries the other number of threads at times.

    Parameters
    ----------
    set_single : callable
        Sets a single thread if its argument is True, and otherwise all threads.
    clock : callable, default=time.perf_counter
        The time in seconds.
    """

    def __init__(
        self, set_single: Callable[[bool], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.set_single, self.clock = set_single, clock
        self.is_single, self.n_tried = False, 0
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.fastest = math.inf  # median with this number of threads
        self.wait, self.next_trial, self.start = FIRST_WAIT, 0.0, 0.0
        self.is_trial = False

    def __enter__(self) -> None:
        self.start = self.clock()

    def __exit__(self, *_: Any) -> None:
        now = self.clock()
        if self.is_trial:
            self._see_trial(now - self.start, now)
        else:
            self._see(now - self.start, now)

    def _see(self, seconds: float, now: float) -> None:
        """A step by the current number of threads, which may be a reason for a trial."""
        self.recent.append(seconds)
        if len(self.recent) < RECENT:
            return
        typical = median(self.recent)
        self.fastest = min(self.fastest, typical)
        if now >= self.next_trial or typical > SLOWER * self.fastest:
            self.is_trial, self.n_tried = True, 0
            self._switch()

    def _see_trial(self, seconds: float, now: float) -> None:
        """A step of a trial, which succeeds after two steps that are faster."""
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

    def _switch(self) -> None:
        self.is_single = not self.is_single
        self.set_single(self.is_single)
