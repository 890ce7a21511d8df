"""Images drawn from the model."""

import numpy as np

from skvae._rules import whole
from skvae.plots._images import ImagesDisplay, as_images
from skvae.plots._shared import fitted_model, pyplot, undo_steps


class SampleDisplay(ImagesDisplay):
    """Images drawn from the model.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_columns, height, width[, 3])
        Images, by their row and column in the picture.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The images as one.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    skvae.VAETransformer.sample : Draw the same rows without plotting them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.plots import SampleDisplay
    >>> vae = VAETransformer(max_iter=2, random_state=0).fit(load_digits().data)
    >>> SampleDisplay.from_estimator(vae, (8, 8), grid=(2, 5), random_state=0).images.shape
    (2, 5, 8, 8)
    """

    def __init__(self, *, images):
        self.images = images

    def plot(self, ax=None, **kwargs):
        """Plot the images.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : SampleDisplay
            The display itself.
        """
        self._draw_images(self.images, ax, kwargs)
        return self

    @classmethod
    def from_estimator(
        cls, estimator, image_shape, *, grid=(8, 8), random_state=None, ax=None, **kwargs
    ):
        """Create a display of new images.

        They are the rows of :meth:`skvae.VAETransformer.sample`: codes from the fitted prior,
        decoded, and with the noise of p(x|z). A Pipeline inverts its steps on them.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        image_shape : tuple of int
            Height and width of the images, and 3 for colours.
        grid : tuple of two int, default=(8, 8)
            Number of rows and columns of images.
        random_state : int, RandomState instance or None, default=None
            As in :meth:`skvae.VAETransformer.sample`, which returns the same rows for the same
            int. None draws other images at each call.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : SampleDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        shape = tuple(grid) if np.iterable(grid) else ()
        if len(shape) != 2 or not all(map(whole(1).holds, shape)):
            raise ValueError(
                f"'grid' must be two positive whole numbers, of rows and columns; got {grid!r}."
            )
        n_rows, n_columns = shape
        sample = model.sample(n_rows * n_columns, random_state=random_state)
        rows = np.asarray(undo_steps(estimator, sample))
        images = as_images(rows.reshape(n_rows, n_columns, -1), image_shape)
        return cls(images=images).plot(ax, **kwargs)
