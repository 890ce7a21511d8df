"""A log of training for TensorBoard."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from skvae._model.cells import Cells
from skvae._rules import whole
from skvae.callbacks._base import EpochCallback, prior_grid
from skvae.plots._images import as_images, as_picture, decoded_images, in_unit_range
from skvae.plots._tables import dense, first_rows

GRID_STEPS = 8  # of the images from the prior
N_RECONSTRUCTIONS = 10  # rows of X


class TensorBoardLogger(EpochCallback):
    """Write the course of training to a folder that TensorBoard displays.

    - **Scalars**, after each epoch: ``training/loss``, its terms ``training/reconstruction`` and
      ``training/kl``, ``training/learning_rate``, ``validation/score``, and ``kl_by_component``.
      They are ``loss_curve_``, ``reconstruction_curve_``, ``kl_curve_``, ``learning_rates_``,
      ``validation_scores_`` and ``kl_divergence_``, in nats per row.
    - **Images**, if there is an ``image_shape``: rows of ``X`` above their reconstructions, and a
      grid of images decoded from codes that cover the prior N(0, I).
    - **Graph** of the two networks and the **projector** of the codes of ``X``, after the fit.

    It needs tensorboard: ``pip install "skvae[logs]"``. To see the log, run
    ``tensorboard --logdir`` with the folder.

    Parameters
    ----------
    log_dir : str or path
        Folder of the log; a new one for each fit, or their curves overlap. In a search or a
        Pipeline, each fit has a folder of its own in it, named by the numbers of its tasks.
    X : array-like of shape (n_samples, n_features), default=None
        Rows for reconstructions and for the projector, as ``fit`` of the VAETransformer gets them.
        Rows that are not in training show more.
    y : array-like of shape (n_samples,), default=None
        Labels of the rows of ``X`` in the projector.
    image_shape : tuple of int, default=None
        Height and width of the images, and 3 for colours. None writes no images.
    every : int, default=1
        Images are written after every that many epochs.
    graph : bool, default=True
        Whether to write the graph. Custom networks must then work with ``torch.jit.trace``.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.callbacks import TensorBoardLogger
    >>> X = load_digits().data[:300]
    >>> logger = TensorBoardLogger(tempfile.mkdtemp(), X=X[:50], image_shape=(8, 8))
    >>> vae = VAETransformer(max_iter=2, random_state=0).set_callbacks(logger).fit(X)
    """

    def __init__(self, log_dir, *, X=None, y=None, image_shape=None, every=1, graph=True):
        self.log_dir = log_dir
        self.X = X
        self.y = y
        self.image_shape = image_shape
        self.every = every
        self.graph = graph
        self._writers = {}  # by the estimator, since fits of a search may run side by side

    def setup(self, estimator, context):
        """Open the log."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                'TensorBoardLogger needs tensorboard: pip install "skvae[logs]"'
            ) from error
        whole(1).check("'every'", self.every)
        if self.image_shape is not None and self.X is not None:
            as_images(self._rows(1), self.image_shape)  # an error before the fit, not in it
        self._writers[estimator] = SummaryWriter(Path(self.log_dir, _name(context)))

    def teardown(self, estimator, context):
        """Close the log."""
        if estimator in self._writers:
            self._writers.pop(estimator).close()

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        """Write what an epoch or the fit has found."""
        writer = self._writers[estimator]
        if context.task_name != "epoch":
            self._write_end(writer, fitted_estimator)
            return
        epoch = fitted_estimator.n_iter_
        for name, value in _scalars(fitted_estimator):
            writer.add_scalar(name, value, epoch)
        if self.image_shape is not None and epoch % self.every == 0:
            for name, images in self._images(fitted_estimator):
                picture = as_picture(images)
                writer.add_image(name, picture, epoch, dataformats="HWC"[: picture.ndim])

    def _images(self, vae):
        """Names and images (n, m, *image_shape)."""
        codes = prior_grid(GRID_STEPS, vae.n_components_) * vae.scale_
        yield "prior", decoded_images(vae, codes, self.image_shape)
        if self.X is not None:
            reconstructions = dense(vae.reconstruct(first_rows(self.X, N_RECONSTRUCTIONS)))
            pair = np.stack([self._rows(N_RECONSTRUCTIONS), reconstructions])
            yield "reconstructions", as_images(pair, self.image_shape)

    def _rows(self, n_rows):
        """The first rows of X as an array; all if ``n_rows`` is None."""
        return dense(first_rows(self.X, n_rows))

    def _write_end(self, writer, vae):
        if self.graph:
            _write_graph(writer, vae.module_)
        if self.X is None:
            return
        pictures = None
        if self.image_shape is not None:
            rows = self._rows(None).astype(float)
            pictures = in_unit_range(as_images(rows, self.image_shape))
            pictures = pictures.reshape(*pictures.shape[:3], -1)  # one colour or three
            pictures = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        labels = None if self.y is None else list(self.y)
        codes = np.asarray(vae.transform(self.X))
        writer.add_embedding(codes, metadata=labels, label_img=pictures, tag="codes")


def _scalars(vae):
    """Names and values of the last epoch."""
    yield "training/loss", vae.loss_curve_[-1]
    yield "training/reconstruction", vae.reconstruction_curve_[-1]
    yield "training/kl", vae.kl_curve_[-1]
    yield "training/learning_rate", vae.learning_rates_[-1]
    if vae.validation_scores_:
        yield "validation/score", vae.validation_scores_[-1]
    for component, kl in enumerate(vae.kl_divergence_):
        yield f"kl_by_component/{component}", kl


def _name(context):
    """The numbers of the tasks that lead to a fit inside of others; empty for the outermost."""
    numbers = []
    while context.parent is not None:
        numbers.append(str(context.task_id))
        context = context.parent
    return "-".join(reversed(numbers))


class _Networks(nn.Module):
    """The two networks: from working units to the parameters of p(x|z) at the mean code."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        mean, _ = self.module.encode(Cells(x, None))
        return self.module.decode(mean[None])


def _write_graph(writer, module):
    missing = torch.full((1, sum(module.n_columns)), torch.nan)
    row = module.cells(missing.to(next(module.parameters()))).values
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated, and the log needs it
        writer.add_graph(_Networks(module), row)
