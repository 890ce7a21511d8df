"""Rows and their reconstructions."""

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype
from scipy.sparse import issparse
from sklearn.metrics import r2_score

from skvae._rules import whole
from skvae._table.frames import as_frame
from skvae.plots._images import ImagesDisplay, as_images
from skvae.plots._shared import fitted_model, given_or_new_axes, pyplot, shorten

N_IMAGES = 10  # unless n_rows is given
N_PANELS = 16  # unless features are given
PANEL = (2.2, 2.5)  # inches of a new figure
# Left, bottom, width and height of the axes in a panel; the rest is for labels.
PLACE_IN_PANEL = np.array([0.26, 0.2, 0.68, 0.6])
# Size of the text in points, in panels of at least FULL_WIDTH inches; smaller in narrower ones.
FONT_SIZE, FULL_WIDTH, LEAST_FONT_SIZE = 9, 1.6, 5
NUMBERS = ("floating", "integer", "mixed-integer-float", "boolean", "decimal", "empty")


class ReconstructionDisplay(ImagesDisplay):
    """Rows and their reconstructions, as images or column by column.

    Images are shown above their reconstructions. In a table, each column of numbers has a panel
    with its reconstructions against its values, and the coefficient of determination R², which is
    undefined for a constant column. Missing values and columns of categories are left out.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    inputs : ndarray of shape (n_samples, n_features)
        Rows.
    reconstructions : ndarray of shape (n_samples, n_features)
        Their reconstructions.
    image_shape : tuple of int, default=None
        Height and width of the images, and 3 for colours. None for a table.
    feature_names : sequence of str of length n_features, default=None
        Titles of the panels of a table. None for x0, x1, ...

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The images as one; only for images.
    axes_ : ndarray of matplotlib Axes of shape (n_features,)
        The panels, inside ``ax_``; only for tables.
    ax_ : matplotlib Axes
        Axes with the images or the panels.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import ReconstructionDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(max_iter=20, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(vae, X, features=["alcohol", "ash"])
    >>> len(display.axes_)
    2
    """

    def __init__(self, *, inputs, reconstructions, image_shape=None, feature_names=None):
        self.inputs = inputs
        self.reconstructions = reconstructions
        self.image_shape = image_shape
        self.feature_names = feature_names

    def plot(self, ax=None, **kwargs):
        """Plot the images or the panels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow`` for images, ``scatter`` for tables.

        Returns
        -------
        display : ReconstructionDisplay
            The display itself.
        """
        if self.image_shape is None:
            return self._plot_table(ax, kwargs)
        both = np.stack([self.inputs, self.reconstructions])
        rows, _ = self._draw_images(as_images(both, self.image_shape), ax, kwargs)
        self.ax_.set_yticks(rows, ["input", "reconstruction"])
        return self

    def _plot_table(self, ax, kwargs):
        n_features = self.inputs.shape[1]
        n_rows = int(np.sqrt(n_features))
        n_columns = -(-n_features // n_rows)
        self.ax_ = given_or_new_axes(ax, figsize=(PANEL[0] * n_columns, PANEL[1] * n_rows))
        self.figure_ = self.ax_.figure
        self.ax_.set_axis_off()
        inches = self.ax_.get_window_extent().width / self.figure_.dpi / n_columns
        font_size = np.clip(FONT_SIZE * inches / FULL_WIDTH, LEAST_FONT_SIZE, FONT_SIZE)
        style = {"s": np.clip(5_000 / len(self.inputs), 2, 14), "alpha": 0.6, "linewidths": 0}
        names = self.feature_names
        if names is None:
            names = [f"x{place}" for place in range(n_features)]
        self.axes_ = np.empty(n_features, dtype=object)
        panels_along = np.array([n_columns, n_rows, n_columns, n_rows])
        for place in range(n_features):
            row, column = divmod(place, n_columns)
            corner = np.array([column, n_rows - 1 - row, 0, 0])
            # insets, as axes outside a grid of subplots cannot be divided into subplots
            panel = self.ax_.inset_axes((corner + PLACE_IN_PANEL) / panels_along)
            r2 = _plot_column(
                panel, self.inputs[:, place], self.reconstructions[:, place], style | kwargs
            )
            title = shorten(names[place]) + ("" if r2 is None else f"\n$R^2$ = {r2:.2f}")
            panel.set_title(title, fontsize=font_size)
            panel.tick_params(labelsize=font_size - 1)
            if place >= n_features - n_columns:
                panel.set_xlabel("input", fontsize=font_size)
            if column == 0:
                panel.set_ylabel("reconstruction", fontsize=font_size)
            self.axes_[place] = panel
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X, *, image_shape=None, n_rows=None, features=None, ax=None, **kwargs
    ):
        """Create a display of rows and their reconstructions.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows, whose reconstructions are ``inverse_transform(transform(X))``.
        image_shape : tuple of int, default=None
            Height and width of the images, and 3 for colours. None for a table.
        n_rows : int, default=None
            Number of rows to show, the first ones. None for 10 images, or all rows of a table.
        features : int, str or sequence of them, default=None
            Columns of numbers to show in a table, by position or name. None for the first 16.
        ax : matplotlib Axes, default=None
            Axes to plot on, with about two inches for each panel of a table. If None, a new figure
            is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow`` for images, ``scatter`` for tables.

        Returns
        -------
        display : ReconstructionDisplay
        """
        pyplot()
        fitted_model(estimator)
        if n_rows is not None:
            whole(1).check("'n_rows'", n_rows)
        elif image_shape is not None:
            n_rows = N_IMAGES
        X = _first_rows(X, n_rows)
        inputs = _dense(X)
        names = None
        if image_shape is None:
            names = getattr(estimator, "feature_names_in_", None)
            if names is None:
                names = np.array([f"x{place}" for place in range(inputs.shape[1])])
            places = _places(features, list(names), inputs)
            names, inputs = names[places], _floats(inputs[:, places])
        reconstructions = _dense(estimator.inverse_transform(estimator.transform(X)))
        if image_shape is None:
            reconstructions = _floats(reconstructions[:, places])
        display = cls(
            inputs=inputs,
            reconstructions=reconstructions,
            image_shape=image_shape,
            feature_names=names,
        )
        return display.plot(ax, **kwargs)


