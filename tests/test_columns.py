"""Between the caller's table and working units, mixed likelihoods and blocks included."""

import numpy as np
import pytest

from skvae import _columns
from skvae._columns import Columns
from skvae.likelihoods import LIKELIHOODS, Bernoulli, ContinuousBernoulli, Gaussian

RNG = np.random.default_rng(0)
N = 50
# real, grey, yes/no, real, grey: three likelihoods that take turns
X = np.column_stack(
    [
        RNG.normal(100, 3, N),
        RNG.random(N),
        RNG.integers(0, 2, N),
        RNG.normal(-2, 0.1, N),
        RNG.random(N),
    ]
)
NAMES = ["height", "red", "member", "depth", "blue"]
MIXED = {"red": "continuous_bernoulli", "blue": "continuous_bernoulli"}
INDEX, WEIGHT = np.arange(N), RNG.random(N)


def choose_likelihoods(X, names, likelihood):
    """Of all rows, weighing the same."""
    n = len(X)
    return _columns.choose_likelihoods(X, np.arange(n), np.ones(n), list(names), likelihood)


def fit(X=X, index=INDEX, weight=WEIGHT, names=NAMES, likelihood=MIXED):
    return Columns.fit(X, index, weight, names=names, likelihood=likelihood)


def column(ones, n=100):
    return (np.arange(n) < ones).astype(float)[:, None]


# -- which likelihood -------------------------------------------------------------


@pytest.mark.parametrize("dtype", [float, np.float32, int, np.uint8, bool])
def test_a_table_of_yes_and_no_is_bernoulli_throughout(dtype):
    table = np.array([[0, 1, 0], [0, 1, 1]], dtype=dtype)  # constant columns too
    assert choose_likelihoods(table, range(3), "auto") == [Bernoulli()] * 3


@pytest.mark.parametrize(
    ("ones", "expected"),
    [
        (0, Gaussian()),
        (4, Gaussian()),
        (5, Bernoulli()),
        (50, Bernoulli()),
        (95, Bernoulli()),
        (96, Gaussian()),
        (100, Gaussian()),
    ],
)
def test_beside_reals_a_yes_no_column_needs_both_in_five_percent(ones, expected):
    table = np.hstack([column(ones), np.linspace(0, 1, 100)[:, None]])
    assert choose_likelihoods(table, range(2), "auto") == [expected, Gaussian()]


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, 1 + 1e-12])
def test_one_other_value_makes_a_column_real(value):
    table = column(50)
    table[0] = value
    assert choose_likelihoods(table, range(1), "auto") == [Gaussian()]


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_name_or_a_value_holds_for_every_column(name):
    expected = [LIKELIHOODS[name]()] * 5
    assert choose_likelihoods(X, NAMES, name) == expected
    assert choose_likelihoods(X, NAMES, LIKELIHOODS[name]()) == expected


def test_a_mapping_names_columns_and_leaves_the_rest_to_auto():
    fixed = Gaussian(scale=2.0)
    chosen = choose_likelihoods(X, NAMES, {"height": fixed, "red": "bernoulli", "depth": "auto"})
    assert chosen == [fixed, Bernoulli(), Bernoulli(), Gaussian(), Gaussian()]


@pytest.mark.parametrize("key", [1, np.int64(1)])
def test_a_mapping_names_columns_by_place_where_they_have_no_names(key):
    chosen = choose_likelihoods(X, range(5), {key: "continuous_bernoulli"})
    assert chosen[1] == ContinuousBernoulli()
    assert ContinuousBernoulli() not in chosen[2:]


@pytest.mark.parametrize("key", ["green", 0, None])
def test_an_unknown_column(key):
    with pytest.raises(
        ValueError, match=rf"'likelihood' names the column {key!r}, but the columns"
    ):
        choose_likelihoods(X, NAMES, {key: "gaussian"})


@pytest.mark.parametrize("name", ["wishart", "Gaussian ", None, 3, Gaussian])
@pytest.mark.parametrize("mapped", [False, True])
def test_an_unknown_likelihood(name, mapped):
    with pytest.raises(ValueError, match=r"'likelihood' must be 'auto', one of \[.*\], .*; got "):
        choose_likelihoods(X, NAMES, {"red": name} if mapped else name)


def test_weights_equal_repetitions_in_the_choice():
    # 1 of 30 rows is yes: real; weighed or repeated 9 times, 9 of 38: yes/no
    table = np.hstack([column(1, 30), np.linspace(0, 1, 30)[:, None]])
    counts = np.where(table[:, 0] == 1, 9, 1)
    repeated = table.repeat(counts, axis=0)
    weighed = fit(table, np.arange(30), counts.astype(float), range(2), "auto")
    expected = fit(repeated, np.arange(38), np.ones(38), range(2), "auto")
    assert [g.likelihood for g in weighed.groups] == [g.likelihood for g in expected.groups]


def test_rows_left_out_have_no_say_in_the_choice():
    table = np.vstack([column(50), [[7.0]]])
    columns = fit(table, np.arange(100), np.ones(100), ["a"], "auto")
    assert columns.groups[0].likelihood == Bernoulli()


# -- units ------------------------------------------------------------------------


def test_groups_hold_each_column_once():
    groups = fit().groups
    assert sorted(np.concatenate([group.places for group in groups])) == list(range(5))
    likelihoods = [group.likelihood for group in groups]
    assert all(likelihoods.count(one) == 1 for one in likelihoods)
    for group in groups:
        for constant in group.constants.values():
            assert constant.shape == (len(group.places),)


