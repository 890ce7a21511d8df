"""Synthetic rows of a census table with mixed columns and missing values.

    python examples/adult.py [adult.csv] [picture, default adult.png]

Fits the Adult table (from a CSV file, otherwise from OpenML), prints synthetic rows and conditional
samples, and plots the marginal distributions of real and synthetic rows.
"""

import argparse
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml

from skvae import VAETransformer
from skvae.likelihoods import Histogram
from skvae.priors import Mixture


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?")
    parser.add_argument("picture", nargs="?", default="adult.png")
    parser.add_argument("--max-iter", type=int, default=100)
    options = parser.parse_args()
    path = options.table
    table = pd.read_csv(path) if path else fetch_openml("adult", version=2).frame
    print(f"{len(table)} rows, {table.isna().to_numpy().sum()} missing cells")

    # Fine histograms draw the spikes of this table exactly, such as 40 hours a week.
    vae = VAETransformer(
        n_components=10,
        hidden_layer_sizes=(384, 384),
        likelihood=Histogram(n_bins=256),
        prior=Mixture(200),
        kl_warmup=0.1,
        batch_size=512,
        learning_rate="cosine",
        learning_rate_init=4e-3,
        early_stopping=False,
        max_iter=options.max_iter,
        random_state=0,
    )
    start = time.perf_counter()
    vae.fit(table)
    print(f"fitted in {time.perf_counter() - start:.0f} s")
    synthetic = vae.sample(10_000, random_state=0)
    with pd.option_context("display.width", 100, "display.max_columns", 20):
        print(synthetic.head())
        print("\nPersons of age 30 with a doctorate:")
        print(vae.sample(5, given={"education": "Doctorate", "age": 30}, random_state=0))
    draw(table, synthetic).savefig(options.picture, dpi=110)
    print(f"Wrote {options.picture}")


def draw(real, synthetic):
    """One panel per column: the relative frequency of its values or bins."""
    plt.switch_backend("agg")
    height = -(-real.shape[1] // 4)
    figure, axes = plt.subplots(height, 4, figsize=(14, 2.6 * height), layout="constrained")
    for ax, name in zip(axes.flat, real, strict=False):
        ax.set_title(name, fontsize=10)
        if pd.api.types.is_numeric_dtype(real[name]):
            bins = np.linspace(real[name].min(), real[name].max(), 40)
            both = [real[name].dropna(), synthetic[name]]
            ax.hist(both, bins=bins, density=True, label=["real", "synthetic"])
            ax.set_yticks([])
        else:
            shares = [t[name].value_counts(normalize=True) for t in (real, synthetic)]
            top = shares[0].index[:8]
            for place, share in enumerate(shares):
                ax.bar(np.arange(len(top)) + 0.4 * place, share.reindex(top), width=0.4)
            ax.set_xticks(np.arange(len(top)) + 0.2, [str(level)[:9] for level in top], rotation=60)
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes.flat[real.shape[1] :]:
        ax.set_axis_off()
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="lower right", frameon=False)
    return figure


if __name__ == "__main__":
    main()
