"""What the methods of a fitted estimator share: its attributes, and the check of a table."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skvae._fitted import Fitted
from skvae._table.validation import validate_table


def _learned(path):
    """A fitted attribute that is read from the fitted model at a path."""

    def get(self):
        found = self._fitted
        for name in path.split("."):
            found = getattr(found, name)
        return found

    return property(get)


class FittedMethods:
    """Base of the method classes of ``VAETransformer``. Attributes are read from ``_fitted``."""

    _fitted: Fitted
    n_features_in_: int

    n_components_ = _learned("n_components")
    likelihoods_ = _learned("columns.likelihoods")
    categories_ = _learned("categories")
    resolutions_ = _learned("columns.resolutions")
    bounds_ = _learned("bounds")
    module_ = _learned("module")
    precision_ = _learned("training.precision")
    loss_curve_ = _learned("training.loss_curve")
    reconstruction_curve_ = _learned("training.reconstruction_curve")
    kl_curve_ = _learned("training.kl_curve")
    learning_rates_ = _learned("training.learning_rates")
    validation_scores_ = _learned("training.validation_scores")
    best_validation_score_ = _learned("training.best_validation_score")
    kl_divergence_ = _learned("kl_divergence")
    scale_ = _learned("scale")
    n_iter_ = _learned("training.n_epochs")
    n_iter_codes_ = _learned("training.n_codes_epochs")

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_fitted")

    def _checked(self, X):
        """The checked table, and the dtype of the computation and the result."""
        check_is_fitted(self)
        table = validate_table(self, X, self._fitted.container, reset=False)
        table = self._fitted.columns.foreseen(table, self._fitted.container.shown)
        dtype = table.dtype.newbyteorder("=")
        return table, dtype if dtype in (np.float32, np.float64) else np.float64
