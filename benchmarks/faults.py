"""Do fits and fitted models survive interrupts, threads and long use?

    python benchmarks/faults.py [interrupt threads soak] [--runs 50] [--calls ...]

interrupt  sends SIGINT, as Ctrl-C does, to a process at random instants of a call. Prints in how
           many of the runs the call raised KeyboardInterrupt within two seconds (`left`), and left
           a usable model in a consistent state (`sound`): a fit has the weights of the last epoch
           that it counts, and other calls change nothing. Neither do modes, threads, generators or
           signal handlers of the process. `seconds` are those until the call was left: the median
           and the longest.
threads    16 threads make 1,000 calls each of one fitted model, in random order. Prints how many
           results differ from those of the same calls one after the other, and what changed in the
           process. Then a fit and the same calls in children: forked, spawned, of loky, threads of
           joblib, and processes and threads of dask, if it is installed. A child that does not end
           within a minute has failed.
soak       memory at the start, in the middle and at the end of 1,000 fits in one process, and of
           scores of 10 million rows, which are read in blocks.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.callbacks._base import EpochCallback

LONGEST_WAIT = 2.0  # seconds
SETTINGS = {"hidden_layer_sizes": 32, "max_iter": 20, "random_state": 0}


def table():
    """Breast cancer, 569 rows, and the same with a tenth of the values missing."""
    X = load_breast_cancer().data
    return X, np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)


def state_of_process():
    """What a call must not change."""
    return {
        "signals": signal.getsignal(signal.SIGINT),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": repr(np.random.get_state()),  # noqa: NPY002
        "filters": list(warnings.filters),
        "errors": np.geterr(),
    }


# -- interrupt ---------------------------------------------------------------------------------


class Stop(EpochCallback):
    """A callback that ends training after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id + 1 == self.epoch


class Fit:
    """A new model in each run, which an interrupt leaves unfitted, or with its last epoch."""

    def __init__(self, **settings):
        self.settings = SETTINGS | settings
        self.X = table()[0]

    def new(self):
        return VAETransformer(5, **self.settings)

    def __call__(self):
        self.vae = self.new()
        self.vae.fit(self.X)

    def problem(self):
        """What is wrong after an interrupt; None if nothing is."""
        if not hasattr(self.vae, "_fitted"):
            return None if vars(self.vae) == vars(self.new()) else "half fitted"
        curves = self.vae.loss_curve_, self.vae.kl_curve_, self.vae.learning_rates_
        if {len(curve) for curve in curves} != {self.vae.n_iter_}:
            return "curves of several lengths"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = self.new().set_callbacks(Stop(self.vae.n_iter_)).fit(self.X)
        same = np.array_equal(expected.transform(self.X), self.vae.transform(self.X))
        return None if same else f"not the weights of epoch {self.vae.n_iter_}"


class PartialFit:
    """A call of ``partial_fit`` counts as an epoch, or changes nothing."""

    def __init__(self):
        self.X = table()[0]
        self.before = VAETransformer(5, **SETTINGS).partial_fit(self.X)
        self.after = VAETransformer(5, **SETTINGS).partial_fit(self.X).partial_fit(self.X)

    def __call__(self):
        self.vae = VAETransformer(5, **SETTINGS).partial_fit(self.X)
        self.vae.partial_fit(self.X)

    def problem(self):
        if not hasattr(self.vae, "_fitted"):
            return None
        expected = [self.before, self.after][self.vae.n_iter_ - 1]
        same = np.array_equal(expected.transform(self.X), self.vae.transform(self.X))
        return None if same else "other weights"


class Unchanged:
    """A call that must not change an estimator, whether it is complete or not."""

    def __init__(self, fit, call):
        self.X, self.gaps = table()
        self.estimator, self.call = fit(self.X), call
        self.expected = self.result()

    def result(self):
        few = self.gaps[:40]
        if isinstance(self.estimator, VAETransformer):
            return self.estimator.transform(few)
        if isinstance(self.estimator, VAEImputer):
            return self.estimator.transform(few)
        return self.estimator.decision_function(self.X[:40])

    def __call__(self):
        self.call(self.estimator, self)

    def problem(self):
        return None if np.array_equal(self.result(), self.expected) else "another result"


