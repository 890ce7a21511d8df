"""Record training steps once on a GPU and replay them: one call starts all operations of a step.

A step of a small model is some hundred operations of microseconds. Calling them from Python takes
longer than the work.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable

import torch
from torch import Generator

# Calls before a recording. In the first call libraries initialise, which cannot be recorded.
CALLS_BEFORE = 3
FEWEST_STEPS = 64  # a recording takes as long as some twenty steps
_one_recording = threading.Lock()  # a recording begins by waiting for all work on the device


class Replay:
    """Call a function, and from the fourth time on replay it as a CUDA graph.

    The functions under one key must run the same operations on the same tensors each time. They
    must not wait for results of the device, and draw only from ``generator``.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        # The stream to record on. No other graphs use it, since cuBLAS keeps memory for each
        # stream, which belongs to the stream's first graph. The graphs here run one by one, so they
        # can share the same memory.
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
            self.graphs[key].replay()  # recording does not execute

    def _recorded(self, do: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        if torch.__version__ < "2.14":  # later versions do so automatically
            graph.register_generator_state(self.generator)
        with torch.cuda.device(self.generator.device):
            # other Python threads may launch kernels and allocate memory meanwhile
            mode = "thread_local"
            with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode=mode):
                do()
            # recording resets the generator's offset on its stream; a replay sets it on this one
            torch.cuda.current_stream().wait_stream(self.stream)
        return graph
