"""Images drawn from the model."""

import numpy as np

from skvae._rules import TRUTH, whole
from skvae._torch.random import seed_from
from skvae.plots._images import ImagesDisplay, as_images, decoded_images
from skvae.plots._shared import apply_steps, fitted_model, pyplot, shorten, undo_steps
from skvae.plots._target import checked_target, classes_of

N_CLASSES = 10  # at most


class SampleDisplay(ImagesDisplay):
    """Images drawn from the model.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_columns, height, width[, 3])
        Images, by their row and column in the picture.
    classes : sequence of str of length n_rows, default=None
        Class of the images in each row. None for images that are not drawn by class.

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
    skvae.VAETransformer.sample_codes : Draw the codes of the images without plotting them.
    skvae.VAETransformer.sample : Draw rows with the noise of the likelihood.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.plots import SampleDisplay
    >>> vae = VAETransformer(max_iter=2, random_state=0).fit(load_digits().data)
    >>> SampleDisplay.from_estimator(vae, (8, 8), grid=(2, 5), random_state=0).images.shape
    (2, 5, 8, 8)
    """

    def __init__(self, *, images, classes=None):
        self.images = images
        self.classes = classes

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
        rows, _ = self._draw_images(self.images, ax, kwargs)
        if self.classes is not None:
            self.ax_.set_yticks(rows, map(shorten, self.classes))
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        image_shape,
        *,
        grid=(8, 8),
        noise=False,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Create a display of new images.

        Codes from the fitted prior are decoded to the means of p(x|z). A Pipeline inverts its steps
        on them.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        image_shape : tuple of int
            Height and width of the images, and 3 for colours.
        grid : tuple of two int, default=(8, 8)
            Number of rows and columns of images.
        noise : bool, default=False
            Whether the pixels are drawn from p(x|z), independently of each other, as in
            :meth:`skvae.VAETransformer.sample`.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. An int shows the same codes with and without noise. None draws other
            images at each call.
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
        TRUTH.check("'noise'", noise)
        draw = model.sample if noise else model.sample_codes
        drawn = draw(np.prod(shape), random_state=random_state)
        if noise:
            rows = np.asarray(undo_steps(estimator, drawn))
            images = as_images(rows.reshape(*shape, -1), image_shape)
        else:
            images = decoded_images(estimator, drawn.reshape(*shape, -1), image_shape)
        return cls(images=images).plot(ax, **kwargs)

    @classmethod
    def from_classes(
        cls,
        estimator,
        X,
        y,
        image_shape,
        *,
        n_images=10,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Create a display of new images of each class.

        The model does not know the classes. The codes of a class are drawn from a normal with the
        mean and the covariance of posterior draws of its rows: the covariance of the means of
        q(z|x), plus the mean variance of q(z|x). They are decoded to the means of p(x|z), without
        its noise. Images are typical of a class if its codes form one group.

        To draw rows given the value of a column of the table, use
        ``VAETransformer.sample(given=...)``.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their classes, of which the first ten are shown: strings, booleans, categories or up to
            20 distinct whole numbers.
        image_shape : tuple of int
            Height and width of the images, and 3 for colours.
        n_images : int, default=10
            Number of images of each class.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws other images at each call.
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
        whole(1).check("'n_images'", n_images)
        mean, std = model.latent_distribution(apply_steps(estimator, X))
        classes, places = classes_of(checked_target(y, len(mean)))
        if classes is None:
            raise ValueError(
                "'y' must hold classes: strings, booleans, categories or up to 20 distinct whole "
                "numbers; got a quantity. Convert it to strings, or bin it by pandas.cut."
            )
        rng = np.random.default_rng(seed_from(random_state))
        codes = [
            _codes_like(mean[places == place], std[places == place], n_images, rng)
            for place in range(len(classes[:N_CLASSES]))
        ]
        images = decoded_images(estimator, np.stack(codes), image_shape)
        return cls(images=images, classes=classes[:N_CLASSES]).plot(ax, **kwargs)


def _codes_like(mean, std, n, rng):
    """Draws from the normal with the moments of a mixture of normals. 2 x (m, K) -> (n, K)."""
    center = mean.mean(axis=0)
    between = (mean - center).T @ (mean - center) / len(mean)
    return rng.multivariate_normal(center, between + np.diag(np.square(std).mean(axis=0)), n)
