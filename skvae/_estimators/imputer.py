"""Imputation of missing values in a Pipeline."""

from __future__ import annotations

from typing import ClassVar

from sklearn.base import OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.utils._set_output import _get_output_config

from skvae._estimators.shell import Shell
from skvae._estimators.transformer import VAETransformer
from skvae._table.container import as_pandas


class VAEImputer(OneToOneFeatureMixin, TransformerMixin, Shell):
    """Replace missing values by their conditional means given the observed values.

    This transformer calls :meth:`VAETransformer.impute`. It can replace
    :class:`~sklearn.impute.SimpleImputer` in a Pipeline. Numbers and categories may be missing, in
    any column, whether or not the column had missing values in training. A row with missing values
    takes several milliseconds.

    Parameters
    ----------
    estimator : VAETransformer, default=None
        The model. None uses a model of 8 components that is configured for imputation. It maximises
        the importance-weighted bound of 20 draws [1]_, with one hidden layer of 128 tanh units, a
        dropout of 0.1, and 120 epochs. It does not use early stopping, which would end training
        long before the imputed values of the training rows are most accurate. It takes as long as
        twenty to forty fits of ``VAETransformer(8)``.
    random_state : int, RandomState instance or None, default=None
        Seed of the model. Unless None, it replaces the ``random_state`` of ``estimator``.

    Attributes
    ----------
    estimator_ : VAETransformer
        The fitted model. ``estimator_.impute(X, n_imputations=m)`` draws m completed tables.
    n_features_in_ : int
        Number of columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if they are all strings.

    See Also
    --------
    sklearn.impute.IterativeImputer : Regresses each column on the others in turn.

    References
    ----------
    .. [1] P.-A. Mattei and J. Frellsen, "MIWAE: Deep Generative Modelling and Imputation of
           Incomplete Data Sets", ICML 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAEImputer
    >>> X = load_iris().data.copy()
    >>> X[::5, 2] = np.nan
    >>> filled = VAEImputer(random_state=0).fit_transform(X)
    >>> bool(np.isnan(filled).any())
    False
    """

    _parameter_constraints: ClassVar[dict] = {**Shell._parameter_constraints}

    def __init__(self, estimator=None, *, random_state=None):
        self.estimator = estimator
        self.random_state = random_state

    def _default(self):
        return VAETransformer(
            8,
            hidden_layer_sizes=128,
            activation="tanh",
            objective="iwae",
            n_draws=20,
            dropout=0.1,
            learning_rate="cosine",
            learning_rate_init=2e-3,
            batch_size=128,
            early_stopping=False,
            max_iter=120,
        )

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the model to the observed values.

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
        self : VAEImputer
        """
        self._keep(self._train(X, sample_weight))
        return self

    def transform(self, X):
        """Replace the missing values; the observed values do not change.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_imputed : ndarray or data frame of shape (n_samples, n_features)
            In the same kind of container as in ``fit``, unless ``set_output`` selects another.
        """
        filled = self._fitted_estimator().impute(X)
        # scikit-learn's own conversion of another library's data frame loses its dtypes
        to_pandas = _get_output_config("transform", self)["dense"] == "pandas"
        return as_pandas(filled, like=X) if to_pandas else filled

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
