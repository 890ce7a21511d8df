"""Are the fits of two commits the same to the last bit?

    git worktree add ../before COMMIT
    python benchmarks/same.py ../before [--after ../after]

Nine configurations of likelihoods, objectives, weights, missing values and schedules, four epochs
each, in a process for each checkout. Prints whether the losses of all epochs and the weights of the
networks are equal, and the difference of the scores of 20 rows.
"""

import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits, load_wine


def configurations():
    """By name, a table, parameters, and weights of its rows or None."""
    rng = np.random.default_rng(0)
    wine, digits = load_wine().data, load_digits().data
    gaps = np.where(rng.random(wine.shape) < 0.1, np.nan, wine)
    levels = rng.integers(0, 4, (200, 5)).astype(float)
    counts = rng.poisson(3, (200, 6)).astype(float)
    gaussian = {"likelihood": "gaussian"}
    run = {"dropout": 0.1, "learning_rate": "cosine", "early_stopping": False}
    return {
        "gaussian": (wine, gaussian, None),
        "auto": (wine, {}, None),
        "images": (digits, {}, None),
        "bernoulli": ((digits > 7).astype(float), {"likelihood": "bernoulli"}, None),
        "missing values": (gaps, {"likelihood": "student_t"}, None),
        "categories": (levels, {"likelihood": "categorical"}, None),
        "iwae": (counts, {"likelihood": "poisson", "objective": "iwae", "n_draws": 5}, None),
        "weights": (wine, gaussian, rng.integers(1, 4, len(wine))),
        "dropout, cosine": (wine, gaussian | run, None),
    }


def fit():
    """Fit all configurations in this process; print losses, weights and scores."""
    from torch.nn.utils import parameters_to_vector

    from skvae import VAETransformer

    found = {}
    for name, (X, parameters, weight) in configurations().items():
        vae = VAETransformer(2, max_iter=4, random_state=0, **parameters)
        vae.fit(X, sample_weight=weight)
        networks = [vae.module_.encoder, vae.module_.decoder]
        weights = [parameters_to_vector(n.parameters()).tolist() for n in networks]
        found[name] = vae.loss_curve_, weights, vae.score(X[:20])
    print(json.dumps(found))


def run(code):
    """The result of ``fit`` by the package in a folder."""
    command = [sys.executable, __file__, "--one"]
    environment = os.environ | {"PYTHONPATH": str(code.resolve())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, nargs="?")
    parser.add_argument("--after", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        fit()
        return
    if arguments.before is None or not (arguments.before / "skvae").is_dir():
        parser.error("name a checkout of the code of before, whose folder holds skvae/")
    then, now = run(arguments.before), run(arguments.after)
    print(f"{'':18}{'losses':>8}{'weights':>9}{'scores differ by':>18}")
    for name, (losses, weights, score) in now.items():
        same = [
            "yes" if a == b else "no" for a, b in zip((losses, weights), then[name], strict=False)
        ]
        print(f"{name:18}{same[0]:>8}{same[1]:>9}{abs(score - then[name][2]):18.1e}")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
