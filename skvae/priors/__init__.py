"""Priors p(z) of the codes.

``sample`` and ``score_samples`` use the prior. It is built before training and learned with the
networks, or fitted after training to draws from the posteriors of the training rows, or both. To
add a name to those that ``VAETransformer`` accepts, write a class and add it to ``PRIORS``.

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
from torch import Generator

from skvae._interrupts import interrupts_held
from skvae._rules import TRUTH, Rule, whole
from skvae._torch.runtime import one_thread
from skvae._value import Value
from skvae.priors._modules import LearnedMixture, NormalMixture, PriorModule, StandardNormal

# Rows for each parameter of a mixture, so that it does not overfit.
ROWS_PER_PARAMETER, ROWS_PER_LEARNED_PARAMETER = 3, 1
SMALLEST_VARIANCE = 1e-4  # added to the variances of a fitted mixture
FEWEST_DRAWS, MOST_DRAWS = 2_000, 32_000  # one draw for each row, within these bounds

Draw = Callable[[int], NDArray[np.float64]]  # n -> codes (n, K) from training rows' posteriors


class Prior(Value):
    """Base class of the priors.

    A subclass implements ``fit`` or ``build``. Both return a :class:`PriorModule`, which has
    ``log_prob(z)`` and ``sample(n, generator)``. Torch's global generator is seeded when they are
    called, and its state is restored afterwards. Autograd records only within
    ``torch.enable_grad()``, and torch uses one thread.
    """

    @property
    def is_learned(self) -> bool:
        """Whether training learns the prior: whether the class implements ``build``."""
        return type(self).build is not Prior.build

    def build(self, n_components: int, n_rows: int, generator: Generator) -> PriorModule | None:
        """Return a prior whose parameters are learned in training, or None for N(0, I).

        The KL divergence from it is estimated by the draws of training [2]_.

        Parameters
        ----------
        n_components : int
            K, the number of latent dimensions.
        n_rows : int
            Number of distinct training rows.
        generator : torch.Generator
            For the initial weights.
        """
        return None

    def fit(
        self, draw: Draw, n_rows: int, n_components: int, seed: int, trained: PriorModule
    ) -> PriorModule | None:
        """Return the prior to use after training, or None to keep the prior of training.

        Parameters
        ----------
        draw : callable
            ``draw(n)`` returns n codes (n, K) from posteriors of training rows, in float64.
        n_rows : int
            Number of distinct training rows.
        n_components : int
            K, the number of latent dimensions.
        seed : int
        trained : PriorModule
            The prior of training.
        """
        return None


@dataclass
class Normal(Prior):
    """The standard normal, in training and afterwards. It does not depend on the codes."""


@dataclass
class Mixture(Prior):
    """A mixture of normals, each with a full covariance.

    It makes samples more like the training rows, and often likelihoods higher. The codes of the
    training rows rarely follow the standard normal closely. In regions without codes, draws from
    the standard normal decode to rows unlike any training row, and likelihoods are too low [1]_.

    Training learns the mixture together with the networks, so that codes fill it. It starts close
    to N(0, I). After training, scikit-learn's ``GaussianMixture`` continues from it by a few
    iterations of EM.

    Parameters
    ----------
    n_components : int, default=100
        Maximum number of normals in the mixture. Fewer are used if there are few rows.
    learned : bool, default=True
        Whether training learns the mixture. With False, the prior of training is N(0, I), and the
        mixture is fitted to the codes after training. This takes less time, and is better with a
        ``beta`` well below 1.
    """

    n_components: int = 100
    learned: bool = True

    rules: ClassVar[Mapping[str, Rule]] = {"n_components": whole(1), "learned": TRUTH}

    @property
    def is_learned(self) -> bool:
        return self.learned

    def build(self, n_components: int, n_rows: int, generator: Generator) -> PriorModule | None:
        if not self.learned:
            return None
        size = self._size(n_components, n_rows / ROWS_PER_LEARNED_PARAMETER)
        return LearnedMixture.near_standard_normal(size, n_components, generator)

    def fit(
        self, draw: Draw, n_rows: int, n_components: int, seed: int, trained: PriorModule
    ) -> PriorModule:
        from sklearn import config_context
        from sklearn.exceptions import ConvergenceWarning

        # this would be half of the time to import skvae
        from sklearn.mixture import GaussianMixture

        learned = trained if isinstance(trained, LearnedMixture) else None
        if learned is not None and n_rows < learned.n_normals:
            return learned  # a call of partial_fit with few rows
        z = draw(min(max(n_rows, FEWEST_DRAWS), MOST_DRAWS))
        if learned is not None:
            start = _start_of_em(learned, fewest=1 / len(z))
            size = len(start["weights_init"])
        else:
            start = {"init_params": "kmeans"}
            size = self._size(n_components, n_rows / ROWS_PER_PARAMETER)
        mixture: Any = GaussianMixture(
            size, tol=4e-3, reg_covar=SMALLEST_VARIANCE, random_state=seed % 2**32, **start
        )
        # the arrays are numpy's, even if the caller dispatches to another library
        with (
            interrupts_held() as hold,
            config_context(array_api_dispatch=False),
            one_thread(),
            warnings.catch_warnings(),
            hold.lifted(),
        ):
            # further iterations of EM would hardly change the mixture
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(z)
        roots = np.linalg.cholesky(mixture.covariances_)
        return NormalMixture.of_arrays(np.log(mixture.weights_), mixture.means_, roots)

    def _size(self, n_components: int, most_parameters: float) -> int:
        """The number of normals in K dimensions with at most this number of parameters, or 1."""
        each = 1 + n_components + n_components * (n_components + 1) // 2
        return max(1, min(self.n_components, int(most_parameters / each)))


def _start_of_em(trained: LearnedMixture, *, fewest: float) -> dict[str, Any]:
    """The normals with a share of ``fewest`` or more, as arguments of ``GaussianMixture``."""
    parts = trained.log_share.exp(), trained.mean, trained.root
    share, mean, root = (part.detach().double().cpu().numpy() for part in parts)
    used = share >= min(fewest, share.max())
    share, root = share[used] / share[used].sum(), root[used]
    covariance = root @ root.transpose(0, 2, 1) + SMALLEST_VARIANCE * np.eye(mean.shape[1])
    return {
        "weights_init": share,
        "means_init": mean[used],
        "precisions_init": np.linalg.inv(covariance),
        "init_params": "random_from_data",  # overridden by the others
    }


PRIORS: dict[str, type[Prior]] = {"normal": Normal, "mixture": Mixture}

__all__ = ["PRIORS", "Mixture", "Normal", "Prior", "PriorModule", "StandardNormal"]
