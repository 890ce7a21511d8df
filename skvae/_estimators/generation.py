"""New values: for the missing cells of rows, for one column, and for whole rows."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skvae._estimators.constraints import MOST_DRAWS
from skvae._estimators.methods import FittedMethods
from skvae._rules import NOTHING, TRUTH, whole
from skvae._table.bounds import check_given
from skvae._table.hidden import hide_column
from skvae._table.validation import validate_given
from skvae._torch.random import seed_from

MOST_SAMPLES = 2**31 - 1  # of rows; larger numbers, mostly mistakes, would exceed the memory


class GenerationMethods(FittedMethods):
    """The methods that predict and draw values."""

    def impute(self, X, *, n_imputations=None, random_state=None):
        """Replace missing values by predictions from the observed values of their row.

        A missing number is replaced by its conditional mean E[x | x_observed], rounded if the dtype
        of its column holds integers, and a missing category by the most likely one. Both are
        averages over codes, with weights that measure how well a code explains the observed values
        [1]_. With ``n_imputations``, missing values are replaced by draws from p(x | x_observed),
        for multiple imputation. Observed values do not change.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_imputations : int, default=None
            Number of completed tables to draw. None returns one table, of conditional means.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None gives different draws at each call.

        Returns
        -------
        X_imputed : ndarray or data frame of shape (n_samples, n_features), or list of them
            In the same kind of container as in ``fit``. With ``n_imputations``, a list of that
            length.

        Raises
        ------
        ValueError
            If the observed values of a row with missing values have a likelihood of 0 in floating
            point. The message names the row and the column of its farthest value. Or if the dtype
            that a column had in training cannot hold an observed value, such as 1.5 among int.

        Warns
        -----
        UserWarning
            If nearly all draws for a row come from a single code.

        References
        ----------
        .. [1] P.-A. Mattei and J. Frellsen, "MIWAE: Deep Generative Modelling and Imputation of
               Incomplete Data Sets", ICML 2019.
        """
        (NOTHING | whole(1, MOST_DRAWS)).check("'n_imputations'", n_imputations)
        table, dtype = self._checked(X)
        table, fitted = np.asarray(table), self._fitted
        rows = np.flatnonzero(np.isnan(table).any(axis=1))
        if n_imputations is None:
            filled = fitted.conditional_mean(table[rows], rows, dtype, evidence=True)
            return fitted.container.fill(X, _completed(table, rows, filled))
        n = int(n_imputations)
        seed = seed_from(random_state)
        draws = fitted.conditional_draws(table[rows], rows, dtype, n, seed, evidence=True)
        return [
            fitted.container.fill(X, _completed(table, rows, draws[:, draw])) for draw in range(n)
        ]

    def predict_column(self, X, column):
        """Predict one column from the other values of each row.

        The prediction is the most likely value of a column in ``categories_``, and the conditional
        mean E[x_column | x_others] of any other column, by the same method as in :meth:`impute`.
        The mean of a column of an integer dtype is rounded. Convert the column to floats before
        ``fit`` for exact means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The values in ``column`` have no effect, and may be missing. A data frame may lack the
            column. Other values may be missing too.
        column : str or int
            Name of the column, or its position if the columns have no names.

        Returns
        -------
        values : ndarray of shape (n_samples,)
            Strings, bools, numbers, dates and so on. Numbers are in float64 or int64.

        Raises
        ------
        ValueError
            If there is no such column, and as in :meth:`impute`.
        """
        check_is_fitted(self)
        fitted, place = self._fitted, self._fitted.columns.place_of(column)
        table, dtype = self._checked(hide_column(X, fitted.columns.names, place))
        if place in fitted.columns.values:
            return self.categories_[column][fitted.most_likely(table, place, dtype)]
        mean = fitted.conditional_mean(table, np.arange(len(table)), dtype)[:, place]
        return fitted.container.values(place, mean)

    def predict_column_proba(self, X, column):
        """The probability of each value of one column given the other values of each row.

        p(x_column | x_others) is the average of p(x_column | z) over codes, with weights that
        measure how well a code explains the other values, as in :meth:`impute`. The result is
        deterministic, and that of a row does not depend on the other rows.

        The column is one of categories, strings or bools, or its likelihood is "bernoulli",
        "categorical" or "ordinal".

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for :meth:`predict_column`.
        column : str or int
            Name of the column, or its position if the columns have no names.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_values)
            The values are in the order of ``categories_[column]``.

        Raises
        ------
        ValueError
            If there is no such column, if its likelihood does not give a probability to each of a
            few values, and as in :meth:`impute`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> iris = load_iris(as_frame=True)
        >>> table = iris.data.assign(species=iris.target_names[iris.target])
        >>> vae = VAETransformer(2, max_iter=50, random_state=0).fit(table)
        >>> vae.categories_["species"].tolist()
        ['setosa', 'versicolor', 'virginica']
        >>> flowers = iris.data.iloc[[0, 50, 100]]
        >>> vae.predict_column_proba(flowers, "species").shape
        (3, 3)
        >>> vae.predict_column(flowers, "species").tolist()
        ['setosa', 'versicolor', 'virginica']
        """
        check_is_fitted(self)
        fitted, place = self._fitted, self._fitted.columns.place_of(column)
        if place not in fitted.columns.values:
            raise ValueError(
                f"Column {column!r} is modelled by {self.likelihoods_[column]}, which does not "
                "give a probability to each of a few values. Use predict_column for its "
                f"conditional mean, or fit with likelihood={{{column!r}: 'categorical'}}."
            )
        table, dtype = self._checked(hide_column(X, fitted.columns.names, place))
        return fitted.conditional_masses(table, place, dtype)

    def sample(self, n_samples=1, *, given=None, missing=False, random_state=None):
        """Draw new rows from the model.

        Each row is drawn from p(x|z), with its noise, for a code z from the prior p(z). With
        ``given``, the samples are conditional: the values that are not given are drawn from
        p(x | x_given), by the same method as in ``impute``. With ``missing``, some of the drawn
        values are then removed, with the probability that they are missing in training rows like
        this one.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows. If ``given`` is a table, the number of rows for each of its rows.
        given : dict, Series, array or data frame, default=None
            Values by column name, or by position if the columns have no names. Or a table with
            missing values, whose rows are completed in their order.
        missing : bool, default=False
            Whether values may be missing, in the columns that had missing values in training (in
            the first call of ``partial_fit``). The log-odds are linear in the observed values of
            the row and in which others are missing. Columns that were always missing together are
            drawn together. A given value is never missing. If no training value was missing, rows
            are complete.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None gives different rows at each call. ``missing`` does not change
            the values that are not missing.

        Returns
        -------
        X : ndarray or data frame of shape (n, n_features)
            In the same kind of container as in ``fit``.

        Raises
        ------
        ValueError
            If a value of ``given`` is outside its column's support or its ``bounds``, or is a
            category not seen in training, and as in :meth:`impute`.

        Warns
        -----
        UserWarning
            If a number of ``given`` is below the smallest or above the largest training value of
            its column.
        """
        check_is_fitted(self)
        whole(1, MOST_SAMPLES).check("'n_samples'", n_samples)
        TRUTH.check("'missing'", missing)
        n_samples, fitted, seed = int(n_samples), self._fitted, seed_from(random_state)
        if given is None:
            return fitted.container.wrap(fitted.sample(n_samples, seed, missing=missing))
        table = self._given(given)
        numbers = np.arange(len(table))
        draws = fitted.conditional_draws(
            table, numbers, np.float64, n_samples, seed, missing=missing
        )
        known = np.repeat(table, n_samples, axis=0)
        rows = np.where(np.isnan(known), draws.reshape(known.shape), known)
        # the index of ``given`` is kept if the rows correspond to its rows
        return fitted.container.wrap(rows, like=given if n_samples == 1 else None)

    def sample_codes(self, n_samples=1, *, random_state=None):
        """Draw codes from the prior.

        They are the codes of the rows that :meth:`sample` draws with the same ``random_state`` and
        nothing ``given``. :meth:`inverse_transform` decodes them to the means of p(x|z): rows
        without the noise of the likelihood, as images are often shown.

        Parameters
        ----------
        n_samples : int, default=1
            Number of codes.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None gives different codes at each call.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        whole(1, MOST_SAMPLES).check("'n_samples'", n_samples)
        return self._fitted.prior_codes(int(n_samples), seed_from(random_state)) * self.scale_

    def _given(self, given):
        """The given values as a checked table, NaN for all others."""
        container, columns = self._fitted.container, self._fitted.columns
        table = validate_given(given, container, self.n_features_in_)
        columns.foreseen(table, container.shown, strict=True)  # raises
        columns.to_working(table, None, np.float64)  # raises outside a support
        check_given(columns, container, table)
        return table


def _completed(table, rows, values):
    """The table with the missing values of its ``rows`` taken from ``values``."""
    out = np.array(table)
    out[rows] = np.where(np.isnan(table[rows]), values, table[rows])
    return out
