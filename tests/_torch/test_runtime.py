"""Whatever state the caller's torch is in, results are the same and the state stays."""

import contextlib
import copy
import os
import platform
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae._interrupts import interrupts_held
from skvae._torch.runtime import (
    LARGE_WORK,
    limit,
    networks_in,
    one_thread,
    resolve_device,
    resolve_precision,
    seeded,
    torch_runtime,
)

CPU = torch.device("cpu")
TABLE = np.random.default_rng(0).normal(size=(40, 3))
SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 2, "device": "cpu", "random_state": 0}
SMALL, LARGE = LARGE_WORK - 1, LARGE_WORK


@contextlib.contextmanager
def restored(set_value, value, before):
    """``set_value(value)`` within the block."""
    set_value(value)
    try:
        yield
    finally:
        set_value(before)


CALLERS = {
    "plain": contextlib.nullcontext,
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64": lambda: restored(torch.set_default_dtype, torch.float64, torch.float32),
    "float16": lambda: restored(torch.set_default_dtype, torch.float16, torch.float32),
    "meta": lambda: restored(torch.set_default_device, "meta", None),
    "meta block": lambda: torch.device("meta"),
    "two threads": lambda: restored(torch.set_num_threads, 2, torch.get_num_threads()),
    "one thread": lambda: restored(torch.set_num_threads, 1, torch.get_num_threads()),
}


