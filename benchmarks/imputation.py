"""Imputation of numeric tables with half of the cells missing at random.

    python benchmarks/imputation.py [vae simple knn bayes trees]

Mean squared error of the hidden cells, columns standardised, mean of five seeds. Each imputer is
fitted to the table with its gaps and fills it. `vae` is VAEImputer with its default model, which
was chosen on these tables, by other seeds; the others stand at usual settings.
Published for MIWAE on the breast cancer table: 0.28 (Mattei and Frellsen, 2019).
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import scale

from skvae import VAEImputer

TABLES = {
    "breast cancer": load_breast_cancer,
    "wine": load_wine,
    "diabetes": load_diabetes,
    "iris": load_iris,
}
IMPUTERS = {
    "vae": lambda seed: VAEImputer(random_state=seed),
    "simple": lambda seed: SimpleImputer(),
    "knn": lambda seed: KNNImputer(n_neighbors=10),
    "bayes": lambda seed: IterativeImputer(random_state=seed, max_iter=20),
    "trees": lambda seed: IterativeImputer(
        ExtraTreesRegressor(100, random_state=seed), random_state=seed, max_iter=5
    ),
}
SEEDS = range(20, 25)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imputers", nargs="*", choices=[*IMPUTERS, []], metavar="imputer")
    names = parser.parse_args().imputers or IMPUTERS
    print(f"{'table':16}{'imputer':10}{'MSE':>8}{'+-':>8}{'seconds':>9}")
    for table, load in TABLES.items():
        X = scale(load().data)
        for name in names:
            start = time.perf_counter()
            errors = [error(IMPUTERS[name](seed), X, seed) for seed in SEEDS]
            seconds = (time.perf_counter() - start) / len(SEEDS)
            print(
                f"{table:16}{name:10}{np.mean(errors):8.3f}{np.std(errors):8.3f}{seconds:9.1f}",
                flush=True,
            )


def error(imputer, X, seed):
    """Mean squared error of the cells that were hidden."""
    hidden = np.random.default_rng(seed).random(X.shape) < 0.5
    filled = imputer.fit_transform(np.where(hidden, np.nan, X))
    return np.mean(np.square(filled - X)[hidden])


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
