"""
Sequences of different lengths
==============================

A recurrent network reads the steps of a sequence in their order. Here the sequences are noisy
waves. Most of them end early, and some of their steps are missing.
"""

# %%
# Each wave has its own frequency, phase and amplitude. A row of the table is a wave; where it is
# shorter than others, or a step is missing, the row has NaN.

import matplotlib.pyplot as plt
import numpy as np

from skvae import VAETransformer
from skvae.networks import Recurrent

N_STEPS = 24
rng = np.random.default_rng(0)


def waves(n):
    """Noisy waves, some of their steps missing, and the waves themselves."""
    frequency, phase, amplitude = (
        rng.uniform(low, high, (n, 1)) for low, high in [(1, 3), (0, 2 * np.pi), (0.5, 1.5)]
    )
    steps = np.arange(N_STEPS)
    clean = amplitude * np.sin(2 * np.pi * frequency * steps / N_STEPS + phase)
    length = rng.integers(N_STEPS // 2, N_STEPS + 1, (n, 1))
    missing = (steps >= length) | (rng.random((n, N_STEPS)) < 0.1)
    return np.where(missing, np.nan, clean + 0.1 * rng.normal(size=clean.shape)), clean


X, _ = waves(600)
X_test, clean = waves(200)

# %%
# The two networks are recurrent: a wave is read in both directions, and decoded step by step. They
# need a larger learning rate than layers without recurrence, and average their weights over an
# epoch. For comparison, another model has the default networks and learning rate.

recurrent = VAETransformer(
    5,
    encoder=Recurrent(N_STEPS, hidden_size=32),
    learning_rate_init=1e-2,
    average=1.0,
    random_state=0,
).fit(X)
plain = VAETransformer(5, average=1.0, random_state=0).fit(X)
for name, vae in [("Recurrent", recurrent), ("MLP", plain)]:
    print(f"{name}: held-out log-likelihood {vae.score(X_test):.2f} nats, {vae.n_iter_} epochs")

# %%
# The missing steps of held-out waves, also those after their ends, are imputed from the observed
# ones. The lines are 20 draws, the points are observed, and the dashed line is the wave without
# noise.

draws = recurrent.impute(X_test[:6], n_imputations=20, random_state=0)
figure, axes = plt.subplots(2, 3, figsize=(11, 5), sharex=True, sharey=True, layout="constrained")
for row, ax in enumerate(axes.flat):
    ax.plot(np.array([draw[row] for draw in draws]).T, color="C0", alpha=0.25, linewidth=1)
    ax.plot(clean[row], color="0.3", linestyle="--", linewidth=1)
    ax.plot(X_test[row], "o", color="C1", markersize=4)
    ax.spines[["top", "right"]].set_visible(False)
axes[1, 1].set_xlabel("step")
plt.show()

# %%
# New waves, and a path between two of the test waves through the latent space:

figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), sharey=True, layout="constrained")
axes[0].plot(recurrent.sample(6, random_state=0).T)
axes[0].set(title="new waves", xlabel="step")
codes = recurrent.transform(X_test[:2])
path = recurrent.inverse_transform(recurrent.interpolate(codes[0], codes[1], n_steps=7))
colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(path)))
for wave, colour in zip(path, colours, strict=True):
    axes[1].plot(wave, color=colour)
axes[1].set(title="from one wave to another", xlabel="step")
plt.show()
