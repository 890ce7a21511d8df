"""How much do a few rows that are far from the others disturb training?

    python benchmarks/far_rows.py [--seeds 6]

Tables of 1,000 rows and 8 columns, which depend on 3 factors. In half of them three rows are 100
times as large, in the others five cells are 300.

loss      the last of `loss_curve_`, in nats per row
largest   the largest after the first five epochs
ordinary  mean of `score_samples` of the other rows, in nats per row

Each is the median over seeds.
"""

import argparse
import warnings

import numpy as np

from skvae import VAETransformer

N, D, FAR, BAD = 1000, 8, 3, 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    seeds = range(parser.parse_args().seeds)
    warnings.simplefilter("ignore")  # about these rows
    print(f"{'':40}{'loss':>10}{'largest':>10}{'ordinary':>10}")
    for likelihood in ("gaussian", "auto"):
        for prior in ("normal", "mixture"):
            for kind in ("rows", "cells"):
                made = VAETransformer(4, likelihood=likelihood, prior=prior, random_state=0)
                found = np.median([measured(made, *table(kind, seed)) for seed in seeds], axis=0)
                name = f"{likelihood}, {prior} prior, far {kind}"
                print(f"{name:40}{found[0]:10.1f}{found[1]:10.0f}{found[2]:10.2f}", flush=True)


def table(kind, seed):
    """The table, and which of its rows are ordinary."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 3)) @ rng.normal(size=(3, D)) + 0.5 * rng.normal(size=(N, D))
    ordinary = np.ones(N, dtype=bool)
    if kind == "rows":
        X[:FAR] *= 100
        ordinary[:FAR] = False
    else:
        rows = rng.integers(0, N, BAD)
        X[rows, rng.integers(0, D, BAD)] = 300
        ordinary[rows] = False
    return X, ordinary


def measured(estimator, X, ordinary):
    estimator.fit(X)
    losses = estimator.loss_curve_
    return losses[-1], max(losses[5:]), estimator.score_samples(X[ordinary]).mean()


if __name__ == "__main__":
    main()
