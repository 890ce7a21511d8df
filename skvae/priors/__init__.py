"""Priors p(z) of the codes.

A prior is a value. It is fitted after training to draws from the posteriors of the training rows,
or built before and learned in training. ``sample`` and ``score_samples`` use it. To add one to the
names that ``VAETransformer`` takes: a class, and its row in ``PRIORS``.

References
----------
.. [1] B. Dai and D. Wipf, "Diagnosing and Enhancing VAE Models", ICLR 2019.
.. [2] J. Tomczak and M. Welling, "VAE with a VampPrior", AISTATS 2018, equation 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from torch import Generator

from skvae._rules import Rule, whole
from skvae._torch.runtime import one_thread
from skvae._value import Value
from skvae.priors._modules import NormalMixture, PriorModule, StandardNormal

ROWS_PER_PARAMETER = 3  # of a mixture, so that it does not follow single rows
FEWEST_DRAWS, MOST_DRAWS = 2_000, 32_000  # one for each row, within these bounds

Draw = Callable[[int], NDArray[np.float64]]  # n codes (n, K) from posteriors of training rows


class Prior(Value):
    """Base of the priors. A subclass needs ``fit`` or ``build``.

    Both return a :class:`PriorModule`, which has ``log_prob(z)`` and ``sample(n, generator)``. They
    run while torch's global generator is seeded by the fit, which leaves it as it was. Autograd
    records only within ``torch.enable_grad()``, and torch has one thread.
    """

    def build(self, n_components: int, generator: Generator) -> PriorModule | None:
        """A prior that training uses, and whose parameters it learns; None for N(0, I).

        The divergence from it is estimated by the draws of training [2]_.

        Parameters
        ----------
        n_components : int
            K, the number of latent dimensions.
        generator : torch.Generator
            Draws the start weights.
        """
        return None

    def fit(self, draw: Draw, n_rows: int, n_components: int, seed: int) -> PriorModule | None:
        """The prior after training; None for the one of training.

        Parameters
        ----------
        draw : callable
            ``draw(n)`` gives n codes (n, K) from posteriors of training rows, in float64.
        n_rows : int
            Number of training rows.
        n_components : int
            K, the number of latent dimensions.
        seed : int
        """
        return None


@dataclass
class Normal(Prior):
    """The standard normal, in training and afterwards, whatever the codes are."""


@dataclass
class Mixture(Prior):
    """A mixture of normals fitted to the codes, scikit-learn's ``GaussianMixture``.

    Codes of the training rows rarely fill the standard normal evenly: where they leave holes,
    draws from it decode to rows that are like none, and likelihoods are too low [1]_.

    Parameters
    ----------
    n_components : int, default=50
        Most normals of the mixture, each with a full covariance; fewer where there are few rows.
    """

    n_components: int = 50

    rules: ClassVar[Mapping[str, Rule]] = {"n_components": whole(1)}

    def fit(self, draw: Draw, n_rows: int, n_components: int, seed: int) -> PriorModule:
        from sklearn.mixture import GaussianMixture  # half of what importing skvae would take

        z = draw(min(max(n_rows, FEWEST_DRAWS), MOST_DRAWS))
        parameters = 1 + n_components + n_components * (n_components + 1) // 2
        most = max(1, n_rows // (ROWS_PER_PARAMETER * parameters))
        size = int(min(self.n_components, most))
        mixture: Any = GaussianMixture(
            size, tol=4e-3, reg_covar=1e-4, init_params="kmeans", random_state=seed % 2**32
        )
        # the arrays are numpy's, whatever the caller's are
        with config_context(array_api_dispatch=False), one_thread(), warnings.catch_warnings():
            # a few more rounds of EM would move it little
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(z)
        roots = np.linalg.cholesky(mixture.covariances_)
        return NormalMixture.of_arrays(np.log(mixture.weights_), mixture.means_, roots)


PRIORS: dict[str, type[Prior]] = {"normal": Normal, "mixture": Mixture}

__all__ = ["PRIORS", "Mixture", "Normal", "Prior", "PriorModule", "StandardNormal"]
