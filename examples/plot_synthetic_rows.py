"""
Synthetic rows of a table
=========================

New rows of a table with numbers, categories and missing values are drawn from a fitted model. This
example compares them with real rows: column by column, pair by pair, and by a classifier that is
trained to distinguish them.
"""

# %%
# The table holds a part of the measurements of 569 tumours, and the diagnosis. To have all kinds of
# columns, one of them is rounded to whole numbers, and some values of another are removed.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from skvae import VAETransformer
from skvae.plots import AssociationsDisplay, MarginalsDisplay

bunch = load_breast_cancer(as_frame=True)
table = bunch.data[[name for name in bunch.data if name.startswith("mean")]].copy()
table["mean area"] = table["mean area"].round().astype(int)
missing = np.random.default_rng(0).random(len(table)) < 0.1
table["mean texture"] = table["mean texture"].mask(missing)
table["diagnosis"] = pd.Categorical.from_codes(bunch.target, bunch.target_names)

# %%
# ``prior="mixture"`` fits the distribution of the codes more closely, which makes the drawn rows
# more realistic. With ``missing=True`` they have missing values as often as the training rows.

vae = VAETransformer(6, prior="mixture", random_state=0).fit(table)
drawn = vae.sample(len(table), missing=True, random_state=0)
print(drawn.head())

# %%
# Each column has the type and the resolution of the training rows: the area is a whole number, and
# the means have as many decimals as before.

MarginalsDisplay.from_estimator(vae, table, random_state=0)
plt.show()

# %%
# Associations between columns, in real and in drawn rows, and their difference:

AssociationsDisplay.from_estimator(vae, table, random_state=0)
plt.show()

# %%
# The most general check is a classifier for real against drawn rows. Its AUC is 0.5 if the two
# cannot be distinguished. Here it is compared with rows whose columns are shuffled one by one. They
# keep the distribution of each column and lose all associations.

rng = np.random.default_rng(0)
shuffled = table.apply(lambda column: column.sample(frac=1, random_state=rng).to_numpy())


def auc(other):
    both = pd.concat([table, other], ignore_index=True)
    both["diagnosis"] = both["diagnosis"].astype("category")
    is_real = np.arange(len(both)) < len(table)
    classifier = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
    found = cross_val_predict(classifier, both, is_real, cv=5, method="predict_proba")
    return roc_auc_score(is_real, found[:, 1])


print(f"real or drawn? AUC {auc(drawn):.2f}; real or shuffled? AUC {auc(shuffled):.2f}")

# %%
# Rows can be drawn given some of their values. These are malignant tumours with a mean radius of
# 15:

print(vae.sample(3, given={"diagnosis": "malignant", "mean radius": 15.0}, random_state=0).T)
