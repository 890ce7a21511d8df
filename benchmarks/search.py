"""A grid search on one and on two processes: equal results, time, and threads at work.

    python benchmarks/search.py

`GridSearchCV` over n_components, beta and hidden_layer_sizes in a Pipeline on a DataFrame. Threads
are those that torch may use where a candidate is scored, times the processes: more than the
cores would be over-subscription. Last, 12 candidates and five folds on the digits: the seconds of
the search beside those of its fits alone.
"""

import os
import time

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

GRID = {
    "vaetransformer__n_components": [2, 5],
    "vaetransformer__beta": [0.5, 1.0],
    "vaetransformer__hidden_layer_sizes": [(64,), (128, 128)],
}
DIGITS = {
    "n_components": [2, 5, 10],
    "beta": [0.5, 1.0],
    "hidden_layer_sizes": [(128,), (128, 128)],
}
LARGE = {"vaetransformer__hidden_layer_sizes": [(600, 600), (500, 500)]}


def main():
    X = load_breast_cancer(as_frame=True).data
    print(f"{os.cpu_count()} cores, {len(X)} rows x {X.shape[1]} columns")
    for name, grid, max_iter in [("small networks", GRID, 200), ("large networks", LARGE, 5)]:
        model = VAETransformer(max_iter=max_iter, random_state=0)
        found = {}
        for n_jobs in (1, 2):
            search = GridSearchCV(
                make_pipeline(StandardScaler(), model),
                grid,
                cv=3,
                n_jobs=n_jobs,
                scoring=scores,
                refit=False,
            )
            start = time.perf_counter()
            found[n_jobs] = search.fit(X).cv_results_
            seconds = time.perf_counter() - start
            threads = int(n_jobs * found[n_jobs]["mean_test_threads"].max())
            print(f"{name}: n_jobs={n_jobs} {seconds:6.1f} s, {threads} threads", flush=True)
        one, two = (found[n]["mean_test_score"] for n in (1, 2))
        print(f"{name}: largest difference of scores {np.abs(one - two).max()}", flush=True)
    digits()


def digits():
    start = time.perf_counter()
    search = GridSearchCV(VAETransformer(random_state=0), DIGITS, refit=False)
    found = search.fit(load_digits().data).cv_results_
    seconds, fits = time.perf_counter() - start, search.n_splits_ * found["mean_fit_time"].sum()
    print(f"digits: {seconds:.1f} s, of which fits {fits:.1f} s; ratio {seconds / fits:.2f}")


def scores(model, X, y=None):
    return {"score": model.score(X), "threads": torch.get_num_threads()}


if __name__ == "__main__":
    main()
