"""
Codes as features for a classifier
==================================

Few of the digits have a label in this example. An autoencoder learns from all images, and a
classifier learns from the codes of the labelled ones. With few components, nonlinear codes carry
more information about the digit than the linear codes of PCA.
"""

# %%
# Both models are fitted to the training images, without labels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split

from skvae import VAETransformer
from skvae.plots import LatentSpaceDisplay

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.data, digits.target, stratify=digits.target, random_state=0
)
sizes = [2, 3, 5, 10]
models = {
    "VAE": [VAETransformer(q, random_state=0) for q in sizes],
    "PCA": [PCA(q) for q in sizes],
}
for model in models["VAE"] + models["PCA"]:
    model.fit(X_train)

# %%
# A classifier is then trained on 50 labelled images. This is repeated for 20 random choices.

draws = list(StratifiedShuffleSplit(20, train_size=50, random_state=0).split(X_train, y_train))


def accuracy(train_features, test_features):
    """Mean test accuracy of classifiers trained on 50 labels."""
    classifier = LogisticRegression(max_iter=1000)
    return np.mean(
        [
            classifier.fit(train_features[labelled], y_train[labelled]).score(test_features, y_test)
            for labelled, _ in draws
        ]
    )


_, ax = plt.subplots(layout="constrained")
for name, fitted in models.items():
    scores = [accuracy(model.transform(X_train), model.transform(X_test)) for model in fitted]
    ax.plot(sizes, scores, marker="o", label=f"{name} codes")
ax.axhline(accuracy(X_train, X_test), color="0.6", linestyle="--", label="all 64 pixels")
ax.set(xlabel="n_components", ylabel="accuracy with 50 labels", xticks=sizes)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# With two or three components the codes of the autoencoder are much better, and with five they
# are better. With ten components, a linear map is enough: PCA is equally good, and both are close
# to the accuracy with all pixels. The two maps below show the reason for the difference.

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for ax, (name, fitted) in zip(axes, models.items(), strict=True):
    LatentSpaceDisplay(codes=fitted[0].transform(X_test), y=y_test).plot(ax)
    ax.set_title(f"{name}, two components")
plt.show()
