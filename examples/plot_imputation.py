"""
Filling gaps, and how sure that is
==================================

Half of the measurements of 569 tumours are hidden. A model of what is left fills them, and draws
whole completed tables, whose differences tell how sure it is.
"""

# %%
# The encoder is told which cells are there, and the likelihood of a row is that of those. The
# importance-weighted bound serves imputation best.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer

from skvae import VAEImputer

complete = load_breast_cancer(as_frame=True).data
hidden = np.random.default_rng(0).random(complete.shape) < 0.5
table = complete.mask(hidden)
imputer = VAEImputer(random_state=0).fit(table)
filled = imputer.transform(table)

# %%
# The error of the hidden cells, in standard deviations of their columns, against filling in means:

spread = complete.std()


def error(guess):
    return np.sqrt(np.square((guess - complete) / spread).to_numpy()[hidden].mean())


means = SimpleImputer().set_output(transform="pandas").fit_transform(table)
print(f"VAE {error(filled):.2f}, means {error(means):.2f}")

# %%
# Twenty completed tables are twenty draws of each hidden cell from what the model thinks of it,
# given the cells of its row that are there. Statistics of each table, pooled over the twenty,
# carry the doubt that filling in one value hides: this is multiple imputation. Here are the
# hidden values of a column against the middle of their draws, with bars from their 5 % to their
# 95 % quantile. About nine bars in ten should cross the diagonal.

draws = imputer.estimator_.impute(table, n_imputations=20, random_state=0)
_, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
for ax, name in zip(axes, ["mean radius", "mean smoothness"], strict=True):
    rows = np.flatnonzero(hidden[:, complete.columns.get_loc(name)])[:60]
    values = np.stack([draw[name].to_numpy()[rows] for draw in draws])
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
    truth = complete[name].to_numpy()[rows]
    covered = np.mean((low <= truth) & (truth <= high))
    ax.axline((truth[0], truth[0]), slope=1, color="0.6", linewidth=1)
    ax.errorbar(truth, middle, [middle - low, high - middle], fmt="o", ms=4, lw=1, alpha=0.7)
    ax.set(title=f"{name}: {covered:.0%} covered", xlabel="hidden value", ylabel="drawn")
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The mean of a column and its standard error, by Rubin's rules over the completed tables:

pooled = pd.DataFrame(
    {
        "mean": [draw["mean radius"].mean() for draw in draws],
        "variance": [draw["mean radius"].var() / len(draw) for draw in draws],
    }
)
total = pooled["variance"].mean() + (1 + 1 / len(draws)) * pooled["mean"].var()
print(f"mean radius {pooled['mean'].mean():.2f} +- {np.sqrt(total):.2f}")
print(f"of the complete table {complete['mean radius'].mean():.2f}")
