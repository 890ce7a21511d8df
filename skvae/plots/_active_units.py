"""The information in each component."""

import numpy as np

from skvae._judgement import UNUSED
from skvae.plots._shared import apply_steps, fitted_model, given_or_new_axes, pyplot

MOST_TICKS = 20


class ActiveUnitsDisplay:
    """Bars of the KL divergence of each component, which show the active ones.

    The mean KL divergence of q(z|x) from the prior is approximately the information that a
    component carries about a row. A component below 0.01 nats is inactive: its code is nearly the
    same for all rows, and the decoder does not use it.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    kl_divergence : ndarray of shape (n_components,)
        Mean KL divergence of each component, in nats.

    Attributes
    ----------
    is_active_ : ndarray of shape (n_components,)
        Whether the divergence of each component is at least 0.01 nats.
    bars_ : matplotlib BarContainer
        The bars, grey for inactive components.
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.plots import ActiveUnitsDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(3, max_iter=20, random_state=0).fit(X)
    >>> ActiveUnitsDisplay.from_estimator(vae, X).kl_divergence.shape
    (3,)
    """

    def __init__(self, *, kl_divergence):
        self.kl_divergence = kl_divergence

    def plot(self, ax=None, **kwargs):
        """Plot the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``bar``.

        Returns
        -------
        display : ActiveUnitsDisplay
            The display itself.
        """
        divergence = np.asarray(self.kl_divergence)
        n = len(divergence)
        self.is_active_ = divergence >= UNUSED
        self.ax_ = given_or_new_axes(ax, figsize=(np.clip(1.6 + 0.3 * n, 4, 10), 3.2))
        self.figure_ = self.ax_.figure
        style = {"color": np.where(self.is_active_, "C0", "0.7"), "width": 0.7}
        self.bars_ = self.ax_.bar(np.arange(n), divergence, **style | kwargs)
        self.ax_.set_xticks(range(0, n, -(-n // MOST_TICKS)))
        self.ax_.set(xlabel="component", ylabel="KL divergence (nats)")
        self.ax_.set_title(f"{self.is_active_.sum()} of {n} components are active")
        self.ax_.set_xlim(-0.7, n - 0.3)
        self.ax_.set_ylim(bottom=0)
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None, **kwargs):
        """Create a display of the divergences on rows.

        They are computed as ``kl_divergence_`` is, from these rows in place of the training rows.

        Parameters
        ----------
        estimator : estimator instance
            Fitted VAETransformer, a Pipeline that ends in one, or a search over either.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure is created.
        **kwargs
            Keyword arguments for matplotlib's ``bar``.

        Returns
        -------
        display : ActiveUnitsDisplay
        """
        pyplot()
        model = fitted_model(estimator)
        divergence = model._divergence(apply_steps(estimator, X))
        return cls(kl_divergence=divergence.mean(axis=0)).plot(ax, **kwargs)