def test_working_units_lie_group_by_group():
    columns = fit()
    working = columns.to_working(X, None, np.float64)
    expected = [
        group.likelihood.to_working(X[:, group.places], group.constants) for group in columns.groups
    ]
    assert np.array_equal(working, np.hstack(expected))


@pytest.mark.parametrize("likelihood", ["gaussian", "auto", MIXED], ids=str)
def test_round_trip(likelihood):
    columns = fit(likelihood=likelihood)
    back = columns.from_working(columns.to_working(X, None, np.float64))
    np.testing.assert_allclose(back, X, rtol=1e-13)


def test_gaussian_columns_are_standardised_by_the_weights():
    columns = fit(likelihood="gaussian")
    working = columns.to_working(X, None, np.float64)
    mean = np.average(working, axis=0, weights=WEIGHT)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    np.testing.assert_allclose(np.average(working**2, axis=0, weights=WEIGHT), 1, rtol=1e-12)


def test_index_names_the_rows():
    index = np.array([4, 4, 0, 17])
    columns = fit()
    for one, all_rows in (
        (columns.to_working(X, index, np.float64), columns.to_working(X, None, np.float64)),
        (columns.log_jacobian(X, index), columns.log_jacobian(X, None)),
    ):
        assert np.array_equal(one, all_rows[index])
    fitted = fit(X, index, np.array([1.0, 2, 3, 4]))
    expected = fit(X[index], np.arange(4), np.array([1.0, 2, 3, 4]))
    for a, b in zip(fitted.groups, expected.groups, strict=True):
        assert all(np.array_equal(a.constants[name], b.constants[name]) for name in a.constants)


def test_log_jacobian_is_the_log_determinant():
    columns, row, step = fit(), np.array([[101.0, 0.3, 0.5, -2.1, 0.7]]), 1e-6
    sides = [
        columns.to_working(row + sign * step * np.eye(5), None, np.float64) for sign in (1, -1)
    ]
    moving = np.abs(sides[0] - sides[1]) / (2 * step)
    _, expected = np.linalg.slogdet(moving)
    np.testing.assert_allclose(columns.log_jacobian(row, None), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_working_dtype_is_the_one_asked_for(dtype):
    assert fit().to_working(X, None, dtype).dtype == dtype
    assert fit().from_working(fit().to_working(X, None, dtype)).dtype == np.float64


@pytest.mark.parametrize("table", [np.asfortranarray(X), X.astype(np.float32), X[::-1][::-1]])
def test_any_array_of_the_same_numbers(table):
    expected = fit(np.asarray(table, dtype=float)).to_working(
        np.asarray(table, dtype=float), None, np.float64
    )
    assert np.array_equal(fit(table).to_working(table, None, np.float64), expected)


# -- support ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [-0.25, 1.5, np.inf])
def test_a_value_outside_the_support_is_named_with_its_column(value):
    columns, bad = fit(), X.copy()
    bad[7, 4] = value
    message = (
        rf"Column 'blue' is modelled by ContinuousBernoulli, whose support is the interval "
        rf"\[0, 1\], but it holds {value}\. Choose another likelihood"
    )
    for attempt in (lambda: fit(bad), lambda: columns.to_working(bad, None, np.float64)):
        with pytest.raises(ValueError, match=message):
            attempt()


def test_columns_without_names_are_named_by_place():
    with pytest.raises(ValueError, match=r"Column 0 is modelled by Bernoulli"):
        fit(names=range(5), likelihood="bernoulli")


def test_rows_left_out_may_lie_outside_the_support():
    bad = np.vstack([X, np.full(5, -9.0)])
    assert len(fit(bad).to_working(bad, INDEX, np.float64)) == N


# -- blocks -----------------------------------------------------------------------


@pytest.mark.parametrize("n_bytes", [1, 8 * N, 2 * 8 * N, 8 * 5 * 7, 8 * 5 * N, 8 * 5 * N + 1])
@pytest.mark.parametrize("index", [None, INDEX[::-2]])
def test_blocks_do_not_show(monkeypatch, n_bytes, index):
    columns = fit()
    working = columns.to_working(X, index, np.float64)
    expected = working, columns.from_working(working), columns.log_jacobian(X, index)
    monkeypatch.setattr(_columns, "BLOCK_BYTES", n_bytes)
    results = (
        columns.to_working(X, index, np.float64),
        columns.from_working(working),
        columns.log_jacobian(X, index),
    )
    for result, value in zip(results, expected, strict=True):
        assert np.array_equal(result, value)
    for one, other in zip(fit().groups, columns.groups, strict=True):
        assert one.likelihood == other.likelihood
        assert np.array_equal(one.places, other.places)
        for name in other.constants:
            np.testing.assert_allclose(one.constants[name], other.constants[name], rtol=1e-13)


@pytest.mark.parametrize("n_bytes", [1, 8 * N])
def test_support_errors_name_the_column_in_any_block(monkeypatch, n_bytes):
    monkeypatch.setattr(_columns, "BLOCK_BYTES", n_bytes)
    bad = X.copy()
    bad[-1, 4] = 2.0
    with pytest.raises(ValueError, match=r"Column 'blue' .* holds 2\.0"):
        fit(bad)
