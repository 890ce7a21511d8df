"""Speed: a training step beside the plain loop's and its matrix products, and a fitted model.

    python benchmarks/speed.py [step compiled busy inference precision] [--runs 3] [--device cpu]

step       a training step of the article's 784-500-500-50 with ELU, and of a 20-64-64-8 table,
           beside the plain loop's and beside their matrix products alone: medians of steps taken
           in turn in one process
compiled   the image's step beside that of a plain loop by torch.compile, which needs a C++ compiler
busy       the table's step and the image's, on one and two threads, with the machine idle and with
           another process on one core; seconds of an epoch of a fit to images in float32, the
           median of eight, and whether its weights are those of the fit on an idle machine; and a
           grid search with one and two jobs
inference  milliseconds a row of what a fitted model does, on rows with and without gaps, and on one
           row alone
precision  held-out log-likelihood in float32 and bfloat16, ten columns that follow from the codes
           with a noise of 10 % and of 1 %

With --device cuda, step is of a GPU. The plain loop is what one writes in an hour: a DataLoader,
nn.Sequential, torch.optim.Adam at 1e-3. Medians; run it alone on the machine.
"""

import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from parts import parser_of, run
from plain import CODE, LAYERS, PlainVAE, synchronize
from scipy.special import expit
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from torch import nn

from skvae import VAETransformer, _data, _fit
from skvae._torch.fused import fused
from skvae._torch.random import draw_bernoulli
from skvae._torch.runtime import LARGE_WORK, networks_in
from skvae._training.loop import _epoch
from skvae._training.optimizer import Optimizer
from skvae._training.step import Step
from skvae.likelihoods import Bernoulli, Gaussian

EPOCH_ROWS = {784: 60_000, 20: 4_096}  # of the images, and of a small table, by the columns


# -- a step beside its matrix products ------------------------------------------------


def compare_steps(arguments):
    print(
        f"{'':34}{'products':>10}{'skvae':>8}{'ratio':>7}{'plain':>8}{'faster':>8}   (milliseconds)"
    )
    for d, layers, code, batch, precisions, threads, rounds in [
        (784, LAYERS, CODE, 1024, ("float32", "bfloat16"), None, 1),
        (784, LAYERS, CODE, 128, ("float32", "bfloat16"), None, 1),
        (20, (64, 64), 8, 128, ("float32",), 1, 10),
    ]:
        for precision in precisions:
            n_rounds = rounds * arguments.runs
            step_ratio(d, layers, code, batch, precision, threads, n_rounds, arguments.device)


def step_ratio(d, layers, code, batch, precision, threads, n_rounds, device):
    """Median times of a step of ours, of the plain loop and of the products, in turn.

    By epochs, since not every step of ours tells its loss.
    """
    n_steps = steps_of_epoch(d, batch)
    all_threads = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    bare = products(d, layers, code, batch, getattr(torch, precision), device)
    contenders = {
        "products": repeated(bare, n_steps, device),
        "skvae": our_steps(d, layers, code, batch, precision, device),
        "plain": repeated(plain_step(d, layers, code, batch, device), n_steps, device),
    }
    floor, ours, plain = in_turn(contenders, n_rounds, n_steps)
    name = f"{'-'.join(map(str, (d, *layers, code)))}, batch {batch}, {precision}"
    print(
        f"{name:34}{floor:10.2f}{ours:8.2f}{ours / floor:7.2f}{plain:8.2f}{plain / ours:8.2f}",
        flush=True,
    )
    torch.set_num_threads(all_threads)


def in_turn(contenders, n_rounds, n_steps):
    """Median milliseconds of a step of each, after a round that does not count."""
    times = {name: [] for name in contenders}
    for steps in contenders.values():
        steps()
    for _ in range(n_rounds):
        for name, steps in contenders.items():
            start = time.perf_counter()
            steps()
            times[name].append(1e3 * (time.perf_counter() - start) / n_steps)
    return [statistics.median(found) for found in times.values()]