class LongScore(Unchanged):
    """Scores of many rows, in chunks on two threads."""

    def __init__(self):
        torch.set_num_threads(2)
        super().__init__(vae, lambda model, case: model.score_samples(case.many))

    @property
    def many(self):
        return np.tile(self.gaps, (10, 1))


class Search:
    """A search on two processes, after which another runs."""

    def __init__(self):
        self.X = table()[0]

    def search(self, n_candidates):
        grid = {"n_components": [2, 3, 4, 5, 6, 7][:n_candidates]}
        return GridSearchCV(VAETransformer(**SETTINGS), grid, cv=2, n_jobs=2)

    def __call__(self):
        self.interrupted = self.search(6)
        self.interrupted.fit(self.X)

    def problem(self):
        self.search(1).fit(self.X[:100])
        if hasattr(self.interrupted, "best_estimator_"):
            self.interrupted.transform(self.X[:2])
        return "its estimator is fitted" if hasattr(self.interrupted.estimator, "_fitted") else None


def vae(X):
    return VAETransformer(5, **SETTINGS).fit(X)


def imputer(X):
    return VAEImputer(VAETransformer(5, **SETTINGS)).fit(X)


def detector(X):
    return VAEOutlierDetector(VAETransformer(5, **SETTINGS)).fit(X)


CALLS = {
    "fit": Fit,
    "fit to the end": lambda: Fit(early_stopping=False),
    "partial_fit": PartialFit,
    "score_samples": lambda: Unchanged(vae, lambda model, case: model.score_samples(case.gaps)),
    "on two threads": LongScore,
    "impute": lambda: Unchanged(vae, lambda model, case: model.impute(case.gaps)),
    "sample": lambda: Unchanged(vae, lambda model, case: model.sample(20000, random_state=0)),
    "score_cells": lambda: Unchanged(vae, lambda model, case: model.score_cells(case.gaps[:50])),
    "VAEImputer": lambda: Unchanged(imputer, lambda model, case: model.transform(case.gaps)),
    "VAEOutlierDetector": lambda: Unchanged(detector, lambda model, case: model.predict(case.X)),
    "GridSearchCV": Search,
}


def serve(name):
    """Answer each line of the input by calls until an interrupt, and a report about it."""
    case = CALLS[name]()
    case()
    start = time.perf_counter()
    case()
    print(json.dumps(time.perf_counter() - start), flush=True)
    before = state_of_process()
    for _ in sys.stdin:
        kind, problem = "no interrupt", None
        try:
            print("begun", flush=True)
            while True:
                case()
        except KeyboardInterrupt:
            print("left", flush=True)
            kind = "KeyboardInterrupt"
        except BaseException as error:
            print("left", flush=True)
            kind = repr(error)
        try:
            after = state_of_process()
            changed = [name for name in before if before[name] != after[name]]
            problem = f"changed {changed}" if changed else case.problem()
        except Exception as error:
            problem = repr(error)
        print(json.dumps([kind, problem]), flush=True)


