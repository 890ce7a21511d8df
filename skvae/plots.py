"""Pictures of a fitted model, as scikit-learn's Displays.

``from_estimator`` computes and draws; ``plot`` draws again, on other axes or in another style.
Every estimator here is a fitted :class:`~skvae.VAETransformer`, a Pipeline that ends in one, or
a search such as GridSearchCV over either. Pictures need matplotlib: ``pip install "skvae[plots]"``.
"""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skvae._torch.random import seed_from

N_IMAGES = 10  # images in a strip
N_PANELS = 16  # columns of a table that get a panel, unless named
N_LETTERS = 24  # of a panel's title
LEGEND_ROWS = 15  # beyond these a legend takes several columns
MOST_LEGEND = 100  # classes that get a legend
N_CLASSES = 20  # whole numbers with more distinct values than this are a quantity, not classes


class LossCurveDisplay:
    """The loss of every epoch, on the training rows and on the rows held out.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        Negative ELBO in nats per row.
    validation_curve : array-like of shape (n_epochs,), default=None
        The same on rows held out.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The training curve, and the validation curve if there is one.
    best_ : matplotlib Line2D or None
        Mark of the epoch at which the validation curve is lowest.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, loss_curve, validation_curve=None):
        self.loss_curve = loss_curve
        self.validation_curve = validation_curve

    def plot(self, ax=None, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``plot`` for both curves. A ``label`` goes before the name of
            each; of one colour, the validation curve is dashed.

        Returns
        -------
        self
        """
        self.ax_ = _axes(ax, figsize=(6.4, 4.0))
        self.figure_ = self.ax_.figure
        style = {"linewidth": 1.8} | _line_style(kwargs)
        label = style.pop("label", None)
        label = "" if label is None else f"{label}: "
        self.lines_ = self._curve(self.loss_curve, style | {"label": f"{label}training"})
        self.best_ = None
        if self.validation_curve is not None:
            apart = {"linestyle": "--"} if "color" in style else {}
            style = apart | style | {"label": f"{label}validation"}
            self.lines_ += self._curve(self.validation_curve, style)
            epoch = int(np.argmin(self.validation_curve))
            (self.best_,) = self.ax_.plot(
                [epoch + 1],
                [self.validation_curve[epoch]],
                marker="o",
                markersize=8,
                markerfacecolor="none",
                markeredgewidth=1.8,
                color="black",
                linestyle="none",
                label=f"{label}best epoch: {epoch + 1}",
            )
        self.ax_.set(xlabel="epoch", ylabel="negative ELBO (nats per row)")
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(frameon=False)
        return self

    def _curve(self, values, style):
        if len(values) == 1:  # of which a line shows nothing
            style = {"marker": "."} | style
        return self.ax_.plot(np.arange(1, len(values) + 1), values, **style)

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the loss curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``plot`` for both curves.

        Returns
        -------
        display : LossCurveDisplay
        """
        _pyplot()
        model = _model_of(estimator)
        scores = model.validation_scores_
        display = cls(
            loss_curve=np.asarray(model.loss_curve_),
            validation_curve=-np.asarray(scores) if len(scores) else None,
        )
        return display.plot(ax, **kwargs)


class LatentSpaceDisplay:
    """Codes of rows as points, coloured by a target.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        Posterior means along the two components shown.
    y : array-like of shape (n_samples,), default=None
        Strings, booleans and few whole numbers are classes and get a legend if they are at most
        100; other numbers get a colour bar. The name of a pandas Series heads either.
    components : tuple of two int, default=(0, 1)
        Which components these are.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
    legend_ : matplotlib Legend or None
    colorbar_ : matplotlib Colorbar or None
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, codes, y=None, components=(0, 1)):
        self.codes = codes
        self.y = y
        self.components = components

    def plot(self, ax=None, **kwargs):
        """Draw the codes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``scatter``.

        Returns
        -------
        self
        """
        plt = _pyplot()
        self.ax_ = _axes(ax, figsize=(6.4, 5.2))
        self.figure_ = self.ax_.figure
        self.legend_ = self.colorbar_ = None
        title = getattr(self.y, "name", None)
        classes, values = _classes(self.y)
        style = {"s": np.clip(20_000 / len(self.codes), 3, 25), "alpha": 0.8, "linewidths": 0}
        if classes is not None:
            n = len(classes)
            palette = plt.colormaps["tab10"].colors if n <= 10 else plt.colormaps["turbo"]
            palette = palette[:n] if n <= 10 else palette(np.linspace(0.02, 0.98, n))
            style |= {"cmap": _listed_colormap(palette), "vmin": -0.5, "vmax": n - 0.5}
        if values is not None:
            style |= {"c": values}
        self.scatter_ = self.ax_.scatter(*self.codes.T, **style | kwargs)
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "frameon": False}
        if classes is not None and n <= MOST_LEGEND:
            handles, _ = self.scatter_.legend_elements(num=None, alpha=1.0)
            if n > LEGEND_ROWS:
                beside |= {"ncols": -(-n // LEGEND_ROWS), "fontsize": "small"}
            self.legend_ = self.ax_.legend(handles, classes, title=title, **beside)
        elif classes is None and values is not None:
            self.colorbar_ = self.figure_.colorbar(self.scatter_, ax=self.ax_, label=title)
        first, second = self.components
        self.ax_.set(xlabel=f"component {first}", ylabel=f"component {second}")
        self.ax_.set_aspect("equal", adjustable="datalim")
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, components=None, ax=None, **kwargs):
        """Draw the codes of the rows of ``X``.

        Parameters
        ----------
        estimator : estimator instance
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Colours the points: classes with a legend, or a quantity with a colour bar.
        components : tuple of two int, default=None
            Components on the horizontal and the vertical axis, counted from 0; None for the two of
            largest ``kl_divergence_``, in their order, or the first two of a model that has none.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``scatter``.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        _pyplot()
        if y is not None:
            check_consistent_length(X, y)
        model = _model_of(estimator)
        n_components = model.n_components_
        if n_components < 2:
            raise ValueError(
                "A latent space is drawn of two components, but the estimator has one. Plot "
                "transform(X) as a histogram instead."
            )
        if components is None:
            told = getattr(model, "kl_divergence_", np.zeros(n_components))
            components = tuple(sorted(np.argsort(-told, kind="stable")[:2].tolist()))
        if len(components) != 2 or not all(0 <= place < n_components for place in components):
            raise ValueError(
                f"'components' must be two of the {n_components} components of the estimator, "
                f"counted from 0; got {components!r}."
            )
        codes = np.asarray(estimator.transform(X))[:, list(components)]
        return cls(codes=codes, y=y, components=components).plot(ax, **kwargs)


class LoadingsDisplay:
    """What each component stands for: the loadings of features as a heat map.

    Parameters
    ----------
    loadings : DataFrame of shape (n_features, n_components)
        As ``VAETransformer.loadings`` gives them.

    Attributes
    ----------
    im_ : matplotlib AxesImage
    colorbar_ : matplotlib Colorbar
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, loadings):
        self.loadings = loadings

    def plot(self, ax=None, **kwargs):
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow``.

        Returns
        -------
        self
        """
        n_rows, n_columns = self.loadings.shape
        self.ax_ = _axes(ax, figsize=(0.5 * n_columns + 3.6, 0.26 * n_rows + 1.0))
        self.figure_ = self.ax_.figure
        values = self.loadings.to_numpy()
        largest = np.abs(values).max(initial=0.0) or 1.0
        style = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest, "aspect": "auto"}
        self.im_ = self.ax_.imshow(values, **style | kwargs)
        self.colorbar_ = self.figure_.colorbar(self.im_, ax=self.ax_, label="loading")
        self.ax_.set_xticks(range(n_columns))
        names = [_shorten(str(name), N_LETTERS) for name in self.loadings.index]
        self.ax_.set_yticks(range(n_rows), names)
        self.ax_.set_xlabel("component")
        return self

    @classmethod
    def from_estimator(cls, estimator, *, n_features=30, ax=None, **kwargs):
        """Draw the loadings of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
        n_features : int, default=30
            How many features and levels to show: those of the largest loadings, in their order.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow``.

        Returns
        -------
        display : LoadingsDisplay
        """
        _pyplot()
        if not (isinstance(n_features, Integral) and int(n_features) >= 1):
            raise ValueError(f"'n_features' must be a positive whole number; got {n_features!r}.")
        loadings = _model_of(estimator).loadings()
        largest = np.abs(loadings.to_numpy()).max(axis=1)
        shown = np.sort(np.argsort(-largest, kind="stable")[:n_features])
        return cls(loadings=loadings.iloc[shown]).plot(ax, **kwargs)


class _ImagesDisplay:
    """What the Displays of images share."""

    def _show(self, images, ax, kwargs):
        """Draw images (n_rows, n_columns, height, width[, 3]) as one, so that they share limits.

        Sets ``im_``, ``ax_`` and ``figure_``; returns where on the axes the rows and the columns
        of images have their centres.
        """
        n_rows, n_columns, height, width = images.shape[:4]
        gap = max(1, round(0.08 * min(height, width)))
        step_y, step_x = height + gap, width + gap
        margins = [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)][: images.ndim]
        tiles = np.pad(images.astype(float), margins, constant_values=np.nan).swapaxes(1, 2)
        picture = tiles.reshape(n_rows * step_y, n_columns * step_x, *images.shape[4:])
        picture = picture[:-gap, :-gap]
        if picture.ndim == 3:  # imshow wants colours in [0, 1], and has no blank ones
            low, high = np.nanmin(picture), np.nanmax(picture)
            picture = np.nan_to_num((picture - low) / (high - low or 1.0), nan=1.0)

        scale = 7.0 / max(picture.shape[:2])
        figsize = (scale * picture.shape[1] + 1.0, scale * picture.shape[0] + 0.4)
        self.ax_ = _axes(ax, figsize)
        self.figure_ = self.ax_.figure
        self.im_ = self.ax_.imshow(picture, **{"cmap": "gray"} | kwargs)
        self.ax_.set(xticks=[], yticks=[])
        self.ax_.tick_params(length=0)
        self.ax_.spines[:].set_visible(False)
        rows = step_y * np.arange(n_rows) + (height - 1) / 2
        columns = step_x * np.arange(n_columns) + (width - 1) / 2
        return rows, columns


class ReconstructionDisplay(_ImagesDisplay):
    """Rows and what the model makes of them.

    Images: the inputs over their reconstructions. Tables: for each column a panel of
    reconstructions against inputs, with the share of its variance that they explain (R²). Missing
    cells are left out, and so are columns of categories.

    Parameters
    ----------
    inputs : ndarray of shape (n_samples, n_features)
    reconstructions : ndarray of shape (n_samples, n_features)
    image_shape : tuple of int, default=None
        Height and width of the image that a row is, and 3 if it has colours. None for a table.
    feature_names : sequence of str of length n_features, default=None
        Titles of the panels of a table; x0, x1, ... for None.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        For images.
    axes_ : ndarray of matplotlib Axes of shape (n_features,)
        For tables, the panels. They share out the place of ``ax_``.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, inputs, reconstructions, image_shape=None, feature_names=None):
        self.inputs = inputs
        self.reconstructions = reconstructions
        self.image_shape = image_shape
        self.feature_names = feature_names

    def plot(self, ax=None, **kwargs):
        """Draw the images or the panels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow`` for images, ``scatter`` for tables.

        Returns
        -------
        self
        """
        if self.image_shape is None:
            return self._plot_table(ax, kwargs)
        both = np.stack([self.inputs, self.reconstructions])
        rows, _ = self._show(_images(both, self.image_shape), ax, kwargs)
        self.ax_.set_yticks(rows, ["input", "reconstruction"])
        return self

    def _plot_table(self, ax, kwargs):
        n_features = self.inputs.shape[1]
        height = int(np.sqrt(n_features))
        width = -(-n_features // height)
        self.ax_ = _axes(ax, figsize=(2.2 * width + 0.4, 2.6 * height + 0.4))
        self.figure_ = self.ax_.figure
        self.ax_.set_axis_off()
        self.ax_.set_in_layout(False)
        panels = self.ax_.get_subplotspec().subgridspec(height, width)
        self.axes_ = np.array([self.figure_.add_subplot(panels[i]) for i in range(n_features)])
        style = {"s": np.clip(5_000 / len(self.inputs), 2, 14), "alpha": 0.6, "linewidths": 0}
        names = self.feature_names
        for place, panel in enumerate(self.axes_):
            x, reconstruction = self.inputs[:, place], self.reconstructions[:, place]
            x, reconstruction = x[(there := ~np.isnan(x))], reconstruction[there]
            panel.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
            panel.scatter(x, reconstruction, **style | kwargs)
            name = _shorten(f"x{place}" if names is None else str(names[place]), N_LETTERS)
            panel.set_title(f"{name}\n$R^2$ = {_explained(x, reconstruction):.2f}", fontsize=9)
            limits = _padded(np.concatenate([x, reconstruction]))
            panel.set(xlim=limits, ylim=limits, box_aspect=1)
            panel.locator_params(nbins=3)
            panel.tick_params(labelsize=8)
            panel.spines[["top", "right"]].set_visible(False)
            if place >= n_features - width:
                panel.set_xlabel("input", fontsize=9)
            if place % width == 0:
                panel.set_ylabel("reconstruction", fontsize=9)
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X, *, image_shape=None, n_rows=None, features=None, ax=None, **kwargs
    ):
        """Draw rows of ``X`` and their reconstructions.

        Parameters
        ----------
        estimator : estimator instance
        X : array-like of shape (n_samples, n_features)
        image_shape : tuple of int, default=None
            Height and width of the image that a row is, and 3 if it has colours. None for a
            table.
        n_rows : int, default=None
            How many rows to show, from the first on. None for 10 images, or all rows of a table.
        features : sequence of int or str, default=None
            Columns of numbers to show, by place or name. None for the first 16.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow`` for images, ``scatter`` for tables.

        Returns
        -------
        display : ReconstructionDisplay
        """
        _pyplot()
        if n_rows is None and image_shape is not None:
            n_rows = N_IMAGES
        X = X[:n_rows]
        inputs = np.asarray(X)
        reconstructions = np.asarray(estimator.inverse_transform(estimator.transform(X)))
        names = None
        if image_shape is None:
            names = getattr(estimator, "feature_names_in_", None)
            if names is None:
                names = np.array([f"x{place}" for place in range(inputs.shape[1])])
            places = _places(features, list(names), [_is_numeric(column) for column in inputs.T])
            names, inputs = names[places], _floats(inputs[:, places])
            reconstructions = _floats(reconstructions[:, places])
        display = cls(
            inputs=inputs,
            reconstructions=reconstructions,
            image_shape=image_shape,
            feature_names=names,
        )
        return display.plot(ax, **kwargs)


