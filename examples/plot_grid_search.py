"""
How many components does a table need?
======================================

The score of a model is the log-likelihood of held-out rows. A grid search can therefore choose the
number of components and the size of the networks without a target. The table of this example is a
data frame of 178 wines with 13 measurements each.
"""

# %%
# The scaler gives all candidates, and PCA below, the same units for their scores.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.plots import LatentSpaceDisplay, ReconstructionDisplay

wine = load_wine(as_frame=True)
cultivar = pd.Series(wine.target_names[wine.target], name="cultivar")
folds = KFold(3, shuffle=True, random_state=0)

search = GridSearchCV(
    Pipeline([("scale", StandardScaler()), ("vae", VAETransformer(random_state=0))]),
    {"vae__n_components": [1, 2, 4, 8], "vae__hidden_layer_sizes": [(), (64, 64)]},
    cv=folds,
).fit(wine.data)
print(search.best_params_)

# %%
# An autoencoder without hidden layers is linear like PCA, but has a separate noise level for each
# column. Hidden layers make it nonlinear.

linear = GridSearchCV(
    Pipeline([("scale", StandardScaler()), ("pca", PCA())]),
    {"pca__n_components": [1, 2, 4, 8]},
    cv=folds,
).fit(wine.data)

curves = pd.DataFrame(search.cv_results_).pivot(
    index="param_vae__n_components",
    columns="param_vae__hidden_layer_sizes",
    values="mean_test_score",
)

_, ax = plt.subplots(layout="constrained")
for hidden_layer_sizes, scores in curves.items():
    ax.plot(scores, marker="o", label=f"VAE, hidden_layer_sizes={hidden_layer_sizes}")
ax.plot(curves.index, linear.cv_results_["mean_test_score"], "o-", color="0.6", label="PCA")
ax.set(xlabel="n_components", ylabel="held-out log-likelihood (nats per row)", xticks=curves.index)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# With two components, the codes are a map. The three cultivars are separated on it, although the
# model was not given them.

two = clone(search.best_estimator_).set_params(vae__n_components=2).fit(wine.data)
LatentSpaceDisplay.from_estimator(two, wine.data, cultivar)
plt.show()

# %%
# The fitted search can be used like the best model, which is refitted on all rows. The plot
# compares each column with its reconstruction, in the units of the column:

ReconstructionDisplay.from_estimator(search, wine.data)
plt.show()
