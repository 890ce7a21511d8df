"""Held-out log-likelihood of many small tables: VAETransformer, PCA and FactorAnalysis.

    SKVAE_DATA=folder python benchmarks/small.py [--tables ...] [--splits 5]

The numeric columns of 31 tables, at most 500 rows of each, in 70/30 splits and in nats per row of
the table's own units. Columns that are constant in the training rows are left out, because the
linear models have no density for them. All models have the same number of components, half of the
columns but at most five. PCA and FactorAnalysis are of the columns as they are, and of standardised
columns, brought back to the same units.

above PCA  splits in which the VAE is above both PCAs
above all  splits in which it is above all four
margin     the VAE less the best of the four on average over the splits, and its standard error
FA, cells  standardised FactorAnalysis of values spread evenly over the cells of their grids, both
           in training and in the score

Many columns hold whole numbers, few values or a spike, and some are sums or multiples of others.
The linear models have a density there that rises without limit. The VAE's has one: it is the mass
of the cell of a value, over the width of the cell. "FA, cells" is a lower bound of the same measure
for FactorAnalysis [1]_.

.. [1] L. Theis, A. van den Oord and M. Bethge, "A Note on the Evaluation of Generative Models",
       ICLR 2016, section 3.1.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
import reduction
import rows
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

MOST_ROWS = 500
MODELS = ("VAE", "PCA", "scaled PCA", "FA", "scaled FA", "FA, cells")


def bundled(load):
    return lambda: load(as_frame=True).data


def uci(name):
    return lambda: reduction.uci(name)[0]


def adbench(name):
    def load():
        with np.load(reduction.folder() / "adbench" / f"{name}.npz") as file:
            return pd.DataFrame(file["X"])

    return load


def of_mixed(name):
    return lambda: rows.read(name).select_dtypes("number")


TABLES = {
    "iris": bundled(load_iris),
    "wine": bundled(load_wine),
    "breast cancer": bundled(load_breast_cancer),
    "diabetes": bundled(load_diabetes),
    "digits": bundled(load_digits),
    "penguins": lambda: reduction.penguins()[0].select_dtypes("number"),
    "adult": of_mixed("adult_train"),
    "shoppers": of_mixed("shoppers"),
    "magic": of_mixed("magic"),
    **{
        name: uci(name)
        for name in ("airfoil", "blood", "raisin", "sonar", "spam", "wine_white", "yeast")
    },
    **{
        name: adbench(name)
        for name in (
            "Cardiotocography",
            "Hepatitis",
            "Lymphography",
            "PageBlocks",
            "Stamps",
            "WBC",
            "WPBC",
            "Wilt",
            "annthyroid",
            "fault",
            "glass",
            "letter",
            "satimage-2",
            "vertebral",
            "vowels",
        )
    },
}


def split(name, seed):
    """Training and test rows, of the columns that vary in the training rows."""
    X = TABLES[name]().to_numpy(dtype=float)
    chosen = np.random.default_rng(0).permutation(len(X))[:MOST_ROWS]
    train, test = train_test_split(X[chosen], test_size=0.3, random_state=seed)
    varies = np.ptp(train, axis=0) > 0
    return train[:, varies], test[:, varies]


def scores(name, seed):
    """Held-out mean log p of the six models."""
    train, test = split(name, seed)
    q = max(1, min(5, train.shape[1] // 2))
    vae = VAETransformer(q, random_state=seed).fit(train)
    step = np.nan_to_num(np.array([*vae.resolutions_.values()], dtype=float))
    noise = np.random.default_rng(seed)
    cells = [x + step * noise.uniform(-0.5, 0.5, x.shape) for x in (train, test)]
    linear = [PCA(q), FactorAnalysis(q, svd_method="lapack", max_iter=10_000)]
    return [
        vae.score(test),
        *(way(model, train, test) for model in linear for way in (plain, scaled)),
        scaled(linear[1], *cells),
    ]


def plain(model, train, test):
    return model.fit(train).score(test)


def scaled(model, train, test):
    """The score of the standardised columns, in the units of the table."""
    scaler = StandardScaler().fit(train)
    score = model.fit(scaler.transform(train)).score(scaler.transform(test))
    return score - np.log(scaler.scale_).sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--splits", type=int, default=5)
    arguments = parser.parse_args()
    print(
        f"{'':17}{'columns':>7}"
        + "".join(f"{name:>12}" for name in MODELS)
        + f"{'above PCA':>11}{'above all':>11}{'margin':>10}{'+-':>7}"
    )
    means = []
    for name in arguments.tables:
        found = np.array([scores(name, seed) for seed in range(arguments.splits)])
        means.append(found.mean(axis=0))
        vae, others = found[:, 0], found[:, 1:5]
        margin = vae - others[:, means[-1][1:5].argmax()]
        error = margin.std(ddof=1) / np.sqrt(len(margin))
        print(
            f"{name:17}{split(name, 0)[0].shape[1]:7}"
            + "".join(f"{mean:12.5g}" for mean in means[-1])
            + f"{(vae > others[:, :2].max(axis=1)).sum():11}{(vae > others.max(axis=1)).sum():11}"
            + f"{margin.mean():10.2f}{error:7.2f}",
            flush=True,
        )
    vae, others, cells = np.split(np.array(means), [1, 5], axis=1)
    vae, cells = vae[:, 0], cells[:, 0]
    lead = vae - others.max(axis=1)
    print(
        f"\nof {len(means)} tables, on average over the splits: above both PCAs "
        f"{(vae > others[:, :2].max(axis=1)).sum()}, above all four {(lead > 0).sum()}, "
        f"above FA of cells {(vae > cells).sum()}; "
        f"margin: median {np.median(lead):.2f}, least {lead.min():.2f}"
    )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