class ManifoldDisplay(_ImagesDisplay):
    """What a two-dimensional latent space decodes to, place by place.

    Parameters
    ----------
    images : ndarray of shape (n_steps, n_steps, height, width[, 3])
        ``images[i, j]`` is decoded from the code (grid[j], grid[i]).
    grid : ndarray of shape (n_steps,)
        Places along each component, in standard deviations of the prior, ascending.
    spacing : {"linear", "percentile"}, default="linear"
        How the axes are labelled: by places, or by percentiles of the prior.

    Attributes
    ----------
    im_ : matplotlib AxesImage
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, images, grid, spacing="linear"):
        self.images = images
        self.grid = grid
        self.spacing = spacing

    def plot(self, ax=None, **kwargs):
        """Draw the decoded images side by side, component 1 upwards.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow``.

        Returns
        -------
        self
        """
        rows, columns = self._show(self.images[::-1], ax, kwargs)
        shown = slice(None, None, -(-len(self.grid) // 8))
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
        """Decode a square grid of codes.

        Parameters
        ----------
        estimator : estimator instance
            With ``n_components=2``.
        image_shape : tuple of int
            Height and width of the image that a row is, and 3 if it has colours.
        n_steps : int, default=15
            Places along each component.
        spacing : {"linear", "percentile"}, default="linear"
            Even steps, or steps of equal probability under the standard normal prior: at
            percentiles 100 (i + 1/2) / n_steps.
        extent : float, default=2.5
            How far linear steps reach on either side of 0, in standard deviations of the prior.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow``.

        Returns
        -------
        display : ManifoldDisplay
        """
        _pyplot()
        n_components = _model_of(estimator).n_components_
        if n_components != 2:
            raise ValueError(
                f"A manifold is drawn of two components, but the estimator has {n_components}. "
                "Fit one with n_components=2, or draw a SampleDisplay."
            )
        if spacing == "linear":
            grid = np.linspace(-extent, extent, n_steps)
        elif spacing == "percentile":
            grid = norm.ppf((np.arange(n_steps) + 0.5) / n_steps)
        else:
            raise ValueError(f"'spacing' must be 'linear' or 'percentile'; got {spacing!r}.")
        codes = np.stack(np.meshgrid(grid, grid), axis=-1) * _model_of(estimator).scale_
        display = cls(
            images=_decoded_images(estimator, codes, image_shape), grid=grid, spacing=spacing
        )
        return display.plot(ax, **kwargs)


class InterpolationDisplay(_ImagesDisplay):
    """Decodings along straight lines between the codes of rows.

    Parameters
    ----------
    images : ndarray of shape (n_lines, n_steps, height, width[, 3])
        One strip a line, from its start to its stop.

    Attributes
    ----------
    im_ : matplotlib AxesImage
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, images):
        self.images = images

    def plot(self, ax=None, **kwargs):
        """Draw the strips.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow``.

        Returns
        -------
        self
        """
        _, columns = self._show(self.images, ax, kwargs)
        self.ax_.set_xticks(columns[[0, -1]], ["start", "stop"])
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X_start, X_stop, image_shape, *, n_steps=N_IMAGES, ax=None, **kwargs
    ):
        """Draw the way from each row of ``X_start`` to the same row of ``X_stop``.

        Parameters
        ----------
        estimator : estimator instance
        X_start, X_stop : array-like of shape (n_lines, n_features)
            The rows at either end.
        image_shape : tuple of int
            Height and width of the image that a row is, and 3 if it has colours.
        n_steps : int, default=10
            Images in a strip, both ends among them.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow``.

        Returns
        -------
        display : InterpolationDisplay
        """
        _pyplot()
        check_consistent_length(X_start, X_stop)
        start, stop = (np.asarray(estimator.transform(X)) for X in (X_start, X_stop))
        codes = np.linspace(start, stop, n_steps, axis=1)
        return cls(images=_decoded_images(estimator, codes, image_shape)).plot(ax, **kwargs)


