"""The MNIST models of "Under the Hood of the Variational Autoencoder (in Prose and Code)".

    python examples/mnist.py                         fetches mnist_784 from OpenML
    python examples/mnist.py mnist.npz               reads a file instead
    python examples/mnist.py --n-components 2 --dropout 0.1 --alpha 1e-5 --epochs 20

Multilayer perceptrons 784-500-500-50 and 784-500-500-2 with ELU, trained by Adam on dynamically
binarised images (Fast Forward Labs, 2016). Prints figures for the test images, binarised once, and
for PCA, and writes the article's pictures.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import fetch_openml
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer
from skvae.likelihoods import Bernoulli
from skvae.plots import (
    InterpolationDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)

SHAPE = (28, 28)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", help="npz with the training and the test images")
    parser.add_argument("--n-components", type=int, nargs="+", default=[50, 2])
    parser.add_argument("--hidden-layer-sizes", type=int, nargs="*", default=[500, 500])
    parser.add_argument("--activation", default="elu")
    parser.add_argument("--learning-rate-init", type=float, default=2e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--alpha", type=float, default=0.0, help="L2, as in MLPClassifier")
    parser.add_argument("--epochs", dest="max_iter", type=int, default=10)
    parser.add_argument("--rows", type=int, help="train on the first rows only")
    parser.add_argument("--pictures", type=Path, default=Path("build/mnist"), help="folder")
    options = vars(parser.parse_args())

    X, y, X_test, y_test = load(options.pop("file"))
    rows, folder = options.pop("rows"), options.pop("pictures")
    X, y = X[:rows], y[:rows]
    binary = np.float32(np.random.default_rng(0).random(X_test.shape) < X_test)

    plt.switch_backend("agg")
    folder.mkdir(parents=True, exist_ok=True)
    for n_components in options.pop("n_components"):
        vae = VAETransformer(
            n_components,
            likelihood=Bernoulli(binarize=True),
            early_stopping=False,
            random_state=0,
            verbose=1,
            **options,
        )
        start = time.perf_counter()
        vae.fit(X, X_val=binary)  # only monitored, because early_stopping=False
        layers = "-".join(map(str, [X.shape[1], *vae.hidden_layer_sizes, n_components]))
        print(f"\n{layers}: {time.perf_counter() - start:.0f} s of training")
        print(f"  negative ELBO of the test images    {-vae.validation_scores_[-1]:8.2f} nats")
        print(f"  their log-likelihood                {vae.score(binary):8.2f} nats")
        for model in (vae, PCA(n_components, random_state=0).fit(X)):
            report(model, X, y, X_test, y_test)
        for name, display in draw(vae, X_test, y_test):
            display.figure_.savefig(folder / f"{n_components}_{name}.png", dpi=110)
            plt.close(display.figure_)
    print(f"Wrote the pictures to {folder}")


def load(file):
    """Grey levels in [0, 1] and labels of the training and test images: X, y, X_test, y_test."""
    if file is None:
        X, y = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
        parts = [X[:60_000], y[:60_000], X[60_000:], y[60_000:]]
    else:
        with np.load(file) as arrays:
            parts = [
                next(
                    arrays[name]
                    for name in arrays.files
                    if part in name.lower() and (arrays[name].ndim > 1) == images
                )
                for part in ("train", "test")
                for images in (True, False)
            ]
    X, y, X_test, y_test = parts
    X, X_test = (np.float32(images.reshape(len(images), -1)) / 255 for images in (X, X_test))
    return X, y.astype(int), X_test, y_test.astype(int)


def report(model, X, y, X_test, y_test):
    codes, test_codes = model.transform(X), model.transform(X_test)
    error = np.mean((model.inverse_transform(test_codes) - X_test) ** 2)
    accuracy = KNeighborsClassifier(5).fit(codes, y).score(test_codes, y_test)
    print(
        f"  {type(model).__name__:14} reconstruction MSE {error:.4f}, 5-NN accuracy {accuracy:.3f}"
    )


def draw(vae, X, y):
    """The article's pictures of a fitted model, as pairs of a name and a Display."""
    style = {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    one_of_each = np.array([np.flatnonzero(y == digit)[0] for digit in range(10)])
    yield "loss", LossCurveDisplay.from_estimator(vae)
    yield (
        "reconstructions",
        ReconstructionDisplay.from_estimator(vae, X[one_of_each], image_shape=SHAPE, **style),
    )
    yield "samples", SampleDisplay.from_estimator(vae, SHAPE, random_state=0, **style)
    yield (
        "interpolation",
        InterpolationDisplay.from_estimator(
            vae, X[one_of_each], X[np.roll(one_of_each, -1)], SHAPE, **style
        ),
    )
    if vae.n_components_ == 2:
        yield "codes", LatentSpaceDisplay.from_estimator(vae, X, y)
        for spacing in ("linear", "percentile"):
            yield (
                f"manifold_{spacing}",
                ManifoldDisplay.from_estimator(vae, SHAPE, n_steps=20, spacing=spacing, **style),
            )


if __name__ == "__main__":
    main()
