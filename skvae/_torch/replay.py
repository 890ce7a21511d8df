"""On a GPU, steps recorded once and replayed: one call starts all that they are made of.

A small model's step is some hundred operations of microseconds, whose calls from Python take longer
than the work.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable

import torch
from torch import Generator

# Calls before one is recorded: libraries set up what they need in the first, which cannot be.
CALLS_BEFORE = 3
FEWEST_STEPS = 64  # in all, that recordings are worth, each of which takes as long as some twenty
_one_recording = threading.Lock()  # at a time: one begins by waiting for all that the device does


class Replay:
    """Does what it is given, and from the fourth time on by a CUDA graph.

    What is given under one key must be the same operations on the same tensors each time, wait for
    nothing that the device has done, and draw from ``generator`` alone.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        # To record on. It is no other graph's, since cuBLAS keeps memory for each stream that lies
        # with the first of its graphs. These run one by one, so each may work in the same memory.
        self.stream = torch.cuda.Stream(generator.device)
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self.calls: Counter[Hashable] = Counter()

    def __call__(self, key: Hashable, do: Callable[[], None]) -> None:
        if key in self.graphs:
            self.graphs[key].replay()
        elif self.calls[key] < CALLS_BEFORE:
            self.calls[key] += 1
            do()
        else:
            with _one_recording:
                self.graphs[key] = self._recorded(do)
            self.graphs[key].replay()  # what is recorded is not done

    def _recorded(self, do: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        if torch.__version__ < "2.14":  # later ones see by themselves
            graph.register_generator_state(self.generator)
        with torch.cuda.device(self.generator.device):
            # in other threads of Python, kernels and memory may be asked for meanwhile
            mode = "thread_local"
            with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode=mode):
                do()
            # recording resets the generator's place on its stream, which a replay sets on ours
            torch.cuda.current_stream().wait_stream(self.stream)
        return graph
