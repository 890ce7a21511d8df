"""Wrong cells among the rows that a model is fitted to: which does `score_cells` find?

    python benchmarks/slips.py [--seeds 3]

One cell in 200 is replaced by ten times its value, in tables that scikit-learn bundles and in one
of whole numbers, for which "auto" takes histograms. Beside `VAETransformer` the distance from the
median of a column in median absolute deviations.

in its row    share of the wrong cells that are the lowest of their row
in the table  share of wrong cells among as many of the lowest of the table
"""

import argparse

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine

from skvae import VAETransformer

TABLES = {
    "breast cancer": (lambda: load_breast_cancer().data, 5),
    "wine": (lambda: load_wine().data, 3),
    "customers": (lambda: customers(3000), 4),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    print(f"{'':40}{'in its row':>12}{'in the table':>14}")
    for table, (load, n_components) in TABLES.items():
        X = load()
        ways = {
            "median absolute deviations": lambda X, seed: deviations(X),
            **{
                f"likelihood={name!r}": scores(n_components, name)
                for name in ("auto", "gaussian", "student_t")
            },
        }
        for name, way in ways.items():
            found = np.mean([shares(X, way, seed) for seed in seeds], axis=0)
            print(f"{table:14}{name:26}{found[0]:12.2f}{found[1]:14.2f}", flush=True)


def shares(X, way, seed):
    """Of the wrong cells: those found in their row, and in the table."""
    rng = np.random.default_rng(seed)
    wrong = (rng.random(X.shape) < 0.005) & (X != 0)
    score = way(np.where(wrong, 10 * X, X), seed)
    row, place = np.nonzero(wrong)
    lowest = np.argsort(score, axis=None)[: len(row)]
    return (score[row].argmin(axis=1) == place).mean(), wrong.flat[lowest].mean()


def customers(n):
    """Age, income, rent, years, visits and spending: whole numbers, from two codes."""
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(2, n)), rng.normal(size=(5, n))
    columns = [
        45 + 12 * z[0] + 5 * noise[0],
        np.exp(7.8 + 0.4 * z[0] + 0.2 * noise[1]),
        np.exp(6.6 + 0.4 * z[0] + 0.2 * noise[2]),
        np.maximum(8 + 4 * z[0] + 2 * noise[3], 1),
        rng.poisson(np.exp(1.5 + 0.6 * z[1])),
        np.exp(4 + 0.8 * z[1] + 0.4 * noise[4]),
    ]
    return np.round(np.stack(columns, axis=1))


def scores(n_components, likelihood):
    """The log-likelihood of each cell by a model that is fitted to the same rows."""

    def way(X, seed):
        vae = VAETransformer(n_components, likelihood=likelihood, random_state=seed).fit(X)
        return vae.score_cells(X, n_importance=32)

    return way


def deviations(X):
    from_median = np.abs(X - np.median(X, axis=0))
    return -from_median / np.median(from_median, axis=0)


if __name__ == "__main__":
    main()
