"""Estimators of many configurations, for the tests that hold for all of them."""

from torch import nn

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP, Conv, FromFunction, Recurrent, ResidualMLP


class AnyImage(Conv):
    """Images of one row of pixels, of as many as the table has columns."""

    def _shape(self, n_columns):
        return 1, n_columns, 1


class AnySequence(Recurrent):
    """Sequences of as many steps as the table has columns."""

    def _n_steps(self, n_columns):
        return n_columns


def own_layers(n_inputs, n_outputs):
    return nn.Sequential(
        nn.Linear(n_inputs, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(8, n_outputs),
    )


SMALL = {"hidden_layer_sizes": (8,), "max_iter": 1}
CONFIGURATIONS = {
    "defaults": {},
    "linear": {"hidden_layer_sizes": ()},
    "without early stopping": {"early_stopping": False},
    "iwae": {"objective": "iwae", "n_draws": 5},
    "free bits": {"free_bits": 0.1},
    "beta and warm-up": {"beta": 4.0, "kl_warmup": 0.5},
    "dropout": {"dropout": 0.3, "early_stopping": False},
    "L2": {"alpha": 0.1},
    "cosine": {"learning_rate": "cosine"},
    "small batches": {"batch_size": 4},
    "warm start": {"warm_start": True},
    "nested encoder": {"encoder": MLP((6, 5), activation="relu", initialization="glorot")},
    "residual blocks": {"encoder": ResidualMLP(8, 1, dropout=0.1)},
    "convolutions": {"encoder": AnyImage((1, 1), (4,), width=8)},
    "recurrent": {"encoder": AnySequence(1, 4)},
    "own layers": {"encoder": FromFunction(own_layers)},
    "bfloat16": {"precision": "bfloat16"},
    "gaussian by name": {"likelihood": "gaussian", "gradient_clip": None},
    "gaussian of one sigma": {"likelihood": Gaussian("shared"), "activation": "elu"},
    "gaussian of fixed sigma": {"likelihood": Gaussian(0.5), "activation": "tanh"},
    "student t": {"likelihood": "student_t"},
    "histogram": {"likelihood": "histogram"},
    "mixture prior": {"prior": "mixture"},
}
ESTIMATORS = {
    **{name: VAETransformer(**(SMALL | kept)) for name, kept in CONFIGURATIONS.items()},
    "imputer": VAEImputer(VAETransformer(**SMALL)),
    "outlier detector": VAEOutlierDetector(VAETransformer(**SMALL)),
}
