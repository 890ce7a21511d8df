r"""Observation models p(x|z), one density or mass per column.

A likelihood is a value: what the user chose. It has two sides.

*The table's side* is numpy in float64. ``inside`` tells the support, ``fit`` learns the
constants of a block of columns, ``to_working`` and ``from_working`` change between the
caller's units and the working units in which the networks see a column, and
``log_jacobian`` is the log of d working / d caller, which brings densities back to the
caller's units.

*The model's side* is torch, in working units. The decoder yields ``n_outputs`` numbers
per column, of shape (S, N, n_outputs * d) for S draws, N rows and d columns;
``parameters`` are the learned tensors that do not depend on z.

To add a likelihood: a class, and its row in ``LIKELIHOODS``.

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
"""

from skvae.likelihoods._base import Array, Constants, Likelihood, Parameters
from skvae.likelihoods._counts import NegativeBinomial, Poisson
from skvae.likelihoods._levels import Categorical, Histogram, Ordinal
from skvae.likelihoods._real import Gaussian, LogNormal, StudentT
from skvae.likelihoods._unit import Bernoulli, Beta, ContinuousBernoulli

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
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
    "Constants",
    "ContinuousBernoulli",
    "Gaussian",
    "Histogram",
    "Likelihood",
    "LogNormal",
    "NegativeBinomial",
    "Ordinal",
    "Parameters",
    "Poisson",
    "StudentT",
]