@contextmanager
def serving(name):
    """A process that serves a call, in a group of its own, to which a terminal sends signals."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, "serve", "--calls", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the workers of loky print the interrupt
        text=True,
        bufsize=1,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def interrupted_once(process, wait):
    """Interrupt a call after a time. Seconds until it was left, and the report of the process."""
    process.stdin.write("\n")
    assert process.stdout.readline() == "begun\n"
    time.sleep(wait)
    start = time.perf_counter()
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout.readline() == "left\n"
    seconds = time.perf_counter() - start
    return seconds, *json.loads(process.stdout.readline())


def interrupt(arguments):
    print(f"{'':20}{'runs':>6}{'left':>6}{'sound':>7}{'seconds':>16}", flush=True)
    for name in arguments.calls or CALLS:
        chance = random.Random(0)
        with serving(name) as process:
            duration = json.loads(process.stdout.readline())
            waits = [chance.uniform(0, 1.2 * duration) for _ in range(arguments.runs)]
            runs = [interrupted_once(process, wait) for wait in waits]
        seconds, kinds, problems = zip(*runs, strict=True)
        n_left = sum(
            kind == "KeyboardInterrupt" and one <= LONGEST_WAIT
            for one, kind in zip(seconds, kinds, strict=True)
        )
        found = f"{statistics.median(seconds):.3f} {max(seconds):.3f}"
        print(f"{name:20}{len(runs):6}{n_left:6}{problems.count(None):7}{found:>16}", flush=True)
        for problem in sorted({*kinds, *problems} - {None, "KeyboardInterrupt"}):
            print(f"    {(kinds + problems).count(problem)} x {problem}", flush=True)


# -- threads -----------------------------------------------------------------------------------

N_THREADS, N_CALLS, LONGEST_CHILD = 16, 1000, 60.0


def mixed_table(n=60):
    """Numbers, a category and a count, with missing values."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "size": z + 0.3 * rng.normal(size=n),
            "weight": 5 - 2 * z + rng.normal(size=n),
            "kind": pd.Categorical(np.where(z + rng.normal(size=n) > 0, "a", "b")),
            "count": rng.poisson(np.exp(0.5 * z)),
        }
    )
    return frame.mask(rng.random(frame.shape) < 0.1)


def mixed_calls():
    """By name, calls of a model of a small table; each has the same result at each call."""
    X = mixed_table()
    model = VAETransformer(2, **SETTINGS).fit(X)
    few = X[:3]
    codes = model.transform(few)
    return {
        "transform": lambda: model.transform(few),
        "score_samples": lambda: model.score_samples(few),
        "few draws": lambda: model.score_samples(few, n_importance=8),
        "elbo": lambda: model.elbo(few),
        "inverse_transform": lambda: model.inverse_transform(codes),
        "reconstruct": lambda: model.reconstruct(few),
        "impute": lambda: model.impute(few),
        "draws": lambda: model.impute(few, n_imputations=2, random_state=0)[1],
        "sample": lambda: model.sample(3, random_state=0),
        "given": lambda: model.sample(2, given={"kind": "a"}, random_state=0),
        "missing": lambda: model.sample(3, missing=True, random_state=0),
        "predict_column": lambda: model.predict_column(few, "kind"),
        "predict_column_proba": lambda: model.predict_column_proba(few, "kind"),
        "score_cells": lambda: model.score_cells(few[:1]),
        "loadings": lambda: model.loadings(),
        "interpolate": lambda: model.interpolate(codes[0], codes[1], 5),
    }


def comparable(result):
    return pd.DataFrame(result).to_csv() if np.ndim(result) else repr(result)


def all_results(calls):
    return {name: comparable(call()) for name, call in calls.items()}


def results_of_child(_=None):
    """The results of a model that this process fits."""
    return all_results(mixed_calls())


def report_child(queue):
    queue.put(results_of_child())


def differences(results, expected):
    return sum(results[name] != expected[name] for name in expected)


def by_process(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=report_child, args=(queue,))
    child.start()
    try:
        return [queue.get(timeout=LONGEST_CHILD)]
    finally:
        child.kill()


def by_joblib(backend):
    with joblib.parallel_config(backend, n_jobs=2):
        parallel = joblib.Parallel(timeout=LONGEST_CHILD)
        return parallel(joblib.delayed(results_of_child)(i) for i in range(2))


def by_dask(**workers):
    from dask.distributed import Client

    with Client(dashboard_address=None, **workers):
        return by_joblib("dask")


