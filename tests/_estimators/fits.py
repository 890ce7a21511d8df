"""Models and helpers that the tests of the estimators share."""

import numpy as np
import pandas as pd

from skvae.callbacks._base import EpochCallback

QUICK = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}


def state(estimator):
    """All that fit learnt, as comparable arrays."""
    weights = {k: v.cpu().numpy() for k, v in estimator.module_.state_dict().items()}
    return weights | {"loss": np.array(estimator.loss_curve_)}


def assert_same_state(one, other):
    one, other = state(one), state(other)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def mixed(n=1200):
    """A frame of numbers, a category, a bool and a column with a spike, of one common factor."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    kind = np.where(z + rng.normal(size=n) > 0.5, "x", rng.choice(["w", "y"], size=n))
    return pd.DataFrame(
        {
            "a": z + 0.3 * rng.normal(size=n),
            "kind": pd.Categorical(kind),
            "flag": z + rng.normal(size=n) > 0,
            "spiky": np.where(rng.random(n) < 0.3, 0.0, np.exp(z + 0.2 * rng.normal(size=n))),
            "b": 5 - 30 * z + 10 * rng.normal(size=n),
        }
    )


class StopAt(EpochCallback):
    """A callback that ends training."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id + 1 == self.epoch
