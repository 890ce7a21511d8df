"""New rows at the defaults: can XGBoost tell them from the training rows?

    SKVAE_DATA=folder python benchmarks/rows.py [adult shoppers magic]

For each table, as many rows are drawn from `VAETransformer(16)` as there are training rows (Adult's
own training split; 90 % of the others), and XGBClassifier at its defaults tells the two apart:

detection   its AUC in 3-fold cross-validation; 0.5 is perfect
utility     the AUC for the target in the test rows, of XGBClassifier trained on drawn rows
seconds     to fit and draw

Whole numbers are whole; a missing category is a level "missing". Needs xgboost.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from adult import as_numbers
from reduction import folder
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split

from skvae import VAETransformer


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
    print(f"{'':12}{'detection':>10}{'utility':>9}{'seconds':>9}")
    for name in parser.parse_args().tables or names:
        train, test = tables(name)
        start = time.perf_counter()
        vae = VAETransformer(16, random_state=0).fit(train)
        drawn = vae.sample(len(train), random_state=1)
        seconds = time.perf_counter() - start
        print(
            f"{name:12}{detection(drawn, train):10.3f}{utility(drawn, test):9.3f}{seconds:9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
