"""
From images to a latent space and back
======================================

The pictures of the article "Under the Hood of the Variational Autoencoder (in Prose and Code)",
from start to end, for the digits of scikit-learn: reconstructions, the latent space, images decoded
from a grid of codes, paths between images, and new images of each digit. For the same pictures of
MNIST, run ``python examples/mnist.py``.
"""

# %%
# Two models are fitted to grey levels from 0 to 16, without the labels. The one with ten components
# keeps more of an image; the one with two components can be drawn as a map.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.plots import (
    InterpolationDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TraversalDisplay,
)

SHAPE = (8, 8)
style = {"cmap": "gray_r", "vmin": 0, "vmax": 16}
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
vae = VAETransformer(10, random_state=0).fit(X_train)
vae_map = VAETransformer(2, random_state=0).fit(X_train)

# %%
# Held-out digits, and their reconstructions from ten numbers each:

one_of_each = np.array([np.flatnonzero(y_test == digit)[0] for digit in range(10)])
ReconstructionDisplay.from_estimator(vae, X_test[one_of_each], image_shape=SHAPE, **style)
plt.show()

# %%
# The two-dimensional codes of held-out digits. The ellipses around the points are the posterior
# distributions of the codes given the images, with half-axes of a standard deviation. Most are
# small: an image determines its code.

LatentSpaceDisplay.from_estimator(vae_map, X_test, y_test, with_std=True)
plt.show()

# %%
# Images decoded from a grid of codes, in equal steps, and in steps of equal probability under the
# prior. The second grid shows more of the centre, where most codes are.

figure, axes = plt.subplots(1, 2, figsize=(11, 5.4), layout="constrained")
for ax, spacing in zip(axes, ["linear", "percentile"], strict=True):
    ManifoldDisplay.from_estimator(vae_map, SHAPE, spacing=spacing, ax=ax, **style)
    ax.set_title(spacing)
plt.show()

# %%
# Paths between the codes of two images, decoded. The images between two digits are themselves
# possible images, unlike a mean of the two.

start, stop = X_test[one_of_each], X_test[np.roll(one_of_each, -1)]
InterpolationDisplay.from_estimator(vae, start, stop, SHAPE, **style)
plt.show()

# %%
# One component varies in each row, and the others are those of the first digit. The components are
# in the order of the information that they carry.

TraversalDisplay.from_estimator(vae, X_test[:1], SHAPE, **style)
plt.show()

# %%
# New images of each digit. The model does not know the labels; codes are drawn close to those of
# the training images of a digit, and decoded.

SampleDisplay.from_classes(vae, X_train, y_train, SHAPE, random_state=0, **style)
plt.show()

# %%
# New images without a choice of a digit, from codes of the whole prior, with the noise of
# p(x|z). Beside them is the loss in training, which jumps where the codes are found and training
# continues with another objective.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
SampleDisplay.from_estimator(vae, SHAPE, random_state=0, ax=axes[0], **style)
LossCurveDisplay.from_estimator(vae, ax=axes[1])
plt.show()
print(f"log-likelihood of held-out digits: {vae.score(X_test):.1f} nats")
