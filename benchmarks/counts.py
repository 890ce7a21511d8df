"""Counts of cells x genes: which likelihood tells held-out cells best?

    SKVAE_DATA=folder python benchmarks/counts.py

The folder holds cell_counts.npz, an array of counts (cells, genes). Mean log-likelihood of held-out
cells in nats, three splits of 80/20; Gaussian is a density per unit, and so, for whole numbers,
comparable to a mass where its sigma is well above 1.
"""

import os
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.likelihoods import Gaussian, NegativeBinomial, Poisson

LIKELIHOODS = {
    "gaussian": Gaussian(),
    "poisson": Poisson(),
    "poisson, library size": Poisson(library_size=True),
    "negative binomial": NegativeBinomial(),
    "negative binomial, library size": NegativeBinomial(library_size=True),
}


def main():
    with np.load(Path(os.environ["SKVAE_DATA"]) / "cell_counts.npz") as data:
        X = next(data[name] for name in data if data[name].ndim == 2).astype(np.float32)
    print(f"{X.shape[0]} cells x {X.shape[1]} genes, {np.mean(X == 0):.0%} zeros")
    print(f"{'likelihood':34}{'nats per cell':>15}{'seconds':>9}")
    for name, likelihood in LIKELIHOODS.items():
        start, scores = time.perf_counter(), []
        for seed in range(3):
            train, test = train_test_split(X, test_size=0.2, random_state=seed)
            vae = VAETransformer(10, likelihood=likelihood, random_state=seed).fit(train)
            scores.append(vae.score(test))
        seconds = (time.perf_counter() - start) / 3
        print(f"{name:34}{np.mean(scores):15.1f}{seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()
