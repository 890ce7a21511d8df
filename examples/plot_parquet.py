"""
Training on a folder of Parquet files
=====================================

Sensor readings are stored in many files, which together do not fit in memory. ``partial_fit``
trains on one batch at a time. The score of held-out rows shows when to stop.
"""

# %%
# We simulate twelve files of readings. The temperatures and flows of a plant depend on its load and
# on the weather. A valve has one of three settings.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from skvae import VAETransformer


def readings(n, seed):
    rng = np.random.default_rng(seed)
    load, weather = rng.normal(size=(2, n))
    table = {
        f"temperature_{i}": 60 + 5 * np.tanh(load + 0.3 * i) + weather + 0.3 * rng.normal(size=n)
        for i in range(4)
    }
    table |= {
        f"flow_{i}": np.exp(0.5 * load - 0.1 * i * weather + 0.1 * rng.normal(size=n))
        for i in range(4)
    }
    valve = np.array(["closed", "half", "open"])[np.digitize(load + 0.2 * weather, [-1, 0.5])]
    return pd.DataFrame(table | {"valve": valve})


folder = Path(tempfile.mkdtemp())
for month in range(12):
    readings(5000, month).to_parquet(folder / f"{month:02}.parquet")
held_out = readings(500, seed=100)

# %%
# The first batch determines the scaling and the categories, so it should be typical. Each call
# makes one pass over the rows of its batch.

vae = VAETransformer(n_components=2, random_state=0)
scores = []
for _ in range(4):
    for batch in ds.dataset(folder).to_batches(batch_size=5000):
        vae.partial_fit(batch.to_pandas())
        scores.append(vae.elbo(held_out, n_draws=16).mean())
print(f"{len(scores)} batches, held-out ELBO {scores[0]:.1f} -> {scores[-1]:.1f} nats per row")

figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(np.arange(1, len(scores) + 1) * 5000, scores)
ax.set(xlabel="rows seen", ylabel="ELBO of held-out rows (nats)")

# %%
# For numeric arrays on disk, no loop is needed. ``fit`` accepts a ``numpy.memmap``, or several
# files as :class:`~skvae.Parts`. It shuffles the rows and stops early by itself.
