"""Images decoded between the codes of two rows."""

import numpy as np

from skvae.plots._images import ImagesDisplay, decoded_images
from skvae.plots._shared import fitted_model, pyplot


class InterpolationDisplay(ImagesDisplay):
    """Images decoded along lines or arcs between codes.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_paths, n_steps, height, width[, 3])
        Images along each path, from its start to its end.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The images as one.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.plots import InterpolationDisplay
    >>> X = load_digits().data
    >>> vae = VAETransformer(max_iter=2, random_state=0).fit(X)
    >>> display = InterpolationDisplay.from_estimator(vae, X[:3], X[3:6], (8, 8))
    >>> display.images.shape
    (3, 10, 8, 8)
    """

    def __init__(self, *, images):
        self.images = images

    def plot(self, ax=None, **kwargs):
        """Plot the images, a row for each path.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : InterpolationDisplay
            The display itself.
        """
        _, columns = self._draw_images(self.images, ax, kwargs)
        self.ax_.set_xticks(columns[[0, -1]], ["start", "stop"])
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X_start,
        X_stop,
        image_shape,
        *,
        n_steps=10,
        method="linear",
        ax=None,
        **kwargs,
    ):
        """Create a display of the paths from the rows of ``X_start`` to those of ``X_stop``.

        The paths are those of :meth:`skvae.VAETransformer.interpolate`. The first and the last
        image of a path are the reconstructions of the two rows.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        X_start, X_stop : array-like or sparse matrix of shape (n_paths, n_features)
            Rows at the start and at the end of each path.
        image_shape : tuple of int
            Height and width of the images, and 3 for colours.
        n_steps : int, default=10
            Number of images on a path with both ends, at least 2.
        method : {"linear", "spherical"}, default="linear"
            Straight lines in ``transform``'s codes, or arcs around 0, whatever the ``prior``.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : InterpolationDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        start, stop = (np.asarray(estimator.transform(X)) for X in (X_start, X_stop))
        if len(start) != len(stop):
            raise ValueError(
                "'X_stop' must have a row for each row of 'X_start'; got "
                f"{len(stop)} and {len(start)} rows."
            )
        codes = model.interpolate(start, stop, n_steps, method=method)
        return cls(images=decoded_images(estimator, codes, image_shape)).plot(ax, **kwargs)
