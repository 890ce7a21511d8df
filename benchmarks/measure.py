"""Is log p the same measure in all units, and for all likelihoods?

    SKVAE_DATA=folder python benchmarks/measure.py [--tables ...] [--seeds 5]
    SKVAE_DATA=folder python benchmarks/measure.py --rows [--tables ...] [--seeds 3]

Each table is fitted as it was recorded, standardised, with each numeric column times a factor
between 1e-3 and 1e3 of its own, and with such factors and shifts; by each of five likelihoods of
the numeric columns. Categories keep "auto". Tables have at most 1,000 training rows and 100
held-out ones. For each likelihood, means over splits:

recorded, standardised, factors, shifts
            held-out log p in nats per row, brought to the units of the record by the logarithms of
            the scales
deviation   the largest difference between two of them
+-          the standard error of this difference

and for each table whether the likelihoods have the same order in all scalings, the rank of "auto"
in each of them, and reversals: pairs of likelihoods one of which is ahead by over two standard
errors in one scaling, and behind by as much in another.

`--rows` compares likelihoods by `score` and by the AUC of XGBoost (`rows.py`), which tells as many
drawn rows from the training rows, on ten of the tables as they were recorded. A good measure of
fit falls as the AUC rises, so that Spearman's correlation over the five likelihoods is negative,
and the likelihood of the highest score has an AUC within 0.01 of the lowest. Needs xgboost.
"""

import argparse
import itertools
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import reduction
import rows
from scipy.stats import rankdata, spearmanr
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import train_test_split

from skvae import VAETransformer

MOST_ROWS, MOST_HELD_OUT = 1100, 100  # "auto" has histograms from 1,000 training rows on
SMALLEST_TABLE = 400  # rows, for `--rows`
CLEAR = 2  # standard errors
TIE = 1e-6  # nats, below which two scores are those of the same model
LIKELIHOODS = ("auto", "gaussian", "student_t", "normal_scores", "histogram")


def sensors(n=2000):
    """Twelve sensors of three states, read in whole numbers, from coarse to fine."""
    rng = np.random.default_rng(0)
    states, noise = rng.normal(size=(n, 3)), rng.normal(size=(n, 12))
    signal = np.tanh(states @ rng.normal(size=(3, 12))) + 0.3 * noise
    return pd.DataFrame(np.round(500 + np.geomspace(3, 300, 12) * signal)).rename(columns=str)


def bundled(load):
    return lambda: load(as_frame=True).data


def of_folder(name):
    return lambda: pd.DataFrame(reduction.TABLES[name]()[0]).reset_index(drop=True)


def uci(name):
    return lambda: reduction.uci(name)[0]


TABLES = {
    "wine": bundled(load_wine),
    "breast cancer": bundled(load_breast_cancer),
    "diabetes": bundled(load_diabetes),
    "airfoil": uci("airfoil"),
    "blood": uci("blood"),
    "wine quality": uci("wine_white"),
    "yeast": uci("yeast"),
    "penguins": of_folder("penguins"),
    "adult": lambda: rows.read("adult_train"),
    "shoppers": lambda: rows.read("shoppers"),
    "magic": lambda: rows.read("magic"),
    "sensors": sensors,
}


def load(name):
    table = TABLES[name]()
    return table.sample(min(len(table), MOST_ROWS), random_state=0).reset_index(drop=True)


class Scaling(NamedTuple):
    """(x - shift) / scale of the numeric columns; each of shape (d,)."""

    names: list[str]
    shift: np.ndarray
    scale: np.ndarray

    def __call__(self, table):
        return table.assign(**((table[self.names] - self.shift) / self.scale))

    def log_density(self, score):
        """That of the rows as they were recorded."""
        return score - np.log(self.scale).sum()


def scalings(train, seed):
    """By name, the ways to scale the numeric columns of a table."""
    names = list(train.select_dtypes("number"))
    rng = np.random.default_rng(seed)
    mean, std = train[names].mean().to_numpy(), train[names].std(ddof=0).to_numpy()
    std = np.where(std == 0, 1.0, std)
    scale = 10 ** rng.uniform(-3, 3, size=len(names))
    shift = 10 * std * rng.normal(size=len(names))
    return {
        "recorded": Scaling([], np.zeros(0), np.ones(0)),
        "standardised": Scaling(names, mean, std),
        "factors": Scaling(names, np.zeros(len(names)), scale),
        "shifts": Scaling(names, shift, scale),
    }


def split(name, seed):
    table = load(name)
    held_out = min(MOST_HELD_OUT, int(0.3 * len(table)))
    return train_test_split(table, test_size=held_out, random_state=seed)


