"""The distribution of each column, in real and in sampled rows."""

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from skvae.plots._panels import N_PANELS, PanelsDisplay, label_dates
from skvae.plots._shared import fitted_model, pyplot, shorten
from skvae.plots._tables import (
    DATES,
    DURATIONS,
    PERIODS,
    as_table,
    numbers_in,
    places_of,
    sampled_like,
)

N_BINS = (12, 40)  # of a histogram, at least and at most
MOST_VALUES = 12  # different numbers; a column with more has a histogram
MOST_LEVELS = 8  # with a bar; all others are in one more
LEVEL_LENGTH = 10  # characters of a level's name
REAL, SAMPLED = "0.75", "C0"  # colours


class MarginalsDisplay(PanelsDisplay):
    """The distribution of each column in real rows and in rows drawn from the model.

    A column of numbers, dates, durations or periods has a histogram with the same bins for both. A
    column of categories, bools or at most 12 different values has bars with the share of each
    value: the 8 categories that are most frequent in the real rows, and one bar for all others.
    Durations are in days. Missing values are left out. If all values of a column are missing in the
    real rows, its panel is empty.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    real : DataFrame of shape (n_samples, n_features)
        Real rows.
    sampled : DataFrame of shape (n_sampled, n_features)
        Sampled rows.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_features,)
        The panels, inside ``ax_``.
    legend_ : matplotlib Legend
        Legend of the two colours.
    ax_ : matplotlib Axes
        Axes with the panels.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    AssociationsDisplay : How the columns depend on each other.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import MarginalsDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(max_iter=20, random_state=0).fit(X)
    >>> display = MarginalsDisplay.from_estimator(vae, X, features=["alcohol", "ash"])
    >>> len(display.axes_)
    2
    """

    def __init__(self, *, real, sampled):
        self.real = real
        self.sampled = sampled

    def plot(self, ax=None, **kwargs):
        """Plot the panels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``stairs`` or ``barh`` of the sampled rows.

        Returns
        -------
        display : MarginalsDisplay
            The display itself.
        """
        self._draw_panels(list(self.real.columns), ax)
        for place, panel in enumerate(self.axes_):
            real, sampled = (t.iloc[:, place].dropna() for t in (self.real, self.sampled))
            _plot_column(panel, real, sampled, kwargs)
        self.legend_ = self._add_legend(kwargs)
        return self

    def _add_legend(self, kwargs):
        from matplotlib.patches import Patch

        color = kwargs.get("color", SAMPLED)
        handles = [Patch(color=REAL, label="real"), Patch(color=color, label="sampled")]
        return self.ax_.legend(
            handles=handles, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False
        )

    @classmethod
    def from_estimator(
        cls, estimator, X, *, n_samples=None, features=None, random_state=None, ax=None, **kwargs
    ):
        """Create a display of rows and of as many rows drawn from the model.

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
            Columns to show, by position or name. None for the first 16.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws other rows at each call.
        ax : matplotlib Axes, default=None
            Axes to plot on, with about two inches for each panel. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``stairs`` or ``barh`` of the sampled rows.

        Returns
        -------
        display : MarginalsDisplay
        """
        pyplot()
        fitted_model(estimator)
        real = as_table(X)
        places = places_of(features, list(real.columns), N_PANELS)
        sampled = sampled_like(estimator, real, n_samples, random_state)
        return cls(real=real.iloc[:, places], sampled=sampled.iloc[:, places]).plot(ax, **kwargs)


def _plot_column(panel, real, sampled, style):
    """Plot the values of a column, without missing ones."""
    if real.empty:
        panel.title.set_text(f"{panel.get_title()}\nall missing")
        panel.set(xticks=[], yticks=[])
        return
    kind = infer_dtype(real)
    numbers = [numbers_in(column) for column in (real, sampled)]
    values = None if numbers[0] is None else np.unique(np.concatenate(numbers))
    if values is not None and len(values) > MOST_VALUES:
        _plot_histograms(panel, numbers, _edges(values, len(real)), style)
        if kind in DATES:
            label_dates(panel.xaxis)
        elif kind in DURATIONS:
            panel.set_xlabel("days", fontsize=panel.title.get_fontsize())
        elif kind in PERIODS:
            frequency = real.iloc[0].freq
            panel.xaxis.set_major_formatter(
                lambda ordinal, _: str(pd.Period(ordinal=round(ordinal), freq=frequency))
            )
    elif values is None or kind == "boolean" or kind in DATES + PERIODS:
        names, shares = _shares_of_levels(real, sampled)
        _plot_shares(panel, names, shares, style)
    else:
        shares = [_share(column, values) for column in numbers]
        _plot_shares(panel, [f"{value:g}" for value in values], shares, style)


def _plot_histograms(panel, columns, edges, style):
    """Plot the densities of the real and the sampled values."""
    real, sampled = (_density(column, edges) for column in columns)
    panel.stairs(real, edges, fill=True, color=REAL)
    panel.stairs(sampled, edges, **{"color": SAMPLED, "linewidth": 1.3} | style)
    panel.set_ylim(bottom=0)
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    panel.locator_params(axis="x", nbins=3)


def _density(column, edges):
    """The density of a column in each bin; 0 if the column has no values. -> (n_bins,)."""
    return np.histogram(column, edges)[0] / (max(1, len(column)) * np.diff(edges))


def _plot_shares(panel, names, shares, style):
    """Plot the shares of values in real and sampled rows as bars, the first value at the top."""
    real, sampled = shares
    places = np.arange(len(names))
    panel.barh(places - 0.2, real, height=0.4, color=REAL)
    panel.barh(places + 0.2, sampled, **{"height": 0.4, "color": SAMPLED} | style)
    panel.set_yticks(places, [shorten(name, LEVEL_LENGTH) for name in names])
    panel.tick_params(axis="y", length=0)
    panel.invert_yaxis()
    panel.locator_params(axis="x", nbins=3)


def _share(column, values):
    """The share of each of the values in a column. -> (n_values,)."""
    return [np.sum(column == value) / max(1, len(column)) for value in values]


def _shares_of_levels(real, sampled):
    """The most frequent levels, the others as one, and their shares in both columns.

    Levels are sorted by their frequency, or by their order, if they have one.
    """
    is_ordered = isinstance(real.dtype, pd.CategoricalDtype) and real.dtype.ordered
    order = [*map(str, real.dtype.categories)] if is_ordered else []
    real, sampled = real.astype(str), sampled.astype(str)
    counts = real.value_counts()
    levels = [*counts.index, *sorted(set(sampled) - set(counts.index))]
    shown = levels if len(levels) <= MOST_LEVELS + 1 else levels[:MOST_LEVELS]
    if order:
        shown.sort(key=lambda level: order.index(level) if level in order else len(order))
    shares = [_share(column, shown) for column in (real, sampled)]
    if len(shown) == len(levels):
        return shown, shares
    names = [*shown, f"{len(levels) - len(shown)} others"]
    return names, [[*share, 1 - sum(share)] for share in shares]


def _edges(values, n_rows):
    """Edges of bins, as wide as a multiple of the step between sorted values. -> (n_bins + 1,)."""
    span, step = np.ptp(values), np.diff(values).min()
    wanted = np.clip(2 * np.cbrt(n_rows), *N_BINS)  # the Rice rule
    width = max(1, round(span / wanted / step)) * step
    n_bins = int((span + step / 2) // width) + 1
    return values[0] - step / 2 + width * np.arange(n_bins + 1)
