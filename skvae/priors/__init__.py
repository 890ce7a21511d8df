"""Priors p(z) of the codes.

Training takes the standard normal. A prior is a value that is fitted afterwards, to draws from the
posteriors of the training rows; ``sample`` and ``score_samples`` use it. To add one: a class, and
its row in ``PRIORS``.

References
----------
.. [1] B. Dai and D. Wipf, "Diagnosing and Enhancing VAE Models", ICLR 2019.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning

from skvae._torch.runtime import one_thread
from skvae._value import Value
from skvae.priors._mixture import NormalMixture

ROWS_PER_PARAMETER = 3  # of a mixture, so that it does not follow single rows
FEWEST_DRAWS, MOST_DRAWS = 2_000, 32_000  # one for each row, within these bounds

Draw = Callable[[int], NDArray[np.float64]]  # n codes (n, K) from posteriors of training rows


class Prior(Value):
    """Base of the priors."""

    def fit(self, draw: Draw, n_rows: int, n_components: int, seed: int) -> NormalMixture:
        """The prior of K dimensions that draws from the posteriors of ``n_rows`` rows tell.

        Torch's global generator is set by the seed of the fit here, and afterwards where the caller
        left it. Autograd records only within ``torch.enable_grad()``, and torch has one thread.
        """
        raise NotImplementedError


@dataclass
class Normal(Prior):
    """The standard normal that training took, whatever the codes are."""

    def fit(self, draw: Draw, n_rows: int, n_components: int, seed: int) -> NormalMixture:
        return NormalMixture.standard(n_components)


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

    def fit(self, draw: Draw, n_rows: int, n_components: int, seed: int) -> NormalMixture:
        if not (isinstance(self.n_components, Integral) and self.n_components >= 1):
            raise ValueError(
                "The 'n_components' of Mixture must be a positive whole number; got "
                f"{self.n_components!r}."
            )
        from sklearn.mixture import GaussianMixture  # half of what importing skvae would take

        z = draw(min(max(n_rows, FEWEST_DRAWS), MOST_DRAWS))
        parameters = 1 + n_components + n_components * (n_components + 1) // 2
        most = max(1, n_rows // (ROWS_PER_PARAMETER * parameters))
        size = int(min(self.n_components, most))
        mixture: Any = GaussianMixture(
            size, tol=4e-3, reg_covar=1e-4, init_params="kmeans", random_state=seed % 2**32
        )
        # with arrays of its own, whatever the caller's are
        with config_context(array_api_dispatch=False), one_thread(), warnings.catch_warnings():
            # a few more rounds of EM would move it little
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(z)
        arrays = (
            np.log(mixture.weights_),
            mixture.means_,
            np.linalg.cholesky(mixture.covariances_),
        )
        return NormalMixture(
            *(torch.as_tensor(a, dtype=torch.float32, device="cpu") for a in arrays)
        )


PRIORS: dict[str, type[Prior]] = {"normal": Normal, "mixture": Mixture}
