"""
What a component means
======================

Codes serve a classifier as they are; a person wants to know what they stand for. The loadings of a
``VAETransformer`` are read like those of PCA: which columns a component moves, and which way.
"""

# %%
# Wines, thirteen measurements of each. Two components for a picture; the cultivar is for the
# colours alone.

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine

from skvae import VAETransformer
from skvae.plots import LatentSpaceDisplay, LoadingsDisplay

X, cultivar = load_wine(return_X_y=True, as_frame=True)
vae = VAETransformer(2, random_state=0).fit(X)
for component, kl in zip(vae.get_feature_names_out(), vae.kl_divergence_, strict=True):
    print(f"{component} tells {kl:.1f} nats of a wine")

# %%
# The first component is the one that tells most. A loading is how far the mean of a column moves,
# in its standard deviations, where the component moves by one standard deviation of the prior.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
LatentSpaceDisplay.from_estimator(vae, X, cultivar, ax=axes[0])
LoadingsDisplay.from_estimator(vae, ax=axes[1])
plt.show()

# %%
# `loadings` is a data frame. The strongest of each component, by absolute value:

loadings = vae.loadings()
for component in loadings:
    strongest = loadings[component].sort_values(key=abs, ascending=False).head(4)
    print(component, strongest.round(2).to_dict())
