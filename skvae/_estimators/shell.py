"""The base of estimators that use a fitted VAETransformer for one task."""

from __future__ import annotations

from typing import ClassVar

from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from skvae._estimators.constraints import Ruled
from skvae._estimators.saving import SavedEstimator
from skvae._estimators.transformer import VAETransformer
from skvae._interrupts import interrupts_held
from skvae._torch.random import RANDOM_STATE, seed_from


class Shell(SavedEstimator, BaseEstimator):
    """Base of the estimators that fit a clone of ``estimator`` and use its methods."""

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [VAETransformer, None],
        "random_state": [Ruled(RANDOM_STATE)],
        "verbose": ["verbose"],
    }

    def _default(self, X):
        """The model for ``estimator=None`` and the table ``X``."""
        raise NotImplementedError

    def _train(self, X, sample_weight):
        """Fit a clone of the estimator, and return it."""
        model = self._default(X) if self.estimator is None else clone(self.estimator)
        if self.random_state is not None:
            model.set_params(random_state=seed_from(self.random_state) % 2**32)
        if self.verbose:
            model.set_params(verbose=self.verbose)
        return model.fit(X, sample_weight=sample_weight)

    def _keep(self, model):
        """Set the fitted attributes, last, so that an error leaves the estimator unchanged."""
        with interrupts_held():
            self.estimator_ = model
            self.loss_curve_ = model.loss_curve_
            self.n_features_in_ = model.n_features_in_
            if hasattr(model, "feature_names_in_"):
                self.feature_names_in_ = model.feature_names_in_
            elif hasattr(self, "feature_names_in_"):
                del self.feature_names_in_

    def _fitted_estimator(self):
        check_is_fitted(self)
        return self.estimator_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags
