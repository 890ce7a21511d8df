"""The uncertainty of imputed values."""

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype
from sklearn.utils import _safe_indexing

from skvae._rules import number, whole
from skvae.plots._panels import N_PANELS, PanelsDisplay, draw_diagonal
from skvae.plots._shared import apply_steps, fitted_model, pyplot, undo_steps
from skvae.plots._tables import NUMBERS, as_floats, as_table, places_of

N_VALUES = 40  # of each column, at most


class ImputationDisplay(PanelsDisplay):
    """Imputed values and intervals of draws, for each column of numbers with missing values.

    A point is an imputed value, and a line an interval of draws from its conditional distribution.
    If the true values are given, they are on the horizontal axis. A title then gives the share of
    intervals that contain the true value and so cross the diagonal. It should be about the
    probability of the interval. Without true values, points are in ascending order.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    values : DataFrame of shape (n_values, 4 or 5)
        A row for each imputed value, with the label of its row in the table as the index. The
        columns are "feature", "imputed", "low" and "high", the ends of the interval, and "true" if
        the true values are known.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_features,)
        The panels, inside ``ax_``.
    ax_ : matplotlib Axes
        Axes with the panels.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    skvae.VAETransformer.impute : Impute without plotting.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import ImputationDisplay
    >>> X = load_wine(as_frame=True).data
    >>> gappy = X.copy()
    >>> gappy.loc[::9, "alcohol"] = None
    >>> vae = VAETransformer(max_iter=20, random_state=0).fit(gappy)
    >>> display = ImputationDisplay.from_estimator(vae, gappy, X, random_state=0)
    >>> display.values.shape
    (20, 5)
    """

    def __init__(self, *, values):
        self.values = values

    def plot(self, ax=None, **kwargs):
        """Plot the panels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``scatter``, for the points.

        Returns
        -------
        display : ImputationDisplay
            The display itself.
        """
        features = self.values["feature"].unique()
        xlabel = "true value" if "true" in self.values else "in ascending order"
        self._draw_panels(features, ax, xlabel=xlabel, ylabel="imputed")
        for feature, panel in zip(features, self.axes_, strict=True):
            _plot_column(panel, self.values[self.values["feature"] == feature], kwargs)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        X_true=None,
        *,
        interval=0.9,
        n_imputations=100,
        features=None,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Create a display of values imputed in rows.

        Of each column, the first 40 missing values are shown. Columns of categories, bools, dates,
        durations and periods are left out.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one and can invert its other steps, or a
            search over either.
        X : array-like of shape (n_samples, n_features)
            Rows with missing values, which :meth:`skvae.VAETransformer.impute` replaces.
        X_true : array-like of shape (n_samples, n_features), default=None
            The same rows with the true values.
        interval : float, default=0.9
            Probability of the interval, in (0, 1). It has as many draws below as above it.
        n_imputations : int, default=100
            Number of draws of each value.
        features : int, str or sequence of them, default=None
            Columns of numbers to show, by position or name, of which those without a missing value
            are left out. None for the first 16 that have one.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None gives different draws at each call.
        ax : matplotlib Axes, default=None
            Axes to plot on, with about two inches for each panel. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``scatter``, for the points.

        Returns
        -------
        display : ImputationDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        number(0, 1, closed="neither").check("'interval'", interval)
        whole(1).check("'n_imputations'", n_imputations)
        table = as_table(X)
        true = None if X_true is None else as_table(X_true)
        if true is not None and true.shape != table.shape:
            raise ValueError(
                f"'X_true' must have the shape of X, {table.shape}; got {true.shape}. Pass the "
                "same rows and columns."
            )
        missing = {
            place: np.flatnonzero(table.iloc[:, place].isna())[:N_VALUES]
            for place in _gappy(table, features)
        }
        rows = np.unique(np.concatenate(list(missing.values())))
        gappy = apply_steps(estimator, _safe_indexing(X, rows))
        drawn = model.impute(gappy, n_imputations=n_imputations, random_state=random_state)
        filled, *draws = (
            as_table(undo_steps(estimator, one)) for one in (model.impute(gappy), *drawn)
        )
        parts = []
        for place, numbers in missing.items():
            at = np.searchsorted(rows, numbers), place
            values = np.stack([as_floats(draw.iloc[at]) for draw in draws])
            low, high = np.quantile(values, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
            part = {
                "feature": table.columns[place],
                "imputed": as_floats(filled.iloc[at]),
                "low": low,
                "high": high,
            }
            if true is not None:
                part["true"] = as_floats(true.iloc[numbers, place])
            parts.append(pd.DataFrame(part, table.index[numbers]))
        return cls(values=pd.concat(parts)).plot(ax, **kwargs)


def _gappy(table, features):
    """Positions of the columns of numbers to show, which have missing values."""
    kinds = [infer_dtype(table.iloc[:, place]) for place in range(table.shape[1])]
    are_numbers = [kind in NUMBERS and kind != "boolean" for kind in kinds]
    chosen = places_of(features, list(table.columns), table.shape[1], are_numbers)
    places = [place for place in chosen if table.iloc[:, place].isna().any()]
    if not places:
        raise ValueError(
            "'X' must have a missing value in a column of numbers that is shown; got none in "
            f"{[table.columns[place] for place in chosen]}. Mark missing values by NaN."
        )
    return places[:N_PANELS] if features is None else places


def _plot_column(panel, values, style):
    """Plot the imputed values of a column and their intervals."""
    point, low, high = (values[name].to_numpy() for name in ("imputed", "low", "high"))
    if "true" in values:
        x = values["true"].to_numpy()
        is_known = ~np.isnan(x)
        if is_known.any():
            covered = np.mean(((low <= x) & (x <= high))[is_known])
            panel.title.set_text(f"{panel.get_title()}\n{covered:.0%} covered")
    else:
        x = np.argsort(np.argsort(point, kind="stable"))
    panel.vlines(x, low, high, color=style.get("color", "C0"), linewidth=1, alpha=0.5)
    panel.scatter(x, point, **{"s": 12, "color": "C0"} | style)
    panel.locator_params(nbins=3)
    if "true" in values:
        draw_diagonal(panel, np.concatenate([x, low, high, point]))
    else:
        panel.set_xticks([])
