"""
Which value makes a row an outlier?
===================================

An outlier detector marks unusual rows. This example finds the reason: an extreme value in one
column, or a combination of common values that does not occur in other rows.
"""

# %%
# The data frame holds the measurements of wines and their cultivar. In five wines we change a
# single value.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

from skvae import VAEOutlierDetector, VAETransformer
from skvae.plots import OddCellsDisplay

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
print(f"{len(set(found) & set(tampered))} of 5 changed rows are among the {len(found)} outliers")

# %%
# Each changed value lies within the range of its column. Only its combination with the other
# values of the row is unusual. ``score_cells`` returns the log-likelihood of each value given the
# others of its row. Dark cells in the plot are values that are unlikely given the rest of the
# row.

rows = [*sorted(tampered), 0, 70, 150]
cells = detector.estimator_.score_cells(table.loc[rows])
display = OddCellsDisplay(scores=cells, values=table.loc[rows]).plot()
for place, row in enumerate(rows):
    if row in tampered:
        column = table.columns.get_loc(tampered[row])
        display.ax_.plot(column, place, "ko", fillstyle="none", markersize=24)
plt.show()

# %%
# Circles mark the values that were changed. To see which values the model expects there, we remove
# them and impute them from the rest of the row:

truth = wine.data.assign(cultivar=np.array(["A", "B", "C"])[wine.target])
for row, name in tampered.items():
    gap = table.loc[[row]].copy()
    gap.loc[row, name] = None
    guess = detector.estimator_.impute(gap).loc[row, name]
    guess = guess if isinstance(guess, str) else f"{guess:.1f}"
    print(f"{name} was {truth.loc[row, name]}, changed to {table.loc[row, name]}, imputed {guess}")
