"""What a likelihood is: its table's side and its model's side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from skvae._blocks import PIECE_CELLS, chunks
from skvae._torch.vjp import Backward, Later, by_autograd
from skvae._value import Value

Array = NDArray[Any]
Constants = dict[str, Array]
Parameters = Mapping[str, Tensor]

STIRLING = 100.0  # above it two terms of Stirling's series are exact to 1e-13


class Likelihood(Value):
    """Base of the observation models; the default working units are the caller's.

    Cells that are missing are NaN on the table's side, and pass through it as NaN. Training calls
    ``features``, ``draw_target`` and ``vjp`` in torch's inference mode: autograd records nothing
    there, and a tensor to be kept must be made under ``torch.inference_mode(False)``.

    Attributes
    ----------
    takes_bfloat16 : bool
        Whether ``vjp`` takes outputs in bfloat16 too, for which it may give gradients in it.
    replayable : bool
        Whether a GPU may record what ``features``, ``draw_target`` and ``vjp`` do once and replay
        it: they read no result, take no way by one, and draw from the generator alone. A subclass
        of one's own says so itself.
    """

    support: ClassVar[str]
    # whether a column of categories, as numbers 0, 1, ..., can be modelled by it
    takes_levels: ClassVar[bool] = False
    # whether it is a density, for which a column of few values is a trap
    is_density: ClassVar[bool] = False
    # whether constants differ in length from column to column: (d, L), padded by NaN
    ragged: ClassVar[bool] = False
    # a value of the support in working units, put where a cell is missing
    filler: ClassVar[float] = 0.0
    takes_bfloat16: ClassVar[bool] = False
    replayable: ClassVar[bool]
    # whether the first n_columns outputs are locations: the decoder's guess of ``location``
    has_location: ClassVar[bool] = False
    # whether its columns may share a unit: where locations are affine in the values
    may_share_unit: ClassVar[bool] = False
    # whether training finds the codes by the location alone, and the other outputs after that
    location_first: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "replayable" not in vars(cls):
            cls.replayable = cls.__module__.startswith("skvae.")
        # what a parent has in closed form is of the parent's density
        changed = "log_prob" in vars(cls) or not cls.__module__.startswith("skvae.")
        if changed and "vjp" not in vars(cls):
            cls.vjp = Likelihood.vjp  # type: ignore[method-assign]
            cls.takes_bfloat16 = vars(cls).get("takes_bfloat16", False)

    @property
    def needs_all(self) -> bool:
        """Whether the likelihood of a cell is told by the row's other cells, none missing."""
        return False

    @property
    def has_jacobian(self) -> bool:
        """Whether ``log_jacobian`` is anything but 0."""
        return type(self).log_jacobian is not Likelihood.log_jacobian

    # -- the table's side ---------------------------------------------------------

    def inside(self, x: Array, constants: Constants) -> Array:
        """Which values lie in the support. (n, d) -> (n, d) bool.

        ``constants`` is empty before ``fit``.
        """
        raise NotImplementedError

    def fit(self, x: Array, weight: Array) -> Constants:
        """Constants of the columns of ``x`` (n, d); each (d, ...). No cell is missing here.

        ``weight`` (n,) tells how many rows each row stands for.
        """
        return {}

    def in_unit(self, constants: Constants, unit: float) -> Constants:
        """The constants of columns that share a unit, the root mean square of their spreads."""
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
        """The log of d working / d caller at each cell of ``x``, (n, d) or broadcasting to it."""
        return np.zeros((1, x.shape[1]))

    def log_unit(self, x: Array, constants: Constants) -> Array:
        """The log of the unit of each cell's density, 0 where it is a mass or has no unit.

        Densities times units are the same in metres as in feet. (n, d), or broadcasting to it.
        """
        return np.zeros((1, x.shape[1]))

    def update_constants(self, x: Array, constants: Constants) -> Constants:
        """The constants for training that continues with rows ``x`` (n, d), NaN where missing."""
        return constants

    # -- the model's side ---------------------------------------------------------

    def n_outputs(self, constants: Constants) -> int:
        """Numbers that the decoder yields for each column."""
        return 1

    def n_shape_outputs(self, constants: Constants) -> int:
        """How many of them a second network yields, which is trained once the codes are found.

        They come last. Only where ``location_first``.
        """
        return 0

    def n_features(self, constants: Constants) -> int:
        """Numbers that the encoder sees of each column."""
        return 1

    def parameters(self, constants: Constants) -> dict[str, Tensor]:
        """Start values of the learned tensors that do not depend on z."""
        return {}

    def features(self, x: Tensor, parameters: Parameters) -> Tensor:
        """What the encoder sees, of a magnitude of about 1. (N, d) -> (N, d, F).

        Not of learned tensors: no gradient passes.
        """
        return x.unsqueeze(-1)

    def location(self, x: Tensor, parameters: Parameters) -> Tensor:
        """Where each value lies on a scale of variance 1, which the codes are to explain.

        Only where ``has_location``. (N, d) -> (N, d).
        """
        return x

    def fit_noise(self, variance: Tensor, parameters: Parameters) -> None:
        """Set the learned noise by the variance of ``location`` around the decoder's, (d,)."""

    def draw_target(self, x: Tensor, generator: Generator) -> Tensor:
        """What a training step should see for the rows ``x``, (N, d) -> (N, d)."""
        return x

    def log_prob(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> Tensor:
        """log p(x|z) of each cell. (N, d), (S, N, P) -> (S, N, d)."""
        raise NotImplementedError

    def vjp(self, x: Tensor, outputs: Tensor, parameters: Parameters) -> tuple[Later, Backward]:
        """``log_prob`` in training, and the way back to ``outputs`` and learned tensors.

        The first is a function without arguments, called in some steps only, and after the second.
        """
        found, backward = by_autograd(lambda out, x: self.log_prob(x, out, parameters), outputs, x)
        return lambda: found, backward

    def mean(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """E[x|z], the mode of categories. (S, N, P) -> (S, N, d)."""
        raise NotImplementedError

    def statistics(self, outputs: Tensor, parameters: Parameters) -> Tensor:
        """What can be averaged over draws of z before ``summary``. (S, N, P) -> (S, N, d, M)."""
        return self.mean(outputs, parameters).unsqueeze(-1)

    def summary(self, statistics: Tensor) -> Tensor:
        """The mean or mode that averaged ``statistics`` tell. (N, d, M) -> (N, d)."""
        return statistics.squeeze(-1)

    def sample(self, outputs: Tensor, parameters: Parameters, generator: Generator) -> Tensor:
        """A draw of x given z. (S, N, P) -> (S, N, d)."""
        raise NotImplementedError


def float32(array: Array) -> Tensor:
    """A tensor on the CPU, whatever the caller's defaults."""
    return torch.as_tensor(np.asarray(array), dtype=torch.float32, device="cpu")


def standardisation(x: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean and standard deviation of each column. (n, d), (n,) -> (d,), (d,)."""
    low, high = x.min(axis=0), x.max(axis=0)
    # dividing by the largest magnitude first keeps the squares of 1e200 finite
    largest = np.maximum(-low, high)
    largest[largest == 0] = 1.0
    share = weight / weight.sum()

    def average(of: Callable[[Array], Array]) -> Array:
        # by pieces, which need no other copy of x
        pieces = chunks(len(x), PIECE_CELLS // max(1, x.shape[1]))
        return sum((share[rows] @ of(x[rows]) for rows in pieces), np.zeros(x.shape[1]))

    # what rounding does to the mean of a constant would else pass for a spread
    location = (largest * average(lambda piece: piece / largest)).clip(low, high)
    spread = largest * np.sqrt(average(lambda piece: np.square((piece - location) / largest)))
    return location, spread


def smallest_gap(x: Array) -> float:
    """The smallest distance between two different values, 0 where there is one. (n,) -> ()."""
    return float(np.diff(np.unique(x)).min(initial=np.inf)) if x.min() < x.max() else 0.0


def stirling_rest(y: Tensor) -> Tensor:
    """log Gamma(y + 1) - (y log y - y), for y >= 0.

    Densities written with it subtract no large numbers, which float32 does not hold.
    """
    small, large = y.clamp(max=STIRLING), y.clamp(min=STIRLING)
    found = torch.lgamma(small + 1) + small * (1 - small.clamp(min=1e-30).log())
    # Stirling's series, less its value at the border
    series = (1 / 12 - 1 / (360 * large * large)) / large - (
        1 / 12 - 1 / 360 / STIRLING**2
    ) / STIRLING
    return found + 0.5 * (large / STIRLING).log() + series
