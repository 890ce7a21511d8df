"""
A folder of Parquet files, a batch at a time
============================================

Sensor readings come in many files, more than would fit in memory at once. ``partial_fit`` goes
through them batch by batch; the scores of held-out rows tell when to stop.
"""

# %%
# Twelve files of readings stand in for the folder. Temperatures and flows of a plant follow from
# its load and the weather; a valve has one of three settings.

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
# The first batch fixes the units and the categories, so it should be typical. After that each call
# is one pass over its rows.

vae = VAETransformer(n_components=2, random_state=0)
scores = []
for _ in range(4):
    for batch in ds.dataset(folder).to_batches(batch_size=5000):
        vae.partial_fit(batch.to_pandas())
        scores.append(vae.elbo(held_out, n_draws=16).mean())
print(f"{len(scores)} batches, held-out bound {scores[0]:.1f} -> {scores[-1]:.1f} nats a row")

figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(np.arange(1, len(scores) + 1) * 5000, scores)
ax.set(xlabel="rows seen", ylabel="ELBO of held-out rows (nats)")

# %%
# Numbers that lie in one file on disk need no loop: ``fit`` takes a ``numpy.memmap``, or several
# files as :class:`~skvae.Parts`, and brings its own shuffle and early stopping.