class SampleDisplay(_ImagesDisplay):
    """Rows that the model makes up: decodings of codes drawn from the standard normal prior.

    Each image is the mean of p(x|z), without the observation noise that ``sample`` adds.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_columns, height, width[, 3])

    Attributes
    ----------
    im_ : matplotlib AxesImage
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, images):
        self.images = images

    def plot(self, ax=None, **kwargs):
        """Draw the images side by side.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow``.

        Returns
        -------
        self
        """
        self._show(self.images, ax, kwargs)
        return self

    @classmethod
    def from_estimator(
        cls, estimator, image_shape, *, grid=(8, 8), random_state=None, ax=None, **kwargs
    ):
        """Draw made-up images.

        Parameters
        ----------
        estimator : estimator instance
        image_shape : tuple of int
            Height and width of the image that a row is, and 3 if it has colours.
        grid : tuple of two int, default=(8, 8)
            How many rows and columns of images.
        random_state : int, RandomState instance or None, default=None
            Draws the codes; an int draws those of ``sample`` with the same int.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure for None.
        **kwargs
            Passed to matplotlib's ``imshow``.

        Returns
        -------
        display : SampleDisplay
        """
        _pyplot()
        model = _model_of(estimator)
        shape = (*grid, model.n_components_)
        codes = np.random.default_rng(seed_from(random_state)).standard_normal(shape)
        codes *= model.scale_
        return cls(images=_decoded_images(estimator, codes, image_shape)).plot(ax, **kwargs)


# -- what the Displays share ----------------------------------------------------------


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('Pictures need matplotlib: pip install "skvae[plots]"') from error
    return plt


def _axes(ax, figsize):
    """The caller's axes, or those of a new figure."""
    plt = _pyplot()
    return plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax


