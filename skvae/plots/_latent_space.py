"""Rows as points in the latent space."""

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from skvae._rules import whole
from skvae.plots._shared import fitted_model, given_or_new_axes, pyplot

MOST_WHOLE_NUMBERS = 20  # distinct whole numbers; with more, y is a quantity
MOST_IN_LEGEND = 100  # classes
LEGEND_ROWS = 15  # in a column of the legend

NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
CLASSES = ("string", "boolean", "categorical", "empty")
TIMES = ("datetime", "datetime64", "date")


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
        a legend for at most 100 of them; missing values are one more class. Other numbers and
        dates are a quantity, with a colour bar; rows without a value are grey. The legend or the
        colour bar has the name of a pandas Series as its title.
    components : tuple of two int, default=(0, 1)
        Number of the component on each axis.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        The points.
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

    def __init__(self, *, codes, y=None, components=(0, 1)):
        self.codes = codes
        self.y = y
        self.components = components

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
        style = {"s": np.clip(20_000 / len(self.codes), 3, 25), "alpha": 0.8, "linewidths": 0}
        classes, values = None, None
        if self.y is not None:
            y = _checked_target(self.y, len(self.codes))
            classes, values = _classes(y)
            style |= {"c": values} | _colours(classes)
        self.ax_ = given_or_new_axes(ax, figsize=(6.4, 5.2))
        self.figure_ = self.ax_.figure
        self.scatter_ = self.ax_.scatter(*np.asarray(self.codes).T, **style | kwargs)
        self.legend_ = self.colorbar_ = None
        if classes is not None and len(classes) <= MOST_IN_LEGEND:
            self.legend_ = self._add_legend(classes, y.name)
        elif classes is None and values is not None:
            self.colorbar_ = self._add_colorbar(y)
        first, second = self.components
        self.ax_.set(xlabel=f"component {first}", ylabel=f"component {second}")
        self.ax_.set_aspect("equal", adjustable="datalim")
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self

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
        if infer_dtype(y) in TIMES:
            from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

            locator = AutoDateLocator()
            ticks = {"ticks": locator, "format": ConciseDateFormatter(locator)}
        return self.figure_.colorbar(self.scatter_, ax=self.ax_, label=y.name, **ticks)

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, components=None, ax=None, **kwargs):
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
        components = _checked_components(components, model)
        codes = np.asarray(estimator.transform(X))[:, list(components)]
        return cls(codes=codes, y=y, components=components).plot(ax, **kwargs)


def _checked_components(components, model):
    """Two components of the model; those of largest divergence for None."""
    n = model.n_components_
    if n < 2:
        raise ValueError(
            "'estimator' must have at least two components; got one with n_components=1. Plot a "
            "histogram of transform(X) instead."
        )
    if components is None:
        return tuple(sorted(np.argsort(-model.kl_divergence_, kind="stable")[:2].tolist()))
    chosen = tuple(components) if np.iterable(components) else ()
    if not (len(set(chosen)) == len(chosen) == 2 and all(map(whole(0, n - 1).holds, chosen))):
        raise ValueError(
            f"'components' must be two different whole numbers from 0 to {n - 1}, as the estimator "
            f"has {n} components; got {components!r}."
        )
    return chosen


def _checked_target(y, n_rows):
    """``y`` as a pandas Series of one kind of values, one for each row."""
    if getattr(y, "ndim", 1) != 1:
        raise ValueError(f"'y' must be one-dimensional; got shape {y.shape}. Pass one column.")
    name = getattr(y, "name", None)
    y = pd.Series(y, name=name).reset_index(drop=True)
    if len(y) != n_rows:
        raise ValueError(
            f"'y' must have one value for each of the {n_rows} rows of X; got {len(y)} values."
        )
    if infer_dtype(y) not in NUMBERS + CLASSES + TIMES:
        types = sorted({type(value).__name__ for value in y.dropna()})
        raise ValueError(
            "'y' must hold only numbers, only strings, only booleans or only dates; got values of "
            f"type {', '.join(types)}. Convert them to one kind, such as strings."
        )
    return y


def _classes(y):
    """Names of the classes in ``y``, and the number of each row's; None and numbers if it has none.

    Missing values are a class of their own, the last, but NaN in a quantity.
    """
    kind = infer_dtype(y)
    if kind in TIMES:
        from matplotlib.dates import date2num

        return None, date2num(pd.to_datetime(y).to_numpy())
    if kind in NUMBERS:
        values = y.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        distinct = np.unique(values[~np.isnan(values)])
        are_whole = all(map(float.is_integer, distinct.tolist()))
        if len(distinct) > MOST_WHOLE_NUMBERS or not are_whole:
            return None, values
        if kind != "integer":
            y = pd.Series(values).astype("Int64")  # so that a class is "1" and not "1.0"
    y = y.astype("category").cat.remove_unused_categories()
    classes, places = [str(level) for level in y.cat.categories], y.cat.codes.to_numpy()
    if np.any(places < 0):
        places = np.where(places < 0, len(classes), places)
        classes.append("missing")
    return classes, places


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
