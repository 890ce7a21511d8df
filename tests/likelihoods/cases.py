"""Tables, quadratures and fitted likelihoods that the tests of this folder share.

A new likelihood joins by its rows in ``CASES`` and ``SUPPORTS``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from scipy.special import expit
from torch import nn

from skvae.likelihoods import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Histogram,
    Likelihood,
    LogNormal,
    NegativeBinomial,
    NormalScores,
    Ordinal,
    Poisson,
    StudentT,
)
from skvae.likelihoods._clusters import ClusteredCategorical

RNG = np.random.default_rng(0)
REALS = RNG.normal([100.0, -7.0], [2.0, 5.0], size=(200, 2))
OUTLIERS = REALS + 10 * RNG.standard_t(3, size=(200, 2))
AMOUNTS = np.exp(RNG.normal([3.0, -1.0], [0.5, 1.2], size=(200, 2)))
BITS = RNG.integers(0, 2, size=(200, 2)).astype(float)
GREYS = RNG.random((200, 4))
SHARES = RNG.beta([2.0, 30.0], [3.0, 2.0], size=(200, 2))
COUNTS = RNG.negative_binomial([5, 1], [0.5, 0.1], size=(200, 2)).astype(float)
LEVELS = np.stack(  # of four, two and one
    [RNG.choice([-1.0, 0.5, 7.0, 9.0], 200, p=[0.2, 0.4, 0.1, 0.3]), 3 * BITS[:, 0], np.ones(200)],
    axis=1,
)


def spiked(x, spikes, share):
    """``x`` with a share of its rows at each of the spikes."""
    return np.where(RNG.random(len(x)) < share * len(spikes), RNG.choice(spikes, len(x)), x)


MIXTURE = RNG.normal(np.where(RNG.random(600) < 0.4, -3.0, 2.0), 0.5)
SPIKED = spiked(RNG.exponential(2.0, 600), [0.0, 1.25], 0.2)
FEW = RNG.choice([0.0, 1.0, 2.0, 5.0, 9.0], 600)
HOURS = spiked(np.round(RNG.normal(40.0, 12.0, 600)), [40.0, 45.0, 20.0, 80.0, 0.0], 0.12)
FORMS = np.stack([MIXTURE, SPIKED, FEW, HOURS], axis=1)
BROKEN_FORMS = np.stack([MIXTURE, SPIKED, FEW / 2], axis=1)  # not all are whole numbers
MANY_LEVELS = np.stack(  # of seven, six and two
    [
        np.random.default_rng(1).choice(7, 300, p=np.array([7, 1, 2, 3, 4, 5, 6]) / 28),
        np.random.default_rng(2).binomial(5, 0.4, 300) - 2.5,
        np.random.default_rng(3).binomial(1, 0.4, 300),
    ],
    axis=1,
)


@dataclass
class Nodes:
    """Where the probability lies: its sum over x is that of weight times density. (n, d) each."""

    x: np.ndarray
    weight: np.ndarray
    is_atom: np.ndarray


def on_a_grid(x, slope):
    """The trapezoidal rule for x(t), which is exact for smooth bumps."""

    def nodes(case):
        t, step = np.linspace(-35.0, 35.0, 4001, retstep=True)
        center = np.median(case.table, axis=0)
        spread = np.subtract(*np.quantile(case.table, [0.75, 0.25], axis=0))
        place = x(t[:, None], center, spread)
        weight = step * slope(t[:, None], center, spread)
        return Nodes(place, np.broadcast_to(weight, place.shape), np.zeros_like(place, bool))

    return nodes


REAL_LINE = on_a_grid(lambda t, c, s: c + s * np.sinh(t), lambda t, c, s: s * np.cosh(t))
POSITIVE = on_a_grid(lambda t, c, s: c * np.exp(t), lambda t, c, s: c * np.exp(t))
UNIT_INTERVAL = on_a_grid(
    lambda t, c, s: expit(t) + 0 * c, lambda t, c, s: expit(t) * expit(-t) + 0 * c
)


def padded(case, columns):
    """Nodes (x, weight, is_atom) of each column as one table, filled up with those of no weight."""
    longest = max(len(x) for x, _, _ in columns)
    nodes = Nodes(
        np.repeat(case.table[:1], longest, axis=0),
        np.zeros((longest, len(columns))),
        np.ones((longest, len(columns)), dtype=bool),
    )
    for place, (x, weight, is_atom) in enumerate(columns):
        nodes.x[: len(x), place] = x
        nodes.weight[: len(x), place] = weight
        nodes.is_atom[: len(x), place] = is_atom
    return nodes


def whole_numbers(stop):
    return lambda case: padded(case, [(np.arange(stop), 1.0, True)] * case.table.shape[1])


def values_seen(case):
    return padded(case, [(np.unique(column), 1.0, True) for column in case.table.T])


def bins_and_atoms(case):
    """Of whole numbers, all; else the atoms, and a quadrature of each bin and tail."""
    columns = []
    for place, column in enumerate(case.table.T):
        if (column == np.floor(column)).all():
            columns.append((np.arange(-1000.0, 1100.0), 1.0, True))
            continue
        low, high = (case.constants[name][place] for name in ("low", "high"))
        atoms, scale = low[low == high], case.constants["scale"][place]
        edges = low[low < high][1:]
        edges = np.r_[edges[0] - 50 * scale[0], edges, edges[-1] + 50 * scale[1]]
        columns.append(pieces_and_atoms(edges, atoms, 0.01 * column.std()))
    return padded(case, columns)


def smooth_pieces_and_atoms(case):
    """The atoms, and a quadrature of each piece over which the density of scores is smooth."""
    columns = []
    for one in case.constants["map"]:
        spline = one.spline
        edges = spline.inverse(np.linspace(-8.0, 8.0, 321))
        bends = spline.knots[[0, -1]] + [-1, 1] * spline.reach
        edges = one.location + one.spread * np.r_[edges, spline.knots, bends]
        columns.append(pieces_and_atoms(np.union1d(edges, one.atoms), one.atoms, one.cell))
    return padded(case, columns)


def pieces_and_atoms(edges, atoms, cell):
    """Gauss-Legendre nodes between the edges, and atoms whose mass is spread over a cell."""
    node, weight = leggauss(60)
    width = 0.5 * np.diff(edges)[:, None]
    x, inner = edges[:-1, None] + width * (node + 1), width * weight
    return (
        np.r_[x.ravel(), atoms],
        np.r_[inner.ravel(), np.full(len(atoms), cell)],
        np.arange(x.size + len(atoms)) >= x.size,
    )


def fit(likelihood, table, weight=None):
    """The constants; of ragged ones, columns are fitted one by one and padded by NaN."""
    weight = np.ones(len(table)) if weight is None else weight
    assert likelihood.in_support(table, {}).all()
    if not likelihood.ragged:
        return likelihood.fit(table, weight)
    columns = [likelihood.fit(column[:, None], weight) for column in table.T]
    constants = {}
    for name, first in columns[0].items():
        parts = [column[name] for column in columns]
        if first.ndim > 1:
            longest = max(part.shape[1] for part in parts)
            parts = [
                np.pad(part, [(0, 0), (0, longest - part.shape[1])], constant_values=np.nan)
                for part in parts
            ]
        constants[name] = np.concatenate(parts)
    return constants


@dataclass
class Case:
    """A likelihood, the table it is fitted to, and one row of decoder outputs."""

    likelihood: Likelihood
    table: np.ndarray
    outputs: list[float] | None  # None: draws
    nodes_of: Callable | None = None
    step: float = 0.03  # that what is learned is moved off its start, so that it counts
    mass_error: float = 1e-9  # relative, as that of the mean
    mean_error: float = 2e-6
    in_range: bool = False  # draws stay within the range of the table
    constants: dict = field(init=False)
    parameters: dict = field(init=False)

    def __post_init__(self):
        self.constants = fit(self.likelihood, self.table)
        tensors = self.likelihood.parameters(self.constants)
        self.learned = [name for name in tensors if isinstance(tensors[name], nn.Parameter)]
        self.parameters = {
            name: tensor.detach().double() + self.step * (name in self.learned)
            for name, tensor in tensors.items()
        }
        n_outputs = self.likelihood.n_outputs(self.constants) * self.table.shape[1]
        if self.outputs is None:
            self.outputs = np.random.default_rng(1).normal(size=n_outputs)
        assert len(self.outputs) == n_outputs

    @property
    def has_mode(self):
        """Whether its mean is the mode."""
        return self.likelihood.takes_levels

    def working(self, x):
        return torch.as_tensor(self.likelihood.to_working(x, self.constants))

    def outputs_of(self, n):
        """The row of outputs for ``n`` rows, (1, n, P)."""
        return torch.as_tensor(self.outputs, dtype=torch.float64).expand(1, n, -1)

    def log_density(self, x):
        """log p(x|z) in the caller's units. (n, d) -> (n, d)."""
        cells = self.likelihood.log_prob(self.working(x), self.outputs_of(len(x)), self.parameters)
        return cells[0].numpy() + self.likelihood.log_jacobian(x, self.constants)

    def mass(self):
        """The nodes and the probability that each stands for."""
        nodes = self.nodes_of(self)
        return nodes, nodes.weight * np.exp(self.log_density(nodes.x))

    def mean(self):
        mean = self.likelihood.mean(self.outputs_of(1), self.parameters)[0].numpy()
        return self.likelihood.from_mean(mean, self.constants)[0]

    def sample(self, n, seed=0):
        generator = torch.Generator().manual_seed(seed)
        draws = self.likelihood.sample(self.outputs_of(n), self.parameters, generator)[0]
        return self.likelihood.from_working(draws.numpy(), self.constants)


