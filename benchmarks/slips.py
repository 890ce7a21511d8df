"""Wrong cells: which does `score_cells` find?

    python benchmarks/slips.py [slips unknown] [--tables ...] [--seeds 3]

`slips`: among the rows that a model is fitted to, one cell in 200 is replaced by ten times its
value, in tables that scikit-learn bundles and in one of whole numbers, for which "auto" takes
histograms. Beside `VAETransformer` the distance from the median of a column in median absolute
deviations.

in its row    share of the rows with a wrong cell whose lowest cell is wrong
in the table  share of wrong cells among as many of the lowest of the table

`unknown`: the length, width, height, weight and price of parcels, recorded to two decimals. A 0
stands for an unknown size. The training rows have no such zeros, or one row in 200 has one, and as
many have three. Of the 400 held-out rows, half have one, and half have three.

one    share of the rows with one 0 in which it is the lowest cell
three  share of the rows with three in which the lowest cell is a 0, and in which the three lowest
       are
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


LIKELIHOODS = ("auto", "gaussian", "student_t")
N_SIZES = 3  # the first columns of the parcels
ZEROS = {"no zeros in training": 0.0, "zeros in training": 0.005}  # share of the rows, of each kind


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"slips": slips, "unknown": unknown}
    parser.add_argument("parts", nargs="*", choices=[*parts, []], metavar="part")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    for part in arguments.parts or parts:
        parts[part](seeds, arguments.tables)


def slips(seeds, tables):
    print(f"{'':40}{'in its row':>12}{'in the table':>14}")
    for table in tables:
        load, n_components = TABLES[table]
        X = load()
        for name, way in ways(n_components).items():
            found = np.mean([shares(X, way, seed) for seed in seeds], axis=0)
            print(f"{table:14}{name:26}{found[0]:12.2f}{found[1]:14.2f}", flush=True)


def ways(n_components):
    """By name, functions that give scores of all cells of rows: low for unusual values."""
    return {"median absolute deviations": deviations} | {
        f"likelihood={name!r}": scores(n_components, name) for name in LIKELIHOODS
    }


def shares(X, way, seed):
    """Of the rows with wrong cells and of these cells: those that are found."""
    rng = np.random.default_rng(seed)
    wrong = (rng.random(X.shape) < 0.005) & (X != 0)
    X = np.where(wrong, 10 * X, X)
    score = way(X, X, seed)
    rows = np.flatnonzero(wrong.any(axis=1))
    lowest = np.argsort(score, axis=None)[: wrong.sum()]
    return wrong[rows, score[rows].argmin(axis=1)].mean(), wrong.flat[lowest].mean()


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


def unknown(seeds, _tables):
    print(f"{'':48}{'one':>6}{'three':>14}")
    for training, share in ZEROS.items():
        for name, way in ways(2).items():
            found = np.mean([zeros_first(way, share, seed) for seed in seeds], axis=0)
            cells = "".join(f"{value:7.2f}" for value in found)
            print(f"{training:21}{name:26}{cells}", flush=True)


def zeros_first(way, share, seed):
    """The three shares of held-out rows in which zeros are the lowest cells."""
    rng = np.random.default_rng(seed)
    train, one, three = np.split(parcels(2400, rng), [2000, 2200])
    n = int(share * len(train))
    set_one_zero(train[:n], rng)
    train[n : 2 * n, :N_SIZES] = 0
    zero = set_one_zero(one, rng)
    three[:, :N_SIZES] = 0
    lowest = way(train, np.concatenate([one, three]), seed).argsort(axis=1)
    is_size = lowest[len(one) :] < N_SIZES
    return (
        (lowest[: len(one), 0] == zero).mean(),
        is_size[:, 0].mean(),
        is_size[:, :N_SIZES].all(axis=1).mean(),
    )


def set_one_zero(X, rng):
    """Set one size of each row to 0, and return which. (n, d) -> (n,)."""
    place = rng.integers(N_SIZES, size=len(X))
    X[np.arange(len(X)), place] = 0
    return place


def parcels(n, rng):
    """Length, width and height in dm, weight in kg and price, from a size and a density."""
    size, density = rng.normal(size=(2, n))
    sizes = np.exp(1 + 0.4 * size + 0.15 * rng.normal(size=(3, n)))
    weight = 0.2 * np.exp(0.4 * density + 0.05 * rng.normal(size=n)) * sizes.prod(axis=0)
    price = 3 + 0.8 * weight + np.exp(0.3 * rng.normal(size=n))
    return np.round(np.stack([*sizes, weight, price], axis=1), 2)


def scores(n_components, likelihood):
    """The log-likelihood of each cell by a model of the training rows."""

    def way(train, X, seed):
        vae = VAETransformer(n_components, likelihood=likelihood, random_state=seed).fit(train)
        return vae.score_cells(X)

    return way


def deviations(train, X, seed):
    center = np.median(train, axis=0)
    return -np.abs(X - center) / np.median(np.abs(train - center), axis=0)


if __name__ == "__main__":
    main()
