"""
What a component means
======================

The loadings of a ``VAETransformer`` help to interpret its codes. They are read like those of PCA:
they show which columns change with a component, and in which direction.
"""

# %%
# The table has thirteen measurements of each wine. Two components are enough for a plot. The
# cultivar is only used for the colours.

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine

from skvae import VAETransformer
from skvae.plots import LatentSpaceDisplay, LoadingsDisplay

X, cultivar = load_wine(return_X_y=True, as_frame=True)
vae = VAETransformer(2, random_state=0).fit(X)
for component, kl in zip(vae.get_feature_names_out(), vae.kl_divergence_, strict=True):
    print(f"{component} carries {kl:.1f} nats of information about a wine")

# %%
# The first component carries the most information. A loading is the change of the mean of a column,
# in its standard deviations, when the component changes by one standard deviation of the prior.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
LatentSpaceDisplay.from_estimator(vae, X, cultivar, ax=axes[0])
LoadingsDisplay.from_estimator(vae, ax=axes[1])
plt.show()

# %%
# ``loadings`` returns a data frame. These are the largest loadings of each component, by absolute
# value:

loadings = vae.loadings()
for component in loadings:
    strongest = loadings[component].sort_values(key=abs, ascending=False).head(4)
    print(component, strongest.round(2).to_dict())
