"""New rows: can XGBoost tell them from the training rows?

    SKVAE_DATA=folder python benchmarks/rows.py [adult shoppers magic] [--mixture | --recipe]

For each table, as many rows are drawn from `VAETransformer(16)` as there are training rows (Adult's
own training split; 90 % of the others), and XGBClassifier at its defaults tells the two apart:

detection   its AUC in 3-fold cross-validation; 0.5 is perfect
trends      1 less the mean score of sdmetrics' column pair trends, in %; the documentation has
            those of version 0.25, and later versions find others
utility     the AUC for the target in the test rows, of XGBClassifier trained on drawn rows
seconds     to fit and draw

`--mixture` adds `prior="mixture"`. `--recipe` draws from the model for synthetic rows of
docs/tables.md, with the settings of adult.py. Numbers have histograms there if a value holds 5 % of
the rows, otherwise normal scores by a finer map.

Whole numbers are whole; a missing category is a level "missing". Needs xgboost and sdmetrics.
"""

import argparse
import contextlib
import io
import time
import warnings

import numpy as np
import pandas as pd
from adult import TUNED, as_numbers
from reduction import folder
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split

from skvae import VAETransformer
from skvae.likelihoods import Histogram, NormalScores

SPIKE = 0.05  # share of the rows


def read(name):
    table = pd.read_csv(folder() / f"{name}.csv.gz")
    return table.fillna(dict.fromkeys(table.select_dtypes(exclude="number"), "missing"))


def tables(name):
    """Training and test rows."""
    if name == "adult":
        return read("adult_train"), read("adult_test")
    return train_test_split(read(name), test_size=0.1, random_state=0)


def detection(drawn, train):
    from xgboost import XGBClassifier

    X = pd.concat(as_numbers(drawn, train), ignore_index=True).to_numpy(dtype=float)
    y = np.r_[np.ones(len(drawn)), np.zeros(len(train))]
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    p = cross_val_predict(XGBClassifier(), X, y, cv=folds, method="predict_proba")[:, 1]
    return roc_auc_score(y, p)


def trends(drawn, train):
    from sdmetrics.reports.single_table import QualityReport

    kinds = dict.fromkeys(train.select_dtypes("number"), "numerical")
    columns = {name: {"sdtype": kinds.get(name, "categorical")} for name in train}
    report = QualityReport()
    with contextlib.redirect_stdout(io.StringIO()):
        report.generate(train, drawn, {"columns": columns}, verbose=False)
    return 100 * (1 - report.get_details("Column Pair Trends")["Score"].mean())


def recipe(train):
    spiky = {
        name: x.value_counts(normalize=True).iloc[0] >= SPIKE
        for name, x in train.select_dtypes("number").items()
    }
    fine_map = NormalScores(n_knots=1000, rows_per_knot=10)
    likelihood = {
        name: Histogram(n_bins=256) if is_spiky else fine_map for name, is_spiky in spiky.items()
    }
    return TUNED | {"likelihood": likelihood}


def utility(drawn, test):
    from xgboost import XGBClassifier

    target = test.columns[-1]
    drawn, test = as_numbers(drawn, test)
    labels = [table.pop(target).to_numpy() for table in (drawn, test)]
    known = np.unique(labels[0])
    y, y_test = (np.searchsorted(known, label) for label in labels)
    model = XGBClassifier().fit(drawn.to_numpy(dtype=float), y)
    return roc_auc_score(y_test, model.predict_proba(test.to_numpy(dtype=float))[:, 1])


def main():
    names = ["adult", "shoppers", "magic"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", choices=[*names, []], metavar="table")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--mixture", action="store_true")
    way.add_argument("--recipe", action="store_true")
    arguments = parser.parse_args()
    print(f"{'':12}{'detection':>10}{'trends':>8}{'utility':>9}{'seconds':>9}")
    for name in arguments.tables or names:
        train, test = tables(name)
        prior = "mixture" if arguments.mixture else "normal"
        settings = {"n_components": 16, "prior": prior, "random_state": 0}
        start = time.perf_counter()
        vae = VAETransformer(**recipe(train) if arguments.recipe else settings).fit(train)
        drawn = vae.sample(len(train), random_state=1)
        seconds = time.perf_counter() - start
        print(
            f"{name:12}{detection(drawn, train):10.3f}{trends(drawn, train):8.1f}"
            f"{utility(drawn, test):9.3f}{seconds:9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
