"""
Which cell makes this row odd?
==============================

A detector says that a row is odd. To act on it one wants to know why: an outlier in one column, or
values that are common each and never seen together?
"""

# %%
# Wines, their measurements and their cultivar in one data frame. In five of them we tamper with a
# single cell.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

from skvae import VAEOutlierDetector, VAETransformer

wine = load_wine(as_frame=True)
table = wine.data.copy()
table["cultivar"] = pd.Categorical.from_codes(wine.target, ["A", "B", "C"])
tampered = {5: "alcohol", 50: "flavanoids", 90: "cultivar", 120: "proline", 160: "color_intensity"}
table.loc[5, "alcohol"] = 11.5
table.loc[50, "flavanoids"] = 0.6
table.loc[90, "cultivar"] = "C"
table.loc[120, "proline"] = 1400.0
table.loc[160, "color_intensity"] = 1.5

detector = VAEOutlierDetector(VAETransformer(4), contamination=0.1, random_state=0).fit(table)
found = table.index[detector.predict(table) == -1]
print(f"{len(set(found) & set(tampered))} of 5 tampered rows are among the {len(found)} odd ones")

# %%
# No tampered value is extreme in its column: each lies within the range of the others. What is
# odd is the company they keep. `score_cells` is the log-likelihood of each cell given the others
# of its row; dark cells are the ones that the rest of the row does not lead one to expect.

rows = [*sorted(tampered), 0, 70, 150]
cells = detector.estimator_.score_cells(table.loc[rows])
typical = detector.estimator_.score_cells(table.iloc[::4]).median()
surprise = typical - cells  # nats more surprising than this column usually is

_, ax = plt.subplots(figsize=(9, 4), layout="constrained")
image = ax.imshow(surprise.clip(0, 12), cmap="Reds", aspect="auto")
ax.set_xticks(range(table.shape[1]), table.columns, rotation=45, ha="right")
ax.set_yticks(range(len(rows)), [f"wine {row}" for row in rows])
for place, row in enumerate(rows):
    if row in tampered:
        ax.plot(table.columns.get_loc(tampered[row]), place, "ko", fillstyle="none", markersize=14)
ax.figure.colorbar(image, label="surprise (nats)")
plt.show()

# %%
# Circles mark the cells that were changed. What would the model have put there? Missing cells are
# filled given the rest of their row:

truth = wine.data.assign(cultivar=np.array(["A", "B", "C"])[wine.target])
for row, name in tampered.items():
    gap = table.loc[[row]].copy()
    gap.loc[row, name] = None
    guess = detector.estimator_.impute(gap).loc[row, name]
    guess = guess if isinstance(guess, str) else f"{guess:.1f}"
    print(f"{name} was {truth.loc[row, name]}, tampered {table.loc[row, name]}, filled {guess}")
