"""Imputation of missing values in a Pipeline."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.utils._set_output import _get_output_config

from skvae._estimators.constraints import Ruled
from skvae._estimators.shell import Shell
from skvae._estimators.transformer import VAETransformer
from skvae._rules import TRUTH
from skvae._table.container import as_pandas

MOST_COMPONENTS = 12  # of the default model


class VAEImputer(OneToOneFeatureMixin, TransformerMixin, Shell):
    """Replace missing values by their conditional means given the observed values.

    This transformer can replace :class:`~sklearn.impute.SimpleImputer` in a Pipeline. Numbers and
    categories may be missing, in any column, whether or not the column had missing values in
    training. It calls :meth:`VAETransformer.impute`; a row with missing values takes several
    milliseconds.

    Parameters
    ----------
    estimator : VAETransformer, default=None
        The model. None uses a model that is configured for imputation, with half as many components
        as columns, rounded up, and at most 12. Their prior is a mixture of normals that training
        learns. The model maximises the importance-weighted bound of 5 draws [1]_, with one hidden
        layer of 128 ReLU units, a dropout of 0.1, and 100 epochs. It learns whether values are
        missing because of what they are (``self_masking`` [2]_). It does not use early stopping,
        since the values that this hides from training are worth more in it. It takes as long as
        about one to six fits of ``VAETransformer(8)``, and up to ten where values are missing
        because of what they are.
    sample_posterior : bool, default=False
        Whether ``transform`` replaces missing values by draws from their conditional distribution
        instead of its means, as in :class:`~sklearn.impute.IterativeImputer`. Several completed
        tables from :meth:`impute` show the uncertainty of the imputed values.
    random_state : int, RandomState instance or None, default=None
        Seed of the model and of the draws, which are the same at each call if it is an int. Unless
        None, it replaces the ``random_state`` of ``estimator``.
    verbose : int, default=0
        Whether to print a line for each epoch. Unless 0, it replaces the ``verbose`` of
        ``estimator``.

    Attributes
    ----------
    estimator_ : VAETransformer
        The fitted model.
    loss_curve_ : list of float
        The ``loss_curve_`` of ``estimator_``, in nats per row.
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
    .. [2] N. B. Ipsen, P.-A. Mattei and J. Frellsen, "not-MIWAE: Deep Generative Modelling with
           Missing not at Random Data", ICLR 2021.

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

    _parameter_constraints: ClassVar[dict] = {
        **Shell._parameter_constraints,
        "sample_posterior": [Ruled(TRUTH)],
    }

    def __init__(self, estimator=None, *, sample_posterior=False, random_state=None, verbose=0):
        self.estimator = estimator
        self.sample_posterior = sample_posterior
        self.random_state = random_state
        self.verbose = verbose

    def _default(self, X):
        shape = np.shape(X)
        n_columns = shape[1] if len(shape) == 2 else 0  # then fit raises the error
        return VAETransformer(
            max(1, min(-(-n_columns // 2), MOST_COMPONENTS)),
            hidden_layer_sizes=128,
            activation="relu",
            prior="mixture",
            objective="iwae",
            n_draws=5,
            dropout=0.1,
            self_masking=True,
            learning_rate="cosine",
            learning_rate_init=4e-3,
            early_stopping=False,
            max_iter=100,
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
        if self.sample_posterior:
            (filled,) = self.impute(X, n_imputations=1)
        else:
            filled = self.impute(X)
        # scikit-learn's own conversion of another library's data frame loses its dtypes
        to_pandas = _get_output_config("transform", self)["dense"] == "pandas"
        return as_pandas(filled, like=X) if to_pandas else filled

    def impute(self, X, *, n_imputations=None, random_state=None):
        """Replace the missing values by conditional means, or by draws for multiple imputation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_imputations : int, default=None
            Number of completed tables to draw. None returns one table, of conditional means.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None takes the ``random_state`` of the imputer.

        Returns
        -------
        X_imputed : ndarray or data frame of shape (n_samples, n_features), or list of them
            As that of :meth:`VAETransformer.impute`.
        """
        seed = self.random_state if random_state is None else random_state
        return self._fitted_estimator().impute(X, n_imputations=n_imputations, random_state=seed)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
