"""What a likelihood is: its methods for the table and its methods for the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Generator, Tensor

from skvae._torch.vjp import Backward, Later, by_autograd
from skvae._value import Value
from skvae.likelihoods._missing import missing_by_autograd
from skvae.likelihoods._sample import ColumnSample

Array = NDArray[Any]
Constants = dict[str, Array]
Parameters = Mapping[str, Tensor]


@dataclass
class Likelihood(Value, ABC):
    """Base of the observation models.

    A subclass implements ``log_prob``, ``mean`` and ``sample``. By default the support is the
    finite real numbers, the working units are the caller's, and the decoder yields one output for
    each column. A subclass with parameters is a dataclass.

    Notes
    -----
    Missing values are NaN in the methods for the table, which return NaN for them.

    Training calls ``features``, ``draw_target`` and ``vjp`` in torch's inference mode, where
    autograd records nothing. A tensor that is kept must be made under
    ``torch.inference_mode(False)``.

    A subclass does not inherit ``vjp``, ``missing``, ``missing_vjp``, ``takes_bfloat16``,
    ``takes_float32``, ``replayable`` and ``at_size``, since they may be wrong once it overrides
    another method. A subclass with the density of its parent declares them, as in
    ``vjp = Parent.vjp``.

    Attributes
    ----------
    support : str
        The support in words, for error messages.
    takes_levels : bool
        Whether it models columns of categories, numbered 0, 1, ....
    is_density : bool
        Whether it is a density that grows without bound if a column has few values, since its noise
        has no lower limit.
    ragged : bool
        Whether constants differ in length from column to column: (d, L), padded by NaN.
    filler : float
        A value of the support in working units, which stands in for missing values.
    has_location : bool
        Whether the first d outputs are the decoder's prediction of ``location``.
    may_share_unit : bool
        Whether its columns may share a unit, which requires locations affine in the values.
    location_first : bool
        Whether training learns the codes from the locations alone, and the other outputs after
        that.
    is_equivariant : bool
        Whether the model of a scaled and shifted column is the scaled and shifted model. Columns
        that lie on a grid then come as whole numbers of steps.
    takes_bfloat16 : bool
        Whether ``vjp`` accepts outputs in bfloat16. It may then return gradients in bfloat16.
    takes_float32 : bool
        Whether float32 is enough for ``log_prob``, ``statistics`` and ``sample``, as for logits,
        also of rows in float64. Outputs and tensors then come in float32, and the result for a
        draw must not depend on the other draws, not in the last digit. For other likelihoods
        outputs are in the type of the rows.
    learned_features : frozenset of str
        The learned tensors that ``features`` reads. They change only while the encoder learns too.
    replayable : bool
        Whether a CUDA graph may record ``features``, ``draw_target`` and ``vjp`` once and replay
        them. None of them may read a value back to the CPU or branch on one, and all random
        numbers must come from the generator. They must keep no state, since training on a CPU may
        undo a step.
    """

    support: ClassVar[str] = "the finite real numbers"
    takes_levels: ClassVar[bool] = False
    is_density: ClassVar[bool] = False
    ragged: ClassVar[bool] = False
    filler: ClassVar[float] = 0.0
    has_location: ClassVar[bool] = False
    may_share_unit: ClassVar[bool] = False
    location_first: ClassVar[bool] = False
    is_equivariant: ClassVar[bool] = False
    takes_bfloat16: ClassVar[bool] = False
    takes_float32: ClassVar[bool] = False
    replayable: ClassVar[bool] = False
    learned_features: ClassVar[frozenset[str]] = frozenset()
    not_inherited: ClassVar[frozenset[str]] = frozenset(
        {
            "vjp",
            "missing",
            "missing_vjp",
            "takes_bfloat16",
            "takes_float32",
            "replayable",
            "at_size",
        }
    )

    @property
    def needs_complete_rows(self) -> bool:
        """Whether log p of a value depends on all values of its row, and none may be missing."""
        return False

    @property
    def has_jacobian(self) -> bool:
        """Whether ``log_jacobian`` is anything but 0."""
        return type(self).log_jacobian is not Likelihood.log_jacobian

    @property
    def masks_itself(self) -> bool:
        """Whether there is a model of values that are ``missing`` because of what they are."""
        return type(self).missing is not Likelihood.missing

    @classmethod
    def auto_score(cls, column: ColumnSample) -> float | None:
        """How well the likelihood suits a column; None if "auto" must not choose it.

        "auto" takes the likelihood with the highest score, with its default parameters. The score
        is 0 if it takes any numbers, 1 if the values have its shape, and 2 if they are its support.
        """
        return None

    # -- methods for the table: numpy, in float64 ---------------------------------

    def in_support(self, x: Array, constants: Constants) -> Array:
        """Which values lie in the support. (n, d) -> (n, d) bool.

        ``constants`` is empty before ``fit``.
        """
        return np.isfinite(x)

    def nearest(self, x: Array, constants: Constants) -> Array:
        """The values of the support nearest to finite values. (n, d) -> (n, d).

        For columns whose likelihood "auto" chose by the values of training.
        """
        return x

    def fit(self, x: Array, weight: Array) -> Constants:
        """Constants of the columns of ``x`` (n, d) with row weights (n,); each (d, ...).

        ``x`` has no missing values. A weight is the number of rows that a row stands for.
        """
        return {}

    def in_unit(self, constants: Constants, unit: Array | float) -> Constants:
        """The constants of columns that share a unit, the root mean square of their spreads.

        ``unit`` is in the units of each column, (d,) or ().
        """
        return constants

    def to_working(self, x: Array, constants: Constants) -> Array:
        """Caller's units to working units, (n, d) -> (n, d)."""
        return x

    def from_working(self, x: Array, constants: Constants) -> Array:
        """Draws in working units to caller's units, (n, d) -> (n, d)."""
        return x

    def from_mean(self, x: Array, constants: Constants) -> Array:
        """Means, in the units of ``mean``, to caller's units, (n, d) -> (n, d)."""
        return self.from_working(x, constants)

    def log_jacobian(self, x: Array, constants: Constants) -> Array:
        """The log of d working / d caller at each value of ``x``, (n, d) or broadcasting to it."""
        return np.zeros((1, x.shape[1]))

    def log_unit(self, x: Array, constants: Constants) -> Array:
        """The log of the unit of each value's density, (n, d) or broadcasting to it.

        A density times its unit is the same in metres as in feet. 0 for a probability mass.
        """
        return np.zeros((1, x.shape[1]))

    def size(self, constants: Constants) -> int:
        """The size of a column's tensors, by the constants. At least 1.

        Columns whose sizes have the same power of two are modelled together.
        """
        return max((array.shape[1] for array in constants.values() if array.ndim > 1), default=1)

    def values(self, constants: Constants) -> Array | None:
        """The values of a column, if they are few and each has a mass. -> (d, L) or (1, L).

        In the caller's units and increasing, padded by NaN. None for other columns.
        """
        return None

    def limits(self, constants: Constants) -> Array:
        """The smallest and the largest draw in caller's units, infinite for none. (d, 2) or (1, 2).

        By default the constant "limits", which ``from_working`` then has to respect.
        """
        found: Array = constants.get("limits", np.array([[-np.inf, np.inf]]))
        return found

    def with_limits(self, constants: Constants, limits: Array) -> Constants:
        """The constants with other limits (d, 2), NaN for a column that keeps its own.

        Draws are clipped to them in any case, so that a likelihood without limits needs none.
        """
        if "limits" not in constants:
            return constants
        kept = np.isnan(limits)
        return constants | {"limits": np.where(kept, constants["limits"], limits)}

    def without_limits(self, constants: Constants, ends: Array) -> Constants:
        """The constants without limits of draws at some ends (d, 2) bool."""
        return self.with_limits(constants, np.where(ends, [-np.inf, np.inf], np.nan))

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        """The constants for training that continues with the rows ``x`` (n, d)."""
        return constants

    # -- methods for the model: torch, in working units ---------------------------

    def at_size(self, constants: Constants) -> Likelihood:
        """The likelihood of the same values that models columns with these constants.

        By default, it is this one. Its methods for the table are not used.
        """
        return self

    def n_outputs(self, constants: Constants) -> int:
        """The number of decoder outputs for each column."""
        return 1

    def n_shape_outputs(self, constants: Constants) -> int:
        """How many of them, the last ones, come from a second network.

        It is trained after the codes are learned. Only with ``location_first``.
        """
        return 0

    def n_features(self, constants: Constants) -> int:
        """The number of encoder inputs for each column."""
        return 1

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        """Initial values of the tensors that do not depend on z, each ``nn.Parameter`` learned.

        Adam moves a value by about the learning rate a step, which is slow for the log of a scale:
        let the scale be exp(10 * value).
        """
        return {}

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        """The encoder's inputs, of a magnitude of about 1. (N, d) -> (N, d, F).

        No gradient passes through them, even if they depend on ``learned_features``.
        """
        return x.unsqueeze(-1)

    def location(self, x: Tensor, parameters: Parameters) -> Tensor:
        """The values on a scale of variance 1, which the codes are to explain. (N, d) -> (N, d).

        Only with ``has_location``.
        """
        return x

    def fit_noise(self, variance: Tensor, parameters: Parameters) -> None:
        """Set the learned noise by the variance of ``location`` around the decoder's, (d,)."""

    def draw_target(self, x: Tensor, generator: Generator) -> Tensor:
        """The rows that a training step models in place of ``x``, (N, d) -> (N, d)."""
        return x

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        """log p(x|z) of each value. (N, d), (S, N, P) -> (S, N, d)."""

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        """``log_prob`` in training, and its gradient. By default autograd computes both.

        Returns
        -------
        later : callable
            ``later()`` returns ``log_prob``. Only some steps call it, after ``backward``.
        backward : callable
            ``backward(gradient)`` takes the gradient by ``log_prob`` to the one by ``outputs``,
            and adds the gradients by learned tensors to their ``grad``.
        """
        found, backward = by_autograd(lambda out, x: self.log_prob(x, out, parameters), outputs, x)
        return lambda: found, backward

    def missing(
        self, outputs: Tensor, parameters: Parameters, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Later]:
        """log P(missing | z) of some values, if P(missing | x) = Phi(bias + slope . features).

        Phi is the standard normal distribution function. The features of levels, as those of
        observed values, are clipped to [-5, 5]. By default there is no such model, and values count
        as missing at random.

        Parameters
        ----------
        outputs : Tensor of shape (S, N, P)
        parameters : dict of Tensor
        cells : Tensor of int of shape (M,)
            The numbers of the values, row * d + column, each at most once.
        bias : Tensor of shape (M,)
        slope : Tensor of shape (d, F)

        Returns
        -------
        log_prob : Tensor of shape (S, M)
        later : callable
            ``later()`` returns outputs (S, N, P) with which p(x|z) of these values is p(x|z,
            missing), or close to it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no model of missing values.")

    def missing_vjp(
        self, outputs: Tensor, parameters: Parameters, cells: Tensor, bias: Tensor, slope: Tensor
    ) -> tuple[Tensor, Backward]:
        """``missing`` in training, and its gradients. By default autograd computes both.

        Returns
        -------
        log_prob : Tensor of shape (S, M)
        backward : callable
            ``backward(gradient)`` returns the gradients by outputs, bias and slope, and adds those
            by learned tensors to their ``grad``.
        """

        def missing(
            out: Tensor, cells: Tensor, bias: Tensor, slope: Tensor
        ) -> tuple[Tensor, Later]:
            return self.missing(out, parameters, cells, bias, slope)

        return missing_by_autograd(missing, outputs, cells, bias, slope)

    @abstractmethod
    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """E[x|z], the mode of categories. (S, N, P) -> (S, N, d)."""

    def n_statistics(self, constants: Constants) -> int:
        """M, the number of ``statistics`` of each column."""
        return 1

    def statistics(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """What is averaged over draws of z before ``summary``. (S, N, P) -> (S, N, d, M)."""
        return self.mean(outputs, parameters).unsqueeze(-1)

    def summary(self, statistics: Tensor) -> Tensor:
        """The mean or mode from averaged ``statistics``. (N, d, M) -> (N, d)."""
        return statistics.squeeze(-1)

    def masses(self, statistics: Tensor) -> Tensor:
        """The mass of each of ``values`` from averaged ``statistics``. (N, d, M) -> (N, d, L)."""
        return statistics

    @abstractmethod
    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        """A draw of x given z. (S, N, P) -> (S, N, d)."""
