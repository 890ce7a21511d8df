"""Rows that a model of the training rows finds unlikely."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import OutlierMixin, _fit_context

from skvae._estimators.constraints import number
from skvae._estimators.shell import Shell
from skvae._estimators.transformer import VAETransformer
from skvae._table.validation import validate_weight


class VAEOutlierDetector(OutlierMixin, Shell):
    """Detect rows of low likelihood.

    Rows are scored by their log-likelihood under a :class:`VAETransformer`, the unit of each column
    of numbers being its own spread, so that a missing cell weighs the same in metres as in feet.
    Rows below the score of the least likely ``contamination`` of the training rows are outliers.
    Works on tables of mixed columns; ``estimator_.score_cells(X)`` tells which cell makes a row
    odd.

    A score sums over the cells that are there, so rows that miss different cells do not quite
    compare: impute first where many do. A category that training has not seen counts as missing,
    and makes no row odd; a number that a column's likelihood does not allow is an error.

    Parameters
    ----------
    estimator : VAETransformer, default=None
        The model. None for ``VAETransformer(n_components=6)``.
    contamination : float, default=0.1
        Share of the training rows, by weight, that are outliers, in (0, 0.5]. Of clean rows that
        training has not seen some more fall below: the model knows its own a little better.
    random_state : int, RandomState instance or None, default=None
        Seeds the model, in place of the estimator's own unless None.

    Attributes
    ----------
    estimator_ : VAETransformer
        The fitted model.
    offset_ : float
        ``decision_function`` is ``score_samples`` less this, in nats.
    n_features_in_ : int
        Number of columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where they are all strings.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Rows that random splits isolate early.

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
        "contamination": [number(0, 0.5, closed="right")],
    }

    def __init__(self, estimator=None, *, contamination=0.1, random_state=None):
        self.estimator = estimator
        self.contamination = contamination
        self.random_state = random_state

    def _default(self):
        return VAETransformer(6)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the model, and find where its training scores end.

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
        self._fit_score(X, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_predict(self, X, y=None, sample_weight=None):
        """The same as ``fit(X).predict(X)``, in which rows are scored once.

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
            -1 for outliers, 1 for others.
        """
        return self._labels(self._fit_score(X, sample_weight) - self.offset_)

    def _fit_score(self, X, sample_weight):
        """Fit, and the scores of the rows."""
        model = self._train(X, sample_weight)
        score = model._unit_free_score(X)
        weight = validate_weight(sample_weight, score)
        possible = (score > -np.inf) & (weight > 0)
        if not possible.any():
            raise ValueError(
                "The likelihood of each training row is 0 in floating point. Look for values far "
                "outside the others, and mark them as missing by NaN."
            )
        # of the least likely inlier: it lies at 0, all outliers below
        inliers = (1 - self.contamination) * (1 - 1e-12)  # less what the sums round
        finite = np.maximum(score, np.finfo(score.dtype).min)
        offset = -np.quantile(-finite, inliers, weights=weight, method="inverted_cdf")
        self._keep(model)
        # rows of likelihood 0 are outliers, however many
        self.offset_ = float(max(offset, score[possible].min()))
        return score

    def score_samples(self, X):
        """The log-likelihood of each row, in nats; lower is odder.

        That of ``estimator_.score_samples``, with the spread of each column of numbers as its unit.
        It is -inf for a row too far from those of training, which is an outlier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples,)
        """
        return self._fitted()._unit_free_score(X)

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
        """-1 for outliers, 1 for others.

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
