"""The main estimator: it validates input, calls the model and its training, and returns arrays."""

from __future__ import annotations

import copy
import os
from numbers import Integral
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
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import metadata_routing
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from skvae._build import architecture, check_parts, continued, untrained
from skvae._data import WeightedTable
from skvae._estimators.constraints import Ruled
from skvae._estimators.saving import SavedEstimator
from skvae._files.checkpoint import Checkpoint, identity
from skvae._files.tree import Unknown
from skvae._fit import train, train_once
from skvae._inference.effort import STANDARD_ERROR
from skvae._interrupts import interrupts_held
from skvae._judgement import no_gain, retreats
from skvae._rules import NOTHING, TRUTH, number, one_of, whole
from skvae._table.bounds import check_given
from skvae._table.container import Container
from skvae._table.distinct import distinct_rows
from skvae._table.frames import as_frame
from skvae._table.hidden import hide_column
from skvae._table.validation import (
    replace_rows_of_no_weight,
    validate_codes,
    validate_given,
    validate_table,
    validate_weight,
)
from skvae._torch.activations import ACTIVATIONS
from skvae._torch.random import MOST_COMPONENTS, RANDOM_STATE, seed_from
from skvae._training.schedules import SCHEDULES
from skvae._walks import PATHS, SPACINGS, square
from skvae._warn import warn
from skvae.likelihoods import LIKELIHOODS, Likelihood
from skvae.networks._base import NETWORK
from skvae.networks._mlp import WIDEST
from skvae.objectives import OBJECTIVES, Objective
from skvae.priors import PRIORS, Prior

# Upper bounds of draws, rows and epochs, of the weights of terms of the loss, and of learning
# rates. Larger values, mostly mistakes, would exceed the memory or the range of float32.
MOST_DRAWS, MOST_SCORING_DRAWS, MOST_SAMPLES, MOST_EPOCHS = 10**4, 2**16, 2**31 - 1, 2**31 - 1
LARGEST_WEIGHT, LARGEST_STEP = 1e6, 1e30
STEPS, EXTENT = whole(2, 10**4), number(0, 1000, closed="right")  # of walks among codes


def _learned(path):
    """A fitted attribute that is read from the fitted model at a path."""

    def get(self):
        found = self._fitted
        for name in path.split("."):
            found = getattr(found, name)
        return found

    return property(get)


