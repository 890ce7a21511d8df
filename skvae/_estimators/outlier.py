"""Outlier detection: rows of low likelihood under a model of the training rows."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import OutlierMixin, _fit_context

from skvae._estimators.constraints import RuledInterval
from skvae._estimators.shell import Shell
from skvae._estimators.transformer import VAETransformer
from skvae._interrupts import interrupts_held
from skvae._table.validation import replace_rows_of_no_weight, validate_weight


class VAEOutlierDetector(OutlierMixin, Shell):
    """Detect outliers as rows of low likelihood.

    The score of a row is its log-likelihood under a :class:`VAETransformer`. Each numeric column is
    measured in units of its own spread, so that a missing value changes the score by the same
    amount in metres as in feet. The threshold is set such that a share ``contamination`` of the
    training rows are outliers. The columns may be of mixed types. ``estimator_.score_cells(X)``
    shows which values make a row unlikely.

    A score is a sum over the observed values of a row, so the scores of rows with different missing
    values are not strictly comparable. Impute first if many rows have missing values. A category
    that was not seen in training counts as missing, and does not make a row an outlier. A number
    outside the support of its column's likelihood raises an error.

    Train on rows without outliers if you can. Outliers that resemble each other, such as the same
    amount in several rows, are learned as normal, and even a few unusual rows raise the likelihood
    of others like them.

    Parameters
    ----------
    estimator : VAETransformer, default=None
        The model. None uses ``VAETransformer(n_components=6)``.
    contamination : float, default=0.1
        Share of the training rows, by weight, that are outliers, in (0, 0.5]. A larger share of new
        inliers falls below the threshold, up to about twice as large, since the model fits its
        training rows better. :doc:`/tables` shows how to set the threshold by other rows.
    random_state : int, RandomState instance or None, default=None
        Seed of the model. Unless None, it replaces the ``random_state`` of ``estimator``.
    verbose : int, default=0
        Whether to print a line for each epoch. Unless 0, it replaces the ``verbose`` of
        ``estimator``.

    Attributes
    ----------
    estimator_ : VAETransformer
        The fitted model.
    offset_ : float
        The threshold, in nats: ``decision_function`` is ``score_samples`` minus ``offset_``.
    loss_curve_ : list of float
        The ``loss_curve_`` of ``estimator_``, in nats per row.
    n_features_in_ : int
        Number of columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if they are all strings.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Finds rows that few random splits isolate.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAEOutlierDetector
    >>> X = load_wine().data
    >>> detector = VAEOutlierDetector(contamination=0.05, random_state=0).fit(X)
    >>> int((detector.predict(X) == -1).sum())
    8
    """

    _parameter_constraints: ClassVar[dict] = {
        **Shell._parameter_constraints,
        "contamination": [RuledInterval(0, 0.5)],
    }

    def __init__(self, estimator=None, *, contamination=0.1, random_state=None, verbose=0):
        self.estimator = estimator
        self.contamination = contamination
        self.random_state = random_state
        self.verbose = verbose

    def _default(self, X):
        return VAETransformer(6)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the model, and set the threshold from the scores of the training rows.

        An error or a keyboard interrupt leaves the estimator unchanged.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for :meth:`VAETransformer.fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As for :meth:`VAETransformer.fit`.

        Returns
        -------
        self : VAEOutlierDetector
        """
        X = replace_rows_of_no_weight(X, sample_weight, in_arrays=True)
        self._fit_score(X, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_predict(self, X, y=None, sample_weight=None):
        """Fit the model and predict the labels of the training rows, also of those of weight 0.

        This is the same as ``fit(X).predict(X)``, but the rows are scored only once.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As for :meth:`fit`.

        Returns
        -------
        labels : ndarray of int of shape (n_samples,)
            -1 for outliers, 1 for inliers.
        """
        return self._labels(self._fit_score(X, sample_weight) - self.offset_)

    def _fit_score(self, X, sample_weight):
        """Fit, and return the scores of the rows."""
        model = self._train(X, sample_weight)
        score = model._unit_free_score(X)
        weight = validate_weight(sample_weight, score)
        possible = (score > -np.inf) & (weight > 0)
        if not possible.any():
            raise ValueError(
                "The likelihood of each training row is 0 in floating point. Look for values far "
                "outside the range of the others, and replace them by NaN, which marks a missing "
                "value."
            )
        # The offset is the score of the least likely inlier, whose decision is 0.
        inliers = (1 - self.contamination) * (1 - 1e-12)  # the sums of weights are rounded
        finite = np.maximum(score, np.finfo(score.dtype).min)
        offset = -np.quantile(-finite, inliers, weights=weight, method="inverted_cdf")
        with interrupts_held():
            self._keep(model)
            # all rows of likelihood 0 are outliers, even beyond ``contamination``
            self.offset_ = float(max(offset, score[possible].min()))
        return score

    def score_samples(self, X):
        """The log-likelihood of each row, in nats; the lower, the more abnormal.

        This is ``estimator_.score_samples`` with each numeric column in units of its spread. A row
        too far from the training rows scores -inf, and is an outlier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples,)
        """
        return self._fitted_estimator()._unit_free_score(X)

    def decision_function(self, X):
        """``score_samples(X) - offset_``: negative for outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        decision : ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Predict -1 for outliers and 1 for inliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of int of shape (n_samples,)
        """
        return self._labels(self.decision_function(X))

    @staticmethod
    def _labels(decision):
        return np.where(decision >= 0, 1, -1)
