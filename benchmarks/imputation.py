"""Imputation of numeric tables: errors, times, and what multiple imputations cover.

    python benchmarks/imputation.py [vae simple knn bayes trees]
    SKVAE_DATA=folder python benchmarks/imputation.py --larger --seeds 1 [vae random knn trees]

Mean squared error of the hidden cells, columns standardised, mean of the seeds. Each imputer is
fitted to the table with its gaps and fills it. `vae` is VAEImputer with its default model; the
others stand at usual settings. `forest` is miceforest, and needs it and lightgbm 4.5.

Half of the cells are hidden at random. `--larger` takes six tables of 12 or more columns, and 1,000
rows of each: 30 and 50 % hidden at random, 40 % hidden by their own value, the larger the more
often ("MNAR"), and columns whose values are hidden by that of another, complete one ("MAR").
`--hidden` and `--tables` select some of these, or other tables. `random` is VAEImputer without
`self_masking`. Added for `vae` (`fits` also on
the small tables, of the first seed):

fits   seconds to fit over those of VAETransformer(8)
cover  share of hidden cells between the smallest and the largest of 20 draws. Draws from the true
       distribution would cover 19/21 = 0.905. A hidden value that is equal to an end counts by
       chance, as if values were not rounded.

The default model was chosen on the small tables and on 1,500 rows of the larger ones, which may
overlap, by other seeds. `forest` returns a draw, whose error is larger than that of a mean.
Published for MIWAE on the breast cancer table: 0.28 (Mattei and Frellsen, 2019).
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
import reduction
from scipy.special import expit
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import scale

from skvae import VAEImputer, VAETransformer

TABLES = {
    "breast cancer": load_breast_cancer,
    "wine": load_wine,
    "diabetes": load_diabetes,
    "iris": load_iris,
}
IMPUTERS = {
    "vae": lambda seed: VAEImputer(random_state=seed),
    "random": lambda seed: AtRandom(seed),
    "simple": lambda seed: SimpleImputer(),
    "knn": lambda seed: KNNImputer(n_neighbors=10),
    "bayes": lambda seed: IterativeImputer(random_state=seed, max_iter=20),
    "trees": lambda seed: IterativeImputer(
        ExtraTreesRegressor(100, random_state=seed), random_state=seed, max_iter=5
    ),
    "forest": lambda seed: MiceForest(seed),
}
FIRST_SEED = 20
LARGER = ("satimage-2", "Cardiotocography", "fault", "vowels", "letter", "sensors")
MOST_ROWS = 1000
N_DRAWS = 20
PATTERNS = {
    "30 %": lambda X, rng: rng.random(X.shape) < 0.3,
    "50 %": lambda X, rng: rng.random(X.shape) < 0.5,
    "MNAR": lambda X, rng: rng.random(X.shape) < expit(2 * X - 0.6),
    "MAR": lambda X, rng: by_another(X, rng),
}


class AtRandom:
    """VAEImputer that takes values as missing at random."""

    def __init__(self, seed):
        self.seed = seed

    def fit_transform(self, X):
        model = VAEImputer()._default(X).set_params(self_masking=False)
        return VAEImputer(model, random_state=self.seed).fit_transform(X)


def by_another(X, rng):
    """Hide values of 70 % of the columns, each by one of the other columns."""
    is_complete = rng.permutation(X.shape[1]) < 0.3 * X.shape[1]
    by = rng.choice(np.flatnonzero(is_complete), X.shape[1])
    return (rng.random(X.shape) < expit(2 * X[:, by] - 1)) & ~is_complete


class MiceForest:
    """One completed table of miceforest's gradient boosted trees."""

    def __init__(self, seed):
        self.seed = seed

    def fit_transform(self, X):
        import miceforest

        table = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
        kernel = miceforest.ImputationKernel(table, num_datasets=1, random_state=self.seed)
        kernel.mice(5)
        return kernel.complete_data(0).to_numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imputers", nargs="*", choices=[*IMPUTERS, []], metavar="imputer")
    parser.add_argument("--larger", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--hidden", nargs="*", choices=PATTERNS, default=list(PATTERNS))
    parser.add_argument("--tables", nargs="*", default=LARGER)
    arguments = parser.parse_args()
    if arguments.larger:
        names = arguments.imputers or ["vae", "knn", "trees"]
        seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
        larger(names, seeds, arguments.tables, arguments.hidden)
    else:
        names = arguments.imputers or ["vae", "simple", "knn", "bayes", "trees"]
        small(names, range(FIRST_SEED, FIRST_SEED + arguments.seeds))


def small(names, seeds):
    print(f"{'table':16}{'imputer':10}{'MSE':>8}{'+-':>8}{'seconds':>9}{'fits':>7}")
    for table, load in TABLES.items():
        X = scale(load().data)
        for name in names:
            start = time.perf_counter()
            errors = [
                error(IMPUTERS[name](seed), X, PATTERNS["50 %"](X, np.random.default_rng(seed)))
                for seed in seeds
            ]
            seconds = (time.perf_counter() - start) / len(seeds)
            line = f"{table:16}{name:10}{np.mean(errors):8.3f}{np.std(errors):8.3f}{seconds:9.1f}"
            if name == "vae":
                hidden = PATTERNS["50 %"](X, np.random.default_rng(seeds[0]))
                line += f"{of_vae(X, hidden, seeds[0])[1]:7.1f}"
            print(line, flush=True)


def larger(names, seeds, tables, patterns):
    print(f"{'table':18}{'hidden':8}" + "".join(f"{name:>9}" for name in names), end="")
    print("     fits   cover  seconds" if "vae" in names else "")
    rows = {pattern: [] for pattern in patterns}
    for table in tables:
        X = read(table)
        for pattern in patterns:
            hide = PATTERNS[pattern]
            found = np.zeros(len(names) + 3)
            for seed in seeds:
                hidden = hide(X, np.random.default_rng(seed))
                for i, name in enumerate(names):
                    if name == "vae":
                        found[[i, -3, -2, -1]] += of_vae(X, hidden, seed)
                    else:
                        found[i] += error(IMPUTERS[name](seed), X, hidden)
            rows[pattern].append(found / len(seeds))
            report(table, pattern, rows[pattern][-1], len(names))
    for pattern, found in rows.items():
        report("mean", pattern, np.mean(found, axis=0), len(names))


def report(table, pattern, found, n):
    errors = "".join(f"{value:9.3f}" for value in found[:n])
    rest = f"{found[n]:9.1f}{found[n + 1]:8.3f}{found[n + 2]:9.1f}" if found[n] else ""
    print(f"{table:18}{pattern:8}{errors}{rest}", flush=True)


def read(table):
    """Up to 1,000 rows of the table, standardised."""
    if table == "sensors":
        return scale(sensors())
    with np.load(reduction.folder() / "adbench" / f"{table}.npz") as file:
        X = file["X"].astype(float)
    X = X[np.random.default_rng(1).permutation(len(X))[:MOST_ROWS]]
    return scale(X[:, np.ptp(X, axis=0) > 0])


def sensors():
    """36 readings in whole numbers, from six states."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(MOST_ROWS, 6)) @ rng.normal(size=(6, 36))
    return np.round(100 + 30 * np.tanh(states / 2) + 3 * rng.normal(size=states.shape))


def error(imputer, X, hidden):
    """Mean squared error of the hidden cells."""
    filled = imputer.fit_transform(np.where(hidden, np.nan, X))
    return np.mean(np.square(filled - X)[hidden])


def of_vae(X, hidden, seed):
    """The error, time to fit over that of VAETransformer(8), cover of draws, and seconds to fit."""
    table = np.where(hidden, np.nan, X)
    imputer = VAEImputer(random_state=seed)
    start = time.perf_counter()
    imputer.fit(table)
    fitted = time.perf_counter()
    VAETransformer(8, random_state=seed).fit(table)
    ratio = (fitted - start) / (time.perf_counter() - fitted)
    draws = np.array(imputer.impute(table, n_imputations=N_DRAWS, random_state=seed))
    rng = np.random.default_rng(seed)
    # ranks among the draws, with ties broken at random; standardised whole numbers are rounded
    is_tie = np.isclose(draws, X)
    below = ((draws < X) & ~is_tie).sum(axis=0)
    rank = below + np.floor(rng.random(X.shape) * (is_tie.sum(axis=0) + 1))
    covered = (rank > 0) & (rank < N_DRAWS)
    squared = np.square(imputer.transform(table) - X)
    return squared[hidden].mean(), ratio, covered[hidden].mean(), fitted - start


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
