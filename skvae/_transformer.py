"""The scikit-learn shell: validates, calls the model and the training, returns arrays."""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar, metadata_routing
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted

from skvae._callbacks import CallbackSupportMixin, with_callbacks
from skvae._chunks import chunks
from skvae._columns import Columns
from skvae._container import BOOL, LEVEL, Container
from skvae._distinct import distinct_rows, smallest
from skvae._inference import infer
from skvae._model import CODES, DECODER, DRAWS_AT_ONCE, VAE, WHOLE
from skvae._prior import NormalMixture
from skvae._random import derive, generator_from, quasi_normal, seed_from
from skvae._rows import Rows, StoredRows
from skvae._runtime import resolve_device, resolve_precision, torch_runtime
from skvae._start import rows_to_start_from, start_from_pca
from skvae._training import (
    MIN_STEPS,
    SCHEDULES,
    History,
    MeanBound,
    Optimizer,
    Plan,
    auto_batch_size,
    posterior_draws,
    posterior_means,
    train,
)
from skvae._validation import validate_given, validate_table, validate_weight
from skvae._warn import warn
from skvae.likelihoods import LIKELIHOODS, Likelihood
from skvae.modes import size_of_search
from skvae.networks import ACTIVATIONS, MLP, Network, layer_sizes
from skvae.priors import PRIORS, Prior
from skvae.proposals import FEWEST_TO_ADAPT
from skvae.sgvb import OBJECTIVES

# Weighted codes that the cells of a completed row are averaged over or drawn from.
FEWEST_IN_POOL, MOST_IN_POOL = 256, 2**12
# Over which the divergence's weight rises, unless told.
WARMUP_EPOCHS = 2
# Of the epochs of a fit and its patience, what at most finds the codes where the rest comes after.
CODES_SHARE = 2 / 3
# How much larger minibatches are there, where steps are cheap and should be sure.
CODES_BATCH = 2
# The L2 penalty there by "auto", for each column that shares a unit.
UNIT_ALPHA = 1 / 64
# Nats of mean KL divergence below which a component tells nothing of the rows.
DEAD = 0.01
# Of what codes are multiplied by.
SMALLEST_SCALE = 1e-3
# Codes over which the slopes of a decoder are averaged.
SLOPE_DRAWS = 256
# Nats that rows have lost where training ruined the model; noise of a start on few rows is less.
LOST = 1.0
# Rows whose working units take more bytes are converted a part at a time, in each epoch.
LARGEST_COPY = 2**30
# Cells of the rows that are scored together, each without one of its own.
LEFT_OUT_AT_ONCE = 2**20
# Rows that a fit is judged by.
SAMPLE_ROWS = 1000
# More held-out rows would make their score surer than any use of it needs.
MOST_HELD_OUT = 2**16


