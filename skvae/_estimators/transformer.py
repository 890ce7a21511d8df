"""The main estimator: its parameters, and how it is fitted."""

from __future__ import annotations

import copy
import os
from numbers import Integral
from typing import ClassVar

import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning

from skvae._build import architecture, check_parts, continued, untrained
from skvae._data import WeightedTable
from skvae._estimators.codes import CodeMethods
from skvae._estimators.constraints import MOST_DRAWS, Ruled
from skvae._estimators.generation import GenerationMethods
from skvae._estimators.saving import SavedEstimator
from skvae._estimators.scoring import ScoreMethods
from skvae._files.checkpoint import Checkpoint, identity
from skvae._files.tree import Unknown
from skvae._fit import train, train_once
from skvae._interrupts import interrupts_held
from skvae._judgement import no_gain, retreats
from skvae._rules import Rule, instance_of, number, one_of, whole
from skvae._table.container import Container
from skvae._table.distinct import distinct_rows
from skvae._table.validation import replace_rows_of_no_weight, validate_table, validate_weight
from skvae._torch.activations import ACTIVATIONS
from skvae._torch.random import MOST_COMPONENTS, RANDOM_STATE, seed_from
from skvae._training.schedules import SCHEDULES
from skvae._warn import warn
from skvae.likelihoods import LIKELIHOODS, Likelihood
from skvae.networks._base import NETWORK
from skvae.networks._mlp import WIDEST
from skvae.objectives import OBJECTIVES, Objective
from skvae.priors import PRIORS, Prior

# Upper bounds of epochs, of the weights of terms of the loss, and of learning rates. Larger values,
# mostly mistakes, would exceed the memory or the range of float32.
MOST_EPOCHS, LARGEST_WEIGHT, LARGEST_STEP = 2**31 - 1, 1e6, 1e30

AUTO = one_of("auto")
DIMENSIONS = whole(1, MOST_COMPONENTS)
COMPONENTS = Rule(f"{DIMENSIONS.text}, not a share of the variance as in PCA", DIMENSIONS.holds)


class VAETransformer(
    CallbackSupportMixin,
    SavedEstimator,
    CodeMethods,
    GenerationMethods,
    ScoreMethods,
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
        more, and training usually takes 1.5 to 2 times as long; see
        :class:`~skvae.priors.Mixture`.

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
        Whether to print a line for each epoch, and one where a second phase begins.

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
        with the prior's mean and variance of the component. Components of a custom prior that
        training learns keep the order and signs of training, unless its module has a method
        ``reordered``.

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

    _doc_link_module = "skvae"
    _doc_link_template = (
        "https://skvae.readthedocs.io/en/stable/generated/skvae.{estimator_name}.html"
    )
    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Ruled(COMPONENTS)],
        "hidden_layer_sizes": ["array-like", Ruled(whole(1, WIDEST))],
        "activation": [Ruled(one_of(*ACTIVATIONS))],
        "encoder": [Ruled(NETWORK), None],
        "decoder": [Ruled(NETWORK), None],
        "likelihood": [
            Ruled(one_of("auto", *LIKELIHOODS)),
            Ruled(instance_of(Likelihood, "a Likelihood such as Gaussian()")),
            dict,
        ],
        "resolution": [Ruled(AUTO), dict, None],
        "bounds": [Ruled(AUTO), dict],
        "whiten": ["boolean"],
        "prior": [Ruled(one_of(*PRIORS)), Ruled(instance_of(Prior, "a Prior such as Mixture()"))],
        "self_masking": ["boolean"],
        "objective": [
            Ruled(one_of(*OBJECTIVES)),
            Ruled(instance_of(Objective, "an Objective such as ELBO()")),
        ],
        "beta": [Ruled(number(0, LARGEST_WEIGHT))],
        "kl_warmup": [Ruled(number(0, 1)), Ruled(AUTO)],
        "free_bits": [Ruled(number(0, LARGEST_WEIGHT))],
        "n_draws": [Ruled(whole(1, MOST_DRAWS))],
        "dropout": [Ruled(number(0, 1, closed="left"))],
        "alpha": [Ruled(number(0, LARGEST_WEIGHT)), Ruled(AUTO)],
        "weight_decay": [Ruled(number(0, LARGEST_WEIGHT))],
        "learning_rate": [Ruled(one_of(*SCHEDULES)), callable],
        "learning_rate_init": [Ruled(number(0, LARGEST_STEP, closed="right"))],
        "batch_size": [Ruled(whole(1)), Ruled(AUTO)],
        "max_iter": [Ruled(whole(1, MOST_EPOCHS))],
        "average": [Ruled(number(0, MOST_EPOCHS))],
        "gradient_clip": [Ruled(number(0, LARGEST_STEP, closed="right")), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Ruled(number(0, 1, closed="neither"))],
        "n_iter_no_change": [Ruled(whole(1))],
        "tol": [Ruled(number(0, LARGEST_STEP))],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
        "precision": [Ruled(one_of("auto", "float32", "bfloat16"))],
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
            if so_far.n_codes_epochs and so_far.n_epochs == so_far.n_codes_epochs + 1:
                print("The second phase begins. Its losses cannot be compared with those before.")
            line = f"Epoch {so_far.n_epochs}, loss {so_far.loss_curve[-1]:.4f} nats"
            if so_far.validation_scores:
                line += f", validation score {so_far.validation_scores[-1]:.4f} nats"
            print(line)

    # -- scikit-learn ---------------------------------------------------------------

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