def _model_of(estimator):
    """The fitted model inside a search or at the end of a pipeline."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    check_is_fitted(model)
    return model


def _decoded_images(estimator, codes, image_shape):
    """(n_rows, n_columns, n_components) -> (n_rows, n_columns, *image_shape)."""
    decoded = np.asarray(estimator.inverse_transform(codes.reshape(-1, codes.shape[-1])))
    return _images(decoded.reshape(*codes.shape[:2], -1), image_shape)


def _images(rows, image_shape):
    """(..., n_features) -> (..., *image_shape)."""
    if rows.dtype.kind not in "fiub":
        raise ValueError("Images are of numbers, but a column of the estimator holds categories.")
    n_features = rows.shape[-1]
    if np.prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} holds {np.prod(image_shape)} values, but a row has "
            f"{n_features}."
        )
    return rows.reshape(*rows.shape[:-1], *image_shape)


def _classes(y):
    """Distinct values of y and the place of each y among them; (None, y) for a quantity."""
    if y is None:
        return None, None
    if isinstance(getattr(y, "dtype", None), pd.CategoricalDtype) and y.dtype.ordered:
        y = pd.Series(y).array
        used, values = np.unique(y.codes, return_inverse=True)
        return np.array([*map(str, y.categories), "missing"])[used], values
    y = np.asarray(y)
    if y.dtype.kind == "M":
        return None, y.astype("datetime64[s]").astype(float)
    missing = pd.isna(y)
    if y.dtype.kind in "fiu":
        values = np.unique(y[~missing])
        if np.any(values != np.round(values)) or len(values) > N_CLASSES:
            return None, y
    if missing.any():  # None and NaN do not sort
        y = np.where(missing, "missing", [f"{v:g}" if y.dtype.kind == "f" else str(v) for v in y])
    return np.unique(y, return_inverse=True)


def _shorten(name, n_letters):
    """A name of at most so many letters, its middle left out."""
    half = (n_letters - 1) // 2
    return name if len(name) <= n_letters else f"{name[:half]}…{name[-half:]}"


def _listed_colormap(colors):
    from matplotlib.colors import ListedColormap

    return ListedColormap(colors)


def _line_style(kwargs):
    """The style of a line by the long names."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return normalize_kwargs(kwargs, Line2D)


