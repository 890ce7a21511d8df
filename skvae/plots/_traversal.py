"""Images decoded while one component of a code varies."""

import numpy as np

from skvae.plots._images import ImagesDisplay, decoded_images
from skvae.plots._shared import apply_steps, fitted_model, pyplot
from skvae.plots._tables import first_rows

N_ROWS = 10  # of images, at most
MOST_TICKS = 11


class TraversalDisplay(ImagesDisplay):
    """Images decoded from codes of which one component varies.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_steps, height, width[, 3])
        Images, by their row in the picture and the value of the component that varies.
    positions : ndarray of shape (n_steps,)
        Values of the component, in standard deviations of the standard normal prior.
    components : sequence of int of length n_rows
        Number of the component that varies in each row.

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
    skvae.VAETransformer.traverse : The codes of the images.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.plots import TraversalDisplay
    >>> X = load_digits().data
    >>> vae = VAETransformer(3, max_iter=2, random_state=0).fit(X)
    >>> TraversalDisplay.from_estimator(vae, X, (8, 8)).images.shape
    (3, 11, 8, 8)
    """

    def __init__(self, *, images, positions, components):
        self.images = images
        self.positions = positions
        self.components = components

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
        display : TraversalDisplay
            The display itself.
        """
        rows, columns = self._draw_images(self.images, ax, kwargs)
        shown = slice(None, None, -(-len(self.positions) // MOST_TICKS))
        self.ax_.set_xticks(columns[shown], [f"{z:.1f}" for z in self.positions[shown]])
        if len(set(self.components)) == 1:
            self.ax_.set_xlabel(f"component {self.components[0]} (prior standard deviations)")
        else:
            self.ax_.set_yticks(rows, [f"component {number}" for number in self.components])
            self.ax_.set_xlabel("prior standard deviations")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        image_shape,
        *,
        component=None,
        n_steps=11,
        extent=2.5,
        ax=None,
        **kwargs,
    ):
        """Create a display of the codes of :meth:`skvae.VAETransformer.traverse`.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows, whose codes determine the components that do not vary.
        image_shape : tuple of int
            Height and width of the images, and 3 for colours.
        component : int, default=None
            Number of the component that varies, counted from 0, with a row of images for each of
            the first ten rows of ``X``. None varies one component after another of the first row
            of ``X``, with a row of images for each of the ten components of largest
            ``kl_divergence_``, in their order.
        n_steps : int, default=11
            Number of images in a row, at least 2.
        extent : float, default=2.5
            Largest distance of the component from 0, in standard deviations of the standard normal
            prior.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : TraversalDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        X = apply_steps(estimator, first_rows(X, 1 if component is None else N_ROWS))
        largest = np.argsort(-model.kl_divergence_, kind="stable")[:N_ROWS]
        varied = np.sort(largest).tolist() if component is None else [component]
        walks = [model.traverse(X, number, n_steps, extent=extent) for number in varied]
        display = cls(
            images=decoded_images(estimator, np.concatenate(walks), image_shape),
            positions=walks[0][0, :, varied[0]] / model.scale_[varied[0]],
            components=np.repeat(varied, len(walks[0])),
        )
        return display.plot(ax, **kwargs)
