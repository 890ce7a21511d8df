"""What to choose for what: likelihood, beta, prior and number of components, by task.

    SKVAE_DATA=folder python benchmarks/choices.py [--tables ...] [--settings ...] [--splits 3]

Means over 70/30 splits of tables of `reduction.py`, and over the tables where all of these are wide
enough; five components unless a setting says otherwise:

codes     accuracy of 5 nearest neighbours on the codes
rows      AUC of HistGradientBoostingClassifier, by 3-fold cross-validation, telling as many drawn
          rows from the training rows; 0.5 is perfect
odd       AUC of minus `score_samples` for held-out rows in which a third of the columns were
          shuffled, beside the same rows as they are
impute    squared error of imputed cells, a fifth hidden in held-out rows, over that of the mean; of
          a category the errors of the imputed level, over those of the most frequent; the median
          over the columns
seconds   to fit, one thread

A likelihood is that of the columns of numbers; categories stay categorical.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from reduction import TABLES, Encoded
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer

SETTINGS = {
    "default": {},
    "2 components": {"n_components": 2},
    "10 components": {"n_components": 10},
    "20 components": {"n_components": 20},
    "gaussian": {"likelihood": "gaussian"},
    "student_t": {"likelihood": "student_t"},
    "beta 0.3": {"beta": 0.3},
    "beta 3": {"beta": 3.0},
    "mixture": {"prior": "mixture"},
    "whiten": {"whiten": True},
}


def model(settings, table, seed):
    settings = {"n_components": 5, "random_state": seed} | settings
    if "likelihood" in settings:
        numbers = table.select_dtypes("number").columns
        settings["likelihood"] = dict.fromkeys(numbers, settings["likelihood"])
    return VAETransformer(**settings)


def codes(vae, train, test, labels, test_labels):
    neighbours = KNeighborsClassifier(5).fit(vae.transform(train), labels)
    return neighbours.score(vae.transform(test), test_labels)


def rows(vae, train, seed):
    drawn = vae.sample(len(train), random_state=seed)
    space = Encoded(pd.concat([train, drawn]), standardised=True)
    X, y = np.vstack([space(train), space(drawn)]), np.repeat([0, 1], len(train))
    order = np.random.default_rng(seed).permutation(len(X))
    classifier = HistGradientBoostingClassifier(random_state=0)
    p = cross_val_predict(classifier, X[order], y[order], cv=3, method="predict_proba")[:, 1]
    return roc_auc_score(y[order], p)


def odd(vae, test, seed):
    rng = np.random.default_rng(seed)
    shuffled = test.copy()
    for name in rng.choice(test.columns, size=max(len(test.columns) // 3, 1), replace=False):
        shuffled[name] = test[name].to_numpy()[rng.permutation(len(test))]
    score = [-vae.score_samples(part, n_importance=32) for part in (test, shuffled)]
    return roc_auc_score(np.repeat([0, 1], len(test)), np.concatenate(score))


def impute(vae, train, test, seed):
    hidden = np.random.default_rng(seed).random(test.shape) < 0.2
    filled = vae.impute(test.mask(hidden))
    ratios = []
    for name, gone in zip(test, hidden.T, strict=True):
        truth, found = test[name][gone], filled[name][gone]
        if pd.api.types.is_numeric_dtype(test[name]):
            error, usual = (np.square(truth - guess).sum() for guess in (found, train[name].mean()))
        else:
            error, usual = ((truth != guess).sum() for guess in (found, train[name].mode()[0]))
        if usual > 0:
            ratios.append(error / usual)
    return np.median(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["digits", "yeast", "wine quality", "breast cancer", "penguins", "adult, 5,000"]
    parser.add_argument("--tables", nargs="*", default=names, choices=list(TABLES))
    parser.add_argument("--settings", nargs="*", default=[*SETTINGS], choices=[*SETTINGS])
    parser.add_argument("--splits", type=int, default=3)
    arguments = parser.parse_args()
    header = ("codes", "rows", "odd", "impute", "seconds")
    print(f"{'':14}  {'':14}" + "".join(f"{name:>9}" for name in header))
    means = {name: [] for name in arguments.settings}
    for table in arguments.tables:
        X, y = TABLES[table]()
        X = pd.DataFrame(X).rename(columns=str)
        for name in arguments.settings:
            settings = SETTINGS[name]
            if settings.get("n_components", 5) >= X.shape[1]:
                continue
            found = []
            for seed in range(arguments.splits):
                train, test, *labels = train_test_split(
                    X, y, test_size=0.3, random_state=seed, stratify=y
                )
                start = time.perf_counter()
                vae = model(settings, train, seed).fit(train)
                seconds = time.perf_counter() - start
                found.append(
                    [
                        codes(vae, train, test, *labels),
                        rows(vae, train, seed),
                        odd(vae, test, seed),
                        impute(vae, train, test, seed),
                        seconds,
                    ]
                )
            means[name].append(np.mean(found, axis=0))
            show(table, name, means[name][-1])
    for name, found in means.items():
        if len(found) == len(arguments.tables):
            show("mean", name, np.mean(found, axis=0))


def show(table, name, values):
    print(f"{table:14}  {name:14}" + "".join(f"{value:9.3f}" for value in values), flush=True)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