def _is_numeric(column):
    """Whether a column holds nothing but numbers and gaps."""
    return all(isinstance(value, (Real, np.bool_)) for value in column[~pd.isna(column)])


def _floats(table):
    """Numbers of any kind, NaN where they are missing."""
    return np.where(pd.isna(table), np.nan, table).astype(float)


def _places(features, names, numeric):
    """Places of columns given by place or name; the first ones of numbers for None."""
    if features is None:
        places = [place for place in range(len(names)) if numeric[place]][:N_PANELS]
        if not places:
            raise ValueError("No column holds numbers, which the panels of a table show.")
        return places
    if isinstance(features, (str, int)):
        features = [features]
    unknown = [f for f in features if f not in names and f not in range(len(names))]
    if unknown:
        raise ValueError(f"'features' names {unknown[0]!r}, but the columns are {names}.")
    places = [names.index(f) if f in names else f for f in features]
    for place in places:
        if not numeric[place]:
            raise ValueError(
                f"Column {names[place]!r} holds categories, but a panel shows numbers. Leave it "
                "out of 'features'."
            )
    return places


def _explained(x, reconstruction):
    """R² = 1 - sum (x - reconstruction)^2 / sum (x - mean)^2; NaN for a constant column."""
    total = np.square(x - x.mean()).sum()
    return 1 - np.square(x - reconstruction).sum() / total if total > 0 else np.nan


def _padded(values):
    low, high = values.min(), values.max()
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