class VAETransformer(
    CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Variational autoencoder for dimension reduction, generation and likelihoods.

    An encoder network maps a row x to a normal distribution q(z|x) of codes, a decoder network
    maps a code z to a distribution p(x|z) of rows, and both are trained together to raise the
    evidence lower bound (ELBO) on log p(x), with a standard normal prior on z [1]_. The model
    and its training follow [2]_.

    Read more in the :doc:`user guide </user_guide>`.

    Parameters
    ----------
    n_components : int, default=2
        Number of latent dimensions.

    hidden_layer_sizes : array-like of int or int, default=(128, 128)
        Width of each hidden layer of the encoder; the decoder mirrors it. Empty for a linear
        model, which with Gaussian columns is factor analysis.

    activation : {"elu", "relu", "silu", "gelu", "tanh", "identity"}, default="silu"
        Activation of the hidden layers.

    encoder, decoder : Network, default=None
        An architecture of :mod:`skvae.networks`. An encoder takes the place of
        ``hidden_layer_sizes``, ``activation`` and ``dropout``, which then have no effect. Without
        a decoder an MLP encoder is mirrored.

    likelihood : str, Likelihood or dict, default="auto"
        The distribution p(x|z) of a column: a value of :mod:`skvae.likelihoods`, or its name:
        "gaussian", "student_t", "log_normal", "histogram", "bernoulli", "continuous_bernoulli",
        "beta", "categorical", "ordinal", "poisson" or "negative_binomial". A dict gives them by
        column name (by position where columns have no names).

        "auto", also for columns that a dict leaves out, is categorical for categories and strings;
        Bernoulli for bools and for a column that holds only 0 and 1, each in at least 5 % of the
        rows, or in a table of nothing but 0 and 1; histogram, in tables of at least 1,000 rows and
        at most 100 columns of numbers, for a column with a spike (one value in 5 % of the rows), a
        skew above 2 or at most 10 different values; Gaussian for the others.

    whiten : bool, default=False
        Whether components have the scale of the prior, N(0, 1), as in a textbook. Otherwise each is
        multiplied by ``scale_``, so that distances between codes are about those between
        reconstructions, as with the scores of PCA, and components that carry little count for
        little.

    prior : {"normal", "mixture"} or Prior, default="normal"
        The distribution p(z) of the codes that ``sample`` and ``score_samples`` take. Training
        takes the standard normal. "mixture", a value of :mod:`skvae.priors`, is a mixture of
        normals fitted to the codes afterwards: draws come closer to the training rows.

    objective : {"elbo", "iwae"}, default="elbo"
        The bound that training raises: the ELBO averaged over ``n_draws`` posterior draws, or the
        tighter importance-weighted bound of that many [3]_.

    beta : float, default=1.0
        Weight of the KL divergence from the prior in training [4]_. Likelihoods are reported at
        1, whatever its value.

    kl_warmup : float or "auto", default="auto"
        Share of the ``max_iter`` epochs over which the weight of the KL divergence rises from 0 to
        ``beta``, in [0, 1], so that fewer components die before the decoder knows them. "auto" is
        two epochs, or a tenth of less than twenty. A long one is for runs with
        ``early_stopping=False``: epochs within it score low, and training may else stop there.
        ``partial_fit`` has none.

    free_bits : float, default=0.0
        Nats of KL divergence that each latent dimension of a row has for free [5]_. Only for
        ``objective="elbo"``.

    n_draws : int, default=1
        Posterior draws for each row in training.

    dropout : float, default=0.0
        Share of hidden units that a training step drops, in [0, 1).

    alpha : float or "auto", default="auto"
        Strength of the L2 penalty on the weights, alpha / (2 batch_size) times the sum of their
        squares, as in :class:`~sklearn.neural_network.MLPClassifier`. "auto" is 0, but where
        columns share a unit, as pixels do, their number / 64 while their codes are found.

    learning_rate : {"adaptive", "constant", "cosine"}, default="adaptive"
        Schedule of the learning rate. "adaptive" is constant until early stopping would end
        training, and then once more at a fifth, from the best epoch on, with half the patience.
        "cosine" lets it rise from zero in the first tenth of the steps and fall to zero over
        ``max_iter`` epochs, the best choice where their number is fixed by
        ``early_stopping=False``; Adam then averages squared gradients over a 25th of all steps,
        20 at least, in place of 1000.

    learning_rate_init : float, default=2e-3
        Learning rate of Adam at the start; the largest one of "cosine".

    batch_size : int or "auto", default="auto"
        Rows in a minibatch; at most as many as there are distinct rows. "auto" is 64, for over
        8,000 training rows the power of two up to a 64th of their number, and 512 at most. Where
        codes are found first, in tables with histograms or columns in one unit, twice as many.

    max_iter : int, default=200
        Most epochs. An epoch is a pass over the rows, and at least 16 minibatches.

    gradient_clip : float or None, default=5.0
        Largest magnitude of each element of the gradient. None does not clip.

    early_stopping : bool, default=True
        Hold out rows, stop when their bound has not risen by ``tol`` nats in
        ``n_iter_no_change`` epochs, and take the weights of the best epoch.

    validation_fraction : float, default=0.1
        Share of the distinct rows that early stopping holds out, at most 65,536 of them and 256
        MiB, unless ``fit`` is given ``X_val``. All copies of a row are on one side.

    n_iter_no_change : int, default=10
        Epochs without progress after which training stops; see ``learning_rate``. In tables with
        histograms or columns in one unit, codes are found first, with two thirds of it; half of it
        counts after that.

    tol : float, default=1e-4
        What counts as progress, in nats per row.

    warm_start : bool, default=False
        Whether ``fit`` goes on from where the last fit ended, in the units learnt then, until
        ``max_iter`` epochs in all: raise ``max_iter`` to train further.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What the networks compute in during training, their gradients included; parameters, losses
        from the outputs of the decoder on, and the optimiser are in float32, validation and all
        inference in float32 or float64. "auto" is bfloat16 where the processor has instructions
        for it (x86 with AVX512-bf16 or AMX and a torch that reports them, CUDA from capability
        8.0) and the work of a step, rows times draws times weights, is at least 75 million; else
        float32. Columns that the codes tell to within about 1 % lose some hundredths of a nat
        each.

    device : str or torch.device, default="auto"
        "cpu", "cuda" or "cuda:1"; "auto" takes CUDA where there is one. A pickle of a model on
        CUDA loads to the CPU where there is none.

    random_state : int, RandomState instance or None, default=None
        Seed of the start weights, the validation split, the minibatches and all noise. None takes
        fresh entropy; numpy's global generator is neither read nor advanced.

    verbose : int, default=0
        Whether to print a line for each epoch.

    Attributes
    ----------
    n_components_ : int
        Number of latent dimensions.

    likelihoods_ : dict
        The likelihood of each column, by its name or position.

    module_ : torch.nn.Module
        The trained model, in the working units of its columns.

    precision_ : str
        What the networks computed in during the last training.

    loss_curve_ : list of float
        Mean negative training objective of each epoch, in nats per row and the units of the data,
        from evenly spread minibatches of at least 8,192 rows in all where an epoch has more. In
        tables with histograms or columns in one unit, the first epochs find the codes by another
        objective, in which the locations of the columns have one noise: the curve and
        ``validation_scores_`` jump where that ends. The codes of columns in one unit then stay as
        they are, also in later calls that go on with training.

    validation_scores_ : list of float
        Mean bound of the held-out rows after each epoch, in nats per row, from more draws than
        training takes; empty without held-out rows.

    best_validation_score_ : float or None
        The largest in the last fit, that of the weights that early stopping took.

    kl_divergence_ : ndarray of shape (n_components,)
        Mean KL divergence of q(z|x) from the prior N(0, I), of each component, in nats: about the
        information that it carries. One near 0 is unused. ``fit`` sorts components by it, the
        largest first, and makes the largest loading of each positive, as PCA does. Over the
        training rows of the last call, or a sample of 1,000 by their weights.

    scale_ : ndarray of shape (n_components,)
        The factor between components of N(0, 1) and those of ``transform``: (exp(-2 l) - 1)^(1/2)
        for the mean l of the log standard deviations of q(z|x), the ratio of signal to noise. All 1
        with ``whiten=True``.

    n_iter_ : int
        Number of epochs so far.

    n_features_in_ : int
        Number of columns seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where they are all strings.

    See Also
    --------
    sklearn.decomposition.FactorAnalysis : The linear model, solved exactly.
    sklearn.decomposition.PCA : Linear reduction, with one noise variance for all columns.

    References
    ----------
    .. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    .. [2] "Under the Hood of the Variational Autoencoder (in Prose and Code)", Fast Forward
           Labs, 2016.
    .. [3] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR
           2016.
    .. [4] I. Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained
           Variational Framework", ICLR 2017.
    .. [5] D. P. Kingma et al., "Improving Variational Inference with Inverse Autoregressive
           Flow", NeurIPS 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> X, y = load_wine(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (178, 2)
    >>> vae.sample(5, random_state=0).shape
    (5, 13)
    >>> vae.score_samples(X).shape
    (178,)
    """

    _columns: Columns

    # Z is no metadata to route, but what inverse_transform is about.
    __metadata_request__inverse_transform: ClassVar[dict] = {"Z": metadata_routing.UNUSED}
    _doc_link_module = "skvae"
    _doc_link_template = (
        "https://skvae.readthedocs.io/en/stable/generated/skvae.{estimator_name}.html"
    )
    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "encoder": [Network, None],
        "decoder": [Network, None],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), Likelihood, dict],
        "whiten": ["boolean"],
        "prior": [StrOptions(set(PRIORS)), Prior],
        "objective": [StrOptions(set(OBJECTIVES))],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=2,
        *,
        hidden_layer_sizes=(128, 128),
        activation="silu",
        encoder=None,
        decoder=None,
        likelihood="auto",
        whiten=False,
        prior="normal",
        objective="elbo",
        beta=1.0,
        kl_warmup="auto",
        free_bits=0.0,
        n_draws=1,
        dropout=0.0,
        alpha="auto",
        learning_rate="adaptive",
        learning_rate_init=2e-3,
        batch_size="auto",
        max_iter=200,
        gradient_clip=5.0,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        precision="auto",
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.whiten = whiten
        self.prior = prior
        self.objective = objective
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.free_bits = free_bits
        self.n_draws = n_draws
        self.dropout = dropout
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.gradient_clip = gradient_clip
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # -- fitting ------------------------------------------------------------------

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, *, X_val=None):
        """Fit the model to the rows of ``X``.

        The result does not depend on the order of the rows, and an integer weight is the same as
        that many repetitions of its row, unless a float32 copy of the table would take over 1 GiB:
        then the rows stay where they are and are read in blocks of neighbours. If anything fails,
        the estimator is as it was before; an interrupt from the keyboard keeps the epochs done, if
        any, and is raised again.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers, bools, strings or categories, in the support of their columns' likelihoods;
            NaN, None or pandas.NA where a cell is missing.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. Only their ratios count.
        X_val : array-like of shape (n_validation, n_features), default=None
            Rows for ``validation_scores_`` and early stopping, instead of a part of ``X``.

        Returns
        -------
        self : VAETransformer

        Raises
        ------
        ValueError
            For a parameter or data out of bounds, and when training diverges.
        """
        fresh = not (self.warm_start and hasattr(self, "module_"))
        epochs = range(0 if fresh else self.n_iter_, self.max_iter)
        context = self._init_callback_context(max_subtasks=len(epochs))
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        seen = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(**seen)

        def on_epoch(history):
            self._report(history)
            epoch = context.subcontext(task_name="epoch").call_on_fit_task_begin(**seen)
            # a copy of the estimator has all that scoring needs
            return epoch.call_on_fit_task_end(**seen, reconstruction_attributes={})

        with _unchanged_on_error(self):
            table, index, weight, hashes = self._start(X, sample_weight, fresh=fresh, min_rows=2)
            held_out = None
            if X_val is not None:
                held_out = self._rows(self._checked(X_val)[0], at_hand=True)
            elif self.early_stopping:
                held = self._held_out(hashes)
                held_out = self._rows(table, index[held], weight[held], at_hand=True)
                if not held.all():  # a single row trains and validates
                    index, weight = index[~held], weight[~held]
            rows = self._rows(table, index, weight)
            del table  # the copy that validation may have made
            sample = self._sample(rows)
            if fresh:
                self._start_from_pca(rows)
            # early stopping keeps the best weights by held-out rows, others may fall by it
            judged = self._sample(held_out) if self.early_stopping else sample
            bound = self._mean_bound(judged)
            interrupted = self._train(
                rows,
                self._phases(epochs, len(rows)),
                min_steps=MIN_STEPS,
                validation=held_out,
                on_epoch=on_epoch,
                order=fresh,
            )
            failure = self._failure(self._mean_bound(judged) - bound, len(sample))
        context.call_on_fit_task_end(**seen, reconstruction_attributes={})
        if interrupted:
            raise KeyboardInterrupt
        if failure:
            warn(failure, ConvergenceWarning)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Go on training with one pass over the rows of ``X``.

        The first call builds the model, and fixes by its rows the units of the columns, the
        likelihoods that "auto" chooses (histograms from 1,000 rows on), the levels of categories
        and which columns the encoder is told to have gaps: so give it some thousands of typical
        rows, with at least one value in each column. A level that comes later counts as missing.
        The state of the optimiser is kept from call to call; the learning rate is constant, the
        divergence has no warm-up, and nothing is held out for validation. A ``prior`` other than
        "normal" and ``kl_divergence_`` are of the rows of the last call only.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. Only their ratios within ``X`` count.

        Returns
        -------
        self : VAETransformer
        """
        with _unchanged_on_error(self):
            fresh = not hasattr(self, "module_")
            table, index, weight, _ = self._start(X, sample_weight, fresh=fresh, min_rows=1 + fresh)
            rows = self._rows(table, index, weight)
            if fresh:
                self._start_from_pca(rows)
            epoch = range(self.n_iter_, self.n_iter_ + 1)
            plan = self._plan(len(rows), learning_rate="constant", kl_warmup=0.0)
            interrupted = self._train(
                rows,
                [(self._last_phase, plan, epoch)],
                min_steps=1,
                validation=None,
                on_epoch=self._report,
                order=fresh,
            )
        if interrupted:
            raise KeyboardInterrupt
        return self

    def _start(self, X, sample_weight, *, fresh, min_rows):
        """The checked table, its distinct rows, their weights and hashes; a model to train."""
        if fresh:
            self._container = Container.of(X)
        table = validate_table(self, X, self._container, reset=fresh, min_rows=min_rows)
        if not fresh:
            table = self._columns.known(table)
        index, weight, hashes = distinct_rows(table, validate_weight(sample_weight, table))
        device = resolve_device(self.device)
        if fresh:
            self._seed = seed_from(self.random_state)
            self._columns = Columns.fit(
                table,
                index,
                weight,
                names=self._container.column_names(table.shape[1]),
                likelihood=copy.deepcopy(self.likelihood),
                is_category=self._container.holds(LEVEL, table.shape[1]),
                is_bool=self._container.holds(BOOL, table.shape[1]),
            )
            self._architecture = self._chosen_architecture()
            self.likelihoods_ = self._columns.likelihoods()
            self.n_components_ = self.n_components
            self.module_ = self._build().to(device)
            self.loss_curve_, self.validation_scores_ = [], []
            self.n_iter_ = 0
            self._optimizer_state = None
            self._last_phase = WHOLE  # which later calls go on with
        else:
            self._check_same_architecture()
            self._columns = self._columns.go_on(table, index)
            with torch_runtime(device):
                self.module_ = copy.deepcopy(self.module_).to(device)
        return table, index, weight, hashes

    def _chosen_architecture(self):
        """What the parameters say of the model, as values of its own."""
        encoder, decoder = self.encoder, self.decoder
        default = MLP(layer_sizes(self.hidden_layer_sizes), self.activation, self.dropout)
        if encoder is None:
            encoder = default
        if decoder is None:
            decoder = (encoder if isinstance(encoder, MLP) else default).mirror()
        skip = any(group.likelihood.has_location for group in self._columns.groups)
        return copy.deepcopy(
            {
                "n_components": self.n_components,
                "encoder": _with_skip(encoder, skip),
                "decoder": _with_skip(decoder, skip),
                "likelihood": self.likelihood,
            }
        )

    def _check_same_architecture(self):
        for name, value in self._chosen_architecture().items():
            if value != self._architecture[name]:
                raise ValueError(
                    f"This {type(self).__name__} was fitted with {name}="
                    f"{self._architecture[name]!r} and cannot go on with {value!r}. Set it back, "
                    "or fit with warm_start=False."
                )

    def _build(self):
        """The model with its start weights, on the CPU."""
        cpu = torch.device("cpu")
        with torch_runtime(cpu):
            return VAE(
                [
                    (g.likelihood, g.constants, len(g.places), g.emphasis)
                    for g in self._columns.groups
                ],
                self._columns.gaps,
                self._architecture["encoder"],
                self._architecture["decoder"],
                self.n_components_,
                generator_from(derive(self._seed, "weights"), cpu),
            )

    def _held_out(self, hashes):
        """Which of the distinct rows validate: at least one, and not all of several."""
        row_bytes = self.n_features_in_ * np.dtype(np.float32).itemsize
        most = min(MOST_HELD_OUT, LARGEST_COPY // (4 * row_bytes), len(hashes) - 1)
        n = min(round(self.validation_fraction * len(hashes)), most)
        return smallest(hashes, max(1, n), derive(self._seed, "split") >> 1)

    def _rows(self, table, index=None, weight=None, *, at_hand=False):
        """Rows of a checked table for training: at hand on its device if they are not too many."""
        index = np.arange(len(table)) if index is None else index
        weight = np.ones(len(index)) if weight is None else weight
        row_bytes = table.shape[1] * np.dtype(np.float32).itemsize
        stays = not at_hand and len(index) * row_bytes > LARGEST_COPY
        if stays:
            order = np.argsort(index)  # neighbours are those of the table
            index, weight = index[order], weight[order]
        log_jacobian = np.average(self._columns.log_jacobian(table, index), weights=weight)
        device = next(self.module_.parameters()).device

        def load(rows):
            working = self._columns.to_working(table, index[rows], np.float32)
            return self.module_.cells(torch.as_tensor(working, device=device))

        shared = torch.as_tensor(weight, device=device), float(log_jacobian)
        if stays:
            return StoredRows(*shared, load, LARGEST_COPY // (4 * row_bytes))
        return Rows(*shared, load(slice(None)))

    def _plan(self, n_rows, **instead):
        values = {field.name: getattr(self, field.name) for field in fields(Plan)}
        values["objective"] = OBJECTIVES[self.objective](self.beta, self.free_bits)
        if self.kl_warmup == "auto":
            values["kl_warmup"] = min(WARMUP_EPOCHS / self.max_iter, 0.1)
        if self.alpha == "auto":
            values["alpha"] = 0.0
        wanted = auto_batch_size(n_rows) if self.batch_size == "auto" else self.batch_size
        values["batch_size"] = min(wanted, n_rows)
        return Plan(**values | instead)

    def _phases(self, epochs, n_rows):
        """The phases of a fit of so many epochs at most, as tuples (phase, plan, epochs)."""
        plan, n, n_in_unit = self._plan(n_rows), len(epochs), self.module_.n_in_unit
        n_codes = int(CODES_SHARE * n)
        if epochs.start > 0 or n_codes == 0 or not self.module_.finds_codes_first:
            return [(self._last_phase, plan, epochs)]
        codes = replace(
            plan,
            kl_warmup=min(plan.kl_warmup * n / n_codes, 1.0),
            alpha=UNIT_ALPHA * n_in_unit if self.alpha == "auto" else plan.alpha,
            n_iter_no_change=math.ceil(CODES_SHARE * plan.n_iter_no_change),
            batch_size=min(CODES_BATCH * plan.batch_size, n_rows),
        )
        last = replace(plan, kl_warmup=0.0, n_iter_no_change=-(-plan.n_iter_no_change // 2))
        return [(CODES, codes, range(n_codes)), (DECODER if n_in_unit else WHOLE, last, epochs)]

    def _train(self, rows, phases, *, order, **how):
        """Train ``module_`` and set the fitted attributes; whether the user interrupted."""
        device, model = rows.weight.device, self.module_
        n_weights = sum(parameter.numel() for parameter in model.parameters())
        work = self.n_draws * max(plan.batch_size for _, plan, _ in phases) * n_weights
        precision = resolve_precision(self.precision, device, work)
        history = History()
        with torch_runtime(device, work=work):
            generator = generator_from(derive(self._seed, "training", self.n_iter_), device)
            for phase, plan, epochs in phases:
                plan = replace(plan, precision=precision)
                optimizer = Optimizer(model, plan, self._optimizer_state, model.learned(phase))
                left = epochs if phase == CODES else epochs[: len(epochs) - len(history.loss_curve)]
                train(
                    model,
                    rows,
                    plan,
                    phase=phase,
                    epochs=left,
                    optimizer=optimizer,
                    generator=generator,
                    history=history,
                    **how,
                )
                model.zero_grad(set_to_none=True)
                if phase == CODES:
                    self._fit_noise(rows, generator)
                self._optimizer_state = None if phase == CODES else optimizer.state()
                self._last_phase = WHOLE if phase == CODES else phase
                if history.stopped:
                    break
            self._set_components(rows, order)
            self._fit_prior(rows)
        if history.interrupted and not history.loss_curve:
            raise KeyboardInterrupt
        self.loss_curve_ = self.loss_curve_ + history.loss_curve
        self.validation_scores_ = self.validation_scores_ + history.validation_scores
        self.best_validation_score_ = history.best_validation_score
        self.n_iter_ = len(self.loss_curve_)
        self.precision_ = precision
        return history.interrupted

    def _start_from_pca(self, rows):
        device = rows.weight.device
        with torch_runtime(device):
            generator = generator_from(derive(self._seed, "start"), device)
            sample = rows.sample(rows_to_start_from(self.module_), generator)
            start_from_pca(self.module_, sample.cells, sample.share, derive(self._seed, "start"))
            self._set_components(rows, order=False)  # for callbacks, which score copies

    def _fit_noise(self, rows, generator):
        sample = rows.sample(rows_to_start_from(self.module_), generator)
        noise = sample.cells.values.new_empty(1, len(sample), self.n_components_)
        noise.normal_(generator=generator)
        self.module_.fit_noise(sample.cells, sample.share, noise)

    def _set_components(self, rows, order):
        """Order the components if wanted, and find what they are on a sample of the rows."""
        model, sample = self.module_, self._sample(rows)
        if order:
            kl, _ = posterior_means(model, sample)
            model.order_components(torch.from_numpy(kl), torch.from_numpy(self._loadings()[1].T))
        self.kl_divergence_, log_std = posterior_means(model, sample)
        # N(0, 1) of variance 1 to the posterior's: signal and noise to noise
        precision = np.exp(-2 * log_std)
        scale = np.sqrt(np.maximum(precision - 1, SMALLEST_SCALE**2))
        self.scale_ = np.ones_like(scale) if self.whiten else scale

    def _fit_prior(self, rows):
        """The prior that draws from the posteriors of the rows tell."""
        prior = PRIORS[self.prior]() if isinstance(self.prior, str) else self.prior
        seed, device = derive(self._seed, "prior", self.n_iter_), rows.weight.device

        def draw(n):
            codes = posterior_draws(self.module_, rows, n, generator_from(seed, device))
            return codes.double().cpu().numpy()

        fitted = prior.fit(draw, len(rows), self.n_components_, seed)
        self.module_.prior = fitted.to(device)

    def _sample(self, rows):
        """Up to 1,000 of the rows, by which a fit is judged."""
        device = rows.weight.device
        with torch_runtime(device):
            return rows.sample(SAMPLE_ROWS, generator_from(derive(self._seed, "sample"), device))

    def _mean_bound(self, sample):
        """What training raises, with the same noise at every call."""
        device = sample.weight.device
        generator = generator_from(derive(self._seed, "sample bound"), device)
        with torch_runtime(device):
            return MeanBound(self.module_, sample, self._plan(len(sample)), generator)()

    def _failure(self, gain, n_rows):
        """What went wrong in training, if anything, ``gain`` what it did to the bound."""
        if not gain >= -LOST:  # a bound that is not a number is one that is lost
            return (
                "Training made the model worse than it was: the bound that it raises fell by "
                f"{-gain:.3g} nats a row. Lower learning_rate_init={self.learning_rate_init}, or "
                f"raise max_iter={self.max_iter} if the loss was still falling."
            )
        if n_rows > 1 and self.kl_divergence_.max() < DEAD:
            return (
                "The codes tell nothing of the rows: the KL divergence of no component exceeds "
                f"{DEAD} nats. If the columns depend on each other, lower beta={self.beta} or "
                f"learning_rate_init={self.learning_rate_init}, or raise n_draws={self.n_draws} or "
                f"max_iter={self.max_iter}."
            )
        return None

    def _report(self, history):
        if self.verbose:
            line = f"Epoch {self.n_iter_ + len(history.loss_curve)}"
            line += f", loss {history.loss_curve[-1]:.4f} nats"
            if history.validation_scores:
                line += f", validation score {history.validation_scores[-1]:.4f} nats"
            print(line)

    # -- using --------------------------------------------------------------------

    def transform(self, X):
        """The code of each row: the mean of q(z|x), times ``scale_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            In float32 for a float32 ``X``, else in float64.
        """
        codes = self._from_rows(_code, X)
        return codes * self.scale_.astype(codes.dtype)

    def latent_distribution(self, X):
        """Mean and standard deviation of q(z|x), independent normals, times ``scale_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        mean, std : ndarray of shape (n_samples, n_components)
        """
        both = self._from_rows(lambda model, cells: torch.cat(model.encode(cells), dim=-1), X)
        mean, log_std = np.split(both, 2, axis=1)
        scale = self.scale_.astype(both.dtype)
        return mean * scale, np.exp(log_std) * scale

    def inverse_transform(self, Z):
        """The mean of p(x|z) for each code, z = Z / ``scale_``.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features)
            In the container that ``fit`` saw.
        """
        check_is_fitted(self)
        codes = check_array(Z, dtype=[np.float64, np.float32], force_writeable=True, input_name="Z")
        if codes.shape[1] != self.n_components_:
            raise ValueError(
                f"Z has {codes.shape[1]} columns, but this {type(self).__name__} has "
                f"n_components={self.n_components_}."
            )
        names, expected = list(getattr(Z, "columns", [])), list(self.get_feature_names_out())
        if names != expected and set(names) == set(expected):
            raise ValueError(
                f"The columns of Z are those of transform in another order, {names}. Put them in "
                "the order of get_feature_names_out()."
            )
        return self._container.wrap(self._decode(codes / self.scale_.astype(codes.dtype)), like=Z)

    def loadings(self):
        """What each component changes: the mean slope of the decoder, feature by feature.

        For a feature of numbers, how far its mean moves, in standard deviations of the feature,
        where the component moves by one standard deviation of the prior; for a level of a category
        the change of its probability. The slopes are averaged over the prior. They are those of
        ``PCA``'s ``components_``, transposed and times the standard deviations of its scores,
        where the decoder is linear and the features are standardised.

        Returns
        -------
        loadings : DataFrame of shape (n_features or more, n_components)
            A row for each feature of numbers, and for each level of a category, named
            "feature=level".
        """
        check_is_fitted(self)
        device = next(self.module_.parameters()).device
        with torch_runtime(device):
            names, loadings = self._loadings()
        return pd.DataFrame(loadings, index=names, columns=self.get_feature_names_out())

    def _loadings(self):
        """Names of features and levels, in the order of the table, and their loadings (F, K)."""
        noise = quasi_normal(SLOPE_DRAWS, self.n_components_, derive(self._seed, "slopes"))
        parameter = next(self.module_.parameters())
        draws = torch.as_tensor(noise, dtype=parameter.dtype, device=parameter.device)
        names, loadings, places = [], [], []
        for group, slope in zip(self._columns.groups, self.module_.slopes(draws), strict=True):
            unit = np.ones(len(group.places))
            if not group.likelihood.takes_levels:
                spread = self._columns.spread[group.places]
                unit = self._columns.mean_unit(group) / np.where(spread > 0, spread, np.inf)
            scaled = slope.cpu().numpy() * unit[:, None]
            for i, place in enumerate(group.places):
                levels = self._level_names(group, i, place)
                names += levels
                loadings += list(scaled[:, i, : len(levels)].T)
                places += [place] * len(levels)
        order = np.argsort(places, kind="stable")
        return [names[i] for i in order], np.array(loadings)[order]

    def _level_names(self, group, i, place):
        """The names of the statistics of the column at ``place``, the ``i``-th of its group."""
        name = f"x{place}" if self._container.fields is None else self._columns.names[place]
        if not group.likelihood.takes_levels:
            return [name]
        values = group.constants["values"][i]
        levels = self._container.levels(place, values[~np.isnan(values)])
        return [f"{name}={level}" for level in levels]

    def reconstruct(self, X):
        """The rows as their codes tell them: ``inverse_transform(transform(X))``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_reconstructed : ndarray or data frame of shape (n_samples, n_features)
            In the container that ``fit`` saw.
        """
        return self._container.wrap(self._decode(self._from_rows(_code, X)), like=X)

    def impute(self, X, *, n_draws=None, random_state=None):
        """The table with its missing cells filled.

        A missing cell is filled by its mean given those of its row that are there, E[x | x_there],
        a category by the likeliest: averages over codes that are weighed by how well they explain
        what is there [1]_. With ``n_draws``, by draws from p(x | x_there), for multiple imputation.
        All other cells come back as they are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_draws : int, default=None
            How many completed tables to draw; None for one of means.
        random_state : int, RandomState instance or None, default=None
            For draws: other ones at each call for None.

        Returns
        -------
        X_imputed : ndarray or data frame of shape (n_samples, n_features), or list of them
            In the container that ``fit`` saw; a list of ``n_draws`` of them where that is given.

        References
        ----------
        .. [1] P.-A. Mattei and J. Frellsen, "MIWAE: Deep Generative Modelling and Imputation of
               Incomplete Data Sets", ICML 2019.
        """
        table, dtype = self._checked(X)
        table = np.asarray(table)
        rows = np.flatnonzero(np.isnan(table).any(axis=1))
        if n_draws is None:
            filled = self._conditional_mean(table[rows], dtype)
            return self._container.fill(X, _completed(table, rows, filled))
        check_scalar(n_draws, "n_draws", Integral, min_val=1)
        draws = self._conditional_draws(table[rows], dtype, n_draws, seed_from(random_state))
        return [
            self._container.fill(X, _completed(table, rows, draws[:, draw]))
            for draw in range(n_draws)
        ]

    def sample(self, n_samples=1, *, given=None, random_state=None):
        """New rows, with their noise: a code from the prior p(z), and a row from p(x|z).

        With ``given``, rows in which some cells are known: the others are drawn from
        p(x | x_given), by the same means as ``impute``.

        Parameters
        ----------
        n_samples : int, default=1
            How many rows; for each row of ``given`` where that is a table.
        given : dict, array or data frame, default=None
            Values by column name (by position where columns have no names), or a table with
            missing cells, whose rows are completed in their order.
        random_state : int, RandomState instance or None, default=None
            Other rows at each call for None.

        Returns
        -------
        X : ndarray or data frame of shape (n, n_features)
            In the container that ``fit`` saw.

        Raises
        ------
        ValueError
            For a value of ``given`` outside its column's support, or a category not seen in
            training.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        seed = seed_from(random_state)
        if given is not None:
            table = self._given(given)
            draws = self._conditional_draws(table, np.float64, n_samples, seed)
            known = np.repeat(table, n_samples, axis=0)
            drawn = draws.reshape(known.shape)
            like = given if n_samples == 1 else None  # rows correspond: the index goes with them
            return self._container.wrap(np.where(np.isnan(known), drawn, known), like=like)
        noise = generator_from(derive(seed, "observation"), next(self.module_.parameters()).device)
        codes = self._draw_codes(n_samples, seed)
        return self._container.wrap(
            self._from_codes(
                lambda model, z: model.sample(z[None], noise)[0],
                codes,
                self._columns.from_working,
                in_order=True,
            )
        )

    def _draw_codes(self, n, seed):
        """Codes from the prior, (n, n_components)."""
        cpu = torch.device("cpu")
        with torch_runtime(cpu):
            prior = copy.deepcopy(self.module_.prior).to(cpu)
            return prior.sample(n, generator_from(derive(seed, "codes"), cpu)).double().numpy()

    def _given(self, given):
        """What is known of rows as a checked table, NaN elsewhere."""
        table = validate_given(given, self._container, self.n_features_in_)
        self._columns.known(table, strict=True)  # raises
        self._columns.to_working(table, None, np.float64)  # raises outside a support
        return table

    def _conditional_mean(self, table, dtype):
        """E[x | x_there] of each row of a checked table, (n, n_features)."""
        noise = self._scoring_noise(2 * FEWEST_IN_POOL)

        def call(model, cells):
            return model.weighted_mean(*self._weighted_codes(model, cells, noise))

        size = self._size_of_search(DRAWS_AT_ONCE, len(noise))
        return self._from_table(call, table, dtype, size=size, finish=self._columns.from_mean)

    def _conditional_draws(self, table, dtype, n, seed):
        """Draws from p(x | x_there) for each row of a checked table, (n_rows, n, n_features)."""
        pool = min(max(FEWEST_IN_POOL, 2 ** math.ceil(math.log2(4 * n))), MOST_IN_POOL)
        noise = quasi_normal(2 * pool, self.n_components_, derive(seed, "pool"))[:, None, :]
        device = next(self.module_.parameters()).device
        generator = generator_from(derive(seed, "conditional"), device)

        def call(model, cells):
            z, weight = self._weighted_codes(model, cells, noise)
            picked = torch.multinomial(weight.T, n, replacement=True, generator=generator).T
            codes = z.gather(0, picked[..., None].expand(-1, -1, z.shape[-1]))
            # of all n at once the levels of a table would not fit in memory
            parts = [model.sample(part, generator) for part in codes.split(DRAWS_AT_ONCE)]
            return torch.cat(parts).transpose(0, 1)

        def finish(draws):
            flat = draws.reshape(-1, draws.shape[-1])
            return self._columns.from_working(flat).reshape(draws.shape)

        size = self._size_of_search(max(n, DRAWS_AT_ONCE), len(noise))
        return self._from_table(call, table, dtype, size=size, finish=finish, in_order=True)

    def _size_of_search(self, *size):
        """How many codes of a row are decoded at a time and held, modes being looked for too."""
        return tuple(map(max, size, size_of_search(self.n_components_)))

    def _weighted_codes(self, model, cells, noise):
        """Codes (S, N, K) and their weights (S, N), of sum 1, for p(z | x_there)."""
        z, log_weight = model.posterior_draws(cells, cells.values.new_tensor(noise))
        lost = ~log_weight.isfinite().any(0)
        if bool(lost.any()):
            farthest = self._columns.order[int(cells.values[lost][0].abs().argmax())]
            raise ValueError(
                "The likelihood of a row is 0 in floating point, so that no code explains it: its "
                f"column {self._columns.names[farthest]!r} holds a value far outside the training "
                "rows. Correct the value, or let the cell be missing."
            )
        return z, torch.softmax(log_weight, dim=0)

    def score_samples(self, X, *, n_draws=None):
        """The log-likelihood of each row, log p(x), in nats.

        An importance-weighted bound [1]_: below log p(x) on average, and the closer the more
        draws. They are of the encoder's posterior, in up to four dimensions a quarter of a wider
        normal. Where these are bad, and for rows with gaps, as many draws again come from
        normals at modes of p(x, z). A density is per unit of the data. The
        draws are the same for all rows and calls, quasi-random and fixed by ``fit``, so that
        scores of models and rows compare.

        A missing cell is left out: the score is of those that are there, and rows that miss
        different cells do not compare.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_draws : int, default=None
            Draws for each row; a power of two spreads them evenly. None takes 256, and 512 beyond
            8 latent dimensions. Fewer than 16 are of the posterior alone, which takes a fraction of
            the time, and misses much of the likelihood of odd rows and of rows with gaps.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)

        References
        ----------
        .. [1] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders",
               ICLR 2016, equation 8.
        """
        table, dtype = self._checked(X)
        return self._log_likelihood(table, dtype, n_draws)

    def _unit_free_score(self, X):
        """``score_samples`` where the unit of a column of numbers is its own spread."""
        table, dtype = self._checked(X)
        return self._log_likelihood(table, dtype, None) + self._columns.sum_of_log_units(table)

    def elbo(self, X, *, n_draws=None):
        """The evidence lower bound of each row, in nats, at beta = 1.

        E[log p(x|z)] - KL[q(z|x) || N(0, I)], what training raised, whatever ``prior`` was fitted
        afterwards; :meth:`score_samples` is closer to log p(x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_draws : int, default=None
            Posterior draws for the expectation. None takes 256, and 512 beyond 8 latent
            dimensions, which takes longer than training may have. All rows share
            them, so that the error of few is not averaged away over the rows: with 16 it is some
            tenths of a nat in the mean over images of handwritten digits.

        Returns
        -------
        elbo : ndarray of shape (n_samples,)
        """
        table, dtype = self._checked(X)
        n_draws = self._checked_draws(n_draws)
        noise = self._scoring_noise(n_draws)
        return self._bound(VAE.elbo, table, dtype, noise, (n_draws, n_draws))

    def score(self, X, y=None, sample_weight=None, *, n_draws=None):
        """The mean of :meth:`score_samples`, in nats per row; larger is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the mean.
        n_draws : int, default=None
            As in :meth:`score_samples`. Few make a search over many models faster.

        Returns
        -------
        score : float
        """
        log_likelihood = self.score_samples(X, n_draws=n_draws)
        return float(
            np.average(log_likelihood, weights=validate_weight(sample_weight, log_likelihood))
        )

    def score_cells(self, X, *, n_draws=None):
        """The log-likelihood of each cell given the others of its row, in nats.

        log p(x_j | x_others) = log p(x) - log p(x_others): how surprising a cell is, to see why a
        row is odd. Densities are per spread of their column, so that cells of different columns
        compare; a category of many is less likely than one of few all the same. It takes as long
        as ``score_samples`` of ``n_features + 1`` tables.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_draws : int, default=None
            As in :meth:`score_samples`.

        Returns
        -------
        log_likelihood : ndarray or data frame of shape (n_samples, n_features)
            NaN where a cell is missing, or the others of its row alone have a likelihood of 0 in
            floating point.
        """
        table, dtype = self._checked(X)
        n, d = table.shape
        whole = self._log_likelihood(table, dtype, n_draws)
        out = np.empty((n, d), dtype=whole.dtype)
        for cells in chunks(n * d, LEFT_OUT_AT_ONCE // d):
            row, place = np.divmod(np.arange(cells.start, cells.stop), d)
            near = np.asarray(table[row[0] : row[-1] + 1], dtype=dtype)
            others = near[row - row[0]]
            others[np.arange(len(row)), place] = np.nan
            out.flat[cells] = whole[row] - self._log_likelihood(others, dtype, n_draws)
        out += self._columns.log_unit(table)
        out[np.isnan(table)] = np.nan
        return self._container.wrap(out, like=X, floats=True)

    def _log_likelihood(self, table, dtype, n_draws):
        n_draws = self._checked_draws(n_draws)
        noise = self._scoring_noise(2 * n_draws)  # half of it for rows whose proposal has to adapt
        size = n_draws, len(noise)
        if n_draws >= FEWEST_TO_ADAPT:
            size = self._size_of_search(DRAWS_AT_ONCE, len(noise))
        return self._bound(VAE.log_likelihood, table, dtype, noise, size)

    def _checked_draws(self, n_draws):
        if n_draws is None:
            return 256 if self.n_components_ <= 8 else 512
        check_scalar(n_draws, "n_draws", Integral, min_val=1)
        return n_draws

    def _bound(self, bound, table, dtype, noise, size):
        """``bound(model, cells, noise)`` of each row, in the caller's units, one noise for all."""
        working = self._from_table(
            lambda model, cells: bound(model, cells, cells.values.new_tensor(noise)),
            table,
            dtype,
            size=size,
        )
        return working + self._columns.log_jacobian(table, None)

    def _scoring_noise(self, n):
        """The same for all rows and calls, (n, 1, n_components)."""
        return quasi_normal(n, self.n_components_, derive(self._seed, "scoring"))[:, None, :]

    def _decode(self, codes):
        return self._from_codes(VAE.mean, codes, self._columns.from_mean)

    def _checked(self, X):
        """The checked table, and the dtype to compute and answer in."""
        check_is_fitted(self)
        table = validate_table(self, X, self._container, reset=False)
        table = self._columns.known(table)
        return table, table.dtype if table.dtype in (np.float32, np.float64) else np.float64

    def _from_rows(self, call, X):
        """Apply ``call(model, cells)`` to rows as they come."""
        return self._from_table(call, *self._checked(X))

    def _from_table(self, call, table, dtype, **how):
        """Apply ``call(model, cells)`` to the rows of a checked table."""

        def load(rows):
            return self._columns.to_working(table[rows], None, dtype)

        return infer(
            self.module_,
            lambda model, x: call(model, model.cells(x)),
            load,
            len(table),
            dtype=dtype,
            **how,
        )

    def _from_codes(self, call, codes, finish, **how):
        """Apply ``call(model, z)`` to codes, and bring the result to the caller's units."""
        return infer(
            self.module_,
            call,
            codes.__getitem__,
            len(codes),
            dtype=codes.dtype,
            finish=finish,
            **how,
        )

    # -- scikit-learn ---------------------------------------------------------------

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self):
        """Plain arrays instead of torch objects: a pickle loads where there is no GPU."""
        state = dict(super().__getstate__())
        if "module_" in state:
            weights = state["module_"].state_dict()
            state["module_"] = {name: tensor.cpu().numpy() for name, tensor in weights.items()}
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "module_" in state:
            weights = {name: torch.from_numpy(a.copy()) for name, a in self.module_.items()}
            self.module_ = self._build()
            prior = [weights[f"prior.{name}"] for name in ("log_share", "mean", "root")]
            self.module_.prior = NormalMixture(*prior)
            self.module_.load_state_dict(weights)
            with suppress(ValueError):  # where the device is not there, the CPU serves
                self.module_.to(resolve_device(self.device))


def _with_skip(network, skip):
    """The network; an MLP that leaves its linear map open with or without one."""
    is_open = isinstance(network, MLP) and network.skip is None
    return replace(network, skip=skip) if is_open else network


def _code(model, cells):
    """The mean of q(z|x)."""
    return model.encode(cells)[0]


def _completed(table, rows, values):
    """The table with the missing cells of its ``rows`` taken from ``values``."""
    out = np.array(table)
    out[rows] = np.where(np.isnan(table[rows]), values, table[rows])
    return out


@contextmanager
def _unchanged_on_error(estimator):
    """Take back every attribute that the block set or deleted if it raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
