"""What scikit-learn asks of an estimator, for many configurations."""

import os

import pytest
from configurations import ESTIMATORS, SMALL
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from skvae import VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore:Posterior collapse")  # after an epoch

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