def start(likelihood, table, nodes_of=None):
    """The case at the start of what is learned, with outputs 0."""
    case = Case(likelihood, table, None, nodes_of, step=0.0)
    case.outputs = np.zeros(len(case.outputs))
    return case


def peak(case):
    """sigma in the caller's units, from the density at the mean."""
    return np.exp(-case.log_density(case.mean()[None])[0]) / np.sqrt(2 * np.pi)


def rates(case):
    return case.table.mean(axis=0) * np.exp(case.outputs)


CASES = {
    "gaussian": Case(Gaussian(), REALS, [0.3, -1.2], REAL_LINE),
    "gaussian-shared": Case(Gaussian(scale="shared"), REALS, [0.3, -1.2], REAL_LINE),
    "gaussian-fixed": Case(Gaussian(scale=3.0), REALS, [0.3, -1.2], REAL_LINE),
    "student_t": Case(StudentT(), OUTLIERS, [0.3, -1.2], REAL_LINE),
    "student_t-fixed": Case(StudentT(df=4), OUTLIERS, [0.3, -1.2], REAL_LINE),
    "log_normal": Case(LogNormal(), AMOUNTS, [0.3, -1.2], POSITIVE),
    "bernoulli": Case(Bernoulli(), BITS, [-2.0, 0.7], values_seen),
    "bernoulli-binarize": Case(Bernoulli(binarize=True), BITS, [-2.0, 0.7], values_seen),
    "continuous_bernoulli": Case(ContinuousBernoulli(), GREYS, [0.0, 0.15, -3, 40], UNIT_INTERVAL),
    "beta": Case(Beta(), SHARES, [0.5, -0.7], UNIT_INTERVAL),
    "poisson": Case(Poisson(), COUNTS, [0.3, -1.2], whole_numbers(200)),
    "negative_binomial": Case(NegativeBinomial(), COUNTS, [0.3, -1.2], whole_numbers(4000)),
    "categorical": Case(Categorical(), LEVELS, None, values_seen),
    "clustered": Case(ClusteredCategorical(2, 3, 4), MANY_LEVELS, None, values_seen),
    "ordinal": Case(Ordinal(), LEVELS, [0.8, -0.3, 0.5], values_seen),
    "histogram": Case(Histogram(), FORMS, None, bins_and_atoms, in_range=True),
    "histogram-coarse": Case(
        Histogram(n_bins=9, rows_per_bin=5), FORMS, None, bins_and_atoms, in_range=True
    ),
    # with a noise so small that draws stay within the range of training
    "normal_scores": Case(
        NormalScores(), AMOUNTS, [0.25, -0.4], smooth_pieces_and_atoms, -0.1, mean_error=1e-3
    ),
    "normal_scores-atoms": Case(
        NormalScores(rows_per_knot=20),
        BROKEN_FORMS,
        [0.25, -0.7, 0.4],
        smooth_pieces_and_atoms,
        -0.1,
        mass_error=1e-7,  # the ends of atoms are in single precision
        mean_error=0.02,
    ),
}

NOT_FINITE = [np.nan, np.inf, -np.inf]
UNIT = ([0.0, -0.0, 0.5, 1.0], [-1e-9, 1.0 + 1e-9, 2.0, np.nan, np.inf])
COUNT = ([0.0, -0.0, 1.0, 1e9], [-1.0, 0.5, 1e9 + 1, *NOT_FINITE])
ANY = ([-1e300, 0.0, 1e-320, 5.0], NOT_FINITE)
SUPPORTS = [  # likelihood, values inside, values outside
    (Gaussian(), *ANY),
    (StudentT(), *ANY),
    (LogNormal(), [1e-320, 5.0, 1e300], [-1.0, 0.0, *NOT_FINITE]),
    (Bernoulli(), *UNIT),
    (ContinuousBernoulli(), *UNIT),
    (Beta(), [1e-320, 0.5, 1 - 2**-53], [-1.0, 0.0, 1.0, 2.0, *NOT_FINITE]),
    (Poisson(), *COUNT),
    (NegativeBinomial(), *COUNT),
    (Categorical(), *ANY),
    (ClusteredCategorical(), *ANY),
    (Ordinal(), *ANY),
    (Histogram(), *ANY),
    (NormalScores(), *ANY),
]
