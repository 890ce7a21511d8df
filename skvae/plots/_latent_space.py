"""Rows as points in the latent space."""

import numpy as np
from pandas.api.types import infer_dtype

from skvae._rules import TRUTH, whole
from skvae.plots._shared import apply_steps, fitted_model, given_or_new_axes, pyplot
from skvae.plots._tables import DATES
from skvae.plots._target import checked_target, classes_of

MOST_IN_LEGEND = 100  # classes
LEGEND_ROWS = 15  # in a column of the legend
# Sides of the axes of a new figure in inches, and what its labels and its legend take beside them.
LONGER_SIDE, SHORTEST_SIDE = 4.8, 2.4
LABELS, LEGEND = 0.7, 1.0


class LatentSpaceDisplay:
    """Scatter plot of codes, coloured by a target.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        Codes of the rows, two components of them.
    y : array-like of shape (n_samples,), default=None
        Target. Strings, booleans, categories and up to 20 distinct whole numbers are classes, with
        a legend for at most 100 of them; missing values are one more class. Other numbers, dates
        and durations (in days) are a quantity, with a colour bar; rows without a value are grey.
        The legend or the colour bar has the name of a pandas Series as its title.
    components : tuple of two int, default=(0, 1)
        Number of the component on each axis.
    std : ndarray of shape (n_samples, 2), default=None
        Standard deviations of the components given each row, drawn as the half-axes of ellipses.
        None draws no ellipses.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        The points.
    ellipses_ : matplotlib EllipseCollection or None
        The ellipses, of one standard deviation.
    legend_ : matplotlib Legend or None
        Legend of the classes.
    colorbar_ : matplotlib Colorbar or None
        Colour bar of the quantity.
    ax_ : matplotlib Axes
        Axes with the points.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import LatentSpaceDisplay
    >>> X, y = load_wine(return_X_y=True)
    >>> vae = VAETransformer(max_iter=20, random_state=0).fit(X)
    >>> LatentSpaceDisplay.from_estimator(vae, X, y).codes.shape
    (178, 2)
    """

    def __init__(self, *, codes, y=None, components=(0, 1), std=None):
        self.codes = codes
        self.y = y
        self.components = components
        self.std = std

    def plot(self, ax=None, **kwargs):
        """Plot the codes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``scatter``.

        Returns
        -------
        display : LatentSpaceDisplay
            The display itself.
        """
        codes = np.asarray(self.codes)
        style = {"s": np.clip(20_000 / len(codes), 3, 25), "alpha": 0.8, "linewidths": 0}
        classes, values = None, None
        if self.y is not None:
            y = checked_target(self.y, len(self.codes))
            classes, values = classes_of(y)
            style |= {"c": values} | _colours(classes)
        self.ax_ = given_or_new_axes(ax, _figsize(codes, has_key=self.y is not None))
        self.figure_ = self.ax_.figure
        self.scatter_ = self.ax_.scatter(*codes.T, **style | kwargs)
        self.ellipses_ = None if self.std is None else self._add_ellipses(codes)
        self.legend_ = self.colorbar_ = None
        if classes is not None and len(classes) <= MOST_IN_LEGEND:
            self.legend_ = self._add_legend(classes, y.name)
        elif classes is None and values is not None:
            self.colorbar_ = self._add_colorbar(y)
        first, second = self.components
        self.ax_.set(xlabel=f"component {first}", ylabel=f"component {second}")
        self.ax_.set_aspect("equal", adjustable="datalim")
        self.ax_.spines[["top", "right"]].set_visible(False)
        if ax is None and self.colorbar_ is not None:
            # the equal scales may change the labels of ticks after the layout; the next draw knows
            self.figure_.draw_without_rendering()
        return self

    def _add_ellipses(self, codes):
        from matplotlib.collections import EllipseCollection

        points, std = self.scatter_, np.asarray(self.std)
        alpha = np.clip(15 / len(std), 0.03, 0.2)
        ellipses = EllipseCollection(
            2 * std[:, 0],
            2 * std[:, 1],
            np.zeros(len(std)),
            units="xy",
            offsets=codes,
            offset_transform=self.ax_.transData,
            cmap=points.get_cmap(),
            norm=points.norm,
            alpha=alpha,
            linewidths=0,
            zorder=points.get_zorder() - 0.5,
        )
        if points.get_array() is None:
            ellipses.set_facecolor(points.get_facecolor())
            ellipses.set_alpha(alpha)
        else:
            ellipses.set_array(points.get_array())
        self.ax_.add_collection(ellipses, autolim=False)
        self.ax_.update_datalim(np.concatenate([codes - std, codes + std]))
        self.ax_.autoscale_view()
        return ellipses

    def _add_legend(self, classes, title):
        handles, _ = self.scatter_.legend_elements(num=None, alpha=1.0)
        n_columns = -(-len(classes) // LEGEND_ROWS)
        return self.ax_.legend(
            handles,
            classes,
            title=title,
            ncols=n_columns,
            fontsize="medium" if n_columns == 1 else "small",
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
        )

    def _add_colorbar(self, y):
        ticks = {}
        if infer_dtype(y) in DATES:
            from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

            locator = AutoDateLocator()
            ticks = {"ticks": locator, "format": ConciseDateFormatter(locator)}
        return self.figure_.colorbar(self.scatter_, ax=self.ax_, label=y.name, **ticks)

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, components=None, with_std=False, ax=None, **kwargs
    ):
        """Create a display of the codes of rows.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows, whose codes are ``estimator.transform(X)``.
        y : array-like of shape (n_samples,), default=None
            Target that colours the points: classes or a quantity.
        components : tuple of two int, default=None
            Components on the horizontal and the vertical axis, counted from 0. None for the two of
            largest ``kl_divergence_``, in their order.
        with_std : bool, default=False
            Whether to draw an ellipse of one standard deviation of q(z|x) around each code.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``scatter``.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        if components is None:
            largest = np.argsort(-model.kl_divergence_, kind="stable")[:2]
            components = tuple(sorted(largest.tolist()))
        components = two_components(components, model.n_components_)
        TRUTH.check("'with_std'", with_std)
        mean, std = model.latent_distribution(apply_steps(estimator, X))
        shown = list(components)
        display = cls(
            codes=mean[:, shown],
            y=y,
            components=components,
            std=std[:, shown] if with_std else None,
        )
        return display.plot(ax, **kwargs)


def _figsize(codes, *, has_key):
    """The size of a figure whose axes have the shape of the codes (n, 2), within limits."""
    spans = np.ptp(codes, axis=0)
    longest = spans.max() or 1.0
    width, height = np.maximum(LONGER_SIDE * spans / longest, SHORTEST_SIDE)
    return width + LABELS + LEGEND * has_key, height + LABELS


def two_components(components, n):
    """The components as a tuple. Raises ValueError unless they are two different ones of n."""
    if n < 2:
        raise ValueError(
            "A map of codes needs at least two components; the model has n_components=1. Plot a "
            "histogram of transform(X) instead."
        )
    chosen = tuple(components) if np.iterable(components) else ()
    if not (len(set(chosen)) == len(chosen) == 2 and all(map(whole(0, n - 1).holds, chosen))):
        raise ValueError(
            f"'components' must be two different whole numbers from 0 to {n - 1}, as the estimator "
            f"has {n} components; got {components!r}."
        )
    return chosen


def _colours(classes):
    """The colour map and its limits, as arguments of ``scatter``."""
    from matplotlib.colors import ListedColormap

    colormaps = pyplot().colormaps
    if classes is None:
        return {"cmap": colormaps["viridis"].with_extremes(bad="0.8"), "plotnonfinite": True}
    n = len(classes)
    if n <= 10:
        palette = colormaps["tab10"].colors[:n]
    else:
        palette = colormaps["turbo"](np.linspace(0.02, 0.98, n))
    return {"cmap": ListedColormap(palette), "vmin": -0.5, "vmax": n - 0.5}
