"""Milliseconds and errors of scores, imputations and scores of cells, beside an older commit.

    git worktree add ../before COMMIT
    SKVAE_DATA=folder python benchmarks/scores.py ../before [--tables ...] [--rows 500]

Both codes score one fitted model, which the older one fits, with new rows of

breast cancer   30 columns, 5 components
digits          64 columns, 8 components
page blocks     10 columns, 6 components
adult           15 columns, most of them categories, 16 components

and the same rows with 30 % of their cells missing completely at random. Milliseconds a row, the
faster of two runs on one thread; `fit` is the time of the fit, in milliseconds a row of training.
The errors, in nats, are from scores of the older code with 2^14 draws, of 60 rows: the median,
the 95 % quantile and the mean. `impute` and `cells` (`score_cells` of 20 rows) are of rows with
gaps.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import reduction
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

TABLES = {
    "breast cancer": (lambda: load_breast_cancer().data, 5),
    "digits": (lambda: load_digits().data, 8),
    "page blocks": (
        lambda: np.load(reduction.folder() / "adbench/PageBlocks.npz", allow_pickle=True)["X"],
        6,
    ),
    "adult": (lambda: reduction.adult()[0], 16),
}
N_EXACT, N_CELLS = 60, 20


def rows_of(name, n_rows):
    """Rows to train, and others without and with gaps."""
    train, test = train_test_split(TABLES[name][0](), test_size=0.3, random_state=0)
    test = pd.DataFrame(test).iloc[:n_rows].reset_index(drop=True)
    gaps = test.mask(np.random.default_rng(0).random(test.shape) < 0.3)
    if isinstance(train, np.ndarray):
        test, gaps = test.to_numpy(), gaps.to_numpy()
    return train, test, gaps


def fit(name, path):
    """Fit a model and write it to a file; milliseconds a row."""
    from skvae import VAETransformer

    train, *_ = rows_of(name, 1)
    vae = VAETransformer(TABLES[name][1], random_state=0)
    seconds = timed(lambda: vae.fit(train))
    Path(path).write_bytes(pickle.dumps(vae))
    return [1e3 * seconds / len(train)]


def score(name, path, n_rows):
    """Milliseconds a row, and the scores of rows without and with gaps."""
    _, test, gaps = rows_of(name, int(n_rows))
    vae = pickle.loads(Path(path).read_bytes())
    ways = {
        "score": (vae.score_samples, test),
        "gaps": (vae.score_samples, gaps),
        "impute": (vae.impute, gaps),
        "cells": (vae.score_cells, gaps[:N_CELLS]),
    }
    seconds = [
        1e3 * min(timed(lambda way=way, X=X: way(X)) for _ in range(2)) / len(X)
        for way, X in ways.values()
    ]
    return [seconds, [vae.score_samples(X[:N_EXACT]).tolist() for X in (test, gaps)]]


def exact(name, path):
    """The scores with 2^14 draws."""
    _, test, gaps = rows_of(name, N_EXACT)
    vae = pickle.loads(Path(path).read_bytes())
    return [vae.score_samples(X, n_importance=2**14).tolist() for X in (test, gaps)]


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(code, *arguments):
    """What a part of this file finds with the package in a folder."""
    command = [sys.executable, __file__, ".", "--part", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("--tables", nargs="*", choices=[*TABLES], default=[*TABLES])
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        part, *rest = arguments.part
        print(json.dumps({"fit": fit, "score": score, "exact": exact}[part](*rest)))
        return
    here = Path(__file__).resolve().parents[1]
    before = arguments.before.resolve()
    if not (before / "skvae").is_dir():
        parser.error("name a checkout, whose folder holds skvae/")
    print(f"{'':24}{'fit':>8}{'score':>8}{'gaps':>8}{'impute':>8}{'cells':>9}", end="")
    print("   errors of score, of gaps")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.tables:
            path = Path(folder) / "vae.pickle"
            fitted = measure(before, "fit", name, path)
            truth = measure(before, "exact", name, path)
            found = {
                how: measure(code, "score", name, path, arguments.rows)
                for how, code in (("before", before), ("now", here))
            }
            for how, (times, scores) in found.items():
                cells = "".join(
                    f"{ms:{width}.2f}"
                    for ms, width in zip(fitted + times, (8, 8, 8, 8, 9), strict=True)
                )
                errors = "  ".join(map(summary, scores, truth))
                print(f"{name:16}{how:8}{cells}   {errors}", flush=True)
            ratios = np.divide(found["before"][0], found["now"][0])
            cells = "".join(
                f"{ratio:{width}.1f}" for ratio, width in zip(ratios, (8, 8, 8, 9), strict=True)
            )
            print(f"{name:16}{'times':8}{'':8}{cells}", flush=True)


def summary(scores, truth):
    error = np.subtract(scores, truth)
    size = np.abs(error)
    return f"{np.median(size):.3f} {np.quantile(size, 0.95):.3f} {error.mean():+.3f}"


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
