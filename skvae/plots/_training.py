"""The latent space through training."""

import numpy as np

from skvae.plots._animation import AnimatedDisplay
from skvae.plots._images import as_images
from skvae.plots._latent_space import LatentSpaceDisplay, two_components
from skvae.plots._shared import pyplot


class TrainingAnimation(AnimatedDisplay):
    """Animation of decoded images and of codes through training.

    It is recommended to use :meth:`from_snapshots` to create an animation. All parameters are
    stored as attributes.

    Parameters
    ----------
    epochs : sequence of int
        The epoch of each frame.
    images : ndarray of shape (n_frames, n_rows, n_columns, height, width[, 3]), default=None
        Images by their row and column. None draws no images.
    codes : ndarray of shape (n_frames, n_samples, 2), default=None
        Codes of the rows, two components of them. None draws no codes.
    y : array-like of shape (n_samples,), default=None
        Target that colours the codes, as in :class:`LatentSpaceDisplay`.
    components : tuple of two int, default=(0, 1)
        Number of the component on each axis.

    Attributes
    ----------
    im_ : matplotlib AxesImage or None
        The images as one.
    latent_space_ : LatentSpaceDisplay or None
        The codes.
    axes_ : list of matplotlib Axes
        Axes with the images, and axes with the codes.
    figure_ : matplotlib Figure
        Figure that contains the axes.
    animation_ : matplotlib FuncAnimation
        The animation that :meth:`save` wrote.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.callbacks import Snapshots
    >>> from skvae.plots import TrainingAnimation
    >>> X, y = load_digits(return_X_y=True)
    >>> snapshots = Snapshots(X[:200], grid=5)
    >>> vae = VAETransformer(whiten=True, max_iter=3, random_state=0)
    >>> vae = vae.set_callbacks(snapshots).fit(X)
    >>> animation = TrainingAnimation.from_snapshots(snapshots, (8, 8), y=y[:200])
    >>> animation.n_frames
    3
    >>> animation = animation.save(Path(tempfile.mkdtemp(), "training.gif"), fps=2)
    """

    def __init__(self, *, epochs, images=None, codes=None, y=None, components=(0, 1)):
        self.epochs = epochs
        self.images = images
        self.codes = codes
        self.y = y
        self.components = components

    @property
    def n_frames(self):
        """The number of frames."""
        return len(self.epochs)

    def plot(self, axes=None, **kwargs):
        """Plot the last frame.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, default=None
            Axes for the images and for the codes, as far as there are both. If None, a new figure
            is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : TrainingAnimation
            The display itself.
        """
        n_axes = sum(part is not None for part in (self.images, self.codes))
        if axes is None:
            _, axes = pyplot().subplots(
                1, n_axes, figsize=(5.2 * n_axes, 4.8), layout="constrained", squeeze=False
            )
        self.axes_ = list(np.ravel(axes))
        if len(self.axes_) != n_axes:
            raise ValueError(
                f"'axes' must be {n_axes} matplotlib Axes, for images and for codes as far as "
                f"there are both; got {len(self.axes_)}."
            )
        self.im_ = self.latent_space_ = None
        if self.images is not None:
            self._draw_frames(np.asarray(self.images), self.axes_[0], kwargs)
        if self.codes is not None:
            self._draw_codes(self.axes_[-1])
        self.figure_ = self.axes_[0].figure
        self.show_frame(self.n_frames - 1)
        return self

    def _draw_codes(self, ax):
        codes = np.asarray(self.codes)
        display = LatentSpaceDisplay(codes=codes[-1], y=self.y, components=self.components)
        self.latent_space_ = display.plot(ax)
        ax.update_datalim(codes.reshape(-1, 2))  # the same limits for all frames
        ax.autoscale_view()

    def show_frame(self, number):
        """Show another frame in the drawn figure, counted from 0."""
        self.axes_[0].set_title(f"epoch {self.epochs[number]}")
        if self.im_ is not None:
            self.im_.set_data(self._pictures[number])
        if self.latent_space_ is not None:
            self.latent_space_.scatter_.set_offsets(self.codes[number])

    @classmethod
    def from_snapshots(
        cls, snapshots, image_shape=None, *, y=None, components=(0, 1), axes=None, **kwargs
    ):
        """Create an animation of what a callback has kept in a fit.

        Parameters
        ----------
        snapshots : Snapshots
            The callback, after the fit.
        image_shape : tuple of int, default=None
            Height and width of the images, and 3 for colours. None draws no images.
        y : array-like of shape (n_samples,), default=None
            Target that colours the codes of the rows ``X`` of the callback.
        components : tuple of two int, default=(0, 1)
            Components on the horizontal and the vertical axis, counted from 0.
        axes : sequence of matplotlib Axes, default=None
            Axes for the images and for the codes, as far as there are both. If None, a new figure
            is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : TrainingAnimation
            It draws codes if the callback has kept some.
        """
        pyplot()
        if not getattr(snapshots, "epochs_", None):
            raise ValueError(
                "'snapshots' must be a Snapshots callback with at least one epoch; got "
                f"{snapshots!r}. Pass it to set_callbacks, and call fit."
            )
        images = codes = None
        if image_shape is not None:
            images = as_images(np.stack(snapshots.decoded_), image_shape)
        if snapshots.codes_:
            codes = np.stack(snapshots.codes_)
            components = two_components(components, codes.shape[-1])
            codes = codes[..., list(components)]
        if images is None and codes is None:
            raise ValueError(
                "There is nothing to draw: 'snapshots' has kept no codes, since its X is None, and "
                "'image_shape' is None. Give either."
            )
        display = cls(
            epochs=snapshots.epochs_, images=images, codes=codes, y=y, components=components
        )
        return display.plot(axes, **kwargs)
