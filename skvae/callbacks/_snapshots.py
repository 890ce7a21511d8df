"""Codes and decoded codes through training."""

import math

import numpy as np

from skvae._rules import is_whole, whole
from skvae.callbacks._base import EpochCallback, prior_grid
from skvae.plots._images import decoded_rows


class Snapshots(EpochCallback):
    """Keep the codes of rows, and rows decoded from a grid of codes, through training.

    Epochs are logarithmically spaced, since most changes are early. Each fit starts anew.
    Components are in the order and with the signs of training, which ``fit`` may change at its end.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), default=None
        Rows whose codes are kept, as ``fit`` of the VAETransformer gets them. None keeps no codes.
    grid : int or array of shape (n_rows, n_columns, n_components), default=10
        Codes to decode, on the scale of the prior N(0, I), by their row and column in a picture. An
        int n is a grid of n x n codes. With two components, they are at equally spaced percentiles,
        component 0 to the right and component 1 upwards. Otherwise they are draws from N(0, I).
    per_decade : int, default=10
        Number of snapshots while the number of epochs increases tenfold. The first ten epochs have
        fewer, since there are only ten. The last epoch of a fit may have none.

    Attributes
    ----------
    epochs_ : list of int
        The epoch of each snapshot, counted from 1.
    codes_ : list of ndarray of shape (n_samples, n_components)
        The codes of ``X`` after each of these epochs, with the scale of ``transform``. With
        ``whiten=True``, all have the scale of the prior. Empty without ``X``.
    decoded_ : list of ndarray of shape (n_rows, n_columns, n_features)
        The rows that the grid decodes to after each of these epochs.

    See Also
    --------
    skvae.plots.TrainingAnimation : An animation of the snapshots.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.callbacks import Snapshots
    >>> X = load_digits().data[:300]
    >>> snapshots = Snapshots(X, grid=5, per_decade=4)
    >>> vae = VAETransformer(max_iter=10, whiten=True, random_state=0)
    >>> vae = vae.set_callbacks(snapshots).fit(X)
    >>> snapshots.epochs_
    [1, 2, 3, 6, 10]
    >>> snapshots.codes_[-1].shape
    (300, 2)
    >>> snapshots.decoded_[-1].shape
    (5, 5, 64)
    """

    def __init__(self, X=None, *, grid=10, per_decade=10):
        self.X = X
        self.grid = grid
        self.per_decade = per_decade

    def setup(self, estimator, context):
        """Check the parameters and start anew."""
        if np.ndim(self.grid) != 3:
            whole(2).check("'grid'", self.grid)
        elif np.shape(self.grid)[2] != estimator.n_components:
            raise ValueError(
                f"The last axis of 'grid' must be n_components={estimator.n_components}; got an "
                f"array of shape {np.shape(self.grid)}."
            )
        whole(1).check("'per_decade'", self.per_decade)
        self.epochs_, self.codes_, self.decoded_ = [], [], []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        """Keep a snapshot after some of the epochs."""
        if context.task_name != "epoch" or not self._is_due(fitted_estimator.n_iter_):
            return
        self.epochs_.append(fitted_estimator.n_iter_)
        if self.X is not None:
            self.codes_.append(np.asarray(fitted_estimator.transform(self.X)))
        z = self.grid
        if is_whole(z):
            z = prior_grid(z, fitted_estimator.n_components_)
        codes = np.asarray(z, dtype=float) * fitted_estimator.scale_
        self.decoded_.append(decoded_rows(fitted_estimator, codes))

    def _is_due(self, epoch):
        """Whether a power of 10^(1 / per_decade) rounds to this epoch."""
        below, above = (math.floor(self.per_decade * math.log10(epoch + d)) for d in (-0.5, 0.5))
        return below < above
