"""On a GPU, steps recorded once and replayed: one call starts all that they are made of.

A small model's step is some hundred operations of microseconds, whose calls from Python take longer
than the work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

import torch
from torch import Generator

# Calls before one is recorded: libraries set up what they need in the first, which cannot be.
CALLS_BEFORE = 3


class Replay:
    """Does what it is given, and from the fourth time on by a CUDA graph.

    What is given under one key must be the same operations on the same tensors each time, wait for
    nothing that the device has done, and draw from ``generator`` alone.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.stream = torch.cuda.Stream(generator.device)  # to record on
        self.graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self.calls: Counter[Hashable] = Counter()

    def __call__(self, key: Hashable, do: Callable[[], None]) -> None:
        if key in self.graphs:
            self.graphs[key].replay()
        elif self.calls[key] < CALLS_BEFORE:
            self.calls[key] += 1
            do()
        else:
            self.graphs[key] = self._recorded(do)
            self.graphs[key].replay()  # what is recorded is not done

    def _recorded(self, do: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.device(self.generator.device):
            # other threads of Python may go on with what a recording could not hold
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                do()
            # recording resets the generator's place on its stream, which a replay sets on ours
            torch.cuda.current_stream().wait_stream(self.stream)
        return graph
