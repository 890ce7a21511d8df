"""Outliers: VAEOutlierDetector beside IsolationForest, PCA, nearest neighbours and PyOD's VAE.

    python benchmarks/outliers.py [detector ...]

One class of each table that scikit-learn bundles is normal. Detectors are fitted to half of its
rows and score the other half and the rows of the other classes: area under the ROC curve, mean of
five splits; iris, wine and digits take each of their classes for normal in turn. PCA scores by the
squared error of its reconstruction, with as many components as explain 90 % of the variance.
PyOD's VAE, at its defaults, needs the extra `peers`. The last line has the seconds of a fit and its
scores, the median over the runs.
"""

import argparse
import importlib.util
import statistics
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skvae import VAEOutlierDetector

TABLES = {  # and the classes that are normal in turn
    "breast cancer": (load_breast_cancer, [1]),
    "wine": (load_wine, [0, 1, 2]),
    "iris": (load_iris, [0, 1, 2]),
    "digits": (load_digits, range(10)),
}


def vae(train, test, seed):
    return VAEOutlierDetector(random_state=seed).fit(train).score_samples(test)


def isolation_forest(train, test, seed):
    return IsolationForest(random_state=seed).fit(train).score_samples(test)


def pca(train, test, seed):
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    model = PCA(0.9).fit(train)
    return -np.square(test - model.inverse_transform(model.transform(test))).sum(axis=1)


def neighbours(train, test, seed):
    scaler = StandardScaler().fit(train)
    index = NearestNeighbors(n_neighbors=5).fit(scaler.transform(train))
    return -index.kneighbors(scaler.transform(test))[0].mean(axis=1)


def pyod_vae(train, test, seed):
    from pyod.models.vae import VAE

    # it has no step for rows that do not fill a minibatch
    model = VAE(batch_size=min(32, len(train)), random_state=seed, verbose=0)
    return -model.fit(train).decision_function(test)


DETECTORS = {
    "vae": vae,
    "isolation forest": isolation_forest,
    "pca": pca,
    "neighbours": neighbours,
}
if importlib.util.find_spec("pyod"):
    DETECTORS["pyod's vae"] = pyod_vae


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detectors", nargs="*", choices=[*DETECTORS, []], metavar="detector")
    names = parser.parse_args().detectors or DETECTORS
    print(f"{'':16}" + "".join(f"{name:>18}" for name in names))
    rows, seconds = [], {name: [] for name in names}
    for table, (load, normals) in TABLES.items():
        data = load()
        found = [
            [
                auroc(DETECTORS[name], data.data, data.target == one, seed, seconds[name])
                for name in names
            ]
            for one in normals
            for seed in range(5 if len(normals) < 10 else 1)
        ]
        rows.append(np.mean(found, axis=0))
        print(f"{table:16}" + "".join(f"{value:18.3f}" for value in rows[-1]), flush=True)
    print(f"{'mean':16}" + "".join(f"{value:18.3f}" for value in np.mean(rows, axis=0)))
    medians = [statistics.median(seconds[name]) for name in names]
    print(f"{'seconds':16}" + "".join(f"{value:18.3f}" for value in medians))


def auroc(score, X, normal, seed, seconds):
    """The area under the curve; the time that it took joins ``seconds``."""
    places = np.random.default_rng(seed).permutation(np.flatnonzero(normal))
    train, held = np.array_split(places, 2)
    test = np.r_[held, np.flatnonzero(~normal)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        scores = score(X[train], X[test], seed)
        seconds.append(time.perf_counter() - start)
    return roc_auc_score(normal[test], scores)


if __name__ == "__main__":
    main()
