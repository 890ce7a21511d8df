"""What likelihood="auto" takes for a column."""

import numpy as np
import pytest
from scipy import stats

from skvae._table.auto import choose
from skvae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    Gaussian,
    Histogram,
    LogNormal,
    NormalScores,
)
from skvae.likelihoods._sample import DistinctValues, is_smooth

RNG = np.random.default_rng(0)
N = 1000
# the quantiles of a distribution: a table without chance
Q = (np.arange(N) + 0.5) / N
NORMAL = stats.norm.ppf(Q)


def chosen(*columns, weight=None, category=(), bools=(), unwanted=(), in_unit=()):
    """Of columns of one length; those in ``category``, ``bools`` and ``unwanted`` by place."""
    table = np.column_stack(columns).astype(float)
    places = range(table.shape[1])
    return choose(
        table,
        np.ones(len(table)) if weight is None else np.asarray(weight, float),
        is_category=[place in category for place in places],
        is_bool=[place in bools for place in places],
        shares_unit=[place in in_unit for place in places],
        is_binary=np.all(np.isin(table, [0, 1]) | np.isnan(table), axis=0),
        wanted=[place not in unwanted for place in places],
    )


def yes(n, of=100):
    return (np.arange(of) < n).astype(float)


# -- yes and no -------------------------------------------------------------------


def test_a_table_of_yes_and_no_is_bernoulli_throughout():
    assert chosen([0, 0], [1, 1], [0, 1]) == [Bernoulli()] * 3  # constant columns too
    assert chosen([0, np.nan, 0], [1, 1, np.nan]) == [Bernoulli()] * 2
    assert chosen(np.zeros(N), yes(1, N)) == [Bernoulli()] * 2


@pytest.mark.parametrize(
    ("ones", "expected"),
    [
        (0, Gaussian()),
        (4, Histogram()),
        (5, Bernoulli()),
        (50, Bernoulli()),
        (95, Bernoulli()),
        (96, Histogram()),
        (100, Gaussian()),
    ],
)
def test_a_binary_column_among_reals_needs_five_percent_of_each_value(ones, expected):
    assert chosen(yes(ones), np.linspace(0, 1, 100)) == [expected, Gaussian()]


def test_the_five_percent_are_a_share_of_the_weight_of_observed_values():
    beside = np.linspace(0, 1, 100)
    weight = 1 + yes(4)  # 8 of 104
    assert chosen(yes(4), beside, weight=weight)[0] == Bernoulli()
    half = np.where(np.arange(100) < 50, yes(4), np.nan)  # 4 of 50
    assert chosen(half, beside)[0] == Bernoulli()
    assert chosen(np.where(np.arange(100) == 99, np.nan, yes(4)), beside)[0] == Histogram()


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, 1 + 1e-12])
def test_one_other_value_makes_a_column_real(value):
    assert chosen(np.r_[yes(50), value]) != [Bernoulli()]


def test_a_column_of_bools_is_yes_and_no_however_rare():
    assert chosen(yes(1), np.linspace(0, 1, 100), bools=[0]) == [Bernoulli(), Gaussian()]
    assert chosen(yes(1, N), NORMAL, bools=[0]) == [Bernoulli(), Gaussian()]


# -- categories, and columns of the caller's choice -------------------------------


def test_categories_are_categorical():
    codes = np.arange(N) % 3
    assert chosen(codes, codes, category=[0]) == [Categorical(), Histogram()]
    assert chosen(yes(50), category=[0]) == [Categorical()]


def test_columns_that_the_caller_chose_are_left_out():
    assert chosen(NORMAL, NORMAL, yes(50, N), unwanted=[0, 2]) == [None, Gaussian(), None]


# -- columns that no normal fits --------------------------------------------------

UNLIKE_A_NORMAL = {
    "spike": np.where(Q < 0.06, 0.0, NORMAL),
    "few values": np.arange(N) % 10,
    "two values": np.where(yes(500, N), 3.0, 7.0),
    "rare yes": yes(20, N),
}
FAR_FROM_NORMAL = {
    "skew": stats.lognorm.ppf(Q, 1.0),
    "skew to the left": -stats.lognorm.ppf(Q, 1.0),
    "bounded": stats.beta.ppf(Q, 0.5, 0.5),
    "uniform": Q,
    "gamma": stats.gamma.ppf(Q, 2),
}
LIKE_A_NORMAL = {
    "normal": NORMAL,
    "some skew": stats.gamma.ppf(Q, 4),
    "constant": np.full(N, 7.0),
    "heavy tails": stats.t.ppf(Q, 4),
}