def steps_of_epoch(d, batch):
    return -(-EPOCH_ROWS[d] // batch)


def repeated(step, n_steps, device="cpu"):
    def steps():
        for _ in range(n_steps):
            step()
        synchronize(device)

    return steps


def products(d, layers, code, batch, dtype, device="cpu"):
    """The matrix products of one step: forward, by the weights, and by the inputs but the first."""
    sizes = [*pairwise((d, *layers, 2 * code)), *pairwise((code, *layers[::-1], d))]
    tensors = [
        tuple(torch.randn(shape).to(device, dtype) for shape in ((batch, i), (o, i), (batch, o)))
        for i, o in sizes
    ]

    def step():
        for place, (x, weight, gradient) in enumerate(tensors):
            torch.mm(x, weight.t())
            torch.mm(gradient.t(), x)
            if place:
                torch.mm(gradient, weight)

    return step


def our_steps(d, layers, code, batch, precision, device="cpu"):
    """The steps of an epoch of the training loop, as fit runs them."""
    X = np.random.default_rng(0).random((4 * batch, d)).astype(np.float32)
    likelihood = Bernoulli(binarize=True) if d == 784 else Gaussian()
    settings = {"hidden_layer_sizes": layers, "activation": "elu" if d == 784 else "silu"}
    vae = VAETransformer(
        code, likelihood=likelihood, batch_size=batch, precision=precision, device=device,
        max_iter=1, early_stopping=False, random_state=0, learning_rate_init=1e-3, **settings,
    ).fit(X)  # fmt: skip
    model, rows = vae.module_, _data.rows_of(vae._fitted, _data.WeightedTable.of_all(X))
    plan = replace(_fit.plan_of(vae, len(rows)), precision=precision)
    generator = torch.Generator(device).manual_seed(0)
    progress = [1.0] * steps_of_epoch(d, batch)
    # as in a fit of ten epochs, and so of many steps
    optimizer = Optimizer(model, plan, None)
    step = Step(model, plan, optimizer, generator, n_steps=10 * len(progress))
    large = device == "cpu" and batch * sum(p.numel() for p in model.parameters()) >= LARGE_WORK

    def steps():
        with torch.no_grad(), fused(large):
            _epoch(rows, progress, 1.0, step)

    return steps


def plain_step(d, layers, code, batch, device="cpu"):
    model = PlainVAE(d, layers, code, nn.ELU if d == 784 else nn.SiLU, binary=d == 784).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    X = torch.rand(4 * batch, d)
    dataset = torch.utils.data.TensorDataset(X)

    def batches():
        while True:
            yield from torch.utils.data.DataLoader(dataset, batch_size=batch, shuffle=True)

    stream = batches()

    def step():
        x = next(stream)[0].to(device)
        optimizer.zero_grad()
        model.loss(torch.bernoulli(x) if d == 784 else x).backward()
        optimizer.step()

    return step


def compare_compiled(arguments):
    print(f"{'':34}{'products':>10}{'skvae':>8}{'ratio':>7}{'compiled':>10}{'ratio':>7}")
    for batch in (1024, 128):
        for precision in ("float32", "bfloat16"):
            n_steps = steps_of_epoch(784, batch)
            bare = products(784, LAYERS, CODE, batch, getattr(torch, precision))
            contenders = {
                "products": repeated(bare, n_steps),
                "skvae": our_steps(784, LAYERS, CODE, batch, precision),
                "compiled": repeated(compiled_step(batch, precision), n_steps),
            }
            floor, ours, compiled = in_turn(contenders, arguments.runs, n_steps)
            print(
                f"{f'batch {batch}, {precision}':34}{floor:10.2f}{ours:8.2f}{ours / floor:7.2f}"
                f"{compiled:10.2f}{compiled / floor:7.2f}",
                flush=True,
            )


def compiled_step(batch, precision):
    """The plain loop's loss compiled; a fused Adam, and rows gathered and drawn as in skvae."""
    model = PlainVAE(784, LAYERS, CODE, nn.ELU)
    loss = torch.compile(model.loss)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    X = torch.rand(4 * batch, 784)
    generator = torch.Generator().manual_seed(0)

    def step():
        x = X.index_select(0, torch.randint(len(X), (batch,), generator=generator))
        optimizer.zero_grad()
        with networks_in(precision, X.device):
            value = loss(draw_bernoulli(x, x, generator))
        value.backward()
        optimizer.step()

    return step


# -- another process beside -----------------------------------------------------------


def compare_busy(arguments):
    """Milliseconds of a step, with the machine idle and with one core busy."""
    print(f"{'':34}{'idle':>8}{'busy':>8}{'ratio':>7}")
    for d, layers, code, batch in [(20, (64, 64), 8, 128), (784, LAYERS, CODE, 128)]:
        for threads in (1, 2):
            steps = our_steps(d, layers, code, batch, "float32")
            n_steps = steps_of_epoch(d, batch)
            idle = with_threads(steps, threads, n_steps)
            with one_core_busy():
                beside = with_threads(steps, threads, n_steps)
            name = f"{'-'.join(map(str, (d, *layers, code)))}, {threads} threads"
            print(f"{name:34}{idle:8.2f}{beside:8.2f}{beside / idle:7.2f}", flush=True)
    compare_fits()
    X = load_wine().data
    search = GridSearchCV(VAETransformer(2, random_state=0), {"beta": [0.5, 1.0, 2.0, 4.0]}, cv=3)
    for n_jobs in (1, 2):
        start = time.perf_counter()
        search.set_params(n_jobs=n_jobs).fit(X)
        print(f"grid search, 12 fits and one, n_jobs={n_jobs}: {time.perf_counter() - start:.1f} s")


@contextmanager
def one_core_busy():
    """Another process that computes all the time."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def compare_fits():
    """Seconds of an epoch of a fit to images, on one thread and on two."""
    rng = np.random.default_rng(0)
    X = expit(rng.normal(size=(60_000, 8)) @ rng.normal(size=(8, 784))).astype(np.float32)
    single, _ = epochs_of_fit(X, 1)
    both, weights = epochs_of_fit(X, 2)
    with one_core_busy():
        beside, weights_beside = epochs_of_fit(X, 2)
    same = all(map(torch.equal, weights, weights_beside))
    print(f"epoch of a fit: one thread {single:.2f} s, two {both:.2f} s, two on a busy machine")
    print(f"{beside:.2f} s, {beside / single:.2f} times that of one; the same weights: {same}")


def epochs_of_fit(X, threads):
    """Seconds of an epoch, and the weights in the end."""
    before, clock = torch.get_num_threads(), Clock()
    torch.set_num_threads(threads)
    vae = VAETransformer(
        CODE, hidden_layer_sizes=LAYERS, likelihood=Bernoulli(binarize=True), batch_size=128,
        precision="float32", max_iter=9, early_stopping=False, random_state=0,
    )  # fmt: skip
    vae.set_callbacks(clock).fit(X)
    torch.set_num_threads(before)
    return statistics.median(np.diff(clock.times)), [p.detach() for p in vae.module_.parameters()]


class Clock:
    """A callback that records when each epoch ends."""

    def __init__(self):
        self.times = []

    def setup(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def teardown(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.times.append(time.perf_counter())


def with_threads(steps, threads, n_steps):
    """Milliseconds of a step: of an epoch, or the median of several short ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    times = []
    for _ in range(-(-100 // n_steps)):
        start = time.perf_counter()
        steps()
        times.append(1e3 * (time.perf_counter() - start) / n_steps)
    torch.set_num_threads(before)
    return statistics.median(times)


# -- what a fitted model does ---------------------------------------------------------


def compare_inference(arguments):
    """Milliseconds a row, of 10,000 rows or as many as a median of three takes in good time.

    Then of one row alone, with gaps.
    """
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(10_000, 8)) @ rng.normal(size=(8, 20))
    whole += rng.normal(size=whole.shape)
    gaps = np.where(rng.random(whole.shape) < 0.05, np.nan, whole)
    vae = VAETransformer(8, random_state=0).fit(gaps)
    ways = {
        "transform": (vae.transform, 10_000),
        "reconstruct": (vae.reconstruct, 10_000),
        "score_samples, n_importance=16": (lambda X: vae.score_samples(X, n_importance=16), 1000),
        "score_samples": (vae.score_samples, 1000),
        "elbo": (vae.elbo, 1000),
        "impute": (vae.impute, 1000),
        "score_cells, n_importance=32": (lambda X: vae.score_cells(X, n_importance=32), 100),
        "score_cells": (vae.score_cells, 100),
    }
    one = gaps[np.isnan(gaps).any(axis=1)][:1]
    print(f"{'':28}{'whole':>9}{'with gaps':>11}{'one row':>9}")
    for name, (way, n_rows) in ways.items():
        found = []
        for X, n_runs in ((whole[:n_rows], 3), (gaps[:n_rows], 3), (one, 21)):
            times = []
            for _ in range(n_runs):
                start = time.perf_counter()
                way(X)
                times.append(1e3 * (time.perf_counter() - start) / len(X))
            found.append(statistics.median(times))
        print(f"{name:28}{found[0]:9.4f}{found[1]:11.4f}{found[2]:9.1f}", flush=True)


# -- precision ------------------------------------------------------------------------


def compare_precisions(arguments):
    """Held-out log-likelihood, nats a row, of each precision."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(22_000, 4))
    for noise in (0.1, 0.01):
        X = codes @ rng.normal(size=(4, 10))
        X += noise * X.std(0) * rng.normal(size=X.shape)
        scores = {name: [] for name in ("float32", "bfloat16")}
        for seed in range(arguments.runs):
            for name, found in scores.items():
                vae = VAETransformer(4, precision=name, random_state=seed).fit(X[2000:])
                found.append(vae.score(X[:2000]))
        means = ", ".join(f"{name} {np.mean(found):.3f}" for name, found in scores.items())
        print(f"noise {noise:4.0%}: {means}", flush=True)


PARTS = {
    "step": compare_steps,
    "compiled": compare_compiled,
    "busy": compare_busy,
    "inference": compare_inference,
    "precision": compare_precisions,
}

if __name__ == "__main__":
    run(PARTS, parser_of(__doc__, PARTS).parse_args())
