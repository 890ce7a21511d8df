"""Codes for a classifier and reconstructions: the default VAETransformer beside PCA and others.

    SKVAE_DATA=folder python benchmarks/reduction.py [codes unused mnist] [--tables ...] [--peers]

`codes`, for each table and 2, 5 and 10 components (fewer than the table has columns), means over
70/30 splits, stratified by the labels:

5-NN, logistic  accuracy of 5 nearest neighbours on the codes as they come, and of a logistic
                regression on the standardised codes
R2              of held-out reconstructions, over all standardised columns together; a category
                counts as its levels, 0 or 1, of the likeliest level
trust           sklearn.manifold.trustworthiness of held-out rows at two components
seconds         to fit, one thread

PCA is of the columns as they are and of standardised columns, categories as 0 and 1 per level.
`--peers` adds FactorAnalysis, NMF where no value is negative, an autoencoder of the same size
(MLPRegressor) and, if umap-learn is installed, UMAP, a reference that reconstructs nothing.

`unused` counts, over 20 seeds, the components with a KL divergence below 0.01 nats, and those that
PCA of standardised columns leaves at its noise. `mnist` is all 60,000 images, judged on the 10,000
test images. Tables come from scikit-learn and from the folder: mnist.npz, adult_train.csv.gz,
penguins.csv and uci/*.csv.gz.
"""

import argparse
import os
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import NMF, PCA, FactorAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAETransformer

COMPONENTS = (2, 5, 10)
UNUSED = 0.01  # nats


def folder():
    return Path(os.environ["SKVAE_DATA"])


def uci(name):
    table = pd.read_csv(folder() / "uci" / f"{name}.csv.gz").iloc[:, 1:]
    return table.iloc[:, :-1].astype(float), pd.factorize(table.iloc[:, -1])[0]


def mixed(table, target):
    table = table.fillna(dict.fromkeys(table.select_dtypes(exclude="number"), "missing"))
    return table.drop(columns=target), pd.factorize(table[target])[0]


def adult():
    table = pd.read_csv(folder() / "adult_train.csv.gz").sample(5000, random_state=0)
    return mixed(table.reset_index(drop=True), table.columns[-1])


def penguins():
    return mixed(pd.read_csv(folder() / "penguins.csv").dropna(ignore_index=True), "species")


def images():
    with np.load(folder() / "mnist.npz") as file:
        return [file[name] for name in ("X_train", "y_train", "X_test", "y_test")]


def mnist_subset():
    X, y, _, _ = images()
    rows = np.random.default_rng(0).choice(len(X), 4000, replace=False)
    return X[rows].astype(float), y[rows]


def bundled(load):
    return lambda: load(return_X_y=True)


TABLES = {
    "digits": bundled(load_digits),
    "mnist, 4,000": mnist_subset,
    "yeast": lambda: uci("yeast"),
    "raisin": lambda: uci("raisin"),
    "spam": lambda: uci("spam"),
    "wine quality": lambda: uci("wine_white"),
    "sonar": lambda: uci("sonar"),
    "wine": bundled(load_wine),
    "breast cancer": bundled(load_breast_cancer),
    "iris": bundled(load_iris),
    "penguins": penguins,
    "adult, 5,000": adult,
}


class Encoded:
    """A table as PCA takes it: numbers, standardised if wanted, and categories as 0 and 1."""

    def __init__(self, table, *, standardised):
        table = pd.DataFrame(table)
        numbers = list(table.select_dtypes("number"))
        categories = [name for name in table if name not in numbers]
        self.encoder = make_column_transformer(
            (StandardScaler() if standardised else "passthrough", numbers),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        ).fit(table)
        self.n_numbers = len(numbers)
        self.names = table.columns
        encoders = self.encoder.named_transformers_
        self.n_levels = (
            [len(c) for c in encoders["onehotencoder"].categories_] if categories else []
        )

    def __call__(self, table):
        return self.encoder.transform(
            pd.DataFrame(np.asarray(table), columns=self.names).infer_objects()
        )

    def rounded(self, encoded):
        """The same with each category at its likeliest level."""
        parts = [encoded[:, : self.n_numbers]]
        start = self.n_numbers
        for n in self.n_levels:
            parts.append(np.eye(n)[encoded[:, start : start + n].argmax(axis=1)])
            start += n
        return np.hstack(parts)


