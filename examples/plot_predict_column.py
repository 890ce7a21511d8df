"""
Predict any column from any others
==================================

A classifier predicts one column, and must see missing values in training to predict well from
incomplete rows. A fitted ``VAETransformer`` gives the
probabilities of each column given whatever else is observed.
"""

# %%
# The model is fitted to the measurements of wines with their cultivar as one more column.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import train_test_split

from skvae import VAETransformer

bunch = load_wine(as_frame=True)
X, names = bunch.data, np.array(["A", "B", "C"])
X_train, X_test, y_train, y_test = train_test_split(
    X, names[bunch.target], stratify=bunch.target, test_size=0.5, random_state=0
)
vae = VAETransformer(4, random_state=0).fit(X_train.assign(cultivar=y_train))

# %%
# The cultivar of test wines, from more and more incomplete rows, beside a classifier that was
# trained on complete rows. Smaller is better; guessing costs 1.1 nats.

classifier = HistGradientBoostingClassifier(random_state=0).fit(X_train, y_train)
rng = np.random.default_rng(0)
shares = [0.0, 0.25, 0.5, 0.75]
losses = {"VAE": [], "HistGradientBoostingClassifier": []}
for share in shares:
    gappy = X_test.mask(rng.random(X_test.shape) < share)
    p = vae.predict_column_proba(gappy.assign(cultivar=None), "cultivar")
    losses["VAE"].append(log_loss(y_test, p))
    p = classifier.predict_proba(gappy)
    losses["HistGradientBoostingClassifier"].append(log_loss(y_test, p))

_, ax = plt.subplots(layout="constrained")
for name, loss in losses.items():
    ax.plot(shares, loss, marker="o", label=name)
ax.set(xlabel="share of missing values", ylabel="loss in nats", xticks=shares, ylim=(0, None))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# The same model predicts the other columns. Numbers are predicted by their conditional mean:

others = X_test.assign(cultivar=y_test)
predicted = vae.predict_column(others, "flavanoids")
_, ax = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
ax.scatter(X_test["flavanoids"], predicted, s=14, alpha=0.7)
ax.axline((2, 2), slope=1, color="0.6", linewidth=1)
ax.set(xlabel="flavanoids", ylabel="predicted from the other columns")
plt.show()
print(f"R2 {r2_score(X_test['flavanoids'], predicted):.2f}")