class VAETransformer(
    CallbackSupportMixin,
    SavedEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Variational autoencoder for dimension reduction, generation and likelihoods.

    An encoder network maps a row x to a normal distribution q(z|x) of codes. A decoder network maps
    a code z to a distribution p(x|z) of rows. Both are trained together to maximise the evidence
    lower bound (ELBO) on log p(x), with a standard normal prior on z [1]_. The model and its
    training follow [2]_.

    Read more in the :doc:`user guide </user_guide>`.

    Parameters
    ----------
    n_components : int, default=2
        Number of latent dimensions.

    hidden_layer_sizes : array-like of int or int, default=(128, 128)
        Width of each hidden layer of the encoder; the decoder mirrors it. An empty sequence gives a
        linear model, which is factor analysis if all columns are Gaussian.

    activation : {"elu", "relu", "silu", "gelu", "tanh", "identity"}, default="silu"
        Activation of the hidden layers.

    encoder, decoder : Network, default=None
        Architectures of :mod:`skvae.networks`. If ``encoder`` is None, it is an MLP described by
        ``hidden_layer_sizes``, ``activation`` and ``dropout``. If ``decoder`` is None, it mirrors
        the encoder if that is a network of :mod:`skvae.networks` other than ``FromFunction``.
        Otherwise, it mirrors the MLP described by these three parameters, so they also shape the
        decoder of a custom encoder.

    likelihood : str, Likelihood or dict, default="auto"
        The distribution p(x|z) of a column. It is an instance of a class of
        :mod:`skvae.likelihoods`, or one of the names "gaussian", "normal_scores", "student_t",
        "log_normal", "histogram", "bernoulli", "continuous_bernoulli", "beta", "categorical",
        "ordinal", "poisson" and "negative_binomial". A likelihood for numbers applies to all
        columns of numbers, and categories then use "auto". A dict gives likelihoods by column name,
        or by position if the columns have no names. Columns that are not in the dict use "auto".

        "auto" chooses the likelihood of each column by its values:

        - categorical for categories and strings;
        - Bernoulli for bools, for a column that holds only 0 and 1, each in at least 5 % of the
          rows, and for all columns of a table of nothing but 0 and 1;
        - histogram, in tables of at most 100 numeric columns, for a column with a spike: one value
          in at least 5 % of the rows, and in at least 30;
        - normal scores for other columns of at most 10 different values, and for a column whose
          values are likelier by them than under a normal distribution, by over 0.1 nats per row,
          alone and given the other columns, unless columns share a unit;
        - Gaussian for all other columns.

    resolution : "auto", dict or None, default="auto"
        The step between the values of a column of numbers, such as 1 for whole numbers or 0.01 for
        prices. Drawn values differ from those of training by multiples of it, and log p takes it
        into account. "auto" finds the largest step of which all differences between values are
        multiples, up to rounding. A dict maps column names or positions to steps, and
        continuous columns to None. ``resolution=None`` takes all columns as continuous. Steps of
        dates and durations are in seconds.

    bounds : "auto" or dict, default="auto"
        The range of the values of a column of numbers. With "auto", draws stay within the range of
        the training rows where a column ends sooner than a normal one would, and means of columns
        with normal scores or a histogram are within it too. With ``self_masking``, draws may leave
        the range where values are missing because of what they are. A dict gives pairs
        ``(low, high)`` by column name or position, such as ``{"price": (0, None)}``, where None is
        no bound. Draws and means of these columns stay within their bounds, and draws may go beyond
        the range of training, up to the bounds. They are values of the column, so those of dates
        are dates. Training values beyond them are an error, and log p does not depend on bounds.
        Columns that are not in the dict use "auto".

    whiten : bool, default=False
        Whether components have the scale of the prior, N(0, 1), as in textbooks. If False, each
        component is multiplied by ``scale_``. Distances between codes are then approximately those
        between reconstructions, as with the scores of PCA, and components with little information
        contribute little to them.

    prior : {"normal", "mixture"} or Prior, default="normal"
        The distribution p(z) of the codes that ``sample`` and ``score_samples`` use. "normal" is
        N(0, I). "mixture" is a mixture of normals that training learns. Samples then resemble the
        training rows more closely, likelihoods are higher for most tables with a thousand rows or
        more, and training takes 1.2 to 1.9 times as long; see :class:`~skvae.priors.Mixture`.

    self_masking : bool, default=False
        Whether training also learns how the probability that a value is missing depends on the
        value itself, as in tables where high incomes are missing more often than low ones [8]_.
        :meth:`impute` then takes it into account. The probability depends on the observed values of
        the row too, so that values missing at random are recognised as such.

        It applies to columns with missing values in the first call of ``fit`` or ``partial_fit``
        whose likelihood is Gaussian, normal scores, log-normal, a histogram, Bernoulli or
        categorical with up to 1,024 categories, in tables whose columns have up to 1,000 features
        (one for a number, one for each category). If values of some columns are missing because of
        what they are, the bounds of training, as in ``loss_curve_`` and ``validation_scores_``,
        include the probability of which values of these are missing.

    objective : {"elbo", "iwae"} or Objective, default="elbo"
        The bound that training maximises: the ELBO averaged over ``n_draws`` posterior draws, or
        the tighter importance-weighted bound of that many draws [3]_. An instance of a class of
        :mod:`skvae.objectives` has its own ``beta`` and ``free_bits``.

    beta : float, default=1.0
        Weight of the KL divergence from the prior in training [4]_. All methods report likelihoods
        at ``beta=1``.

    kl_warmup : float or "auto", default="auto"
        Share of the ``max_iter`` epochs over which the weight of the KL divergence rises from 0 to
        ``beta``, in [0, 1]. A warm-up makes it less likely that components collapse before the
        decoder has learned to use them. "auto" is two epochs, or a tenth of the epochs if there are
        fewer than twenty. Use a long warm-up only with ``early_stopping=False``: epochs within it
        score low, so that training might stop there. ``partial_fit`` has no warm-up.

    free_bits : float, default=0.0
        KL divergence, in nats, that each latent dimension of a row may have without a penalty
        [5]_; all dimensions together if training learns the prior. Only for ``objective="elbo"``.

    n_draws : int, default=1
        Number of posterior draws for each row in training.

    dropout : float, default=0.0
        Share of hidden units that are dropped in each training step, in [0, 1).

    alpha : float or "auto", default="auto"
        Strength of the L2 penalty on the weights, alpha / (2 batch_size) times the sum of their
        squares, as in :class:`~sklearn.neural_network.MLPClassifier`. "auto" is 0, with one
        exception: where columns share a unit, as pixels do, it is the number of these columns
        divided by 64 while the codes are found.

    weight_decay : float, default=0.0
        Decoupled decay of the weights [7]_, as in ``torch.optim.AdamW``: each step also
        multiplies them by 1 - learning rate * ``weight_decay``. With 0.15, a large network reached
        a higher likelihood of images in 40 epochs, but not in 180.

    learning_rate : {"adaptive", "constant", "cosine"} or callable, default="adaptive"
        Schedule of the learning rate. "adaptive" is constant until early stopping would end
        training. Training then continues once more from the best epoch, at a fifth of the rate and
        with half the patience. In the last third of ``max_iter`` epochs, which most small tables
        never reach, the rate falls to a tenth. "cosine" rises from zero in the first tenth of the
        steps and falls to zero over ``max_iter`` epochs. It is the best choice if
        ``early_stopping=False`` fixes the number of epochs. Adam then averages squared gradients
        over a 25th of all steps, at least 20, instead of 1000. A callable is another such schedule:
        it maps the share of the steps done, from 0 to 1, to a factor of ``learning_rate_init``.

    learning_rate_init : float, default=2e-3
        Initial learning rate of Adam; for "cosine", the largest one.

    batch_size : int or "auto", default="auto"
        Number of rows in a minibatch, at most the number of distinct rows. "auto" is 64; for over
        8,000 training rows it is the largest power of two up to a 64th of their number, and at most
        512. In tables with histograms or columns that share a unit, codes are found first, with
        minibatches of twice this size.

    max_iter : int, default=200
        Maximum number of epochs. An epoch is a pass over the rows, and at least 16 minibatches.

    average : float, default=0.0
        Number of epochs over which weights are averaged: an exponential moving average, to which a
        step contributes less by a factor of e after that many epochs. Averages are less noisy than
        the weights of a step [6]_; 1 raises held-out likelihoods of most tables. They are the
        weights for validation, callbacks and the fitted model, while ``loss_curve_`` is that of the
        steps. A fit with ``warm_start`` continues from averages. ``partial_fit`` does not average.

    gradient_clip : float or None, default=5.0
        Maximum magnitude of each element of the gradient. None disables clipping.

    early_stopping : bool, default=True
        Whether to hold out rows, stop when their bound has not risen by ``tol`` nats in
        ``n_iter_no_change`` epochs, and keep the weights of the best epoch.

    validation_fraction : float, default=0.1
        Share of the distinct rows that early stopping holds out, at most 65,536 rows and 256 MiB,
        unless ``X_val`` is passed to ``fit``. All copies of a row are on the same side of the
        split. The weights of the networks are trained on the other rows only. All rows determine
        the likelihoods that "auto" chooses, the units of the columns, the bins of histograms and
        the levels of categories, so ``validation_scores_`` are slightly optimistic. For a test on
        rows that the model has not seen at all, split them off before ``fit``.

    n_iter_no_change : int, default=10
        Number of epochs without progress after which training stops; see ``learning_rate``. In
        tables with histograms or columns that share a unit, training has two phases, and half this
        number applies in the second.

    tol : float, default=1e-4
        Smallest improvement of the bound that counts as progress, in nats per row.

    warm_start : bool, default=False
        Whether ``fit`` continues the last fit, with the units learned then, until ``max_iter``
        epochs in total. Increase ``max_iter`` to train further. The state of the optimiser is kept
        only if ``warm_start`` was set in the last fit too.

    checkpoint : str or path, default=None
        A folder in which ``fit`` keeps its state after some epochs, in at most 2 % of the time. If
        the process is killed or the fit interrupted, the same ``fit`` of the same rows on the same
        kind of device continues from there, and has the same weights, bit for bit, as one that was
        not. Callbacks see only the epochs after that. A complete fit deletes its file; files of
        fits that are not repeated can be deleted at any time. Several fits may share the folder.
        ``random_state`` must be an int.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the networks and their gradients during training. The parameters, the losses
        computed from the outputs of the decoder, and the optimiser are in float32. Validation and
        all inference are in float32 or float64. "auto" is bfloat16 if two conditions hold: the
        processor has instructions for it (x86 with AVX512-bf16 or AMX and a torch that reports
        them, CUDA from capability 8.0), and the work of a step, rows times draws times weights, is
        at least 75 million. Otherwise it is float32. In bfloat16, columns predicted to within about
        1 % may lose a few hundredths of a nat each.

    device : str or torch.device, default="auto"
        "cpu", "cuda" or "cuda:1". "auto" uses CUDA if it is available. A pickled model whose CUDA
        device is missing is loaded to the CPU, with a warning.

    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the validation split, the minibatches and all noise. With None,
        each fit differs. numpy's global generator is neither read nor advanced.

    verbose : int, default=0
        Whether to print a line for each epoch.

    Attributes
    ----------
    n_components_ : int
        Number of latent dimensions.

    likelihoods_ : dict
        The likelihood of each column, by column name or position.

    categories_ : dict
        The sorted values of each column for which :meth:`predict_column_proba` gives
        probabilities, by column name or position.

    resolutions_ : dict
        The step between the values of each column, by column name or position. None for continuous
        columns and for categories.

    bounds_ : dict
        The range ``(low, high)`` that draws of each column of numbers do not leave, by column name
        or position. An end without a limit is infinite, or None for dates, durations, periods,
        decimal numbers and whole numbers beyond 2^53. Ends with a limit are values of the column.

    module_ : torch.nn.Module
        The trained model, in the working units of its columns.

    precision_ : str
        The precision of the networks in the last training, "float32" or "bfloat16".

    loss_curve_ : list of float
        Mean negative training objective of each epoch, in nats per row and the units of the data.
        It is computed from eight or more of an epoch's minibatches, which are evenly spread. In
        tables with histograms or columns that share a unit, the first epochs find the codes by
        another objective, in which the locations of the columns have one noise. The curve and
        ``validation_scores_`` jump where these epochs end. The codes of columns that share a unit
        do not change after that, nor in later calls that continue training.

    reconstruction_curve_, kl_curve_ : list of float
        The two terms of the bound in each epoch, from the same minibatches as ``loss_curve_``: the
        mean of -log p(x|z), in nats per row and the units of the data, and the mean KL divergence
        of q(z|x) from the prior of training, in nats per row. With ``objective="elbo"`` and no
        ``free_bits``, the loss is their sum, with ``beta`` times the divergence, less in the epochs
        of ``kl_warmup``.

    learning_rates_ : list of float
        The learning rate of the last step of each epoch.

    validation_scores_ : list of float
        Mean bound of the held-out rows after each epoch, in nats per row, from more draws than in
        training. Empty without held-out rows.

    best_validation_score_ : float or None
        The largest validation score of the last fit: the score of the weights that early stopping
        kept.

    kl_divergence_ : ndarray of shape (n_components,)
        Mean KL divergence of q(z|x) from the prior N(0, I), of each component, in nats. It is
        approximately the information that the component carries; a component near 0 is unused. The
        mean is over the training rows of the last call, or over a sample of 1,000 of them by their
        weights. ``fit`` sorts components by it, the largest first, and makes the largest loading of
        each positive, as PCA does. If training learns the prior, the divergence is from a normal
        with the prior's mean and variance of the component. With a custom prior that training
        learns, components may keep the order and signs of training.

    scale_ : ndarray of shape (n_components,)
        The factor between components on the scale of N(0, 1) and those of ``transform``. It is the
        signal-to-noise ratio (v exp(-2 l) - 1)^(1/2), where v is the variance of the component in
        the prior of training, 1 for N(0, I), and l the mean of the log standard deviations of
        q(z|x). All 1 with ``whiten=True``.

    n_iter_ : int
        Total number of epochs trained.

    n_iter_codes_ : int
        The number of these that found the codes by another objective, see ``loss_curve_``.

    n_features_in_ : int
        Number of columns seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if they are all strings.

    See Also
    --------
    sklearn.decomposition.FactorAnalysis : The linear model, solved exactly.
    sklearn.decomposition.PCA : Linear reduction, with one noise variance for all columns.

    Notes
    -----
    With numba installed (``pip install "skvae[fast]"``), large networks train up to a fifth faster
    on a CPU. Without it, and where torch's OpenMP does not support it, as on macOS and Windows,
    torch's own operations compute the same. If numba fails, a warning reports it.

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
    .. [6] B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by
           Averaging", SIAM Journal on Control and Optimization, 1992.
    .. [7] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    .. [8] N. B. Ipsen, P.-A. Mattei and J. Frellsen, "not-MIWAE: Deep Generative Modelling with
           Missing not at Random Data", ICLR 2021.

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

    n_components_ = _learned("n_components")
    likelihoods_ = _learned("columns.likelihoods")
    categories_ = _learned("categories")
    resolutions_ = _learned("columns.resolutions")
    bounds_ = _learned("bounds")
    module_ = _learned("module")
    precision_ = _learned("training.precision")
    loss_curve_ = _learned("training.loss_curve")
    reconstruction_curve_ = _learned("training.reconstruction_curve")
    kl_curve_ = _learned("training.kl_curve")
    learning_rates_ = _learned("training.learning_rates")
    validation_scores_ = _learned("training.validation_scores")
    best_validation_score_ = _learned("training.best_validation_score")
    kl_divergence_ = _learned("kl_divergence")
    scale_ = _learned("scale")
    n_iter_ = _learned("training.n_epochs")
    n_iter_codes_ = _learned("training.n_codes_epochs")

    # Z is the data of inverse_transform, not metadata to route.
    __metadata_request__inverse_transform: ClassVar[dict] = {"Z": metadata_routing.UNUSED}
    _doc_link_module = "skvae"
    _doc_link_template = (
        "https://skvae.readthedocs.io/en/stable/generated/skvae.{estimator_name}.html"
    )
    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Ruled(whole(1, MOST_COMPONENTS))],
        "hidden_layer_sizes": ["array-like", Ruled(whole(1, WIDEST))],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "encoder": [Ruled(NETWORK), None],
        "decoder": [Ruled(NETWORK), None],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), Likelihood, dict],
        "resolution": [StrOptions({"auto"}), dict, None],
        "bounds": [StrOptions({"auto"}), dict],
        "whiten": ["boolean"],
        "prior": [StrOptions(set(PRIORS)), Prior],
        "self_masking": ["boolean"],
        "objective": [StrOptions(set(OBJECTIVES)), Objective],
        "beta": [Ruled(number(0, LARGEST_WEIGHT))],
        "kl_warmup": [Ruled(number(0, 1)), StrOptions({"auto"})],
        "free_bits": [Ruled(number(0, LARGEST_WEIGHT))],
        "n_draws": [Ruled(whole(1, MOST_DRAWS))],
        "dropout": [Ruled(number(0, 1, closed="left"))],
        "alpha": [Ruled(number(0, LARGEST_WEIGHT)), StrOptions({"auto"})],
        "weight_decay": [Ruled(number(0, LARGEST_WEIGHT))],
        "learning_rate": [StrOptions(set(SCHEDULES)), callable],
        "learning_rate_init": [Ruled(number(0, LARGEST_STEP, closed="right"))],
        "batch_size": [Ruled(whole(1)), StrOptions({"auto"})],
        "max_iter": [Ruled(whole(1, MOST_EPOCHS))],
        "average": [Ruled(number(0, MOST_EPOCHS))],
        "gradient_clip": [Ruled(number(0, LARGEST_STEP, closed="right")), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Ruled(number(0, 1, closed="neither"))],
        "n_iter_no_change": [Ruled(whole(1))],
        "tol": [Ruled(number(0, LARGEST_STEP))],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str, torch.device],
        "random_state": [Ruled(RANDOM_STATE)],
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
        resolution="auto",
        bounds="auto",
        whiten=False,
        prior="normal",
        self_masking=False,
        objective="elbo",
        beta=1.0,
        kl_warmup="auto",
        free_bits=0.0,
        n_draws=1,
        dropout=0.0,
        alpha="auto",
        weight_decay=0.0,
        learning_rate="adaptive",
        learning_rate_init=2e-3,
        batch_size="auto",
        max_iter=200,
        average=0.0,
        gradient_clip=5.0,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        checkpoint=None,
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
        self.resolution = resolution
        self.bounds = bounds
        self.whiten = whiten
        self.prior = prior
        self.self_masking = self_masking
        self.objective = objective
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.free_bits = free_bits
        self.n_draws = n_draws
        self.dropout = dropout
        self.alpha = alpha
        self.weight_decay = weight_decay
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.average = average
        self.gradient_clip = gradient_clip
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # -- fitting ------------------------------------------------------------------

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, *, X_val=None):
        """Fit the model to the rows of ``X``.

        The result does not depend on the order of the rows, and an integer weight is equivalent to
        that many repetitions of its row. The exception is a table whose float32 copy would take
        over 1 GiB: it is not copied, and its rows are read in blocks of neighbours.

        If an error occurs before training ends, the estimator does not change. A later error, of
        the ``prior``, of a callback or of a warning that is turned into an error, leaves the
        estimator fitted. A keyboard interrupt keeps the completed epochs, if any, and is then
        raised again. If the ``prior`` was not fitted, that of training takes its place.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers, bools, strings, categories, or in data frames dates, durations and periods,
            within the support of their columns' likelihoods. Missing values are NaN, NaT, None,
            pandas.NA or masked.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. A whole number is equivalent to repeating its row, and 0 leaves
            the row out. Of other weights, only the ratios matter.
        X_val : array-like of shape (n_validation, n_features), default=None
            Rows for ``validation_scores_`` and early stopping, instead of a part of ``X``. Unlike
            that part, they do not influence what is determined before training, such as the units
            of columns and the bins of histograms.

        Returns
        -------
        self : VAETransformer

        Raises
        ------
        ValueError
            If a parameter or the data are out of bounds, or if training diverges more than five
            times.

        Warns
        -----
        ConvergenceWarning
            If training failed, or if it diverged. After an epoch whose loss or weights are not
            finite, it goes back to the last finite weights and continues at a fifth of the learning
            rate.
        """
        is_fresh = not (self.warm_start and hasattr(self, "_fitted"))
        epochs = range(0 if is_fresh else self.n_iter_, self.max_iter)
        context = self._init_callback_context(max_subtasks=len(epochs))
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        seen = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(**seen)

        fitted, data, checked = self._begin(X, sample_weight, is_fresh=is_fresh, min_rows=2)
        validation = None if X_val is None else WeightedTable.of_all(checked._checked(X_val)[0])

        checkpoint = self._checkpoint(fitted, data, validation)

        def on_epoch(describe):
            def attributes():  # called only if a callback asks for the fitted estimator
                describe()
                return checked.__dict__

            self._report(fitted)
            epoch = context.subcontext(task_name="epoch").call_on_fit_task_begin(**seen)
            return epoch.call_on_fit_task_end(**seen, reconstruction_attributes=attributes)

        with interrupts_held():
            history, judgement = train(
                fitted,
                self,
                data,
                epochs,
                validation=validation,
                is_fresh=is_fresh,
                on_epoch=on_epoch,
                checkpoint=checkpoint,
            )
            if not self.warm_start:  # the moments of Adam are as large as two more models
                fitted.training.optimizer = None
            self._keep(checked)
        context.call_on_fit_task_end(**seen, reconstruction_attributes={})
        history.raise_error()
        if checkpoint is not None:
            checkpoint.remove()
        table = "X" if X_val is None else "X_val"
        problem = judgement.problem(self, n_rows=len(data), validation=table)
        if not epochs:
            problem = _no_epoch_left(self)
        for found in (retreats(history.diverged, self) or no_gain(history, self), problem):
            if found:
                warn(*found)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Continue training with one pass over the rows of ``X``.

        The first call builds the model. Its rows determine the units of the columns, the
        likelihoods that "auto" chooses, the levels of categories, and the columns for which the
        encoder gets an indicator of missing values. Pass a few thousand typical rows to it, with at
        least one value in each column. A level that first occurs in a later call counts as missing.
        A number that the dtype of its column cannot represent, such as 2.5 in a column of whole
        numbers, gives the column a wider dtype, with a warning.

        The state of the optimiser is kept between calls, and after a ``fit`` with
        ``warm_start=True``. The learning rate is constant, the KL
        divergence has no warm-up, and no rows are held out for validation. A prior that is fitted
        after training, ``kl_divergence_`` and the probabilities of ``sample(missing=True)`` depend
        on the rows of the last call only.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As for :meth:`fit`, relative to the other rows of ``X``.

        Returns
        -------
        self : VAETransformer
        """
        is_fresh = not hasattr(self, "_fitted")
        if not is_fresh:
            self._validate_params()  # which scikit-learn omits
        fitted, data, checked = self._begin(
            X, sample_weight, is_fresh=is_fresh, min_rows=1 + is_fresh
        )
        with interrupts_held():
            history = train_once(
                fitted,
                self,
                data,
                is_fresh=is_fresh,
                on_epoch=lambda describe: self._report(fitted),
            )
            self._keep(checked)
        history.raise_error()
        if problem := retreats(history.diverged, self):
            warn(*problem)
        return self

    def _begin(self, X, sample_weight, *, is_fresh, min_rows):
        """The model to train, its rows, and a copy of the estimator with the model.

        Validation sets attributes on the copy, so that an error leaves this estimator as it was.
        """
        check_parts(self)
        checked = copy.copy(self)
        X = replace_rows_of_no_weight(X, sample_weight)
        container = Container.of(X) if is_fresh else self._fitted.container
        table = validate_table(checked, X, container, reset=is_fresh, min_rows=min_rows)
        if not is_fresh:
            table = self._fitted.columns.foreseen(table, container.shown)
        data = WeightedTable(table, *distinct_rows(table, validate_weight(sample_weight, table)))
        if is_fresh:
            fitted = untrained(self, container, data, seed_from(self.random_state))
        else:
            self._check_same_architecture()
            fitted = continued(self._fitted, self, data)
            fitted.container = container.widened(X)
        checked._fitted = fitted
        return fitted, data.ordered_without_units(fitted.columns), checked

    def _checkpoint(self, fitted, data, validation):
        """The file of a fit of this model to these rows, or None."""
        if self.checkpoint is None:
            return None
        if not isinstance(self.random_state, Integral):
            raise ValueError(
                "With checkpoint, random_state must be an int, so that a fit that is started again "
                f"is the same; got random_state={self.random_state!r}."
            )
        parameters = self.get_params(deep=False) | dict.fromkeys(("checkpoint", "verbose"))
        try:
            return Checkpoint(self.checkpoint, [parameters, *identity(fitted, data, validation)])
        except Unknown as error:
            raise ValueError(
                "With checkpoint, all parameters must be of a kind that save can write; got "
                f"{error}. Write a lambda as a function by def."
            ) from error

    def _keep(self, checked):
        """Set the fitted attributes, last, so that an error leaves the estimator unchanged."""
        for name in ("n_features_in_", "feature_names_in_", "_fitted"):
            if hasattr(checked, name):
                setattr(self, name, getattr(checked, name))
            elif hasattr(self, name):
                delattr(self, name)

    def _check_same_architecture(self):
        fitted = self._fitted.architecture
        chosen = architecture(self, self._fitted.columns)
        for name, before, now in zip(fitted._fields, fitted, chosen, strict=True):
            if now != before:
                raise ValueError(
                    f"This {type(self).__name__} was fitted with {name}={before!r} and cannot "
                    f"continue with {now!r}. Set it back, or fit with warm_start=False."
                )

    def _report(self, fitted):
        if self.verbose:
            so_far = fitted.training
            line = f"Epoch {so_far.n_epochs}, loss {so_far.loss_curve[-1]:.4f} nats"
            if so_far.validation_scores:
                line += f", validation score {so_far.validation_scores[-1]:.4f} nats"
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
            In float32 if ``X`` is in float32, otherwise in float64.
        """
        table, dtype = self._checked(X)
        return self._fitted.codes(table, dtype)

    def latent_distribution(self, X):
        """The mean and standard deviation of each component of q(z|x), times ``scale_``.

        Given x, the components are independent normals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        mean, std : ndarray of shape (n_samples, n_components)
        """
        table, dtype = self._checked(X)
        return self._fitted.posterior(table, dtype)

    def _divergence(self, X):
        """The KL divergence of each row and component, as in ``kl_divergence_``. -> (n, K)."""
        table, dtype = self._checked(X)
        return self._fitted.divergence(table, dtype)

    def inverse_transform(self, Z):
        """Decode each code to the mean of p(x|z), where z = Z / ``scale_``.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features)
            In the same kind of container as in ``fit``.
        """
        codes = self._checked_codes(Z, "Z")
        return self._fitted.container.wrap(self._fitted.decode(codes), like=Z)

    def _checked_codes(self, Z, name):
        """The codes as an array (n, n_components) of floats."""
        check_is_fitted(self)
        frame = as_frame(Z)
        codes = validate_codes(Z, name)
        if codes.shape[1] != self.n_components_:
            rows = f" If these are rows of a table, pass transform({name})."
            raise ValueError(
                f"{name} must hold codes, as transform returns them: it has {codes.shape[1]} "
                f"columns, but this {type(self).__name__} has n_components={self.n_components_}."
                + rows
                * (codes.shape[1] == self.n_features_in_)
            )
        names = [] if frame is None else frame.columns
        expected = list(self.get_feature_names_out())
        if names != expected and set(names) == set(expected):
            raise ValueError(
                f"The columns of {name} are those of transform in another order, {names}. Put them "
                "in the order of get_feature_names_out()."
            )
        return codes

    # -- walks among codes ----------------------------------------------------------

    def interpolate(self, A, B, n_steps=10, *, method="linear"):
        """Codes on paths between codes, for :meth:`inverse_transform` to decode.

        Parameters
        ----------
        A, B : array-like of shape (n_components,) or (n, n_components)
            Codes at the start and at the end of each path, as :meth:`transform` returns them.
        n_steps : int, default=10
            Number of codes on a path with both ends, at least 2.
        method : {"linear", "spherical"}, default="linear"
            A straight line in equal steps, or an arc around 0 in equal angles (slerp) [1]_. Most
            draws of a standard normal prior in many dimensions are about n_components^(1/2) from
            0, and a straight line between two of them passes nearer to 0, where the prior has few.
            The arc is on the scale of the prior, that of Z / ``scale_``. It is a line if a code is
            0, or if the two are opposite.

        Returns
        -------
        Z : ndarray of shape (n_steps, n_components) or (n, n_steps, n_components)
            Pass ``Z.reshape(-1, n_components)`` of several paths to :meth:`inverse_transform`.

        References
        ----------
        .. [1] T. White, "Sampling Generative Networks", arXiv:1609.04468, 2016.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> X = load_wine(as_frame=True).data
        >>> vae = VAETransformer(max_iter=2, random_state=0).fit(X)
        >>> first, last = vae.transform(X.iloc[[0, -1]])
        >>> vae.inverse_transform(vae.interpolate(first, last, 5)).shape
        (5, 13)
        """
        check_is_fitted(self)
        is_one = np.ndim(A) == np.ndim(B) == 1
        start, stop = (
            self._checked_codes(np.asarray(codes)[None] if is_one else codes, name)
            for codes, name in ((A, "A"), (B, "B"))
        )
        if start.shape != stop.shape:
            raise ValueError(
                "'B' must have a code for each code of 'A'; got shapes "
                f"{stop.shape} and {start.shape}."
            )
        STEPS.check("'n_steps'", n_steps)
        one_of(*PATHS).check("'method'", method)
        dtype = np.result_type(start, stop)
        scale = self.scale_.astype(dtype)
        codes = PATHS[method](start / scale, stop / scale, n_steps).astype(dtype) * scale
        return codes[0] if is_one else codes

    def traverse(self, X, component, n_steps=11, *, extent=2.5):
        """The codes of rows, with one component varied over the range of the prior.

        The component takes the same values for each row, between ``extent`` standard deviations of
        the standard normal prior below and above 0, also where the ``prior`` is another one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, whose codes determine the other components.
        component : int
            Number of the component, counted from 0.
        n_steps : int, default=11
            Number of values of the component, at least 2.
        extent : float, default=2.5
            Largest distance from 0, in standard deviations of the prior.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_steps, n_components)
            Pass ``Z.reshape(-1, n_components)`` to :meth:`inverse_transform`.
        """
        check_is_fitted(self)
        whole(0, self.n_components_ - 1).check("'component'", component)
        positions = _checked_positions(n_steps, "linear", extent)
        table, dtype = self._checked(X)
        codes = np.repeat(self._fitted.codes(table, dtype)[:, None], n_steps, axis=1)
        codes[..., component] = positions * self.scale_[component]
        return codes

    def grid(self, n_steps=15, *, spacing="linear", extent=2.5):
        """A square grid of codes, for models with two components.

        The grid is laid over a standard normal distribution of the codes, also where the ``prior``
        is another one.

        Parameters
        ----------
        n_steps : int, default=15
            Number of positions along each component, at least 2.
        spacing : {"linear", "percentile"}, default="linear"
            Positions in equal steps, or in steps of equal probability under the standard normal
            prior, at the percentiles 100 (i + 1/2) / n_steps.
        extent : float, default=2.5
            Largest distance from 0 with "linear", in standard deviations of the prior.

        Returns
        -------
        Z : ndarray of shape (n_steps, n_steps, 2)
            Component 0 increases along the second axis, and component 1 along the first. Pass
            ``Z.reshape(-1, 2)`` to :meth:`inverse_transform`.
        """
        check_is_fitted(self)
        if self.n_components_ != 2:
            raise ValueError(
                "A grid needs a model with two components; got one with "
                f"n_components={self.n_components_}. Fit one with n_components=2, or use traverse."
            )
        return square(_checked_positions(n_steps, spacing, extent)) * self.scale_

    def loadings(self):
        """The effect of each component on each feature: the mean slope of the decoder.

        The loading of a numeric feature is the change of its mean, in standard deviations of the
        feature, when the component changes by one standard deviation of the prior. The loading of a
        level of a category is the change of its probability. A bool is a number here. The slopes
        are averaged over the prior. If the decoder is linear and the features are standardised, the
        loadings correspond to ``PCA``'s ``components_``, transposed and multiplied by the standard
        deviations of its scores.

        Returns
        -------
        loadings : DataFrame of shape (n_features or more, n_components)
            One row for each numeric feature, and one for each level of a category, named
            "feature=level".
        """
        check_is_fitted(self)
        names, loadings = self._fitted.loadings()
        return pd.DataFrame(loadings, index=names, columns=self.get_feature_names_out())

    def reconstruct(self, X):
        """Encode and decode each row: ``inverse_transform(transform(X))``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_reconstructed : ndarray or data frame of shape (n_samples, n_features)
            In the same kind of container as in ``fit``.
        """
        table, dtype = self._checked(X)
        fitted = self._fitted
        return fitted.container.wrap(fitted.decode(fitted.codes(table, dtype)), like=X)

    def impute(self, X, *, n_imputations=None, random_state=None):
        """Replace missing values by predictions from the observed values of their row.

        A missing number is replaced by its conditional mean E[x | x_observed], rounded if the dtype
        of its column holds integers, and a missing category by the most likely one. Both are
        averages over codes, with weights that measure how well a code explains the observed values
        [1]_. With ``n_imputations``, missing values are replaced by draws from p(x | x_observed),
        for multiple imputation. Observed values do not change.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_imputations : int, default=None
            Number of completed tables to draw. None returns one table, of conditional means.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None gives different draws at each call.

        Returns
        -------
        X_imputed : ndarray or data frame of shape (n_samples, n_features), or list of them
            In the same kind of container as in ``fit``. With ``n_imputations``, a list of that
            length.

        Raises
        ------
        ValueError
            If the observed values of a row with missing values have a likelihood of 0 in floating
            point. The message names the row and the column of its farthest value. Or if the dtype
            that a column had in training cannot hold an observed value, such as 1.5 among int.

        Warns
        -----
        UserWarning
            If nearly all draws for a row come from a single code.

        References
        ----------
        .. [1] P.-A. Mattei and J. Frellsen, "MIWAE: Deep Generative Modelling and Imputation of
               Incomplete Data Sets", ICML 2019.
        """
        (NOTHING | whole(1, MOST_DRAWS)).check("'n_imputations'", n_imputations)
        table, dtype = self._checked(X)
        table, fitted = np.asarray(table), self._fitted
        rows = np.flatnonzero(np.isnan(table).any(axis=1))
        if n_imputations is None:
            filled = fitted.conditional_mean(table[rows], rows, dtype, evidence=True)
            return fitted.container.fill(X, _completed(table, rows, filled))
        n = int(n_imputations)
        seed = seed_from(random_state)
        draws = fitted.conditional_draws(table[rows], rows, dtype, n, seed, evidence=True)
        return [
            fitted.container.fill(X, _completed(table, rows, draws[:, draw])) for draw in range(n)
        ]

    def predict_column(self, X, column):
        """Predict one column from the other values of each row.

        The prediction is the most likely value of a column in ``categories_``, and the conditional
        mean E[x_column | x_others] of any other column, by the same method as in :meth:`impute`.
        The mean of a column of an integer dtype is rounded. Convert the column to floats before
        ``fit`` for exact means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The values in ``column`` have no effect, and may be missing. A data frame may lack the
            column. Other values may be missing too.
        column : str or int
            Name of the column, or its position if the columns have no names.

        Returns
        -------
        values : ndarray of shape (n_samples,)
            Strings, bools, numbers, dates and so on. Numbers are in float64 or int64.

        Raises
        ------
        ValueError
            If there is no such column, and as in :meth:`impute`.
        """
        check_is_fitted(self)
        fitted, place = self._fitted, self._fitted.columns.place_of(column)
        table, dtype = self._checked(hide_column(X, fitted.columns.names, place))
        if place in fitted.columns.values:
            return self.categories_[column][fitted.most_likely(table, place, dtype)]
        mean = fitted.conditional_mean(table, np.arange(len(table)), dtype)[:, place]
        return fitted.container.values(place, mean)

    def predict_column_proba(self, X, column):
        """The probability of each value of one column given the other values of each row.

        p(x_column | x_others) is the average of p(x_column | z) over codes, with weights that
        measure how well a code explains the other values, as in :meth:`impute`. The result is
        deterministic, and that of a row does not depend on the other rows.

        The column is one of categories, strings or bools, or its likelihood is "bernoulli",
        "categorical" or "ordinal".

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for :meth:`predict_column`.
        column : str or int
            Name of the column, or its position if the columns have no names.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_values)
            The values are in the order of ``categories_[column]``.

        Raises
        ------
        ValueError
            If there is no such column, if its likelihood does not give a probability to each of a
            few values, and as in :meth:`impute`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> iris = load_iris(as_frame=True)
        >>> table = iris.data.assign(species=iris.target_names[iris.target])
        >>> vae = VAETransformer(2, max_iter=50, random_state=0).fit(table)
        >>> vae.categories_["species"].tolist()
        ['setosa', 'versicolor', 'virginica']
        >>> flowers = iris.data.iloc[[0, 50, 100]]
        >>> vae.predict_column_proba(flowers, "species").shape
        (3, 3)
        >>> vae.predict_column(flowers, "species").tolist()
        ['setosa', 'versicolor', 'virginica']
        """
        check_is_fitted(self)
        fitted, place = self._fitted, self._fitted.columns.place_of(column)
        if place not in fitted.columns.values:
            raise ValueError(
                f"Column {column!r} is modelled by {self.likelihoods_[column]}, which does not "
                "give a probability to each of a few values. Use predict_column for its "
                f"conditional mean, or fit with likelihood={{{column!r}: 'categorical'}}."
            )
        table, dtype = self._checked(hide_column(X, fitted.columns.names, place))
        return fitted.conditional_masses(table, place, dtype)

    def sample(self, n_samples=1, *, given=None, missing=False, random_state=None):
        """Draw new rows from the model.

        Each row is drawn from p(x|z), with its noise, for a code z from the prior p(z). With
        ``given``, the samples are conditional: the values that are not given are drawn from
        p(x | x_given), by the same method as in ``impute``. With ``missing``, some of the drawn
        values are then removed, with the probability that they are missing in training rows like
        this one.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows. If ``given`` is a table, the number of rows for each of its rows.
        given : dict, array or data frame, default=None
            Values by column name, or by position if the columns have no names. Or a table with
            missing values, whose rows are completed in their order.
        missing : bool, default=False
            Whether values may be missing, in the columns that had missing values in training (in
            the first call of ``partial_fit``). The log-odds are linear in the observed values of
            the row and in which others are missing. Columns that were always missing together are
            drawn together. A given value is never missing. If no training value was missing, rows
            are complete.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None gives different rows at each call. ``missing`` does not change
            the values that are not missing.

        Returns
        -------
        X : ndarray or data frame of shape (n, n_features)
            In the same kind of container as in ``fit``.

        Raises
        ------
        ValueError
            If a value of ``given`` is outside its column's support or its ``bounds``, or is a
            category not seen in training, and as in :meth:`impute`.

        Warns
        -----
        UserWarning
            If a number of ``given`` is below the smallest or above the largest training value of
            its column.
        """
        check_is_fitted(self)
        whole(1, MOST_SAMPLES).check("'n_samples'", n_samples)
        TRUTH.check("'missing'", missing)
        n_samples, fitted, seed = int(n_samples), self._fitted, seed_from(random_state)
        if given is None:
            return fitted.container.wrap(fitted.sample(n_samples, seed, missing=missing))
        table = self._given(given)
        numbers = np.arange(len(table))
        draws = fitted.conditional_draws(
            table, numbers, np.float64, n_samples, seed, missing=missing
        )
        known = np.repeat(table, n_samples, axis=0)
        rows = np.where(np.isnan(known), draws.reshape(known.shape), known)
        # the index of ``given`` is kept if the rows correspond to its rows
        return fitted.container.wrap(rows, like=given if n_samples == 1 else None)

    def sample_codes(self, n_samples=1, *, random_state=None):
        """Draw codes from the prior.

        They are the codes of the rows that :meth:`sample` draws with the same ``random_state`` and
        nothing ``given``.
        :meth:`inverse_transform` decodes them to the means of p(x|z): rows without the noise of the
        likelihood, as images are often shown.

        Parameters
        ----------
        n_samples : int, default=1
            Number of codes.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None gives different codes at each call.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        whole(1, MOST_SAMPLES).check("'n_samples'", n_samples)
        return self._fitted.prior_codes(int(n_samples), seed_from(random_state)) * self.scale_

    def _given(self, given):
        """The given values as a checked table, NaN for all others."""
        container, columns = self._fitted.container, self._fitted.columns
        table = validate_given(given, container, self.n_features_in_)
        columns.foreseen(table, container.shown, strict=True)  # raises
        columns.to_working(table, None, np.float64)  # raises outside a support
        check_given(columns, container, table)
        return table

    def score_samples(self, X, *, n_importance=None, standard_error=STANDARD_ERROR):
        """The log-likelihood of each row, log p(x), in nats.

        An estimate by importance sampling [1]_. The draws of a row are from the encoder's
        posterior, from a normal at a mode of p(x, z) near it, and from a wider normal; for a row
        with missing values, and in up to four dimensions, from a second mode too. Their weights are
        calibrated by control variates [2]_. There are 64 draws at first (128 beyond 8 components),
        and twice as many until the standard error is small enough. Rows that never get there have
        further draws, from normals at all modes that a thorough search finds. The result is
        deterministic: the quasi-random noise of the draws is fixed by ``fit`` and the same for all
        rows and calls, so that scores of models and rows are comparable. Densities are per unit of
        the data.

        The score is of the observed values only, so the scores of rows with different missing
        values are not comparable. It is 0 for a row without observed values. It is -inf for a row
        so far from the training rows that no density above 0 is found in floating point.

        If the density of a draw or its gradient is not finite, as for codes far from the prior, the
        density counts as 0 and the search for a mode stops, which lowers the estimate. If no
        density of a row is a number, the row scores -inf, with a warning.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_importance : int, default=None
            Number of draws for each row, in place of ``standard_error``; a power of two spreads
            them evenly. Fewer than 16 are from the encoder's posterior alone. This takes a fraction
            of the time, but underestimates the likelihood of outliers and of rows with missing
            values by much.
        standard_error : float, default=0.1
            Standard error, in nats, at which a row has enough draws. It is estimated for
            independent draws. The errors of quasi-random ones are about half as large for most
            rows, and larger if the weights have heavy tails. From 0.001 to 10; at most 16,384 draws
            are taken for it.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)

        References
        ----------
        .. [1] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders",
               ICLR 2016, equation 8.
        .. [2] A. Owen and Y. Zhou, "Safe and Effective Importance Sampling", Journal of the
               American Statistical Association 95 (449), 2000.
        """
        table, dtype = self._checked(X)
        accuracy = _checked_accuracy(n_importance, standard_error)
        return self._fitted.log_likelihood(table, dtype, *accuracy)

    def _unit_free_score(self, X):
        """``score_samples`` with each numeric column in units of its spread."""
        table, dtype = self._checked(X)
        fitted = self._fitted
        return fitted.log_likelihood(table, dtype) + fitted.columns.sum_of_log_units(table)

    def elbo(self, X, *, n_draws=None):
        """The evidence lower bound of each row, in nats, at beta = 1.

        E[log p(x|z)] - KL[q(z|x) || p(z)] with the prior of training: N(0, I), or a prior that
        training learns, without what is fitted afterwards. :meth:`score_samples` is closer to
        log p(x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_draws : int, default=None
            Number of posterior draws for the expectation. None uses 256, and 512 beyond 8 latent
            dimensions, which may take longer than training did. All rows share the same noise, so
            the error of few draws does not average out over the rows. With 16 draws it is a few
            tenths of a nat in the mean over images of handwritten digits.

        Returns
        -------
        elbo : ndarray of shape (n_samples,)
        """
        table, dtype = self._checked(X)
        return self._fitted.elbo(table, dtype, _checked_draws("n_draws", n_draws))

    def score(
        self, X, y=None, sample_weight=None, *, n_importance=None, standard_error=STANDARD_ERROR
    ):
        """The mean of :meth:`score_samples`, in nats per row; larger is better.

        All rows share their draws, so that their errors do not average out entirely. Errors of the
        mean were up to 0.05 nats, mostly too low.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the mean.
        n_importance : int, default=None
            As in :meth:`score_samples`.
        standard_error : float, default=0.1
            That of the score of each row in nats, as in :meth:`score_samples`.

        Returns
        -------
        score : float
        """
        log_likelihood = self.score_samples(
            X, n_importance=n_importance, standard_error=standard_error
        )
        weight = validate_weight(sample_weight, log_likelihood)
        counted = weight > 0  # -inf times 0 would be NaN
        return float(np.average(log_likelihood[counted], weights=weight[counted]))

    def score_cells(self, X, *, n_importance=None, standard_error=STANDARD_ERROR):
        """The log-likelihood of each value given the others of its row, in nats.

        The score shows how unlikely each value is, and so why a row is an outlier. It is
        log p(x_j | x_others) = log p(x_j, x_others) - log p(x_others). The others are the values
        of the row within the range of the training rows: a value beyond it is probably wrong, and
        right values would be unlikely beside it. If a row has many values beyond the range that are
        right, and a wrong one within it, the right ones score low instead.

        Densities are per spread of their column, so that numbers of different columns are
        comparable. A category has a probability, and so has a number that many rows hold, such as 0
        for none. A category is less likely in a column of many categories than in one of few. It
        takes as long as ``score_samples`` of ``n_features + 1`` tables. Both terms are estimates.
        For a row far from all training rows they may be off by tens of nats, so that a category may
        score above 0 there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_importance : int, default=None
            As in :meth:`score_samples`.
        standard_error : float, default=0.1
            That of each term, as in :meth:`score_samples`.

        Returns
        -------
        log_likelihood : ndarray or data frame of shape (n_samples, n_features)
            NaN for a missing value, and where the others of its row alone have a likelihood of 0 in
            floating point.
        """
        table, dtype = self._checked(X)
        accuracy = _checked_accuracy(n_importance, standard_error)
        scores = self._fitted.log_likelihood_of_cells(table, dtype, *accuracy)
        return self._fitted.container.wrap(scores, like=X, floats=True)

    def to_onnx(self, path, method="transform", *, dtype="float64"):
        """Write :meth:`transform` or :meth:`inverse_transform` to a file in the ONNX format.

        Other programs compute the method from the file by onnxruntime, without torch and skvae. Its
        results differ from those of the method by rounding to float32: by about 1e-6, relative to
        the size of the values.

        The file has one input and one output, both arrays of any number of rows:

        - "transform" takes ``X`` of shape (n_samples, n_features) and returns ``Z`` of shape
          (n_samples, n_components);
        - "inverse_transform" takes ``Z`` and returns ``X``.

        ``X`` holds numbers in the units of ``fit``, and NaN for a missing value. A category is the
        number of its level, counted from 0. Dates are seconds since 1970 (UTC), durations are
        seconds, and periods are their ordinals, all less the origin of their column, as are whole
        numbers beyond 2^53. Means of whole numbers and bools are not rounded.

        The metadata entry ``"columns"`` of the file describes the columns in JSON: a list of
        objects with the "name" of a column and what it "holds". For categories it lists the names
        of the "levels", and for the columns above that have one it gives the "origin". The entry
        ``"method"`` is the name of the method.

        The file issues no warnings or errors for values. A level that training has not seen counts
        as missing. So does a value for which :meth:`transform` raises an error, such as an infinite
        one, or one outside the support of the likelihood that was chosen for its column.

        Parameters
        ----------
        path : str or path
            An existing file is replaced once the new one is complete and checked: for rows drawn
            from the model, its results must be those of the method.
        method : {"transform", "inverse_transform"}, default="transform"
            The method that the file computes.
        dtype : {"float64", "float32"}, default="float64"
            The type of the input and of the output. The networks compute in float32 in any case.

        Raises
        ------
        ImportError
            If onnx or onnxruntime is not installed: ``pip install "skvae[onnx]"``.
        ValueError
            If a custom network or likelihood contains operations that cannot be written in the
            format, or that depend on the number of rows.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import onnxruntime
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> X = load_wine().data
        >>> vae = VAETransformer(n_components=2, max_iter=20, random_state=0).fit(X)
        >>> path = Path(tempfile.mkdtemp()) / "encoder.onnx"
        >>> vae.to_onnx(path)
        >>> session = onnxruntime.InferenceSession(path)
        >>> [Z] = session.run(None, {"X": X})
        >>> np.allclose(Z, vae.transform(X), rtol=1e-4, atol=1e-4)
        True
        """
        from skvae._onnx.export import write_onnx

        check_is_fitted(self)
        write_onnx(self._fitted, path, method, dtype)

    def _checked(self, X):
        """The checked table, and the dtype of the computation and the result."""
        check_is_fitted(self)
        table = validate_table(self, X, self._fitted.container, reset=False)
        table = self._fitted.columns.foreseen(table, self._fitted.container.shown)
        dtype = table.dtype.newbyteorder("=")
        return table, dtype if dtype in (np.float32, np.float64) else np.float64

    # -- scikit-learn ---------------------------------------------------------------

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags


def _no_epoch_left(estimator):
    """The warning if earlier fits have trained all epochs."""
    return (
        f"No epoch is left, so no weight was trained: {estimator.n_iter_} epochs are done, and "
        f"max_iter={estimator.max_iter} counts the epochs of all fits with warm_start=True. Raise "
        "max_iter to train further, or set warm_start=False to start anew.",
        ConvergenceWarning,
    )


def _checked_accuracy(n_importance, standard_error):
    """The number of draws of a score, or None, and its standard error as a float."""
    number(0.001, 10).check("'standard_error'", standard_error)
    return _checked_draws("n_importance", n_importance), float(standard_error)


def _checked_draws(name, n):
    """The number of draws of a score as an int, or None."""
    (NOTHING | whole(1, MOST_SCORING_DRAWS)).check(repr(name), n)
    return None if n is None else int(n)


def _checked_positions(n_steps, spacing, extent):
    """Positions along a component, in standard deviations of N(0, 1). -> (n_steps,)."""
    STEPS.check("'n_steps'", n_steps)
    one_of(*SPACINGS).check("'spacing'", spacing)
    EXTENT.check("'extent'", extent)
    return SPACINGS[spacing](n_steps, float(extent))


def _completed(table, rows, values):
    """The table with the missing values of its ``rows`` taken from ``values``."""
    out = np.array(table)
    out[rows] = np.where(np.isnan(table[rows]), values, table[rows])
    return out
