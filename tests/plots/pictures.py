"""A small table and what all tests of displays ask of it."""

import numpy as np
import pandas as pd

from skvae import VAETransformer
from skvae.plots import (
    ActiveUnitsDisplay,
    AssociationsDisplay,
    ImputationDisplay,
    InterpolationDisplay,
    LatentSpaceDisplay,
    LoadingsDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    MarginalsDisplay,
    MorphAnimation,
    OddCellsDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TraversalDisplay,
)

SHAPE = (2, 3)
X = np.random.default_rng(0).uniform(size=(40, 6))
FRAME = pd.DataFrame(X, columns=list("abcdef"))
GAPPY = np.where(np.random.default_rng(1).uniform(size=X.shape) < 0.1, np.nan, X)


def vae(**parameters):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "device": "cpu"}
    return VAETransformer(**settings | parameters)


def tiles(display, n_rows, n_columns):
    """The images in a drawn mosaic, (n_rows, n_columns, height, width)."""
    picture = np.asarray(display.im_.get_array().filled(np.nan))
    filled = np.isfinite(picture)
    picture = picture[filled.any(axis=1)][:, filled.any(axis=0)]
    return picture.reshape(n_rows, SHAPE[0], n_columns, SHAPE[1]).swapaxes(1, 2)


IMAGES = {
    "images": lambda model, shape=SHAPE, **k: ReconstructionDisplay.from_estimator(
        model, X, image_shape=shape, **k
    ),
    "manifold": lambda model, shape=SHAPE, **k: ManifoldDisplay.from_estimator(model, shape, **k),
    "interpolation": lambda model, shape=SHAPE, **k: InterpolationDisplay.from_estimator(
        model, X[:2], X[2:4], shape, **k
    ),
    "traversal": lambda model, shape=SHAPE, **k: TraversalDisplay.from_estimator(
        model, X, shape, **k
    ),
    "classes": lambda model, shape=SHAPE, **k: SampleDisplay.from_classes(
        model, X, X[:, 0] > 0.5, shape, **k
    ),
    "morph": lambda model, shape=SHAPE, **k: MorphAnimation.from_estimator(
        model, [[-1.0, 0.0], [1.0, 2.0]], shape, **k
    ),
    "sample": lambda model, shape=SHAPE, **k: SampleDisplay.from_estimator(model, shape, **k),
}
DISPLAYS = IMAGES | {
    "imputation": lambda model, **k: ImputationDisplay.from_estimator(model, GAPPY, **k),
    "cells": lambda model, **k: OddCellsDisplay.from_estimator(model, X[:12], **k),
    "associations": lambda model, **k: AssociationsDisplay.from_estimator(model, X, **k),
    "marginals": lambda model, **k: MarginalsDisplay.from_estimator(model, X, **k),
    "units": lambda model, **k: ActiveUnitsDisplay.from_estimator(model, X, **k),
    "loss": LossCurveDisplay.from_estimator,
    "latent": lambda model, **k: LatentSpaceDisplay.from_estimator(model, X, **k),
    "loadings": LoadingsDisplay.from_estimator,
    "table": lambda model, **k: ReconstructionDisplay.from_estimator(model, X, **k),
}