def mkl_threads():
    """What the MKL of torch would take here, if there is one."""
    return re.findall(r"mkl_get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())


def state():
    """What a caller sets; generators and filters are watched in every test."""
    return {
        "inference": torch.is_inference_mode_enabled(),
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": torch.get_default_dtype(),
        "device": torch.empty(0).device,
        "threads": torch.get_num_threads(),
        "mkl": mkl_threads(),
        "pools": [pool["num_threads"] for pool in threadpool_info()],
    }


def use_everything():
    """Every public way through torch; what it gave."""
    X, model = TABLE, VAETransformer(dropout=0.1, **SETTINGS)
    codes = model.fit(X).transform(X)
    model.partial_fit(X)
    model.set_params(warm_start=True, max_iter=4).fit(X)
    return (
        codes,
        *model.latent_distribution(X.astype(np.float32)),
        model.inverse_transform(codes),
        model.reconstruct(X),
        model.sample(5, random_state=0),
        model.score_samples(X),
        model.loss_curve_,
    )


@pytest.fixture(scope="module")
def expected():
    return use_everything()


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_results_and_state_are_the_same_for_every_caller(caller, expected):
    with caller():
        before = state()
        results = use_everything()
        after = state()
    assert after == before
    for result, value in zip(results, expected, strict=True):
        assert np.array_equal(result, value)


ODD = 20 * TABLE[:12]  # rows for which codes are searched, from far off
GAPS = np.where(np.random.default_rng(1).random(ODD.shape) < 0.3, np.nan, ODD)
GIVEN = np.where(np.isnan(GAPS), np.nan, TABLE[:12])
METHODS = {
    "transform": lambda model: model.transform(GAPS),
    "impute": lambda model: model.impute(GAPS),
    "impute by draws": lambda model: model.impute(GAPS, n_imputations=2, random_state=0),
    "sample": lambda model: model.sample(5, random_state=0),
    "sample given": lambda model: model.sample(2, given=GIVEN, random_state=0),
    "score_samples": lambda model: model.score_samples(ODD),
    "score of gaps": lambda model: model.score_samples(GAPS),
    "score in float32": lambda model: model.score_samples(GAPS.astype(np.float32)),
    "score_cells": lambda model: model.score_cells(GAPS),
    "elbo": lambda model: model.elbo(GAPS),
    "loadings": lambda model: model.loadings(),
    "copy": lambda model: copy.deepcopy(model).score_samples(GAPS.astype(np.float32)),
    "VAEImputer": lambda model: VAEImputer(model).fit_transform(GAPS),
    "VAEOutlierDetector": lambda model: VAEOutlierDetector(model).fit(GAPS).score_samples(GAPS),
}


@pytest.fixture(scope="module")
def by_a_plain_caller():
    """A model, and what each method gives."""
    model = VAETransformer(prior="mixture", **SETTINGS).fit(TABLE)
    return model, {name: np.asarray(call(model)) for name, call in METHODS.items()}


@pytest.mark.filterwarnings("ignore:The codes tell nothing")  # of few rows
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_each_method_is_the_same_for_every_caller(caller, method, by_a_plain_caller):
    model, expected = by_a_plain_caller
    with caller():
        before = state()
        found = METHODS[method](model)
        after = state()
    assert after == before
    np.testing.assert_array_equal(np.asarray(found), expected[method])


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_a_fit_in_any_mode_continues_outside_of_it(caller):
    with caller():
        model = VAETransformer(**SETTINGS).fit(TABLE)
    model.partial_fit(TABLE)
    assert np.isfinite(model.score(GAPS))
    assert np.isfinite(model.score(GAPS.astype(np.float32)))


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_modes_inside_and_after(caller):
    with caller():
        before = state()
        with torch_runtime(CPU, work=SMALL) as outside:
            for _ in range(2):
                assert not torch.is_inference_mode_enabled()
                assert not torch.is_grad_enabled()
                assert not torch.is_autocast_enabled("cpu")
                assert torch.get_num_threads() == 1
                with outside.modes():
                    assert state() == before
        assert state() == before


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_callbacks_run_in_the_torch_modes_of_the_caller(caller):
    seen = []

    class Watched(VAETransformer):
        def _report(self, fitted):
            seen.append(state())

    with caller():
        Watched(**SETTINGS).fit(TABLE).partial_fit(TABLE)
        assert seen == [state()] * 3


def test_small_work_uses_one_thread_and_large_work_the_threads_of_the_caller():
    with restored(torch.set_num_threads, 2, torch.get_num_threads()):
        for work, threads in ((SMALL, 1), (LARGE, 2)):
            before = state()
            with torch_runtime(CPU, work=work):
                assert torch.get_num_threads() == threads
                if torch.backends.mkl.is_available() and sys.platform == "linux":
                    assert mkl_threads() == [str(threads)]
            assert state() == before


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_are_of_the_precision_inside(precision):
    before, x = state(), torch.ones(2, 2)
    with networks_in(precision, CPU):
        assert (x @ x).dtype == getattr(torch, precision)
    assert state() == before


@pytest.mark.parametrize("capability", ["amx_bf16", "avx512_bf16", "avx512_f"])
@pytest.mark.parametrize("work", [SMALL, LARGE])
def test_auto_is_bfloat16_where_that_is_faster(work, capability, capabilities):
    capabilities({"amx_bf16": False, capability: True})
    faster = work == LARGE and capability.endswith("bf16")
    assert resolve_precision("auto", CPU, work) == ("bfloat16" if faster else "float32")
    for name in ("float32", "bfloat16"):
        assert resolve_precision(name, CPU, work) == name


def test_one_thread_is_used_and_the_former_number_restored():
    before = state()
    with pytest.raises(KeyboardInterrupt), one_thread():
        raise KeyboardInterrupt
    assert state() == before
    with one_thread():  # the lock is free again
        assert all(pool["num_threads"] == 1 for pool in threadpool_info())


class InterruptedPool:
    """A pool of 7 threads. The keyboard interrupts the call of this number that sets the count."""

    def __init__(self, call):
        self.num_threads, self.calls, self.call = 7, 0, call

    def set_num_threads(self, count):
        self.calls += 1
        if self.calls == self.call:
            signal.raise_signal(signal.SIGINT)
        self.num_threads = count


@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_anywhere_restores_the_number_of_threads(call):
    pools = [InterruptedPool(call), InterruptedPool(0)]
    with (
        pytest.raises(KeyboardInterrupt),
        interrupts_held() as hold,
        limit(pools, [1, 1]),
        hold.lifted(),
    ):
        assert call == 2
    assert [pool.num_threads for pool in pools] == [7, 7]


def test_an_error_inside_restores_the_state():
    before = state()
    with pytest.raises(KeyboardInterrupt), torch_runtime(CPU, work=SMALL):
        raise KeyboardInterrupt
    assert state() == before


def test_modules_are_made_of_a_seed_whatever_the_caller_is():
    made = []
    for caller in CALLERS.values():
        for seed in (0, 0, 1):
            with caller():
                before = state(), torch.get_rng_state().tolist()
                with torch_runtime(CPU), seeded(seed), seeded(seed):
                    made.append(torch.nn.Linear(2, 3).weight.detach())
                assert (state(), torch.get_rng_state().tolist()) == before
        assert made[-1].dtype == torch.float32
        assert torch.equal(made[-3], made[0])
        assert torch.equal(made[-2], made[0])
        assert not torch.equal(made[-1], made[0])


def test_auto_is_cuda_where_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cpu", CPU])
def test_a_device_is_itself(name):
    assert resolve_device(name) == CPU


@pytest.mark.parametrize("name", ["gpu", "", "mps", torch.device("meta")])
def test_a_device_of_another_kind(name):
    with pytest.raises(ValueError, match=r"device=.* must be 'auto', 'cpu' or 'cuda', also as"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda:99", torch.device("cuda", 99)])
def test_a_device_that_is_not_available(name):
    with pytest.raises(ValueError, match=r"device=.* is not available: .*Choose 'auto', 'cpu' or"):
        resolve_device(name)


BLOCKS = """
import resource
import numpy as np
import torch
from skvae._torch.runtime import torch_runtime
with torch_runtime(torch.device("cpu")):
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    blocks = [np.ones(2**17) for _ in range(8)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory comes from elsewhere")
def test_freed_memory_is_reused():
    done = subprocess.run([sys.executable, "-c", BLOCKS], check=True, capture_output=True)
    pages = 8 * 2**20 // os.sysconf("SC_PAGESIZE")  # of each of the 100 rounds
    assert int(done.stdout) < 10 * pages


FLUSHED = """
import numpy as np, numpy.ma, torch  # numpy.ma may warn itself
torch.set_flush_denormal(True)
from skvae import VAETransformer
X = np.exp(np.random.default_rng(0).normal(size=(40, 2)))
VAETransformer(1, likelihood="log_normal", max_iter=1, random_state=0).fit(X).score_cells(X)
"""


def test_no_warning_if_the_processor_flushes_denormal_numbers_to_zero():
    subprocess.run([sys.executable, "-W", "error", "-c", FLUSHED], check=True)


AT_EXIT = """
import atexit
import numpy as np, torch
import skvae
from skvae._inference import map_rows
map_rows.SHARED_WORK = 1
torch.set_num_threads(2)
X = np.random.default_rng(0).normal(size=(40, 2))
model = skvae.VAETransformer(1, max_iter=1, random_state=0).fit(X)
before = model.transform(X)
atexit.register(lambda: print(np.array_equal(model.transform(X), before)))
"""


def test_rows_are_coded_while_the_interpreter_shuts_down():
    command = [sys.executable, "-W", "ignore", "-c", AT_EXIT]
    assert subprocess.check_output(command, text=True) == "True\n"


FORK = """
import os, sys, torch, skvae
x = torch.ones(600, 600)
torch.set_num_threads(2)
x @ x  # the parent's thread pool runs
child = os.fork()
if child == 0:
    x @ x
    os._exit(torch.get_num_threads() != 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_with_one_thread_and_does_not_hang():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=60, check=False)
    assert done.returncode == 0
