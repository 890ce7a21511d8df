"""Income in the Adult table, predicted from the other columns, of which half may be missing.

    SKVAE_DATA=folder python benchmarks/conditional.py [--rows 16281] [--components 24]
        [--prior normal] [--seed 0]

AUC and expected calibration error for p(income | observed values) of test rows:

vae            `predict_column_proba` of VAETransformer, at its defaults unless another prior is
               named, fitted to complete rows
trees          HistGradientBoostingClassifier, trained on complete rows
trees, gaps    the same, trained on rows with half of the cells missing

The cells are missing completely at random. The calibration error is the mean distance between the
predicted probability and the share of high incomes in ten bins of equal width, weighted by their
numbers of rows. A missing category of the file is a level "missing".
"""

import argparse
import time
import warnings

import numpy as np
from adult import as_numbers, classifier, read
from sklearn.metrics import roc_auc_score

from skvae import VAETransformer

TARGET, HIGH = "income", ">50K"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=16281)
    parser.add_argument("--components", type=int, default=24)
    parser.add_argument("--prior", choices=["normal", "mixture"], default="normal")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train = read("adult_train")
    test = read("adult_test").sample(arguments.rows, random_state=0)
    y, y_test = ((table[TARGET] == HIGH).to_numpy() for table in (train, test))
    X, whole = (table.drop(columns=TARGET) for table in (train, test))
    half, gaps = without_half(whole, seed=0), without_half(X, seed=1)

    print("                  AUC   error  AUC, half   error  s to fit  ms a row")
    start = time.perf_counter()
    settings = {"prior": arguments.prior, "random_state": arguments.seed}
    vae = VAETransformer(arguments.components, **settings).fit(train)
    fitted = time.perf_counter()
    column = vae.categories_[TARGET].tolist().index(HIGH)
    found = [vae.predict_column_proba(table, TARGET)[:, column] for table in (whole, half)]
    report("vae", y_test, found, fitted - start, (time.perf_counter() - fitted) / 2)

    numbers, gaps, *tests = as_numbers(X, gaps, whole, half)
    for name, table in [("trees", numbers), ("trees, gaps", gaps)]:
        start = time.perf_counter()
        trees = classifier(X).fit(table, y)
        fitted = time.perf_counter()
        found = [trees.predict_proba(table)[:, 1] for table in tests]
        report(name, y_test, found, fitted - start, (time.perf_counter() - fitted) / 2)


def without_half(table, seed):
    """The table with half of its cells missing, completely at random."""
    return table.mask(np.random.default_rng(seed).random(table.shape) < 0.5)


def report(name, y, found, to_fit, to_predict):
    figures = "".join(
        f"{roc_auc_score(y, p):{width}.3f}{calibration_error(y, p):8.3f}"
        for p, width in zip(found, (7, 11), strict=True)
    )
    print(f"{name:14}{figures}{to_fit:10.1f}{1e3 * to_predict / len(y):10.2f}", flush=True)


def calibration_error(y, p, n_bins=10):
    """The mean distance of the mean of ``p`` from that of ``y``, over bins of ``p``."""
    bin_of = np.minimum((n_bins * p).astype(int), n_bins - 1)
    total = np.bincount(bin_of, y - p, n_bins)
    return np.abs(total).sum() / len(y)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
