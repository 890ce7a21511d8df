"""Small models of every likelihood, network, prior and kind of table, and the rows to score."""

from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
from configurations import AnyImage, AnySequence, own_layers

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.likelihoods import LIKELIHOODS, Bernoulli, Gaussian, Poisson
from skvae.networks import MLP, Conv, Recurrent, ResidualMLP
from skvae.priors import Mixture

N = 60
K = np.arange(N)
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}


def numbers(d=4):
    """Columns of numbers, without a generator of random numbers, whose draws may change."""
    return np.sin(K[:, None] * np.arange(1, d + 1) + np.arange(d)) + 0.01 * K[:, None] / N


def counts():
    return np.floor(3 * np.abs(numbers()))


TABLES = {
    "bernoulli": lambda: (numbers() > 0).astype(float),
    "categorical": counts,
    "ordinal": counts,
    "poisson": counts,
    "negative_binomial": counts,
    "beta": lambda: 0.5 + 0.4 * numbers() / 1.1,
    "continuous_bernoulli": lambda: 0.5 + 0.4 * numbers() / 1.1,
    "log_normal": lambda: np.exp(numbers()),
}


def gaps():
    return np.where(K[:, None] % 5 == np.arange(4), np.nan, numbers())


def mixed():
    """A pandas frame of every kind of column."""
    x = numbers()
    kind = np.array(["low", "mid", "high"])[K % 3]
    start = datetime(2020, 1, 1)
    return pd.DataFrame(
        {
            "float": x[:, 0],
            "whole": pd.array(K % 7, dtype="Int64"),
            "large": K + 2**60,
            "flag": K % 2 == 0,
            "string": kind,
            "ordered": pd.Categorical(kind, ["low", "mid", "high"], ordered=True),
            "interval": pd.cut(x[:, 1], 3),
            "date": [start + timedelta(days=int(k)) for k in K],
            "zoned": pd.date_range("2020", periods=N, tz="Europe/Berlin"),
            "duration": pd.to_timedelta(K, unit="h"),
            "period": pd.period_range("2020", periods=N, freq="M"),
            "price": [Decimal(int(k)) / 4 for k in K],
            "arrow": pd.array(x[:, 2], dtype="double[pyarrow]"),
            "nullable": pd.array(kind, dtype="string"),
        }
    )


def of_polars():
    x = numbers()
    kind = np.array(["low", "mid", "high"])[K % 3].tolist()
    return pl.DataFrame(
        {
            "float": x[:, 0].astype(np.float32),
            "whole": (K % 7).astype(np.uint8),
            "category": pl.Series(kind, dtype=pl.Categorical),
            "enum": pl.Series(kind, dtype=pl.Enum(["low", "mid", "high"])),
            "date": [datetime(2020, 1, 1) + timedelta(days=int(k)) for k in K],
            "price": pl.Series([Decimal(int(k)) / 4 for k in K], dtype=pl.Decimal(8, 2)),
        }
    )


def with_levels():
    frame = pd.DataFrame(numbers(2), columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    return frame.rename_axis(columns=["letter", "number"])


def objects():
    return np.array([[number, "ab"[k % 2]] for k, number in enumerate(numbers(1)[:, 0])], object)


def vae(**settings):
    return VAETransformer(2, **(SMALL | settings))


# what the file of a model of the contract's list does not hold
CUSTOM = {"AnyImage": AnyImage, "AnySequence": AnySequence, "own_layers": own_layers}
CASES = {
    **{
        name: (vae(likelihood=name), TABLES.get(name, lambda: numbers() ** 3))
        for name in LIKELIHOODS
    },
    "gaussian of one sigma": (vae(likelihood=Gaussian("shared")), numbers),
    "binarised": (vae(likelihood=Bernoulli(binarize=True)), TABLES["beta"]),
    "library sizes": (vae(likelihood=Poisson(library_size=True)), counts),
    "a likelihood of each column": (vae(likelihood={0: "student_t", 1: "histogram"}), numbers),
    "mlp": (vae(encoder=MLP((5, 4), activation="relu")), numbers),
    "residual": (vae(encoder=ResidualMLP(4, 1, dropout=0.1)), numbers),
    "conv": (vae(encoder=Conv((2, 2), (2,), width=4)), numbers),
    "recurrent": (vae(encoder=Recurrent((2, 2), 3, cell="lstm")), gaps),
    "recurrent of one variable": (vae(encoder=Recurrent(4, 3)), numbers),
    "linear": (vae(hidden_layer_sizes=()), numbers),
    "mixture": (vae(prior="mixture"), numbers),
    "mixture fitted afterwards": (vae(prior=Mixture(2, learned=False)), numbers),
    "gaps": (vae(), gaps),
    "bounds and resolution": (
        vae(bounds={0: (-2, None)}, resolution={1: None}, warm_start=True),
        numbers,
    ),
    "pandas": (vae(), mixed),
    "bounds of dates": (
        vae(bounds={"zoned": (pd.Timestamp("2019", tz="Europe/Berlin"), None)}),
        mixed,
    ),
    "several levels of labels": (vae(), with_levels),
    "polars": (vae(), of_polars),
    "pyarrow": (vae(), lambda: of_polars().drop("enum").to_arrow()),
    "objects": (vae(), objects),
    "imputer": (VAEImputer(vae(), random_state=0), gaps),
    "detector": (VAEOutlierDetector(vae(), contamination=0.2), numbers),
}


def model_of(estimator):
    """The model of an estimator of any kind."""
    return estimator if isinstance(estimator, VAETransformer) else estimator.estimator_


def scores_of(estimator, X):
    """The scores of rows by draws from the posterior of the encoder."""
    return model_of(estimator).score_samples(X, n_importance=8)
