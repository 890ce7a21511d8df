"""Pictures by likelihoods of grey levels and by the prior, with convolutions.

    SKVAE_DATA=folder python benchmarks/images.py [--tables ...] [--picture folder]

digits     1,797 images of 8 x 8 pixels with 17 grey levels
mnist      the first 2,000 training images, 28 x 28 pixels with 256 levels, most of them black
frey       1,965 images of 28 x 20 pixels, one face (see frey.py)

Grey levels are from 0 to 1. `Conv` with 16 components and other settings at their defaults, but at
most 40 epochs, is fitted to four fifths of the images. On the others: `error`, the mean squared
error of reconstructions; `new`, the area under the ROC curve of a classifier that separates
reconstructions from decoded draws of the prior, 0.5 if it cannot; `drawn`, the same of images and
rows of `sample`; the number of epochs, and CPU seconds. --picture writes reconstructions, decoded
draws of the prior and rows of `sample` of each.
"""

import argparse
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict, train_test_split

from skvae import VAETransformer
from skvae.networks import Conv
from skvae.plots._images import as_images, as_picture

MODELS = {
    "auto": {},
    "auto, mixture": {"prior": "mixture"},
    "gaussian": {"likelihood": "gaussian"},
    "bernoulli": {"likelihood": "bernoulli"},
    "continuous_bernoulli": {"likelihood": "continuous_bernoulli"},
}
N_SHOWN = 16


def stored(name, key):
    return np.load(Path(os.environ["SKVAE_DATA"]) / name)[key]


TABLES = {
    "digits": lambda: load_digits().images / 16,
    "mnist": lambda: stored("mnist.npz", "X_train")[:2000].reshape(-1, 28, 28) / 255,
    "frey": lambda: stored("frey_faces.npz", "X").reshape(-1, 28, 20) / 255,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", choices=[*TABLES], default=[*TABLES])
    parser.add_argument("--models", nargs="*", choices=[*MODELS], default=[*MODELS])
    parser.add_argument("--picture", type=Path, help="a folder for pictures")
    arguments = parser.parse_args()
    if arguments.picture is not None:
        arguments.picture.mkdir(parents=True, exist_ok=True)
    print(f"{'':32}{'error':>8}{'new':>8}{'drawn':>8}{'epochs':>8}{'CPU s':>8}")
    for name in arguments.tables:
        images = TABLES[name]()
        shape = images.shape[1:]
        train, test = train_test_split(
            images.reshape(len(images), -1), random_state=0, test_size=0.2
        )
        for kind in arguments.models:
            start = time.process_time()
            vae = VAETransformer(
                16, encoder=Conv(shape), max_iter=40, random_state=0, **MODELS[kind]
            ).fit(train)
            seconds = time.process_time() - start
            again = vae.reconstruct(test)
            new = vae.inverse_transform(vae.sample_codes(len(test), random_state=0))
            drawn = vae.sample(len(test), random_state=0)
            print(
                f"{name:10}{kind:22}{np.mean((again - test) ** 2):8.4f}"
                f"{told_apart(again, new):8.3f}{told_apart(test, drawn):8.3f}"
                f"{vae.n_iter_:8}{seconds:8.0f}",
                flush=True,
            )
            if arguments.picture is not None:
                rows = [part[:N_SHOWN] for part in (test, again, new, drawn)]
                picture = as_picture(as_images(np.stack(rows), shape))
                plt.imsave(arguments.picture / f"{name} {kind}.png", picture, cmap="gray")


def told_apart(real, made):
    """The area under the ROC curve of a classifier of real and made rows."""
    y = np.repeat([1, 0], [len(real), len(made)])
    classifier = HistGradientBoostingClassifier(random_state=0)
    found = cross_val_predict(classifier, np.r_[real, made], y, cv=3, method="predict_proba")
    return roc_auc_score(y, found[:, 1])


if __name__ == "__main__":
    main()
