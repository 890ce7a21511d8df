"""
How many components does a table need?
======================================

The score of a fitted model is a log-likelihood of held-out rows, so a grid search can choose the
number of components and the size of the networks without a target. Here the table is a data frame
of 178 wines with 13 measurements each.
"""

# %%
# A pipeline takes the data frame as it is. ``PowerTransformer`` makes the skewed columns more
# normal; scores compare because every candidate sees its output, so the grid leaves it alone.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PowerTransformer

from skvae import VAETransformer
from skvae.plots import LatentSpaceDisplay, ReconstructionDisplay

wine = load_wine(as_frame=True)
cultivar = pd.Series(wine.target_names[wine.target], name="cultivar")

pipeline = Pipeline([("power", PowerTransformer()), ("vae", VAETransformer(random_state=0))])
search = GridSearchCV(
    pipeline,
    {
        "vae__n_components": [1, 2, 3, 4, 6],
        "vae__hidden_layer_sizes": [(), (64, 64)],
    },
    cv=5,
).fit(wine.data)
search.best_params_

# %%
# An autoencoder without hidden layers is linear: factor analysis, the best that any linear map can
# do. Hidden layers bend it. Probabilistic PCA also scores rows by their log-likelihood.

results = pd.DataFrame(search.cv_results_)
curves = results.pivot(
    index="param_vae__n_components",
    columns="param_vae__hidden_layer_sizes",
    values="mean_test_score",
)
pca = [
    cross_val_score(Pipeline([("power", PowerTransformer()), ("pca", PCA(q))]), wine.data, cv=5)
    for q in curves.index
]

figure, ax = plt.subplots(layout="constrained")
for hidden_layer_sizes, scores in curves.items():
    ax.plot(scores, marker="o", label=f"VAE, hidden_layer_sizes={hidden_layer_sizes}")
ax.plot(curves.index, np.mean(pca, axis=1), marker="o", color="0.6", label="probabilistic PCA")
ax.set(xlabel="n_components", ylabel="log-likelihood of held-out rows (nats per row)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# The search behaves like the best model, fitted again to all rows. Its codes separate the three
# cultivars, which it was never told.

LatentSpaceDisplay.from_estimator(search, wine.data, cultivar)
plt.show()

# %%
# What the codes keep of each column, in its own units:

ReconstructionDisplay.from_estimator(search, wine.data)
plt.show()