@pytest.mark.parametrize("x", UNLIKE_A_NORMAL.values(), ids=UNLIKE_A_NORMAL)
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_columns_that_no_normal_fits_are_histograms(x, scale):
    assert chosen(NORMAL, scale * x) == [Gaussian(), Histogram()]
    assert chosen(NORMAL, scale * np.where(np.arange(N) % 7, x, np.nan))[1] == Histogram()


@pytest.mark.parametrize("x", LIKE_A_NORMAL.values(), ids=LIKE_A_NORMAL)
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_other_columns_are_gaussian(x, scale):
    assert chosen(NORMAL, scale * x) == [Gaussian(), Gaussian()]


@pytest.mark.parametrize("x", FAR_FROM_NORMAL.values(), ids=FAR_FROM_NORMAL)
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_columns_likelier_by_their_scores(x, scale):
    assert chosen(NORMAL, scale * x) == [Gaussian(), NormalScores()]
    assert chosen(NORMAL, scale * x, in_unit=[0, 1]) == [Gaussian(), Gaussian()]


def test_evidence_is_needed_for_atoms():
    few = np.round(10 * NORMAL)
    assert chosen(few, np.where(Q < 0.02, 0.0, NORMAL)) == [Gaussian()] * 2


def test_a_histogram_needs_a_spike_of_thirty_rows():
    ranks = np.arange(200)
    x = stats.norm.ppf((ranks + 0.5) / 200)
    assert chosen(np.where(ranks < 29, 0.0, x)) == [Gaussian()]
    assert chosen(np.where(ranks < 30, 0.0, x)) == [Histogram()]
    assert chosen(ranks % 7) == [NormalScores()]
    assert chosen(ranks % 6) == [Histogram()]


def test_a_histogram_needs_a_table_of_few_columns_of_numbers():
    spiky = np.where(Q < 0.4, 0.0, NORMAL)
    assert chosen(*[spiky] * 100) == [Histogram()] * 100
    assert chosen(*[spiky] * 101) == [NormalScores()] * 101
    codes = np.arange(N) % 3
    beside = chosen(*[spiky] * 100, *[codes] * 5, category=range(100, 105))
    assert beside == [Histogram()] * 100 + [Categorical()] * 5


def test_weights_are_repetitions():
    x, counts = RNG.normal(size=200), RNG.integers(1, 4, size=200)
    for special in (x, np.where(np.arange(200) < 6, 0.0, x)):
        weighed = is_smooth(DistinctValues.of(special, counts.astype(float)))
        assert weighed == is_smooth(
            DistinctValues.of(special.repeat(counts), np.ones(counts.sum()))
        )
    heavy = np.where(np.arange(200) == 0, 30.0, 1.0)  # 30 of 229 rows
    assert is_smooth(DistinctValues.of(x, np.ones(200)))
    assert not is_smooth(DistinctValues.of(x, heavy))


# -- the protocol -----------------------------------------------------------------


class Amounts(LogNormal):
    """The likelihood of columns of positive numbers."""

    @classmethod
    def auto_score(cls, column):
        return 1.5 if not column.is_category and (column.values > 0).all() else None


def test_any_likelihood_can_offer_itself(monkeypatch):
    columns = NORMAL, np.exp(NORMAL), yes(500, N)
    assert chosen(*columns) == [Gaussian(), NormalScores(), Bernoulli()]
    monkeypatch.setitem(LIKELIHOODS, "amounts", Amounts)
    assert chosen(*columns) == [Gaussian(), Amounts(), Bernoulli()]


def test_likelihoods_that_do_not_offer_themselves_are_never_chosen():
    offered = {kind for kind in LIKELIHOODS.values() if "auto_score" in vars(kind)}
    assert offered == {Bernoulli, Categorical, Gaussian, Histogram, NormalScores}
