"""Sequences: `Recurrent` and an `MLP` of as many weights, by the log-likelihood of held-out rows.

    python benchmarks/sequences.py [sines power vowels] [--seeds 3]

sines   noisy sine waves of 30 steps, of random frequency, phase and amplitude; 1,000 for training
power   ItalyPowerDemand: 1,096 days of 24 hours
vowels  JapaneseVowels: 640 utterances, 7 to 29 steps of 12 variables; the ends of shorter ones are
        missing values, and those of longer ones than in training are cut off

The last two come with sktime. Half of their sequences are for training. Each network has the
learning rate, of two, at which its validation score is higher. Weights are averaged over an epoch.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.networks import MLP, Recurrent

N_COMPONENTS = 6
HIDDEN_SIZE = 48
RATES = (2e-3, 1e-2)
NARROWEST, WIDEST = 8, 512  # hidden layers of an MLP


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*SEQUENCES, []], metavar="name")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print("sequences  network       weights   log p     +-  seconds")
    for name in arguments.names or SEQUENCES:
        found = {}
        for seed in range(arguments.seeds):
            X_train, X_test, shape = SEQUENCES[name](seed)
            recurrent = Recurrent(shape, HIDDEN_SIZE)
            n_weights = fitted(X_train, recurrent, RATES[0], seed, max_iter=1)[1]
            for network in (recurrent, mlp_of(n_weights, X_train, seed)):
                judged = judge(network, X_train, X_test, seed)
                found.setdefault(type(network).__name__, []).append(judged)
        for network, values in found.items():
            (n_weights, log_p, seconds), spread = np.mean(values, 0), np.std(values, 0)
            print(
                f"{name:10} {network:12}{n_weights:10.0f}{log_p:8.2f}{spread[1]:7.2f}{seconds:9.1f}"
            )


def fitted(X, encoder, rate, seed, **settings):
    """A fitted model and its number of weights."""
    vae = VAETransformer(
        N_COMPONENTS,
        encoder=encoder,
        learning_rate_init=rate,
        average=1.0,
        random_state=seed,
        **settings,
    ).fit(X)
    return vae, sum(parameter.numel() for parameter in vae.module_.parameters())


def mlp_of(n_weights, X, seed):
    """The largest MLP of two equal hidden layers with at most ``n_weights`` weights."""
    low, high = NARROWEST, WIDEST
    while high - low > 1:
        width = (low + high) // 2
        if fitted(X, MLP((width, width)), RATES[0], seed, max_iter=1)[1] <= n_weights:
            low = width
        else:
            high = width
    return MLP((low, low))


def judge(network, X_train, X_test, seed):
    """Number of weights, mean log p of held-out rows and seconds of a fit."""
    start = time.perf_counter()
    candidates = [fitted(X_train, network, rate, seed) for rate in RATES]
    seconds = (time.perf_counter() - start) / len(RATES)
    vae, n_weights = max(candidates, key=lambda pair: pair[0].best_validation_score_)
    return n_weights, vae.score(X_test), seconds


def sines(seed, n_steps=30):
    rng = np.random.default_rng(seed)
    n = 2000
    amplitude, frequency, phase = (
        rng.uniform(low, high, (n, 1)) for low, high in [(0.5, 1.5), (1, 3), (0, 2 * np.pi)]
    )
    steps = np.arange(n_steps) / n_steps
    X = amplitude * np.sin(2 * np.pi * frequency * steps + phase)
    X += 0.1 * rng.standard_normal(X.shape)
    return X[:1000], X[1000:], n_steps


def power(seed):
    from sktime.datasets import load_italy_power_demand

    X, _ = load_italy_power_demand(return_type="numpy3d")
    return *train_test_split(X[:, 0], test_size=0.5, random_state=seed), X.shape[2]


def vowels(seed):
    from sktime.datasets import load_japanese_vowels

    table, _ = load_japanese_vowels(return_type="nested_univ")
    longest = max(map(len, table.iloc[:, 0]))
    X = np.full((len(table), longest, table.shape[1]), np.nan)
    for row, series in enumerate(table.itertuples(index=False)):
        X[row, : len(series[0])] = np.column_stack(series)
    halves = train_test_split(X, test_size=0.5, random_state=seed)
    n_steps = np.isfinite(halves[0]).any(axis=(0, 2)).sum()
    return *(half[:, :n_steps].reshape(len(half), -1) for half in halves), (n_steps, X.shape[2])


SEQUENCES = {"sines": sines, "power": power, "vowels": vowels}


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
