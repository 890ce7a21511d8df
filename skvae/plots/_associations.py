"""The associations of pairs of columns, in real and in sampled rows."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import rankdata

from skvae.plots._shared import colour_limits, fitted_model, given_or_new_axes, pyplot, shorten
from skvae.plots._tables import as_table, numbers_in, places_of, sampled_like

N_FEATURES = 20  # unless features are given
TITLES = ("real", "sampled", "sampled - real")
MISSING = "0.8"  # colour of pairs without an association


class AssociationsDisplay:
    """How strongly columns depend on each other in real and in sampled rows, as heat maps.

    The third heat map is the difference of the other two. The measure depends on the two columns.

    - Numbers, bools, dates, durations and periods: Spearman's rank correlation, from
      -1 to 1.
    - A number and a category: the correlation ratio of the ranks, from 0 to 1, the square root of
      the share of their variance that the category explains [1]_.
    - Two categories: Cramér's V, from 0 to 1 [2]_.

    All three are the root mean squared canonical correlation of the two columns, where a column is
    represented by its ranks or by an indicator of each level. Pairs with a missing value are left
    out. If a category has many levels and there are few rows, the measure is above 0 even for
    independent columns, so compare tables of about as many rows.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    real : DataFrame of shape (n_features, n_features)
        Associations of the columns in real rows. NaN for a constant column, and for two columns
        that no row has both values of. These cells are grey.
    sampled : DataFrame of shape (n_features, n_features)
        Associations of the columns in sampled rows.

    Attributes
    ----------
    ims_ : list of three matplotlib AxesImage
        The heat maps: real, sampled and their difference.
    colorbar_ : matplotlib Colorbar
        Their colour bar.
    axes_ : ndarray of matplotlib Axes of shape (3,)
        Axes with the heat maps, inside ``ax_``.
    ax_ : matplotlib Axes
        Axes with the three heat maps.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    MarginalsDisplay : The distribution of each column.

    References
    ----------
    .. [1] R. A. Fisher, "Statistical Methods for Research Workers", 1925, chapter 8.
    .. [2] H. Cramér, "Mathematical Methods of Statistics", 1946, section 21.9.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import AssociationsDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(max_iter=20, random_state=0).fit(X)
    >>> AssociationsDisplay.from_estimator(vae, X).real.shape
    (13, 13)
    """

    def __init__(self, *, real, sampled):
        self.real = real
        self.sampled = sampled

    def plot(self, ax=None, **kwargs):
        """Plot the heat maps.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : AssociationsDisplay
            The display itself.
        """
        n = len(self.real)
        side = 1.2 + 0.16 * n  # inches
        self.ax_ = given_or_new_axes(ax, figsize=(3.2 * side + 2.8, side + 2.1))
        self.figure_ = self.ax_.figure
        self.ax_.set_axis_off()
        names = [shorten(name) for name in self.real.columns]
        style = {"cmap": "RdBu_r"} | colour_limits(-1, 1, kwargs) | kwargs
        maps = (self.real, self.sampled, self.sampled - self.real)
        self.axes_ = np.array([self.ax_.inset_axes([0.34 * i, 0, 0.3, 1]) for i in range(3)])
        self.ims_ = []
        for panel, title, values in zip(self.axes_, TITLES, maps, strict=True):
            self.ims_.append(panel.imshow(values, **style))
            panel.set_facecolor(MISSING)
            panel.set_title(title)
            panel.set_anchor("N")
            panel.set_xticks(range(n), names, rotation=90, fontsize="small")
            panel.set_yticks(range(n), [])
        self.axes_[0].set_yticks(range(n), names, fontsize="small")
        bar = self.axes_[-1].inset_axes([1.06, 0, 0.05, 1])
        self.colorbar_ = self.figure_.colorbar(self.ims_[-1], cax=bar, label="association")
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X, *, n_samples=None, features=None, random_state=None, ax=None, **kwargs
    ):
        """Create a display of the associations in rows and in as many rows drawn from the model.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one and can invert its other steps, or a
            search over either.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Real rows.
        n_samples : int, default=None
            Number of rows that ``sample`` draws. None for the number of rows of ``X``.
        features : int, str or sequence of them, default=None
            Columns to show, by position or name. None for the first 20.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws other rows at each call.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : AssociationsDisplay
        """
        pyplot()
        fitted_model(estimator)
        real = as_table(X)
        places = places_of(features, list(real.columns), N_FEATURES)
        sampled = sampled_like(estimator, real, n_samples, random_state)
        found = (associations(table.iloc[:, places]) for table in (real, sampled))
        return cls(**dict(zip(("real", "sampled"), found, strict=True))).plot(ax, **kwargs)


def associations(table):
    """The association of each pair of columns, as a data frame (d, d)."""
    columns = [_Column(table.iloc[:, place]) for place in range(table.shape[1])]
    found = np.empty((len(columns), len(columns)))
    for i, j in zip(*np.triu_indices(len(columns)), strict=True):
        found[i, j] = found[j, i] = _association(columns[i], columns[j])
    return pd.DataFrame(found, index=table.columns, columns=table.columns)


class _Column:
    """A column as numbers, or as the codes of its levels.

    Attributes
    ----------
    is_number : bool
        Whether the column holds numbers, bools or times.
    observed : ndarray of bool of shape (n_samples,)
        Which values are not missing.
    """

    def __init__(self, column):
        numbers = numbers_in(column)
        self.is_number = numbers is not None
        self.observed = column.notna().to_numpy()
        self._values = numbers if self.is_number else pd.factorize(column.astype(str))[0]
        self._features_of_observed = self._features(self.observed)

    def features(self, rows):
        """A constant and ranks, or indicators of levels, orthonormal. (n,) bool -> (n_rows, m).

        The rows must be observed. Both kinds of features span the constant. A constant column has
        only that, so that m is 1.
        """
        if rows.sum() == self.observed.sum():
            return self._features_of_observed
        return self._features(rows)

    def _features(self, rows):
        values = self._values[rows]
        if self.is_number:
            ranks = rankdata(values)
            mean = (len(ranks) + 1) / 2  # also without any ranks
            features = np.stack([np.ones_like(ranks), ranks - mean], axis=1)
            lengths = np.linalg.norm(features, axis=0)
            return features[:, lengths > 0] / lengths[lengths > 0]
        _, levels, counts = np.unique(values, return_inverse=True, return_counts=True)
        # sparse, as a category may have as many levels as rows
        places = np.arange(len(values)), levels
        return csr_array((1 / np.sqrt(counts)[levels], places), (len(values), len(counts)))


def _association(first, second):
    """The association of two columns; NaN if one is constant, or no row has both values."""
    rows = first.observed & second.observed
    if not rows.any():
        return np.nan
    products = first.features(rows).T @ second.features(rows)
    if min(products.shape) == 1:
        return np.nan
    if first.is_number and second.is_number:
        return products[1, 1]
    # The singular values of the products are the canonical correlations, and 1 for the constant.
    squares = max(0.0, (products * products).sum() - 1)
    return np.sqrt(squares / (min(products.shape) - 1))
