"""Log-likelihoods of rows and of their cells, and the lower bound on those of rows."""

from __future__ import annotations

import numpy as np

from skvae._estimators.methods import FittedMethods
from skvae._inference.effort import STANDARD_ERROR
from skvae._rules import NOTHING, number, whole
from skvae._table.validation import validate_weight

MOST_SCORING_DRAWS = 2**16  # for a row; larger numbers, mostly mistakes, would exceed the memory


class ScoreMethods(FittedMethods):
    """The methods that return log-likelihoods and their lower bound."""

    def score_samples(self, X, *, n_importance=None, standard_error=STANDARD_ERROR):
        """The log-likelihood of each row, log p(x), in nats.

        An estimate by importance sampling [1]_. The draws of a row are from the encoder's
        posterior, from a normal at a mode of p(x, z) near it, and from a wider normal; for a row
        with missing values, and in up to four dimensions, from a second mode too. Beyond 8
        components the normals are moved from the mode towards where most of the mass is [3]_. The
        weights are calibrated by control variates [2]_. There are 32 draws at first (64 for a row
        with missing values, 128 beyond 8 components), and twice as many until the standard error is
        small enough. Rows that never get there have further draws, from a normal at the mode to
        which their draw of the highest weight leads, or at the modes that a thorough search finds.
        The result is deterministic: the quasi-random noise of the draws is fixed by ``fit`` and the
        same for all rows and calls, so that scores of models and rows are comparable. Densities are
        per unit of the data.

        The score is of the observed values only, so the scores of rows with different missing
        values are not comparable. It is 0 for a row without observed values. It is -inf for a row
        so far from the training rows that no density above 0 is found in floating point.

        If the density of a draw or its gradient is not finite, as for codes far from the prior, the
        density counts as 0 and the search for a mode stops, which lowers the estimate. If no
        density of a row is a number, the row scores -inf, with a warning.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_importance : int, default=None
            Number of draws for each row, in place of ``standard_error``; a power of two spreads
            them evenly. Fewer than 16 are from the encoder's posterior alone. This takes a fraction
            of the time, but underestimates the likelihood of outliers and of rows with missing
            values by much.
        standard_error : float, default=0.1
            Standard error, in nats, at which a row has enough draws. It is estimated for
            independent draws. The errors of quasi-random ones are about half as large for most
            rows, and larger if the weights have heavy tails. From 0.001 to 10; at most 16,384 draws
            are taken for it.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)

        References
        ----------
        .. [1] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders",
               ICLR 2016, equation 8.
        .. [2] A. Owen and Y. Zhou, "Safe and Effective Importance Sampling", Journal of the
               American Statistical Association 95 (449), 2000.
        .. [3] M. Opper and C. Archambeau, "The Variational Gaussian Approximation Revisited",
               Neural Computation 21 (3), 2009.
        """
        table, dtype = self._checked(X)
        accuracy = _checked_accuracy(n_importance, standard_error)
        return self._fitted.log_likelihood(table, dtype, *accuracy)

    def _unit_free_score(self, X):
        """``score_samples`` with each numeric column in units of its spread."""
        table, dtype = self._checked(X)
        fitted = self._fitted
        return fitted.log_likelihood(table, dtype) + fitted.columns.sum_of_log_units(table)

    def elbo(self, X, *, n_draws=None):
        """The evidence lower bound of each row, in nats, at beta = 1.

        E[log p(x|z)] - KL[q(z|x) || p(z)] with the prior of training: N(0, I), or a prior that
        training learns, without what is fitted afterwards. :meth:`score_samples` is closer to
        log p(x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_draws : int, default=None
            Number of posterior draws for the expectation. None uses 256, and 512 beyond 8 latent
            dimensions, which may take longer than training did. All rows share the same noise, so
            the error of few draws does not average out over the rows. With 16 draws it is a few
            tenths of a nat in the mean over images of handwritten digits.

        Returns
        -------
        elbo : ndarray of shape (n_samples,)
        """
        table, dtype = self._checked(X)
        return self._fitted.elbo(table, dtype, _checked_draws("n_draws", n_draws))

    def score(
        self, X, y=None, sample_weight=None, *, n_importance=None, standard_error=STANDARD_ERROR
    ):
        """The mean of :meth:`score_samples`, in nats per row; larger is better.

        All rows share their draws, so that their errors do not average out entirely. Errors of the
        mean were up to 0.06 nats, mostly too low.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the mean.
        n_importance : int, default=None
            As in :meth:`score_samples`.
        standard_error : float, default=0.1
            That of the score of each row in nats, as in :meth:`score_samples`.

        Returns
        -------
        score : float
        """
        log_likelihood = self.score_samples(
            X, n_importance=n_importance, standard_error=standard_error
        )
        weight = validate_weight(sample_weight, log_likelihood)
        counted = weight > 0  # -inf times 0 would be NaN
        return float(np.average(log_likelihood[counted], weights=weight[counted]))

    def score_cells(self, X, *, n_importance=None, standard_error=STANDARD_ERROR):
        """The log-likelihood of each value given the others of its row, in nats.

        The score shows how unlikely each value is, and so why a row is an outlier. It is
        log p(x_j | x_others) = log p(x_j, x_others) - log p(x_others). The others are the values
        of the row within the range of the training rows: a value beyond it is probably wrong, and
        right values would be unlikely beside it. If a row has many values beyond the range that are
        right, and a wrong one within it, the right ones score low instead.

        Densities are per spread of their column, so that numbers of different columns are
        comparable. A category has a probability, and so has a number that many rows hold, such as 0
        for none. A category is less likely in a column of many categories than in one of few. It
        takes as long as ``score_samples`` of ``n_features + 1`` tables. Both terms are estimates.
        For a row far from all training rows they may be off by tens of nats, so that a category may
        score above 0 there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_importance : int, default=None
            As in :meth:`score_samples`.
        standard_error : float, default=0.1
            That of each term, as in :meth:`score_samples`.

        Returns
        -------
        log_likelihood : ndarray or data frame of shape (n_samples, n_features)
            NaN for a missing value, and where the others of its row alone have a likelihood of 0 in
            floating point.
        """
        table, dtype = self._checked(X)
        accuracy = _checked_accuracy(n_importance, standard_error)
        scores = self._fitted.log_likelihood_of_cells(table, dtype, *accuracy)
        return self._fitted.container.wrap(scores, like=X, floats=True)


def _checked_accuracy(n_importance, standard_error):
    """The number of draws of a score, or None, and its standard error as a float."""
    number(0.001, 10).check("'standard_error'", standard_error)
    return _checked_draws("n_importance", n_importance), float(standard_error)


def _checked_draws(name, n):
    """The number of draws of a score as an int, or None."""
    (NOTHING | whole(1, MOST_SCORING_DRAWS)).check(repr(name), n)
    return None if n is None else int(n)
