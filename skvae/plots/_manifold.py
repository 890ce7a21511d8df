"""The images that a two-dimensional latent space decodes to."""

from scipy.stats import norm

from skvae.plots._images import ImagesDisplay, decoded_images
from skvae.plots._shared import fitted_model, pyplot

MOST_TICKS = 8


class ManifoldDisplay(ImagesDisplay):
    """Images decoded from a grid of codes in two dimensions.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_steps, n_steps, height, width[, 3])
        ``images[i, j]`` is decoded where component 0 is ``grid[j]`` and component 1 is ``grid[i]``.
    grid : ndarray of shape (n_steps,)
        Positions along each component in ascending order, in standard deviations of the standard
        normal prior.
    spacing : {"linear", "percentile"}, default="linear"
        Whether the ticks show standard deviations or percentiles of the standard normal prior.

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
    >>> from skvae.plots import ManifoldDisplay
    >>> vae = VAETransformer(max_iter=2, random_state=0).fit(load_digits().data)
    >>> ManifoldDisplay.from_estimator(vae, (8, 8), n_steps=5).images.shape
    (5, 5, 8, 8)
    """

    def __init__(self, *, images, grid, spacing="linear"):
        self.images = images
        self.grid = grid
        self.spacing = spacing

    def plot(self, ax=None, **kwargs):
        """Plot the images, component 0 to the right and component 1 upwards.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : ManifoldDisplay
            The display itself.
        """
        rows, columns = self._draw_images(self.images[::-1], ax, kwargs)
        shown = slice(None, None, -(-len(self.grid) // MOST_TICKS))
        if self.spacing == "linear":
            unit, labels = "standard deviations", [f"{z:.1f}" for z in self.grid[shown]]
        else:
            unit, labels = "percentile", [f"{p:.0f}" for p in 100 * norm.cdf(self.grid[shown])]
        self.ax_.set_xticks(columns[shown], labels)
        self.ax_.set_yticks(rows[::-1][shown], labels)
        self.ax_.set(xlabel=f"component 0 (prior {unit})", ylabel=f"component 1 (prior {unit})")
        return self

    @classmethod
    def from_estimator(
        cls, estimator, image_shape, *, n_steps=15, spacing="linear", extent=2.5, ax=None, **kwargs
    ):
        """Create a display by decoding the codes of :meth:`skvae.VAETransformer.grid`.

        The grid is laid over a standard normal distribution of the codes, also where the ``prior``
        is another one. That changes which codes are likely, but not what they decode to.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer with ``n_components=2``, a Pipeline that ends in one, or a search
            over either.
        image_shape : tuple of int
            Height and width of the images, and 3 for colours.
        n_steps : int, default=15
            Number of positions along each component, at least 2.
        spacing : {"linear", "percentile"}, default="linear"
            Positions in equal steps, or in steps of equal probability under the standard normal
            prior, at the percentiles 100 (i + 1/2) / n_steps.
        extent : float, default=2.5
            Largest distance from 0 with "linear", in standard deviations of the prior.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``imshow``.

        Returns
        -------
        display : ManifoldDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        codes = model.grid(n_steps, spacing=spacing, extent=extent)
        images = decoded_images(estimator, codes, image_shape)
        positions = codes[0, :, 0] / model.scale_[0]
        return cls(images=images, grid=positions, spacing=spacing).plot(ax, **kwargs)
