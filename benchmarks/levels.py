"""What a column of many levels costs in time and memory, and how much the model learns from it.

    python benchmarks/levels.py [--rows 200000] [--levels 1000 10000 100000]

A table of sales: the product, whose frequencies follow Zipf's law, its price and weight, and its
kind. Price, weight and kind follow from two traits of the product, with noise. Each product is in
at least one row. For each number of products, a process of its own prints, in seconds of processor
time, which other processes hardly change:

step       milliseconds of a step of training, median
fit        seconds of a default fit with three components, and its epochs
peak       memory of the process after all that follows
transform  seconds for all rows
score      seconds of score_samples for 1,000 rows
sample     seconds for 10,000 new rows, and for 10 rows given each of 100 products
decode     seconds of inverse_transform of 1,000 codes
predict    seconds of predict_column for the price of 1,000 new rows by the product alone, and for
           the product of 20 rows by the other columns

and of 1,000 new rows, whose products are as frequent as in training:

R2         of the price predicted by the product alone; in brackets, of the mean price of the
           product in training
kind       the share of kinds predicted by the product alone; in brackets, by its most frequent kind
log p      the mean log p of the product given the other columns, in nats; in brackets, of the
           logarithm of its share in training
"""

import argparse
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd

NOISE = 0.3
KINDS = [-1.0, -0.3, 0.3, 1.0]  # limits of the price
NEW_ROWS = 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--levels", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for n_levels in arguments.levels:
        if arguments.one:
            measure(arguments.rows, n_levels)
        else:
            command = [sys.executable, __file__, "--one", "--levels", str(n_levels)]
            subprocess.run([*command, "--rows", str(arguments.rows)], check=True)


def sales(n_rows, n_levels):
    """Rows for training, in each of which a product occurs at least once, and new rows."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, n_levels + 1)
    drawn = rng.choice(n_levels, n_rows - n_levels + NEW_ROWS, p=share / share.sum())
    product = np.r_[np.arange(n_levels), drawn]
    trait = rng.normal(size=(n_levels, 2))[product]
    price, weight = (trait + NOISE * rng.normal(size=trait.shape)).T
    kind = np.digitize(trait[:, 0] + NOISE * rng.normal(size=len(trait)), KINDS)
    table = pd.DataFrame(
        {
            "product": np.char.add("product ", product.astype(str)).astype(object),
            "price": price,
            "weight": weight,
            "kind": pd.Categorical.from_codes(kind, list("abcde")),
        }
    )
    return table[:-NEW_ROWS], table[-NEW_ROWS:]


class Clock:
    """Measures seconds of processor time by name."""

    def __init__(self):
        self.line = []

    def __call__(self, name, call, *args, **settings):
        start = time.process_time()
        found = call(*args, **settings)
        self.line.append(f"{name} {time.process_time() - start:.2f} s")
        return found


def measure(n_rows, n_levels):
    from skvae import VAETransformer
    from skvae._training.step import Step

    warnings.simplefilter("ignore")
    X, new = sales(n_rows, n_levels)
    steps, clock = [], Clock()
    take = Step.__call__

    def timed(*args, **settings):
        start = time.process_time()
        take(*args, **settings)
        steps.append(time.process_time() - start)

    Step.__call__ = timed
    vae = clock("fit", VAETransformer(3, random_state=0).fit, X)
    Step.__call__ = take
    Z = clock("transform", vae.transform, X)
    clock("score", vae.score_samples, new)
    clock("sample", vae.sample, 10_000, random_state=0)
    given = new[["product"]].iloc[:100].reindex(columns=X.columns)
    clock("given", vae.sample, 10, given=given, random_state=0)
    clock("decode", vae.inverse_transform, Z[:1000])
    alone = new[["product"]].reindex(columns=X.columns)
    price = clock("predict", vae.predict_column, alone, "price")
    clock("predict product", vae.predict_column, new[:20], "product")
    kind = vae.predict_column(alone, "kind")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n{n_levels:,} levels, {vae.n_iter_} epochs: step {1000 * np.median(steps):.1f} ms, "
        f"peak {peak:.0f} MB, " + ", ".join(clock.line)
    )
    by_product = X.groupby("product")
    of_train = by_product["price"].mean()[new["product"]].to_numpy()
    frequent = X.groupby("product")["kind"].agg(lambda kinds: kinds.mode()[0])[new["product"]]
    share = X["product"].value_counts(normalize=True)[new["product"]].to_numpy()
    without = new.assign(product=None)
    log_p = vae.score_samples(new) - vae.score_samples(without)
    print(
        f"R2 {r2(new['price'], price):.3f} ({r2(new['price'], of_train):.3f}), "
        f"kind {(kind == new['kind'].to_numpy()).mean():.3f} "
        f"({(frequent.to_numpy() == new['kind'].to_numpy()).mean():.3f}), "
        f"log p {log_p.mean():.3f} ({np.log(share).mean():.3f})",
        flush=True,
    )


def r2(true, predicted):
    return 1 - np.square(true - predicted).mean() / np.var(true)


if __name__ == "__main__":
    main()
