"""
Convolutions for images in colour
=================================

A convolutional network needs to know which columns are neighbours in an image. The example models
small patches of a photograph, and denoises one.
"""

# %%
# Each row of the table is a patch of 12 x 12 pixels in three colours, flattened.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_sample_image
from sklearn.feature_extraction.image import extract_patches_2d

from skvae import VAETransformer
from skvae.networks import Conv
from skvae.plots import ManifoldDisplay, ReconstructionDisplay

SHAPE = (12, 12, 3)
photo = load_sample_image("flower.jpg")
patches = extract_patches_2d(photo, SHAPE[:2], max_patches=3000, random_state=0)
X = patches.reshape(len(patches), -1).astype(float)
X_train, X_test = X[:2500], X[2500:]
contrast = X_test.reshape(-1, *SHAPE).std(axis=(1, 2)).mean(axis=1)
shown = np.argsort(-contrast)[:240:20]  # twelve of the half with more contrast

# %%
# The decoder mirrors the encoder. Averaged weights make the result less noisy.

vae = VAETransformer(
    24,
    encoder=Conv(SHAPE, channels=(16, 32), width=128),
    likelihood="gaussian",
    average=1.0,
    max_iter=40,
    random_state=0,
).fit(X_train)

# %%
# Held-out patches and their reconstructions from 24 numbers instead of 432:

ReconstructionDisplay.from_estimator(vae, X_test[shown], image_shape=SHAPE, n_rows=12)
plt.show()

# %%
# Noise in an image is not in the code, so that a reconstruction removes it:

rng = np.random.default_rng(0)
noisy = np.clip(X_test + 40 * rng.normal(size=X_test.shape), 0, 255)
denoised = vae.reconstruct(noisy)
for name, images in [("noisy", noisy), ("denoised", denoised)]:
    error = np.sqrt(np.mean((images - X_test) ** 2))
    print(f"{name} patches differ from the original by {error:.0f} grey levels")

figure, axes = plt.subplots(3, 12, figsize=(10, 2.7), layout="constrained")
for row, images in zip(axes, [X_test, noisy, denoised], strict=True):
    for ax, image in zip(row, images[shown], strict=True):
        ax.imshow(np.clip(image / 255, 0, 1).reshape(SHAPE))
        ax.set(xticks=[], yticks=[])
plt.show()

# %%
# With two components, a grid of codes shows what varies most: colour and brightness, and where a
# patch has an edge.

pair = clone(vae).set_params(n_components=2, max_iter=20).fit(X_train)
ManifoldDisplay.from_estimator(pair, SHAPE, n_steps=12)
plt.show()
