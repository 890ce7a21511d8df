"""Frey faces: held-out bits per dimension, and a picture of the plane of two components.

    SKVAE_DATA=folder python benchmarks/frey.py [--picture frey.png]

The folder holds frey_faces.npz with X, 1,965 grey images of 28 x 20 pixels from 0 to 255 of one
face in a film (Roweis, Saul and Hinton, "Global Coordination of Local Linear Models", 2002). They
are split at random into 1,565 images for training, 200 for early stopping and 200 for the figures.
-ELBO and -log p are in bits per pixel; a pixel is a whole number, with the density of its cell.

Published with this split, for a gated convolutional VAE of 64 components, whose pixels have 256
levels each: 4.53 by the ELBO and 4.40 by log p (van den Berg et al., "Sylvester Normalizing Flows
for Variational Inference", UAI 2018, table 2).
"""

import argparse
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skvae import VAETransformer
from skvae.networks import Conv
from skvae.plots import ManifoldDisplay

SHAPE = (28, 20)
MODELS = {
    "defaults, 2 components": (2, {}),
    "defaults, 20 components": (20, {}),
    "Student t, 40 components": (40, {"likelihood": "student_t", "average": 1.0}),
    "convolutions, 20 components": (20, {"encoder": Conv(SHAPE), "average": 1.0}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", help="write the plane of two components to this file, only")
    arguments = parser.parse_args()
    train, validation, test = images()
    if arguments.picture:
        picture(VAETransformer(2, random_state=0).fit(train, X_val=validation), arguments.picture)
        return
    print(f"{'':30}{'-ELBO':>8}{'-log p':>8}{'epochs':>8}{'CPU s':>8}")
    for name, (n_components, settings) in MODELS.items():
        start = time.process_time()
        vae = VAETransformer(n_components, random_state=0, **settings)
        vae.fit(train, X_val=validation)
        seconds = time.process_time() - start
        nats = [-vae.elbo(test).mean(), -vae.score(test)]
        bits = "".join(f"{bound / np.log(2) / test.shape[1]:8.2f}" for bound in nats)
        print(f"{name:30}{bits}{vae.n_iter_:8}{seconds:8.0f}", flush=True)


def images():
    """Images for training, for early stopping and for the figures."""
    X = np.load(Path(os.environ["SKVAE_DATA"]) / "frey_faces.npz")["X"].astype(float)
    shuffled = X[np.random.default_rng(0).permutation(len(X))]
    return np.split(shuffled, [1565, 1765])


def picture(vae, path):
    """Images that codes at equal steps of the percentiles of the prior decode to."""
    ManifoldDisplay.from_estimator(vae, image_shape=SHAPE, n_steps=12)
    plt.gcf().set_size_inches(6, 8.4)
    plt.savefig(path, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    main()
