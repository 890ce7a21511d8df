"""Seconds to fit, encode and score the tables of reduction.py, beside those of an older commit.

    git worktree add ../before COMMIT
    SKVAE_DATA=folder python benchmarks/fits.py [../before] [--after ../after] [--tables ...]
        [--components ...] [--seeds 3] [--likelihood gaussian] [--epochs 20] [--unscored]

At the defaults, or with another likelihood. With `--epochs`, each fit takes that many, which
compares the seconds of the same work. `--after` names a checkout to compare in place of this one.
Each fit has a process of its own, in turn by the one code and the other, after a short fit that
loads what a process loads once. `encode` is `transform` of up to 5,000 rows, the fastest of ten
calls; `score` is `score_samples` of 500 rows, the faster of two, or 0 if `--unscored`, since an
older commit may take much longer for it. Medians over the seeds, and their
ratios to those of the older commit; `same` is yes if all loss curves are equal to the last bit.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import reduction


def fit(name, n_components, seed, likelihood, epochs, n_scored):
    """Fit one table in this process; print seconds to fit, encode and score, and the losses."""
    from skvae import VAETransformer

    X = reduction.split(name, seed)[0]
    VAETransformer(2, likelihood=likelihood, max_iter=2, random_state=0).fit(X)
    vae = VAETransformer(n_components, likelihood=likelihood, random_state=seed)
    if epochs:
        vae.set_params(max_iter=epochs, early_stopping=False)
    seconds = [timed(lambda: vae.fit(X))]
    seconds += [min(timed(lambda: vae.transform(X[:5000])) for _ in range(10))]
    scored = [timed(lambda: vae.score_samples(X[:500])) for _ in range(n_scored)]
    seconds += [min(scored, default=0.0)]
    print(json.dumps([seconds, vae.loss_curve_]))


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(code, *arguments):
    """Seconds and losses by the package in a folder."""
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(code)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("before", type=Path, nargs="?")
    parser.add_argument("--after", type=Path, default=here)
    parser.add_argument("--tables", nargs="*", choices=[*reduction.TABLES])
    parser.add_argument("--components", nargs="*", type=int, default=reduction.COMPONENTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--likelihood", default="auto")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--unscored", action="store_true")
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_intermixed_args()
    if arguments.one:
        name, n_components, seed, likelihood, epochs, n_scored = arguments.one
        fit(name, int(n_components), int(seed), likelihood, int(epochs), int(n_scored))
        return
    codes = [code.resolve() for code in (arguments.after, arguments.before) if code]
    if not all((code / "skvae").is_dir() for code in codes):
        parser.error("name checkouts, whose folders hold skvae/")
    header = f"{'epochs':>10}{'fit':>9}{'encode':>9}{'score':>9}"
    print(f"{'':15}{'q':>3}{header}{(header + '  ratios and same') if arguments.before else ''}")
    for name in arguments.tables or reduction.TABLES:
        n_columns = reduction.TABLES[name]()[0].shape[1]
        for q in (q for q in arguments.components if q < n_columns):
            seeds, n_scored = range(arguments.seeds), 0 if arguments.unscored else 2
            how = arguments.likelihood, arguments.epochs, n_scored
            runs = [[measure(code, name, q, seed, *how) for code in codes] for seed in seeds]
            numbers = [[[len(losses), *times] for times, losses in run] for run in runs]
            medians = np.median(numbers, axis=0)
            cells = "".join(
                f"{epochs:10.0f}" + "".join(f"{seconds:9.4f}" for seconds in each)
                for epochs, *each in medians
            )
            if arguments.before:
                cells += "".join(
                    f"{ratio:7.2f}" for ratio in medians[0, 1:] / medians[1, 1:].clip(1e-9)
                )
                cells += "  yes" if all(now[1] == then[1] for now, then in runs) else "  no"
            print(f"{name:15}{q:3}{cells}", flush=True)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
