"""Synthetic rows of the Adult table, against ctgan's TVAE.

    SKVAE_DATA=folder python benchmarks/adult.py [skvae default tvae]

The folder holds adult_train.csv.gz, to fit, and adult_test.csv.gz, to judge. For each model, on as
many synthetic rows as there are test rows:

detection     AUC of a HistGradientBoosting classifier that tells synthetic from test rows, by
              3-fold cross-validation; 0.5 is perfect
associations  mean absolute error of the pairwise associations of the columns: correlation, Cramer's
              V, correlation ratio
utility       test AUC for the income of a HistGradientBoosting classifier trained on synthetic rows
              (as many as training rows), and on real ones
distance      median distance of a synthetic row to the nearest training row, over that of a test
              row: below 1 it would be copying

`skvae` is tuned, `default` is VAETransformer(n_components=16) as it comes. TVAE needs the extra
`peers`; `real` judges the training rows themselves.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

from skvae import VAETransformer
from skvae.likelihoods import Histogram
from skvae.priors import Mixture

MODELS = ["real", "skvae", "default", "tvae"]
TUNED = {
    "n_components": 10,
    "hidden_layer_sizes": (384, 384),
    "prior": Mixture(200),
    "batch_size": 512,
    "learning_rate_init": 4e-3,
    "learning_rate": "cosine",
    "early_stopping": False,
    "kl_warmup": 0.1,
    "max_iter": 100,
    "random_state": 0,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], metavar="model")
    chosen = parser.parse_args().models or MODELS
    train, test = (read(name) for name in ("adult_train", "adult_test"))
    print(f"{len(train)} rows to fit, {len(test)} to judge, {train.shape[1]} columns", flush=True)
    print(
        f"{'':10}{'seconds':>9}{'detection':>11}{'associations':>14}{'utility':>9}{'distance':>10}"
    )
    synthesise = {
        "real": lambda: lambda n: train.sample(n, random_state=0, replace=n > len(train)),
        "skvae": lambda: fit_skvae(train, TUNED | {"likelihood": histograms(train)}),
        "default": lambda: fit_skvae(train, {"n_components": 16, "random_state": 0}),
        "tvae": lambda: fit_tvae(train),
    }
    for name in chosen:
        start = time.perf_counter()
        sample = synthesise[name]()
        seconds = time.perf_counter() - start
        few, many = sample(len(test)), sample(len(train))
        print(
            f"{name:10}{seconds:9.0f}{detection(few, test):11.3f}"
            f"{association_error(few, test):14.4f}{utility(many, test):9.4f}"
            f"{distance_ratio(few, train, test):10.2f}",
            flush=True,
        )


def read(name):
    """The table, its missing cells, all of categories, a category of their own."""
    table = pd.read_csv(Path(os.environ["SKVAE_DATA"]) / f"{name}.csv.gz")
    return table.fillna(dict.fromkeys(table.select_dtypes(exclude="number"), "missing"))


def histograms(train):
    return dict.fromkeys(train.select_dtypes("number"), Histogram(n_bins=256))


def fit_skvae(train, settings):
    vae = VAETransformer(**settings).fit(train)
    return lambda n: vae.sample(n, random_state=1)


def fit_tvae(train):
    """ctgan's TVAE as it comes: 300 epochs."""
    import torch
    from ctgan import TVAE

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  it draws from the global generator
    model = TVAE()
    model.fit(train, list(train.select_dtypes(exclude="number")))
    return lambda n: model.sample(n).astype(train.dtypes)


def as_numbers(*tables):
    """The tables with their categories as numbers, the same in all of them."""
    out = [table.copy() for table in tables]
    for name in tables[0].select_dtypes(exclude="number"):
        levels = pd.unique(pd.concat([table[name] for table in tables]).dropna())
        for table in out:
            table[name] = pd.Categorical(table[name], levels).codes
            table[name] = table[name].astype(float).replace(-1, np.nan)
    return out


def classifier(table):
    return HistGradientBoostingClassifier(
        categorical_features=[not pd.api.types.is_numeric_dtype(t) for t in table.dtypes],
        random_state=0,
    )


def detection(synthetic, real):
    numbers = pd.concat(as_numbers(synthetic, real), ignore_index=True)
    y = np.r_[np.ones(len(synthetic)), np.zeros(len(real))]
    order = np.random.default_rng(0).permutation(len(y))
    numbers, y = numbers.iloc[order], y[order]
    p = cross_val_predict(classifier(real), numbers, y, cv=3, method="predict_proba")[:, 1]
    return roc_auc_score(y, p)


def utility(synthetic, test, target="income"):
    numbers, test_numbers = as_numbers(synthetic, test)
    y, y_test = (table.pop(target) for table in (numbers, test_numbers))
    model = classifier(test.drop(columns=target)).fit(numbers, y)
    return roc_auc_score(y_test, model.predict_proba(test_numbers)[:, 1])


def association_error(synthetic, real):
    one, other = associations(synthetic), associations(real)
    return np.abs(one - other)[np.triu_indices(len(one), 1)].mean()


def associations(table):
    """Correlation, Cramer's V or the correlation ratio of each pair of columns, (d, d)."""
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    (numbers,) = as_numbers(table)
    numbers = numbers.to_numpy()
    d = numbers.shape[1]
    found = np.eye(d)
    for i in range(d):
        for j in range(i):
            pair = numbers[:, [i, j]]
            a, b = pair[~np.isnan(pair).any(axis=1)].T
            if numeric[i] and numeric[j]:
                value = np.corrcoef(a, b)[0, 1]
            elif not numeric[i] and not numeric[j]:
                value = cramers_v(a, b)
            else:
                value = correlation_ratio(*((a, b) if numeric[j] else (b, a)))
            found[i, j] = found[j, i] = np.nan_to_num(value)
    return found


def cramers_v(a, b):
    counts = pd.crosstab(a, b).to_numpy().astype(float)
    expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    chi2 = (np.square(counts - expected) / expected).sum()
    return np.sqrt(chi2 / counts.sum() / max(min(counts.shape) - 1, 1))


def correlation_ratio(groups, values):
    total = np.square(values - values.mean()).sum()
    means = pd.Series(values).groupby(groups).transform("mean").to_numpy()
    return np.sqrt(np.square(means - values.mean()).sum() / total) if total > 0 else 0.0


def distance_ratio(synthetic, train, test):
    """Median distance to the nearest training row: of synthetic rows over that of test rows."""
    numeric = list(train.select_dtypes("number"))
    categories = [name for name in train if name not in numeric]
    space = make_column_transformer(
        (QuantileTransformer(subsample=None, random_state=0), numeric),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
    ).fit(train)
    index = NearestNeighbors(n_neighbors=1).fit(space.transform(train))
    found = []
    for table in (synthetic, test):
        rows = table.sample(2000, random_state=0)
        found.append(np.median(index.kneighbors(space.transform(rows))[0]))
    return found[0] / found[1]


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
