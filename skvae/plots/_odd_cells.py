"""How unlikely each value of a few rows is."""

from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing

from skvae._rules import whole
from skvae.plots._shared import (
    apply_steps,
    colour_limits,
    fitted_model,
    given_or_new_axes,
    pyplot,
    shorten,
)
from skvae.plots._tables import as_table

N_ROWS, N_FEATURES = 10, 12  # at most, unless given
LOWEST, HIGHEST = -12, 0  # of the colours, in nats
VALUE_LENGTH = 10  # characters of a category
CELL = (0.72, 0.3)  # inches of a new figure
# Size of the values in points, in cells of at least FULL_WIDTH inches; smaller in narrower ones.
FONT_SIZE, FULL_WIDTH = 8.5, 0.55


class OddCellsDisplay:
    """Heat map of the log-likelihood of each value given the others of its row.

    Dark cells hold values that are unlikely given the rest of their row. The values are written in
    the cells. Missing values have no score, and their cells are empty.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    scores : DataFrame of shape (n_rows, n_features)
        Log-likelihood of each value in nats, as :meth:`skvae.VAETransformer.score_cells` returns
        it. Its index and its columns are the labels.
    values : DataFrame of shape (n_rows, n_features)
        The values.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The heat map.
    colorbar_ : matplotlib Colorbar
        Its colour bar.
    text_ : ndarray of matplotlib Text of shape (n_rows, n_features)
        The values in the cells.
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import OddCellsDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(max_iter=20, random_state=0).fit(X)
    >>> OddCellsDisplay.from_estimator(vae, X, n_rows=5).scores.shape
    (5, 12)
    """

    def __init__(self, *, scores, values):
        self.scores = scores
        self.values = values

    def plot(self, ax=None, **kwargs):
        """Plot the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : OddCellsDisplay
            The display itself.
        """
        n_rows, n_features = self.scores.shape
        figsize = CELL[0] * n_features + 2.2, CELL[1] * n_rows + 1.7
        self.ax_ = given_or_new_axes(ax, figsize)
        self.figure_ = self.ax_.figure
        style = {"cmap": "Reds_r", "aspect": "auto"} | colour_limits(LOWEST, HIGHEST, kwargs)
        scores = self.scores.to_numpy(float)
        self.im_ = self.ax_.imshow(scores, **style | kwargs)
        self.colorbar_ = self.figure_.colorbar(
            self.im_, ax=self.ax_, label="log-likelihood (nats)", extend="both"
        )
        inches = self.ax_.get_window_extent().width / self.figure_.dpi / n_features
        font_size = FONT_SIZE * np.clip(inches / FULL_WIDTH, 0.6, 1)
        self.text_ = np.empty(scores.shape, dtype=object)
        for place, score in np.ndenumerate(scores):
            text = "" if np.isnan(score) else _written(self.values.iloc[place])
            color = _readable_on(self.im_.to_rgba(score))
            self.text_[place] = self.ax_.text(
                *place[::-1], text, ha="center", va="center", color=color, fontsize=font_size
            )
        names = [shorten(name) for name in self.scores.columns]
        self.ax_.set_xticks(range(n_features), names, rotation=40, ha="right")
        self.ax_.set_yticks(range(n_rows), [shorten(label) for label in self.scores.index])
        self.ax_.tick_params(length=0)
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X, *, n_rows=N_ROWS, n_features=N_FEATURES, ax=None, **kwargs
    ):
        """Create a display of the least likely rows.

        Of a Pipeline, it shows the rows and the columns of its last step.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows. Their labels are those of the index of a pandas frame, or their numbers.
        n_rows : int, default=10
            Number of rows to show: those with the lowest ``score_samples``, in the order of ``X``.
        n_features : int, default=12
            Number of columns to show: those with the lowest score of a value in these rows, in the
            order of the table.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : OddCellsDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        whole(1).check("'n_rows'", n_rows)
        whole(1).check("'n_features'", n_features)
        X = apply_steps(estimator, X)
        rows = _lowest(model.score_samples(X), n_rows)
        odd = _safe_indexing(X, rows)
        values = as_table(odd)
        if not isinstance(odd, pd.DataFrame):
            values.index = rows
        scores = np.asarray(model.score_cells(odd), dtype=float)
        columns = _lowest(np.fmin.reduce(scores), n_features)
        values = values.iloc[:, columns]
        scores = pd.DataFrame(scores[:, columns], values.index, values.columns)
        return cls(scores=scores, values=values).plot(ax, **kwargs)


def _lowest(scores, n):
    """The places of the n lowest scores, in their order. NaN counts as the highest."""
    return np.sort(np.argsort(scores, kind="stable")[:n])


def _written(value):
    """A value as a short text."""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, Integral):
        return str(value)
    is_number = isinstance(value, float | np.floating)
    return f"{value:.4g}" if is_number else shorten(value, VALUE_LENGTH)


def _readable_on(color):
    """Black or white, whichever is readable on a colour (red, green, blue, alpha)."""
    # relative luminance in Rec. 709
    return "white" if np.dot(color[:3], [0.2126, 0.7152, 0.0722]) < 0.5 else "black"
