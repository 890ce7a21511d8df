"""Fit the digits with default settings, compare with PCA on held-out rows, and plot.

    python examples/demo.py [picture, default demo.png]

Prints, for 2 and 10 components, the mean squared error of held-out reconstructions in grey levels,
the accuracy of a 5-nearest-neighbour classifier on the codes, and the log-likelihood of held-out
rows in nats.
"""

import sys
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer
from skvae.plots import LatentSpaceDisplay, ManifoldDisplay, ReconstructionDisplay


def main(picture="demo.png"):
    digits = load_digits()  # grey levels from 0 to 16
    data = train_test_split(
        digits.data, digits.target, stratify=digits.target, test_size=0.3, random_state=0
    )
    vae_map, vae = (VAETransformer(n_components, random_state=0) for n_components in (2, 10))
    print(f"{'':20}{'MSE':>8}{'5-NN':>8}{'log p':>8}{'seconds':>9}")
    for model in (PCA(2), vae_map, PCA(10), vae):
        report(model, *data)
    draw(vae, vae_map, data[1], data[3]).savefig(picture, dpi=110)
    print(f"Wrote {picture}")


def report(model, X_train, X_test, y_train, y_test):
    """Fit a model and print one line of held-out figures."""
    start = time.perf_counter()
    codes = model.fit_transform(X_train)
    seconds = time.perf_counter() - start
    held_out = model.transform(X_test)
    error = np.mean((model.inverse_transform(held_out) - X_test) ** 2)
    accuracy = KNeighborsClassifier(5).fit(codes, y_train).score(held_out, y_test)
    name = f"{type(model).__name__}({model.n_components})"
    print(f"{name:20}{error:8.2f}{accuracy:8.3f}{model.score(X_test):8.1f}{seconds:9.1f}")


def draw(vae, vae_map, X, y):
    """Digits and their reconstructions, a map of the codes, and a grid of decoded codes."""
    plt.switch_backend("agg")
    figure = plt.figure(figsize=(11, 7.6), layout="constrained")
    top, bottom = figure.subfigures(2, height_ratios=[1, 2.3])
    rows, (codes, manifold) = top.subplots(), bottom.subplots(1, 2, width_ratios=[1, 1.05])
    style = {"cmap": "gray_r", "vmin": 0, "vmax": 16}
    one_of_each = [np.flatnonzero(y == digit)[0] for digit in range(10)]
    ReconstructionDisplay.from_estimator(vae, X[one_of_each], image_shape=(8, 8), ax=rows, **style)
    LatentSpaceDisplay.from_estimator(vae_map, X, y, ax=codes, s=18)
    ManifoldDisplay.from_estimator(vae_map, (8, 8), spacing="percentile", ax=manifold, **style)
    rows.set_title("10 components: held-out digits and their reconstructions")
    codes.set_title("2 components: the codes of held-out digits")
    manifold.set_title("2 components: images decoded from a grid of codes")
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:])
