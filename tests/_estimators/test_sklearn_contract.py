"""What scikit-learn asks of an estimator, for many configurations."""

import os

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator
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


pytestmark = pytest.mark.filterwarnings("ignore:Posterior collapse")  # after an epoch

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

# Public checks that check_estimator does not yield.
MORE_CHECKS = [
    "check_get_feature_names_out_error",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_dataframe_column_names_consistency",
    "check_estimators_partial_fit_n_features",
    "check_inplace_ensure_writeable",
    "check_param_validation",
]

# Checks that say themselves that they need an environment variable.
NEEDS_ARRAY_API = set() if os.environ.get("SCIPY_ARRAY_API") else {"check_array_api_input"}


@pytest.mark.filterwarnings("default", "ignore:No epoch is left")  # of fits with warm_start
@pytest.mark.touches_global_state  # the checks draw from numpy's global generator
@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_every_check_of_scikit_learn_passes(estimator):
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    not_passed = {r["check_name"]: r["exception"] for r in results if r["status"] != "passed"}
    assert set(not_passed) == NEEDS_ARRAY_API, not_passed


# The checks of set_output pass arrays to what was fitted on a data frame.
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize("name", MORE_CHECKS)
def test_public_checks_that_check_estimator_omits_pass(name):
    check = getattr(estimator_checks, name)
    check("VAETransformer", clone(VAETransformer(**SMALL)))
