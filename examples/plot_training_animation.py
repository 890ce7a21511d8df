"""
A latent space takes shape
==========================

An animation shows how codes and decoded images change during training. A second one shows an image
that changes from one digit to the next. Both are saved as GIFs.
"""

# %%
# The callback ``Snapshots`` keeps the codes of some digits, and images that are decoded from a grid
# of codes. Its epochs are logarithmically spaced, since most changes are early. ``whiten=True``
# leaves the codes of all epochs on the scale of the prior.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skvae import VAETransformer
from skvae.callbacks import Snapshots
from skvae.plots import LossCurveDisplay, MorphAnimation, TrainingAnimation

folder = Path(tempfile.mkdtemp())
X, y = load_digits(return_X_y=True)
snapshots = Snapshots(X[:600])
vae = VAETransformer(2, whiten=True, random_state=0).set_callbacks(snapshots).fit(X)
print("snapshots after epochs", snapshots.epochs_)

# %%
# Training starts from PCA. The digits then move apart, and the decoded images become different and
# sharp.

training = TrainingAnimation.from_snapshots(snapshots, (8, 8), y=y[:600], cmap="gray_r")
training.save(folder / "training.gif", fps=3)
animation = training.animation_  # shown below

# %%
# The loss falls while the codes say more about the images: the KL divergence rises, and the
# reconstruction improves by more. The loss jumps where the codes are found and training continues
# with another objective.

LossCurveDisplay.from_estimator(vae, terms=True)
plt.show()

# %%
# A path through the latent space from 9 to 0, by the median code of each digit. Some digits lie
# between others, so the image passes through them.

codes = vae.transform(X)
path = np.array([np.median(codes[y == digit], axis=0) for digit in range(9, -1, -1)])
_, ax = plt.subplots(figsize=(3, 3))
morph = MorphAnimation.from_estimator(vae, path, (8, 8), n_steps=6, ax=ax, cmap="gray_r")
morph.save(folder / "nine_to_zero.gif", fps=10)
animation = morph.animation_
