"""No test may leave a trace in the state of the process."""

import random
import warnings

import numpy as np
import pytest
import torch
import torch._dynamo  # gradcheck imports it, and it sets warning filters of its own
from sklearn.datasets import load_wine
from threadpoolctl import threadpool_info

from skvae import VAETransformer
from skvae._torch.runtime import cpu_has_bfloat16


def global_state():
    """All that the package promises not to touch."""
    return {
        "numpy": repr(np.random.get_state()),  # noqa: NPY002
        "torch": torch.get_rng_state().tolist(),
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "pools": {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()},
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "filters": list(warnings.filters),
        "errors": np.geterr(),
    }


@pytest.fixture(autouse=True)
def _global_state_is_untouched(request):
    if request.node.get_closest_marker("touches_global_state"):
        yield
        return
    before = global_state()
    yield
    after = global_state()
    # a library that is imported for the first time brings a pool of its own
    after["pools"] = {path: after["pools"][path] for path in before["pools"]}
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"changed the process's {changed}"


@pytest.fixture
def capabilities(monkeypatch):
    """Sets what torch finds that the processor can do."""

    def find(found):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
        cpu_has_bfloat16.cache_clear()

    yield find
    cpu_has_bfloat16.cache_clear()


@pytest.fixture(scope="module")
def wine():
    """A table of 178 rows and 13 columns."""
    return load_wine().data


@pytest.fixture(scope="module")
def fitted(wine):
    """A model of it after three epochs."""
    return VAETransformer(3, hidden_layer_sizes=(16,), max_iter=3, random_state=0).fit(wine)
