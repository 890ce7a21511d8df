"""
Custom layers of torch
======================

Any layers of torch can be the encoder and the decoder. Here they have batch normalisation and
dropout, and a search finds their width.
"""

# %%
# ``FromFunction`` takes a function that returns a module for given numbers of inputs and outputs.
# Batch normalisation and dropout work as usual in torch: differently in training and afterwards.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from torch import nn

from skvae import VAETransformer
from skvae.networks import FromFunction
from skvae.plots import ReconstructionDisplay


def narrow(n_inputs, n_outputs):
    return layers(n_inputs, n_outputs, 32)


def wide(n_inputs, n_outputs):
    return layers(n_inputs, n_outputs, 128)


def layers(n_inputs, n_outputs, width):
    return nn.Sequential(
        nn.Linear(n_inputs, width),
        nn.BatchNorm1d(width),
        nn.SiLU(),
        nn.Dropout(0.1),
        nn.Linear(width, n_outputs),
    )


X_train, X_test = train_test_split(load_digits().data, train_size=800, random_state=0)
vae = VAETransformer(
    8, encoder=FromFunction(wide), decoder=FromFunction(wide), max_iter=40, random_state=0
)
vae.fit(X_train)
print(f"held-out log-likelihood {vae.score(X_test):.1f} nats after {vae.n_iter_} epochs")

# %%
# The initial weights and the dropout depend on ``random_state`` alone, so that a clone gives the
# same model.

same = clone(vae).fit(X_train)
print("the same codes:", (same.transform(X_test) == vae.transform(X_test)).all())

# %%
# Networks are parameters, so that a search can choose between them, and between them and the
# networks of skvae.

search = GridSearchCV(
    vae,
    [{"encoder": [FromFunction(f)], "decoder": [FromFunction(f)]} for f in (narrow, wide)]
    + [{"encoder": [None], "decoder": [None]}],
    cv=3,
).fit(X_train)
scores = pd.Series(search.cv_results_["mean_test_score"], index=["narrow", "wide", "the default"])
print(scores.round(1).to_string())

# %%
# Every display and method works as with the default networks.

ReconstructionDisplay.from_estimator(vae, X_test, image_shape=(8, 8), cmap="gray_r")
plt.show()
