"""
Imputation and its uncertainty
==============================

Half of the measurements of 569 tumours are hidden. A model of the observed values imputes them. It
also draws several completed tables, and the differences between them show the uncertainty.
"""

# %%
# The encoder knows which values are missing, and the likelihood of a row is that of its observed
# values. ``VAEImputer`` trains with the importance-weighted bound, which is best for imputation.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer

from skvae import VAEImputer
from skvae.plots import ImputationDisplay

complete = load_breast_cancer(as_frame=True).data
hidden = np.random.default_rng(0).random(complete.shape) < 0.5
table = complete.mask(hidden)
imputer = VAEImputer(random_state=0).fit(table)
filled = imputer.transform(table)

# %%
# The error of the imputed values, in standard deviations of their columns, compared with column
# means:

spread = complete.std()


def error(guess):
    return np.sqrt(np.square((guess - complete) / spread).to_numpy()[hidden].mean())


means = SimpleImputer().set_output(transform="pandas").fit_transform(table)
print(f"VAE {error(filled):.2f}, means {error(means):.2f}")

# %%
# Twenty completed tables contain twenty draws of each hidden value from its distribution given the
# observed values of the row. A statistic is computed from each table and then pooled over the
# tables. Its error includes the uncertainty of the imputed values, which a single imputation
# ignores. This is multiple imputation.

draws = imputer.impute(table, n_imputations=20, random_state=0)

# %%
# The plot shows imputed values against the hidden ones, with intervals that should contain 90 % of
# them.

ImputationDisplay.from_estimator(
    imputer.estimator_,
    table,
    complete,
    features=["mean radius", "mean smoothness"],
    random_state=0,
)
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
