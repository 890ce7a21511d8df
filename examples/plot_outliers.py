"""
Outlier detection among images
==============================

A ``VAEOutlierDetector`` is fitted to images of three digits. Images of other digits are outliers.
It is compared with an ``IsolationForest``, and the plot shows which images are found first.
"""

# %%
# The training images are zeros, ones and twos. The test images are of all digits.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.model_selection import train_test_split

from skvae import VAEOutlierDetector

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
X_train = X_train[y_train <= 2]
is_outlier = y_test > 2

detector = VAEOutlierDetector(random_state=0).fit(X_train)
forest = IsolationForest(random_state=0).fit(X_train)

# %%
# Both return a score for each row, which is lower for outliers. That of ``VAEOutlierDetector`` is
# log p(x), the log-likelihood of an image.

_, ax = plt.subplots(figsize=(5, 4.6), layout="constrained")
for name, model in [("VAEOutlierDetector", detector), ("IsolationForest", forest)]:
    score = -model.score_samples(X_test)
    RocCurveDisplay.from_predictions(is_outlier, score, name=name, ax=ax)
    print(f"{name}: AUC {roc_auc_score(is_outlier, score):.3f}")
plt.show()

# %%
# The log-likelihood by digit. Some digits are closer to the training images than others. The plot
# leaves out the lowest values.

score = detector.score_samples(X_test)
_, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
ax.boxplot([score[y_test == digit] for digit in range(10)], tick_labels=range(10), whis=(5, 95))
ax.axhline(detector.offset_, color="0.5", linestyle="--", label="offset_, below which are outliers")
ax.set(xlabel="digit", ylabel="log p(x) in nats", ylim=(-300, None))
ax.legend(frameon=False)
plt.show()

# %%
# Of the known digits, these twelve test images are the least likely, and below them are the twelve
# most likely images of other digits: the hardest cases.

order = np.argsort(score)
hardest = [order[~is_outlier[order]][:12], order[is_outlier[order]][::-1][:12]]
figure, axes = plt.subplots(2, 12, figsize=(10, 2), layout="constrained")
for row, found in zip(axes, hardest, strict=True):
    for ax, place in zip(row, found, strict=True):
        ax.imshow(X_test[place].reshape(8, 8), cmap="gray_r")
        ax.set(xticks=[], yticks=[])
plt.show()
