"""What is recorded when, with stand-ins for CUDA graphs; test_transformer.py has those of a GPU."""

import inspect
from collections import Counter
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch.torch_version import TorchVersion

from skvae._torch.replay import CALLS_BEFORE, Replay


class Stream:
    def __init__(self, device=None):
        self.waited_for = []

    def wait_stream(self, other):
        self.waited_for.append(other)


class Graph:
    made = ()

    def __init__(self):
        self.generators, self.recorded, self.replays = [], 0, 0
        Graph.made += (self,)

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def replay(self):
        assert self.recorded == 1
        self.replays += 1


@pytest.fixture
def cuda(monkeypatch):
    """Stands in for torch.cuda; the current stream."""
    takes = inspect.signature(torch.cuda.graph)

    @contextmanager
    def record(*args, **kwargs):
        given = takes.bind(*args, **kwargs).arguments
        assert given["pool"] == "pool"
        assert isinstance(given["stream"], Stream)
        yield
        given["cuda_graph"].recorded += 1

    current = Stream()
    for name, stand_in in {
        "CUDAGraph": Graph,
        "Stream": Stream,
        "current_stream": lambda: current,
        "device": lambda device: nullcontext(),
        "graph": record,
        "graph_pool_handle": lambda: "pool",
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(Graph, "made", ())
    return current


@pytest.mark.parametrize(("version", "told"), [("2.11.0+cu130", True), ("2.14.0", False)])
def test_calls_are_recorded_once_and_then_replayed(monkeypatch, cuda, version, told):
    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    generator, done = torch.Generator(), Counter()
    replay = Replay(generator)
    for _ in range(CALLS_BEFORE + 5):
        for key in ("told", "untold"):
            replay(key, lambda key=key: done.update([key]))
    # what is recorded is called, though not done, and replayed in that call too
    assert done == {"told": CALLS_BEFORE + 1, "untold": CALLS_BEFORE + 1}
    assert [graph.replays for graph in Graph.made] == [5, 5]
    assert [graph.generators for graph in Graph.made] == [[generator] if told else []] * 2
    assert cuda.waited_for == [replay.stream] * 2  # before the first replay of each


def test_a_recording_that_fails_is_raised_and_not_replayed(cuda):
    replay = Replay(torch.Generator())
    for _ in range(CALLS_BEFORE):
        replay("key", lambda: None)
    with pytest.raises(ZeroDivisionError):
        replay("key", lambda: 1 / 0)
    assert not replay.graphs
    assert [graph.replays for graph in Graph.made] == [0]
    replay("key", lambda: None)  # the lock is free again
    assert Graph.made[1].replays == 1