CHILDREN = {
    "fork": lambda: by_process("fork"),
    "spawn": lambda: by_process("spawn"),
    "loky": lambda: by_joblib("loky"),
    "threading": lambda: by_joblib("threading"),
}
if importlib.util.find_spec("distributed"):
    CHILDREN |= {
        "dask": lambda: by_dask(n_workers=2, threads_per_worker=1),
        "dask threads": lambda: by_dask(n_workers=1, threads_per_worker=2, processes=False),
    }


def threads(arguments):
    calls = mixed_calls()
    expected = all_results(calls)
    before = state_of_process()

    def work(seed):
        names = random.Random(seed).choices(list(calls), k=N_CALLS)
        return sum(comparable(calls[name]()) != expected[name] for name in names)

    start = time.perf_counter()
    with ThreadPoolExecutor(N_THREADS) as pool:
        n_different = sum(pool.map(work, range(N_THREADS)))
    seconds = time.perf_counter() - start
    after = state_of_process()
    changed = [name for name in before if before[name] != after[name]]
    print(
        f"{N_THREADS} threads, {N_THREADS * N_CALLS} calls in {seconds:.0f} s: "
        f"{n_different} differ, changed in the process: {', '.join(changed) or 'nothing'}",
        flush=True,
    )
    for name, run in CHILDREN.items():
        start = time.perf_counter()
        try:
            found = sum(differences(results, expected) for results in run())
            outcome = f"{found} differ"
        except Exception as error:
            outcome = f"failed: {error!r}"
        print(f"{name:12} {time.perf_counter() - start:5.1f} s: {outcome}", flush=True)
    left = state_of_process()
    changed = [name for name in before if before[name] != left[name]]
    print(f"changed by children: {', '.join(changed) or 'nothing'}")


# -- soak --------------------------------------------------------------------------------------

N_FITS, N_ROWS, N_COLUMNS, BLOCK_ROWS = 1000, 10_000_000, 10, 100_000


def megabytes():
    """The memory of this process."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def print_memory(what, i, n):
    print(f"{what} {i:>10} of {n}: {megabytes():6.0f} MB", flush=True)


def soak(arguments):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 4)) + 0.1 * rng.normal(size=(60, 4))
    settings = {"hidden_layer_sizes": 8, "max_iter": 2}
    marks = [N_FITS // 20, N_FITS // 2, N_FITS]
    start = time.perf_counter()
    for i in range(1, N_FITS + 1):
        model = VAETransformer(2, random_state=i, **settings).fit(X)
        model.score_samples(X[:2])
        if i in marks:
            print_memory("fit  ", i, N_FITS)
    print(f"{time.perf_counter() - start:.0f} s")

    weights = rng.normal(size=(3, N_COLUMNS)).astype(np.float32)

    def block(i):
        rng = np.random.default_rng(i)
        codes = rng.standard_normal((BLOCK_ROWS, 3), dtype=np.float32)
        noise = rng.standard_normal((BLOCK_ROWS, N_COLUMNS), dtype=np.float32)
        return codes @ weights + 0.3 * noise

    model = VAETransformer(2, likelihood="gaussian", random_state=0, **settings).fit(block(0)[:500])
    n_blocks = N_ROWS // BLOCK_ROWS
    start, total = time.perf_counter(), 0.0
    for i in range(n_blocks):
        total += model.score_samples(block(i), n_importance=1).sum(dtype=float)
        if i + 1 in (n_blocks // 20, n_blocks // 2, n_blocks):
            print_memory("score", (i + 1) * BLOCK_ROWS, N_ROWS)
    print(f"{time.perf_counter() - start:.0f} s, mean {total / N_ROWS:.3f} nats")


PARTS = {"interrupt": interrupt, "threads": threads, "soak": soak}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "serve", []], metavar="part")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--calls", nargs="*", choices=list(CALLS))
    arguments = parser.parse_args()
    if arguments.parts == ["serve"]:
        serve(arguments.calls[0])
        return
    for part in arguments.parts or PARTS:
        print(f"\n{part}", flush=True)
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
