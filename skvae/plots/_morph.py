"""An image that changes along a path through the latent space."""

import numpy as np

from skvae._rules import whole
from skvae._walks import line
from skvae.plots._animation import AnimatedDisplay
from skvae.plots._images import decoded_images
from skvae.plots._shared import fitted_model, pyplot


class MorphAnimation(AnimatedDisplay):
    """Animation of the image that is decoded along a path of codes.

    It is recommended to use :meth:`from_estimator` to create an animation. All parameters are
    stored as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_frames, height, width[, 3])
        The image of each frame.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The image.
    ax_ : matplotlib Axes
        Axes with the image.
    figure_ : matplotlib Figure
        Figure that contains the axes.
    animation_ : matplotlib FuncAnimation
        The animation that :meth:`save` wrote.

    See Also
    --------
    InterpolationDisplay : The images between two codes side by side.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.plots import MorphAnimation
    >>> X = load_digits().data
    >>> vae = VAETransformer(max_iter=2, random_state=0).fit(X)
    >>> morph = MorphAnimation.from_estimator(vae, vae.transform(X[:3]), (8, 8))
    >>> morph.images.shape
    (21, 8, 8)
    >>> morph = morph.save(Path(tempfile.mkdtemp(), "morph.gif"))
    """

    def __init__(self, *, images):
        self.images = images

    @property
    def n_frames(self):
        """The number of frames."""
        return len(self.images)

    def plot(self, ax=None, **kwargs):
        """Plot the last frame.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : MorphAnimation
            The display itself.
        """
        self._draw_frames(np.asarray(self.images)[:, None, None], ax, kwargs)
        return self

    def show_frame(self, number):
        """Show another frame in the drawn figure, counted from 0."""
        self.im_.set_data(self._pictures[number])

    @classmethod
    def from_estimator(cls, estimator, Z, image_shape, *, n_steps=10, ax=None, **kwargs):
        """Create an animation of the path from each code to the next.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        Z : array-like of shape (n_codes, n_components)
            At least two codes, as ``transform`` returns them. Repeat the first at the end for a
            path without an end.
        image_shape : tuple of int
            Height and width of the images, and 3 for colours.
        n_steps : int, default=10
            Number of frames from each code to the next.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : MorphAnimation
            Its ``(n_codes - 1) * n_steps + 1`` frames are on straight lines between the codes.
        """
        pyplot()
        fitted_model(estimator)
        whole(1).check("'n_steps'", n_steps)
        Z = np.asarray(Z, dtype=float)
        if Z.ndim != 2 or len(Z) < 2:
            raise ValueError(
                "'Z' must be at least two codes, of shape (n_codes, n_components); got the shape "
                f"{Z.shape}."
            )
        lines = line(Z[:-1], Z[1:], n_steps + 1)[:, :-1]
        path = np.concatenate([lines.reshape(-1, Z.shape[1]), Z[-1:]])
        images = decoded_images(estimator, path[:, None], image_shape)[:, 0]
        return cls(images=images).plot(ax, **kwargs)