def fitted(train, likelihood, seed):
    numbers = train.select_dtypes("number").columns
    return VAETransformer(
        min(5, train.shape[1] // 2),
        likelihood=dict.fromkeys(numbers, likelihood),
        random_state=seed,
    ).fit(train)


def scores(name, seed):
    """Held-out log p in the recorded units: by likelihood and scaling. (5, 4)."""
    train, test = split(name, seed)
    return [
        [
            scaling.log_density(fitted(scaling(train), likelihood, seed).score(scaling(test)))
            for scaling in scalings(train, seed).values()
        ]
        for likelihood in LIKELIHOODS
    ]


def mean_and_error(x):
    """Of the first axis."""
    return x.mean(axis=0), x.std(axis=0, ddof=1) / np.sqrt(len(x))


def largest_deviation(x):
    """The largest difference between the means of two columns (seeds, scalings), and its error."""
    high, low = x.mean(axis=0).argmax(), x.mean(axis=0).argmin()
    return mean_and_error(x[:, high] - x[:, low])


def reversals(found):
    """The pairs of likelihoods whose order is clearly reversed. (seeds, likelihoods, scalings)."""
    reversed_pairs = []
    for i, j in itertools.combinations(range(found.shape[1]), 2):
        mean, error = mean_and_error(found[:, i] - found[:, j])
        ahead, behind = (sign * mean > np.maximum(CLEAR * error, TIE) for sign in (1, -1))
        if ahead.any() and behind.any():
            reversed_pairs.append(f"{LIKELIHOODS[i]} and {LIKELIHOODS[j]}")
    return reversed_pairs


def ranks(mean):
    """From 1 for the highest; equal scores share the better rank. (likelihoods, scalings)."""
    return rankdata(-np.round(mean / TIE), method="min", axis=0).astype(int)


def compare_scalings(arguments):
    header = "".join(f"{scaling:>14}" for scaling in scalings(load("wine"), 0))
    print(f"{'':15}{'':14}{header}{'deviation':>11}{'+-':>8}")
    n_same, n_reversed, lowest = 0, 0, []
    for name in arguments.tables:
        found = np.array([scores(name, seed) for seed in range(arguments.seeds)])
        for likelihood, x in zip(LIKELIHOODS, found.swapaxes(0, 1), strict=True):
            deviation, error = largest_deviation(x)
            means = "".join(f"{mean:14.2f}" for mean in x.mean(axis=0))
            print(f"{name:15}{likelihood:14}{means}{deviation:11.3f}{error:8.3f}")
        rank = ranks(found.mean(axis=0))
        is_same, pairs = (rank == rank[:, :1]).all(), reversals(found)
        n_same, n_reversed = n_same + is_same, n_reversed + bool(pairs)
        if (rank[0] == rank.max(axis=0)).any():
            lowest.append(name)
        print(
            f"{name:15}{'same order' if is_same else 'another order'}; reversed: "
            f"{'; '.join(pairs) or 'none'}; rank of auto: {', '.join(map(str, rank[0]))}",
            flush=True,
        )
    print(
        f"\nof {len(arguments.tables)} tables: same order {n_same}, reversals {n_reversed}, "
        f"auto the lowest of five in some scaling: {', '.join(lowest) or 'none'}"
    )


def compare_rows(arguments):
    print(f"{'':15}{'':15}{'log p':>9}{'AUC':>8}")
    correlations, n_best = [], 0
    for name in arguments.tables:
        found = np.mean([fits(name, seed) for seed in range(arguments.seeds)], axis=0)
        for likelihood, (score, auc) in zip(LIKELIHOODS, found, strict=True):
            print(f"{name:15}{likelihood:15}{score:9.2f}{auc:8.3f}")
        score, auc = found.T
        correlations.append(spearmanr(score, auc)[0])
        loss = auc[score.argmax()] - auc.min()
        n_best += loss <= 0.01
        print(
            f"{name:15}Spearman {correlations[-1]:+.2f}; the best by log p has an AUC "
            f"{loss:.3f} above the lowest",
            flush=True,
        )
    print(
        f"\nof {len(correlations)} tables: Spearman negative {np.sum(np.less(correlations, 0))}, "
        f"mean {np.mean(correlations):+.2f}; best by log p also by AUC, within 0.01: {n_best}"
    )


def fits(name, seed):
    """The score and the AUC of each likelihood. (5, 2)."""
    train, test = split(name, seed)
    found = []
    for likelihood in LIKELIHOODS:
        vae = fitted(train, likelihood, seed)
        drawn = vae.sample(len(train), random_state=seed)
        found.append((vae.score(test), rows.detection(drawn, train)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--tables", nargs="*", choices=list(TABLES))
    parser.add_argument("--seeds", type=int)
    arguments = parser.parse_args()
    if arguments.tables is None:
        enough = SMALLEST_TABLE if arguments.rows else 0
        arguments.tables = [name for name in TABLES if len(load(name)) >= enough]
    arguments.seeds = arguments.seeds or (3 if arguments.rows else 5)
    (compare_rows if arguments.rows else compare_scalings)(arguments)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
