"""Seconds to fit the tables of reduction.py at the defaults, beside those of an older commit.

    git worktree add ../before COMMIT
    SKVAE_DATA=folder python benchmarks/fits.py [../before] [--tables ...] [--seeds 3]

Each fit has a process of its own, in turn by the one code and the other, after a short fit that
loads what a process loads once. Medians over the seeds, of seconds and of epochs.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import reduction


def fit(name, n_components, seed):
    """Fit one table in this process; print seconds and epochs."""
    from skvae import VAETransformer

    X = reduction.split(name, seed)[0]
    VAETransformer(2, max_iter=2, random_state=0).fit(X)
    start = time.perf_counter()
    vae = VAETransformer(n_components, random_state=seed).fit(X)
    print(time.perf_counter() - start, vae.n_iter_)


def measure(code, *arguments):
    """Seconds and epochs of a fit by the package in a folder."""
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(code)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(number) for number in run.stdout.split()[-2:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, nargs="?")
    parser.add_argument("--tables", nargs="*", choices=[*reduction.TABLES])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_intermixed_args()
    if arguments.one:
        name, n_components, seed = arguments.one
        fit(name, int(n_components), int(seed))
        return
    if arguments.before and not (arguments.before / "skvae").is_dir():
        parser.error("name a checkout of the code of before, whose folder holds skvae/")
    here = Path(__file__).resolve().parents[1]
    codes = [here] if arguments.before is None else [here, arguments.before.resolve()]
    print(f"{'':15}{'q':>3}{'s':>9}{'epochs':>8}{'before':>9}{'epochs':>8}{'ratio':>7}")
    for name in arguments.tables or reduction.TABLES:
        n_columns = reduction.TABLES[name]()[0].shape[1]
        for q in (q for q in reduction.COMPONENTS if q < n_columns):
            runs = [[measure(c, name, q, s) for c in codes] for s in range(arguments.seeds)]
            medians = np.median(runs, axis=0)
            cells = "".join(f"{seconds:9.2f}{epochs:8.0f}" for seconds, epochs in medians)
            ratio = f"{medians[0, 0] / medians[1, 0]:7.2f}" if arguments.before else ""
            print(f"{name:15}{q:3}{cells}{ratio}", flush=True)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
