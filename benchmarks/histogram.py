"""Gaussian or Histogram: held-out log-likelihood by the number of rows.

    SKVAE_DATA=folder python benchmarks/histogram.py

For likelihood="auto". The columns of the Adult table (adult_train.csv.gz, adult_test.csv.gz) that
hold whole numbers, where a density per unit and a mass compare, each beside the table's categories
in a model of its own: nats per row gained by Histogram over Gaussian. Then smooth columns, a normal
mixed from two codes, where Gaussian is the truth.
"""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from skvae import VAETransformer

SIZES = [300, 1000, 3000, 10_000]
N_TEST = 3000


def main():
    train, test = (
        pd.read_csv(Path(os.environ["SKVAE_DATA"]) / f"adult_{part}.csv.gz").fillna("missing")
        for part in ("train", "test")
    )
    categories = list(train.select_dtypes(exclude="number"))
    print(f"{'':16}" + "".join(f"{n:>9}" for n in SIZES))
    for column in train.select_dtypes("number"):
        names = [*categories, column]
        report(column, train[names], test[names], [column])
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(2, 5))
    X = rng.normal(size=(2 * N_TEST + SIZES[-1], 2)) @ mixing
    smooth = pd.DataFrame(X + rng.normal(size=X.shape), columns=list("abcde"))
    report("5 normals", smooth[N_TEST:], smooth[:N_TEST], list("abcde"))


def report(name, train, test, columns):
    gains = []
    for n in SIZES:
        score = [
            VAETransformer(8, likelihood=dict.fromkeys(columns, one), random_state=0)
            .fit(train[:n])
            .score(test[:N_TEST])
            for one in ("gaussian", "histogram")
        ]
        gains.append(score[1] - score[0])
    print(f"{name:16}" + "".join(f"{gain:9.2f}" for gain in gains), flush=True)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
