"""Held-out log-likelihood of small tables: VAETransformer, PCA and FactorAnalysis.

    python benchmarks/tables.py                      the defaults
    python benchmarks/tables.py batch_size=32 ...    with parameters set

Five 70/30 splits of each table that scikit-learn bundles, in nats per row of the table's own
units. PCA is scored as it comes, and PCA and FactorAnalysis on standardised columns (brought back
to the same units). A win is a split in which the VAE is above both PCAs.

The digits are whole numbers, to most columns of which the default gives a probability each. It
stands beside the density of the linear models as a density that is flat over the unit around each
number (Theis et al., 2016, "A note on the evaluation of generative models").
"""

import argparse
import ast
import time

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

TABLES = {
    "wine": (load_wine, 3),
    "breast cancer": (load_breast_cancer, 5),
    "diabetes": (load_diabetes, 3),
    "iris": (load_iris, 2),
    "digits": (load_digits, 8),
}


def setting(text):
    """A parameter as name=value, its value a Python literal or a word."""
    name, value = text.split("=", 1)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", type=setting, metavar="name=value")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    arguments = parser.parse_intermixed_args()
    print(
        "table            q       VAE       PCA  scaled PCA   scaled FA  wins  epochs      s"
        "  ms/row scored"
    )
    for name in arguments.tables:
        load, n_components = TABLES[name]
        X = load().data
        results = [
            compare(X, n_components, seed, dict(arguments.settings))
            for seed in range(arguments.seeds)
        ]
        vae, pca, scaled, factors, epochs, seconds, to_score = np.mean(results, axis=0)
        wins = sum(row[0] > max(row[1:3]) for row in results)
        print(
            f"{name:15}{n_components:3}{vae:10.2f}{pca:10.2f}{scaled:12.2f}{factors:12.4g}{wins:6}"
            f"{epochs:8.0f}{seconds:7.2f}{1e3 * to_score:15.2f}",
            flush=True,
        )


def compare(X, n_components, seed, settings):
    """Held-out mean log p of the four models, then the VAE's epochs, seconds and those a row."""
    train, test = train_test_split(X, test_size=0.3, random_state=seed)
    start = time.perf_counter()
    vae = VAETransformer(n_components, random_state=seed, **settings).fit(train)
    seconds = time.perf_counter() - start
    score = vae.score(test)
    to_score = (time.perf_counter() - start - seconds) / len(test)
    scaler = StandardScaler().fit(train)
    log_jacobian = -np.log(scaler.scale_).sum()
    factors = FactorAnalysis(n_components, svd_method="lapack", max_iter=10_000)
    return (
        score,
        PCA(n_components).fit(train).score(test),
        *(
            model.fit(scaler.transform(train)).score(scaler.transform(test)) + log_jacobian
            for model in (PCA(n_components), factors)
        ),
        vae.n_iter_,
        seconds,
        to_score,
    )


if __name__ == "__main__":
    main()