def r2(encoded, reconstruction, center):
    """Pooled over all cells of standardised columns, about the means of the training rows."""
    error = np.square(encoded - reconstruction).sum()
    return 1 - error / np.square(encoded - center).sum()


class Spaces:
    """The columns of a table as they are and standardised, and the way from one to the other."""

    def __init__(self, train):
        self.raw = Encoded(train, standardised=False)
        self.std = Encoded(train, standardised=True)
        self.scaler = StandardScaler().fit(self.raw(train)[:, : self.raw.n_numbers])

    def to_std(self, encoded):
        n = self.raw.n_numbers
        return np.hstack([self.scaler.transform(encoded[:, :n]), encoded[:, n:]])


def vae(n_components, seed):
    def fit(spaces, train, test):
        model = VAETransformer(n_components, random_state=seed).fit(train)
        return model.transform(train), model.transform(test), spaces.std(model.reconstruct(test))

    return fit


def linear(model, *, standardised):
    def fit(spaces, train, test):
        space = spaces.std if standardised else spaces.raw
        codes = model.fit_transform(space(train))
        test_codes = model.transform(space(test))
        if hasattr(model, "inverse_transform"):
            found = model.inverse_transform(test_codes)
        else:
            found = test_codes @ model.components_ + model.mean_
        found = found if standardised else spaces.to_std(found)
        return codes, test_codes, spaces.std.rounded(found)

    return fit


def autoencoder(n_components, seed):
    def fit(spaces, train, test):
        train, test = spaces.std(train), spaces.std(test)
        model = MLPRegressor(
            hidden_layer_sizes=(128, 128, n_components, 128, 128),
            early_stopping=True,
            random_state=seed,
        ).fit(train, train)
        codes = (bottleneck(model, rows) for rows in (train, test))
        return *codes, spaces.std.rounded(model.predict(test))

    return fit


def bottleneck(model, X):
    """The codes of an autoencoder."""
    h = X
    for weight, bias in list(zip(model.coefs_, model.intercepts_, strict=True))[:3]:
        h = h @ weight + bias
        if weight.shape[1] == 128:
            h = h.clip(0)
    return h


def umap(n_components, seed):
    def fit(spaces, train, test):
        from umap import UMAP

        model = UMAP(n_components=n_components, random_state=seed, n_jobs=1)
        codes = model.fit_transform(spaces.std(train))
        return codes, model.transform(spaces.std(test)), None

    return fit


def models(n_components, seed, *, peers, positive):
    """By name, functions that fit a model and give codes of train and test rows and R2's rows."""
    # which randomised solver PCA takes depends on the table alone
    found = {
        "VAE": vae(n_components, seed),
        "PCA": linear(PCA(n_components, random_state=0), standardised=False),
        "scaled PCA": linear(PCA(n_components, random_state=0), standardised=True),
    }
    if peers:
        factors = FactorAnalysis(n_components, random_state=0)
        found["FA"] = linear(factors, standardised=True)
        if positive:
            found["NMF"] = linear(NMF(n_components, max_iter=500), standardised=False)
        found["autoencoder"] = autoencoder(n_components, seed)
        if find_spec("umap"):
            found["UMAP"] = umap(n_components, seed)
    return found


def measures(codes, labels, test_codes, test_labels):
    neighbours = KNeighborsClassifier(5).fit(codes, labels)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)).fit(codes, labels)
    return neighbours.score(test_codes, test_labels), logistic.score(test_codes, test_labels)


COLUMNS = {"5-NN": (7, 3), "logistic": (10, 3), "R2": (8, 3), "trust": (8, 3), "s": (7, 1)}


def show(table, q, model, values, sign=""):
    """A line of figures, those of the first columns."""
    cells = "".join(
        f"{value:{sign}{width}.{digits}f}"
        for value, (width, digits) in zip(values, COLUMNS.values(), strict=False)
    )
    print(f"{table:15}{q:3}  {model:12}{cells}", flush=True)


