"""MNIST, dynamically binarised: the article's model, longer recipes, and codes for neighbours.

    SKVAE_DATA=folder python benchmarks/mnist.py [article recipe residual conv codes] [--rows n]

The folder holds mnist.npz with X_train, y_train, X_test, y_test (60,000 and 10,000 images of 784
grey levels). For likelihoods, grey levels of the test images are drawn to 0 or 1 once; figures are
for all of them, or for the first n, in nats per image. Codes, and PCA beside them, are of the
images as they are. `residual` and `conv` are recipes with other networks, of half an hour on one
core each. With `--curve`, each likelihood is preceded by its course: seconds of CPU time, and -ELBO
of the first 1,000 test images, after epochs at about equal ratios.
Published for one stochastic layer, 784-200-200-50, 3280 epochs: -log p 86.76 (Burda, Grosse and
Salakhutdinov, "Importance Weighted Autoencoders", 2016).
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer
from skvae.callbacks._base import EpochCallback
from skvae.likelihoods import Bernoulli
from skvae.networks import Conv, ResidualMLP

SHARED = {
    "likelihood": Bernoulli(binarize=True),
    "learning_rate": "cosine",
    "early_stopping": False,
    "random_state": 0,
}
# "Under the Hood of the Variational Autoencoder": 784-500-500-50, ELU, Adam
ARTICLE = SHARED | {
    "n_components": 50,
    "hidden_layer_sizes": (500, 500),
    "activation": "elu",
    "batch_size": 128,
    "learning_rate_init": 2e-3,
    "kl_warmup": 0.0,
    "max_iter": 10,
}
RECIPE = SHARED | {
    "n_components": 32,
    "hidden_layer_sizes": (600, 500),
    "activation": "silu",
    "alpha": 0.04,
    "batch_size": 128,
    "learning_rate_init": 4e-3,
    "kl_warmup": 0.2,
    "max_iter": 40,
}
RESIDUAL = RECIPE | {
    "encoder": ResidualMLP(512, 2, dropout=0.1),
    "max_iter": 180,
    "average": 2.0,
}
CONV = RECIPE | {"encoder": Conv((28, 28)), "max_iter": 45}
LIKELIHOODS = {"article": ARTICLE, "recipe": RECIPE, "residual": RESIDUAL, "conv": CONV}
PARTS = [*LIKELIHOODS, "codes"]
CURVE_ROWS, CURVE_DRAWS, CURVE_RATIO = 1000, 16, 1.5
# for codes: all their dimensions come into use before the KL divergence weighs in
CODES = SHARED | {
    "hidden_layer_sizes": (500, 500),
    "activation": "silu",
    "batch_size": 128,
    "learning_rate_init": 2e-3,
    "kl_warmup": 0.5,
    "max_iter": 20,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="part")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--curve", action="store_true")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    train, test = images()
    binary = drawn(test)[: arguments.rows]
    for name, settings in LIKELIHOODS.items():
        if name in parts:
            curve = [Curve(binary[:CURVE_ROWS])] if arguments.curve else []
            vae = timed_fit(name, settings, train, curve)
            print(f"  -ELBO {-vae.elbo(binary).mean():.2f}", flush=True)
            print(f"  log p {vae.score_samples(binary, n_importance=512).mean():.2f}", flush=True)
    if "codes" in parts:
        for n_components in (10, 2):
            settings = CODES | {"n_components": n_components}
            vae = timed_fit(f"{n_components}-D codes", settings, train)
            for model in (vae, PCA(n_components).fit(train)):
                accuracy = neighbours(model, train, test, read())
                print(f"  5-NN accuracy of {type(model).__name__}: {accuracy:.4f}", flush=True)


def read():
    return np.load(Path(os.environ["SKVAE_DATA"]) / "mnist.npz")


def images():
    """Training and test images, their grey levels in [0, 1]."""
    data = read()
    levels = [data[name].reshape(-1, 784) / np.float32(255) for name in ("X_train", "X_test")]
    # a file may hold them pixel by pixel, which would slow down loops over images
    return [np.ascontiguousarray(x) for x in levels]


def drawn(images):
    """The images, each pixel drawn to 0 or 1."""
    return (np.random.default_rng(0).random(images.shape) < images).astype(np.float32)


def timed_fit(name, settings, X, callbacks=()):
    start, cpu = time.perf_counter(), time.process_time()
    vae = VAETransformer(**settings).set_callbacks(*callbacks).fit(X)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{name}: {vae.n_iter_} epochs in {seconds:.0f} s, {cpu:.0f} s of CPU time", flush=True)
    return vae


class Curve(EpochCallback):
    """Print -ELBO of rows after some epochs, and the CPU time of training until then."""

    def __init__(self, X):
        self.X = X

    def setup(self, estimator, context):
        self.started, self.due = time.process_time(), 1

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        epoch = fitted_estimator.n_iter_
        is_due = epoch >= self.due or epoch == estimator.max_iter
        if context.task_name == "epoch" and is_due:
            self.due = math.ceil(CURVE_RATIO * epoch)
            now = time.process_time()
            loss = -fitted_estimator.elbo(self.X, n_draws=CURVE_DRAWS).mean()
            print(f"  epoch {epoch}, {now - self.started:.0f} s: -ELBO {loss:.2f}", flush=True)
            self.started += time.process_time() - now


def neighbours(model, train, test, data):
    """Test accuracy of 5-nearest neighbours on the codes of a fitted model."""
    classifier = KNeighborsClassifier(5).fit(model.transform(train), data["y_train"])
    return classifier.score(model.transform(test), data["y_test"])


if __name__ == "__main__":
    main()
