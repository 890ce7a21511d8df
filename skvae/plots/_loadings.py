"""The loadings of the components."""

import numpy as np

from skvae._rules import whole
from skvae.plots._shared import colour_limits, fitted_model, given_or_new_axes, pyplot, shorten


class LoadingsDisplay:
    """Heat map of the loadings: how features change with each component.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    loadings : DataFrame of shape (n_features, n_components)
        As returned by :meth:`skvae.VAETransformer.loadings`.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The heat map.
    colorbar_ : matplotlib Colorbar
        Its colour bar.
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import LoadingsDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(max_iter=20, random_state=0).fit(X)
    >>> LoadingsDisplay.from_estimator(vae, n_features=5).loadings.shape
    (5, 2)
    """

    def __init__(self, *, loadings):
        self.loadings = loadings

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
        display : LoadingsDisplay
            The display itself.
        """
        n_features, n_components = self.loadings.shape
        self.ax_ = given_or_new_axes(
            ax, figsize=(0.5 * n_components + 3.6, 0.26 * n_features + 1.0)
        )
        self.figure_ = self.ax_.figure
        values = self.loadings.to_numpy()
        largest = np.abs(values).max(initial=0.0) or 1.0
        style = {"cmap": "RdBu_r", "aspect": "auto"} | colour_limits(-largest, largest, kwargs)
        self.im_ = self.ax_.imshow(values, **style | kwargs)
        self.colorbar_ = self.figure_.colorbar(self.im_, ax=self.ax_, label="loading")
        self.ax_.set_xticks(range(n_components))
        self.ax_.set_yticks(range(n_features), [shorten(name) for name in self.loadings.index])
        self.ax_.set_xlabel("component")
        return self

    @classmethod
    def from_estimator(cls, estimator, *, n_features=30, ax=None, **kwargs):
        """Create a display of the loadings of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        n_features : int, default=30
            Number of features, or levels of categories, to show: those with the largest loadings,
            in the order of the table.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : LoadingsDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        whole(1).check("'n_features'", n_features)
        loadings = model.loadings()
        largest = np.abs(loadings.to_numpy()).max(axis=1)
        shown = np.sort(np.argsort(-largest, kind="stable")[:n_features])
        return cls(loadings=loadings.iloc[shown]).plot(ax, **kwargs)
