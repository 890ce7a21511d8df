r"""Observation models p(x|z), one density or mass per column.

A likelihood is chosen by the user or by "auto". It has methods for the table and for the model.

*Methods for the table* are numpy in float64. ``in_support`` checks values, and ``fit`` learns the
constants of a block of columns. ``to_working`` and ``from_working`` convert between the caller's
units and the working units, in which the networks see a column. ``log_jacobian``, the log of
d working / d caller, converts densities to the caller's units.

*Methods for the model* are torch, in working units. The decoder yields ``n_outputs`` numbers
per column, of shape (S, N, n_outputs * d) for S draws, N rows and d columns. ``parameters`` are
the tensors that do not depend on z, learned or constant.

To add a likelihood, write a class and enter it in ``LIKELIHOODS``.

References
----------
.. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014,
       appendix C.
.. [2] G. Loaiza-Ganem and J. P. Cunningham, "The continuous Bernoulli: fixing a
       pervasive error in variational autoencoders", NeurIPS 2019.
.. [3] O. Rybkin, K. Daniilidis and S. Levine, "Simple and Effective VAE Training with
       Calibrated Decoders", ICML 2021.
.. [4] P. McCullagh, "Regression Models for Ordinal Data", Journal of the Royal
       Statistical Society B 42 (2), 1980.
.. [5] E. Grave et al., "Efficient softmax approximation for GPUs", ICML 2017.
"""

from skvae.likelihoods._base import Array, Constants, Likelihood, Parameters
from skvae.likelihoods._bernoulli import Bernoulli
from skvae.likelihoods._beta import Beta
from skvae.likelihoods._categorical import Categorical
from skvae.likelihoods._continuous_bernoulli import ContinuousBernoulli
from skvae.likelihoods._gaussian import Gaussian
from skvae.likelihoods._histogram import Histogram
from skvae.likelihoods._log_normal import LogNormal
from skvae.likelihoods._negative_binomial import NegativeBinomial
from skvae.likelihoods._normal_scores import NormalScores
from skvae.likelihoods._ordinal import Ordinal
from skvae.likelihoods._poisson import Poisson
from skvae.likelihoods._sample import ColumnSample
from skvae.likelihoods._student_t import StudentT

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "normal_scores": NormalScores,
    "student_t": StudentT,
    "log_normal": LogNormal,
    "histogram": Histogram,
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "beta": Beta,
    "categorical": Categorical,
    "ordinal": Ordinal,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
}

__all__ = [
    "LIKELIHOODS",
    "Array",
    "Bernoulli",
    "Beta",
    "Categorical",
    "ColumnSample",
    "Constants",
    "ContinuousBernoulli",
    "Gaussian",
    "Histogram",
    "Likelihood",
    "LogNormal",
    "NegativeBinomial",
    "NormalScores",
    "Ordinal",
    "Parameters",
    "Poisson",
    "StudentT",
]