def _plot_column(panel, x, reconstruction, style):
    """Plot reconstructions of a column against its values. Returns R², None if undefined."""
    observed = ~np.isnan(x)
    x, reconstruction = x[observed], reconstruction[observed]
    panel.scatter(x, reconstruction, **style)
    both = np.concatenate([x, reconstruction])
    panel.update_datalim(np.column_stack([both, both]))  # the same limits on both axes
    panel.autoscale_view()
    panel.autoscale(False)  # so that the diagonal does not extend them to 0
    panel.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
    panel.set_box_aspect(1)
    panel.locator_params(nbins=3)
    panel.spines[["top", "right"]].set_visible(False)
    is_constant = len(x) < 2 or np.ptp(x) == 0
    return None if is_constant else r2_score(x, reconstruction)


def _first_rows(X, n_rows):
    """The first rows of a table of any kind; all for None."""
    frame = as_frame(X)
    if frame is not None:
        return frame[:n_rows].to_native()
    return X.tocsr()[:n_rows] if issparse(X) else X[:n_rows]


def _dense(table):
    return table.toarray() if issparse(table) else np.asarray(table)


def _floats(table):
    """Numbers of any kind as floats, NaN where they are missing."""
    return np.where(pd.isna(table), np.nan, table).astype(float)


def _places(features, names, table):
    """Positions of columns of numbers given by position or name; the first ones for None."""
    is_numeric = [infer_dtype(column) in NUMBERS for column in table.T]
    if features is None:
        places = np.flatnonzero(is_numeric)[:N_PANELS].tolist()
        if not places:
            raise ValueError(
                "'X' must have a column of numbers, as panels show numbers; got columns of "
                f"categories only: {names}."
            )
        return places
    if isinstance(features, str) or not np.iterable(features):
        features = [features]
    places = [_place(feature, names) for feature in features]
    if not places:
        raise ValueError(f"'features' must be names or positions of columns; got {features!r}.")
    for place in places:
        if not is_numeric[place]:
            raise ValueError(
                f"'features' must be columns of numbers; got {names[place]!r}, which holds "
                "categories. Leave it out."
            )
    return places


def _place(feature, names):
    """The position of a column given by position or name."""
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    if whole(0, len(names) - 1).holds(feature):
        return int(feature)
    raise ValueError(
        f"'features' must be names of columns or positions from 0 to {len(names) - 1}; got "
        f"{feature!r}. The columns are {names}."
    )
