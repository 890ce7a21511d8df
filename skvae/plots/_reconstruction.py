"""Rows and their reconstructions."""

import numpy as np
from pandas.api.types import infer_dtype
from sklearn.metrics import r2_score

from skvae._rules import whole
from skvae.plots._images import ImagesDisplay, as_images
from skvae.plots._panels import N_PANELS, PanelsDisplay, draw_diagonal
from skvae.plots._shared import fitted_model, pyplot
from skvae.plots._tables import NUMBERS, as_floats, dense, first_rows, places_of

N_IMAGES = 10  # unless n_rows is given


class ReconstructionDisplay(ImagesDisplay, PanelsDisplay):
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
        style = {"s": np.clip(5_000 / len(self.inputs), 2, 14), "alpha": 0.6, "linewidths": 0}
        names = self.feature_names
        if names is None:
            names = [f"x{place}" for place in range(n_features)]
        self._draw_panels(names, ax, xlabel="input", ylabel="reconstruction")
        for place, panel in enumerate(self.axes_):
            r2 = _plot_column(
                panel, self.inputs[:, place], self.reconstructions[:, place], style | kwargs
            )
            if r2 is not None:
                panel.title.set_text(f"{panel.get_title()}\n$R^2$ = {r2:.2f}")
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
        X = first_rows(X, n_rows)
        inputs = dense(X)
        names = None
        if image_shape is None:
            names = getattr(estimator, "feature_names_in_", None)
            if names is None:
                names = np.array([f"x{place}" for place in range(inputs.shape[1])])
            is_numeric = [infer_dtype(column) in NUMBERS for column in inputs.T]
            places = places_of(features, list(names), N_PANELS, is_numeric)
            names, inputs = names[places], as_floats(inputs[:, places])
        reconstructions = dense(estimator.inverse_transform(estimator.transform(X)))
        if image_shape is None:
            reconstructions = as_floats(reconstructions[:, places])
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
    draw_diagonal(panel, np.concatenate([x, reconstruction]))
    panel.locator_params(nbins=3)
    is_constant = len(x) < 2 or np.ptp(x) == 0
    return None if is_constant else r2_score(x, reconstruction)
