"""The loss during training, and its terms."""

import numpy as np

from skvae._build import objective_of
from skvae._rules import TRUTH
from skvae.plots._shared import fitted_model, given_or_new_axes, pyplot


class LossCurveDisplay:
    """Training and validation loss of each epoch, and the terms of the training loss.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    For tables with histograms or columns in one unit, the first epochs train another objective to
    find the codes. The curves jump where these epochs end, which a vertical line marks.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        Training loss of each epoch, in nats per row.
    validation_curve : array-like of shape (n_epochs,), default=None
        Loss of the validation rows after each epoch, in nats per row.
    best_epoch : int, default=None
        Epoch to mark on the validation curve, counted from 1. None marks none.
    loss_name : str, default="loss"
        Name of the loss, for the label of the vertical axis.
    n_iter_codes : int, default=0
        Number of epochs that find the codes by another objective. A vertical line marks their end;
        0 marks none.
    reconstruction_curve, kl_curve : array-like of shape (n_epochs,), default=None
        The two terms of the training loss in each epoch, in nats per row: the mean of
        -log p(x|z), and the mean KL divergence. None draws no curve.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The training curve, and the validation curve if there is one.
    terms_ : list of matplotlib Line2D
        The curves of the two terms, as far as they are given.
    best_ : matplotlib Line2D or None
        The mark of ``best_epoch``.
    codes_end_ : matplotlib Line2D or None
        The line after the epochs of ``n_iter_codes``.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import LossCurveDisplay
    >>> vae = VAETransformer(max_iter=20, random_state=0).fit(load_wine().data)
    >>> LossCurveDisplay.from_estimator(vae).ax_.get_ylabel()
    'negative ELBO (nats per row)'
    """

    def __init__(
        self,
        *,
        loss_curve,
        validation_curve=None,
        best_epoch=None,
        loss_name="loss",
        n_iter_codes=0,
        reconstruction_curve=None,
        kl_curve=None,
    ):
        self.loss_curve = loss_curve
        self.validation_curve = validation_curve
        self.best_epoch = best_epoch
        self.loss_name = loss_name
        self.n_iter_codes = n_iter_codes
        self.reconstruction_curve = reconstruction_curve
        self.kl_curve = kl_curve

    def plot(self, ax=None, **kwargs):
        """Plot the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``plot``, for all curves. A ``label`` is put before
            the name of each curve. With a ``color``, the validation curve is dashed.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.
        """
        self.ax_ = given_or_new_axes(ax, figsize=(6.4, 4.0))
        self.figure_ = self.ax_.figure
        style = {"linewidth": 1.8} | _with_long_names(kwargs)
        label = style.pop("label", None)
        prefix = "" if label is None else f"{label}: "
        self.lines_ = self._plot_curve(self.loss_curve, style | {"label": f"{prefix}training"})
        self.best_ = None
        if self.validation_curve is not None:
            dashed = {"linestyle": "--"} if "color" in style else {}
            named = dashed | style | {"label": f"{prefix}validation"}
            self.lines_ += self._plot_curve(self.validation_curve, named)
            if self.best_epoch is not None:
                self.best_ = self._mark_best_epoch(prefix)
        self.terms_ = []
        for values, name, pattern in [
            (self.reconstruction_curve, "reconstruction, -log p(x|z)", ":"),
            (self.kl_curve, "KL divergence", "-."),
        ]:
            if values is not None:
                named = {"linestyle": pattern} | style | {"label": prefix + name}
                self.terms_ += self._plot_curve(values, named)
        self.codes_end_ = self._mark_end_of_codes(prefix) if self.n_iter_codes else None
        self.ax_.set(xlabel="epoch", ylabel=f"{self.loss_name} (nats per row)")
        self.ax_.locator_params(axis="x", integer=True)
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(frameon=False)
        return self

    def _plot_curve(self, values, style):
        if len(values) == 1:  # a line through one point is invisible
            style = {"marker": "."} | style
        return self.ax_.plot(np.arange(1, len(values) + 1), values, **style)

    def _mark_best_epoch(self, prefix):
        (mark,) = self.ax_.plot(
            [self.best_epoch],
            [self.validation_curve[self.best_epoch - 1]],
            marker="o",
            markersize=8,
            markerfacecolor="none",
            markeredgewidth=1.8,
            color="black",
            linestyle="none",
            label=f"{prefix}best epoch: {self.best_epoch}",
        )
        return mark

    def _mark_end_of_codes(self, prefix):
        return self.ax_.axvline(
            self.n_iter_codes + 0.5,
            color="gray",
            linestyle=":",
            zorder=0,
            label=f"{prefix}codes found, next objective",
        )

    @classmethod
    def from_estimator(cls, estimator, *, terms=False, ax=None, **kwargs):
        """Create a display of the loss curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        terms : bool, default=False
            Whether to also draw ``reconstruction_curve_`` and ``kl_curve_``, the two terms of the
            training loss.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``plot``, for all curves.

        Returns
        -------
        display : LossCurveDisplay
            The loss is the negative bound that training raises, with ``objective`` and ``beta`` of
            the estimator. The marked epoch is that of ``best_validation_score_``.
        """
        pyplot()
        model = fitted_model(estimator)
        TRUTH.check("'terms'", terms)
        scores = np.asarray(model.validation_scores_)
        # the last of equal scores, since training keeps the best epoch of its last stage
        best = np.flatnonzero(scores == model.best_validation_score_)
        display = cls(
            loss_curve=np.asarray(model.loss_curve_),
            validation_curve=-scores if len(scores) else None,
            best_epoch=int(best[-1]) + 1 if len(best) else None,
            loss_name=_loss_name(model),
            n_iter_codes=model.n_iter_codes_,
            reconstruction_curve=np.asarray(model.reconstruction_curve_) if terms else None,
            kl_curve=np.asarray(model.kl_curve_) if terms else None,
        )
        return display.plot(ax, **kwargs)


def _loss_name(model):
    """Such as "negative ELBO, beta = 4"."""
    objective = objective_of(model)
    weight = "" if objective.beta == 1 else f", beta = {objective.beta:g}"
    return f"negative {objective.label}{weight}"


def _with_long_names(kwargs):
    """Properties of a line by their long names: "color" for "c"."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return normalize_kwargs(kwargs, Line2D)
