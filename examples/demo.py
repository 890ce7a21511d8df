"""Digits in half a minute: fit, compare with PCA on held-out rows, draw.

    python examples/demo.py [picture, default demo.png]

Prints the mean squared error of held-out reconstructions and the accuracy of a 5-nearest-neighbour
classifier on the codes, for 2 and 10 components, and the log-likelihood of held-out rows.
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
    digits = load_digits()
    data = train_test_split(digits.data / 16, digits.target, stratify=digits.target, random_state=0)
    X_test, y_test = data[1], data[3]

    # Grey levels as probabilities of black make the clearest map. The default, a Gaussian with a
    # noise level for each pixel, is a density, and so its score compares with that of PCA.
    vae_map = VAETransformer(2, likelihood="bernoulli", random_state=0)
    vae, pca = VAETransformer(10, random_state=0), PCA(10)
    print(f"{'':20}{'MSE':>8}{'5-NN':>8}{'seconds':>9}")
    for model in (PCA(2), vae_map, pca, vae):
        report(model, *data)
    print(
        "Log-likelihood of a held-out row, 10 components: "
        f"{vae.score(X_test):.1f} nats; PCA: {pca.score(X_test):.1f}"
    )
    draw(vae, vae_map, X_test, y_test).savefig(picture, dpi=110)
    print(f"Wrote {picture}")


def report(model, X_train, X_test, y_train, y_test):
    """Fit and print a line of held-out figures."""
    start = time.perf_counter()
    codes = model.fit_transform(X_train)
    seconds = time.perf_counter() - start
    held_out = model.transform(X_test)
    error = np.mean((model.inverse_transform(held_out) - X_test) ** 2)
    accuracy = KNeighborsClassifier(5).fit(codes, y_train).score(held_out, y_test)
    name = f"{type(model).__name__}({model.n_components})"
    print(f"{name:20}{error:8.4f}{accuracy:8.3f}{seconds:9.1f}")


def draw(vae, vae_map, X, y):
    """One digit of each kind and its reconstruction; the codes and what each place decodes to."""
    plt.switch_backend("agg")
    figure = plt.figure(figsize=(11, 7.6), layout="constrained")
    top, bottom = figure.subfigures(2, height_ratios=[1, 2.3])
    rows, (codes, manifold) = top.subplots(), bottom.subplots(1, 2, width_ratios=[1, 1.05])
    style = {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    one_of_each = [np.flatnonzero(y == digit)[0] for digit in range(10)]
    ReconstructionDisplay.from_estimator(vae, X[one_of_each], image_shape=(8, 8), ax=rows, **style)
    LatentSpaceDisplay.from_estimator(vae_map, X, y, ax=codes, s=18)
    ManifoldDisplay.from_estimator(vae_map, (8, 8), spacing="percentile", ax=manifold, **style)
    rows.set_title("10 components: held-out digits and their reconstructions")
    codes.set_title("2 components: the codes of held-out digits")
    manifold.set_title("2 components: what each place decodes to")
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:])