def split(name, seed):
    """Rows of a table and their labels: train, test, train labels, test labels."""
    X, y = TABLES[name]()
    return train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)


def figures(name, q, seed, peers):
    """For each model the figures of ``COLUMNS`` on one split."""
    train, test, labels, test_labels = split(name, seed)
    spaces = Spaces(train)
    encoded, center = spaces.std(test), spaces.std(train).mean(axis=0)
    positive = bool((spaces.raw(train) >= 0).all() and (spaces.raw(test) >= 0).all())
    found = {}
    for model, fit in models(q, seed, peers=peers, positive=positive).items():
        start = time.perf_counter()
        codes, test_codes, reconstruction = fit(spaces, train, test)
        seconds = time.perf_counter() - start
        found[model] = [
            *measures(codes, labels, test_codes, test_labels),
            np.nan if reconstruction is None else r2(encoded, reconstruction, center),
            trustworthiness(encoded, test_codes) if q == 2 else np.nan,
            seconds,
        ]
    return found


def codes_of_tables(arguments):
    differences = {q: [] for q in COMPONENTS}
    header = "".join(f"{name:>{width}}" for name, (width, _) in COLUMNS.items())
    print(f"{'':15}{'q':>3}  {'model':12}{header}")
    for name in arguments.tables:
        for q in COMPONENTS:
            if q >= TABLES[name]()[0].shape[1]:
                continue
            splits = [figures(name, q, seed, arguments.peers) for seed in range(arguments.splits)]
            means = {model: np.mean([one[model] for one in splits], axis=0) for model in splits[0]}
            for model, mean in means.items():
                show(name, q, model, mean)
            best = np.maximum(means["PCA"], means["scaled PCA"])
            differences[q].append((means["VAE"] - best)[:3])
            show(name, q, "above PCA", differences[q][-1], sign="+")
    print("\nVAE above the better PCA:  5-NN mean, least;  logistic mean, least;  R2 least")
    for q, each in differences.items():
        if each:
            mean, least = np.mean(each, axis=0), np.min(each, axis=0)
            print(
                f"{q:3} components  {mean[0]:+.3f} {least[0]:+.3f}   {mean[1]:+.3f} {least[1]:+.3f}"
                f"   {least[2]:+.3f}"
            )


def unused(arguments):
    print(f"{'':15}{'q':>3}{'unused, 20 seeds':>18}{'of PCA':>8}")
    for name in arguments.tables:
        X, _ = TABLES[name]()
        for q in COMPONENTS:
            if q >= X.shape[1]:
                continue
            spectrum = PCA(random_state=0).fit(Encoded(X, standardised=True)(X)).explained_variance_
            noise = np.mean(spectrum[q:])
            n_unused = [
                int((VAETransformer(q, random_state=seed).fit(X).kl_divergence_ < UNUSED).sum())
                for seed in range(20)
            ]
            print(
                f"{name:15}{q:3}{sum(n_unused):18}{int((spectrum[:q] <= noise).sum()):8}",
                flush=True,
            )


def mnist(arguments):
    X, y, X_test, y_test = images()
    print(f"{'':12}{'q':>3}{'5-NN':>8}{'logistic':>10}{'s':>7}")
    for q in (2, 10):
        for model in (VAETransformer(q, random_state=0), PCA(q, random_state=0)):
            start = time.perf_counter()
            codes = model.fit(X).transform(X)
            seconds = time.perf_counter() - start
            near, logistic = measures(codes, y, model.transform(X_test), y_test)
            name = type(model).__name__[:11]
            print(f"{name:12}{q:3}{near:8.3f}{logistic:10.3f}{seconds:7.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"codes": codes_of_tables, "unused": unused, "mnist": mnist}
    parser.add_argument("parts", nargs="*", choices=[*parts, []], metavar="part")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_intermixed_args()
    for part in arguments.parts or ["codes"]:
        parts[part](arguments)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
