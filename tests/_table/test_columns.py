"""Between the table of numbers and working units: mixed likelihoods, gaps and blocks included."""

import numpy as np
import pytest
from constants import assert_close
from mixed_table import GAPS, INDEX, MIXED, NAMES, REAL, RNG, WEIGHT, N, X, fit, fit_numbers

from skvae._table import columns as _columns
from skvae._table import reading
from skvae._table.columns import Columns
from skvae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    Gaussian,
    Histogram,
    NormalScores,
    Ordinal,
    Poisson,
)


def in_table_order(columns, working):
    out = np.empty_like(working)
    out[:, columns.order] = working
    return out


def same_groups(one, other):
    for a, b in zip(one.groups, other.groups, strict=True):
        assert a.likelihood == b.likelihood
        assert np.array_equal(a.places, b.places)
        for name in b.constants:
            assert_close(a.constants[name], b.constants[name])


# -- which likelihood -------------------------------------------------------------


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_name_or_a_value_holds_for_every_column(name):
    counts = RNG.integers(1, 1000, size=(N, 3))
    unit = name in ("bernoulli", "continuous_bernoulli", "beta")
    table = counts / 1001 if unit else counts
    expected = dict.fromkeys("abc", LIKELIHOODS[name]())
    for likelihood in (name, LIKELIHOODS[name]()):
        assert fit_numbers(table, "abc", likelihood=likelihood).likelihoods == expected


def test_a_mapping_names_columns_and_leaves_the_rest_to_auto():
    fixed = Gaussian(scale=2.0)
    chosen = fit(likelihood={"height": fixed, "red": "bernoulli", "town": "ordinal"}).likelihoods
    assert list(chosen) == NAMES
    assert list(chosen.values()) == [
        fixed,
        Bernoulli(),
        Bernoulli(),
        Categorical(),
        Gaussian(),
        Gaussian(),
        Ordinal(),
    ]
    auto = fit(likelihood="auto").likelihoods
    assert fit(likelihood={"depth": "auto"}).likelihoods == auto


def test_weights_equal_repetitions_in_the_choice():
    # 1 of 30 rows is yes: real; weighed or repeated 9 times, 9 of 38: yes/no
    table = np.column_stack([np.arange(30) == 0, np.linspace(0, 1, 30)])
    counts = np.where(table[:, 0] == 1, 9, 1)
    weighed = fit_numbers(table, weight=counts.astype(float))
    same_groups(weighed, fit_numbers(table.repeat(counts, axis=0)))
    assert fit_numbers(table).likelihoods[0] == NormalScores()
    assert weighed.likelihoods[0] == Bernoulli()


def test_rows_left_out_do_not_affect_the_choice():
    table = np.r_[np.arange(100) % 2, 7.0][:, None]
    columns = Columns.fit(
        table,
        np.arange(100),
        np.ones(100),
        names=["a"],
        likelihood="auto",
        is_category=[False],
        is_bool=[False],
    )
    assert columns.likelihoods == {"a": Bernoulli()}


# -- units ------------------------------------------------------------------------


@pytest.mark.parametrize("table", [X, GAPS], ids=["complete", "gaps"])
def test_groups_hold_each_column_once(table):
    groups = fit(table).groups
    assert sorted(np.concatenate([group.places for group in groups])) == list(range(7))
    for group in groups:
        for constant in group.constants.values():
            assert len(constant) == len(group.places)


def test_columns_with_similar_numbers_of_levels_form_one_group():
    likelihoods = [group.likelihood for group in fit().groups]
    assert [likelihoods.count(one) for one in likelihoods if one != Categorical()] == [1, 1, 1]
    levels = [group.constants["values"] for group in fit().groups if group.likelihood.takes_levels]
    assert [values.tolist() for values in levels] == [[[0, 1, 2]], [list(range(9))]]
    # three levels and four do lie together, the third padded
    table = np.column_stack([np.arange(12) % 3, np.arange(12) % 4])
    (group,) = fit_numbers(table, likelihood="categorical").groups
    np.testing.assert_array_equal(group.constants["values"], [[0, 1, 2, np.nan], [0, 1, 2, 3]])
    working = fit_numbers(table, likelihood="categorical").to_working(table, None, np.float64)
    np.testing.assert_array_equal(working, table)


@pytest.mark.parametrize("table", [X, GAPS], ids=["complete", "gaps"])
def test_working_units_lie_group_by_group(table):
    columns = fit(table)
    working = columns.to_working(table, None, np.float64)
    expected = [
        group.likelihood.to_working(table[:, group.places], group.constants)
        for group in columns.groups
    ]
    np.testing.assert_array_equal(working, np.hstack(expected))


@pytest.mark.parametrize("likelihood", ["categorical", "auto", MIXED, {"colour": "ordinal"}])
@pytest.mark.parametrize("table", [X, GAPS], ids=["complete", "gaps"])
def test_round_trip(table, likelihood):
    columns = fit(table, likelihood=likelihood)
    working = columns.to_working(table, None, np.float64)
    missing = np.isnan(table)
    np.testing.assert_array_equal(np.isnan(in_table_order(columns, working)), missing)
    complete = np.where(np.isnan(working), 0.0, working)
    back = columns.from_working(complete)
    np.testing.assert_allclose(back[~missing], table[~missing], rtol=1e-13)


def test_means_have_units_of_their_own():
    # the mean of a histogram is no place within one of its levels
    table = np.column_stack([np.arange(N), np.arange(N) / 7])
    columns = fit_numbers(table, likelihood={0: Histogram(rows_per_bin=5), 1: "gaussian"})
    place = [int(group.places[0]) for group in columns.groups]
    zero = columns.from_mean(np.zeros((1, 2)))
    np.testing.assert_allclose(zero, [table.mean(axis=0)])
    one = columns.from_mean(np.eye(2)[place])
    np.testing.assert_allclose(np.diag(one - zero), table.std(axis=0), rtol=1e-12)


def test_order_gives_the_places_of_the_working_columns():
    columns = fit()
    assert sorted(columns.order) == list(range(7)) != columns.order
    row = in_table_order(columns, columns.to_working(X[:1], None, np.float64))
    assert row[0, NAMES.index("red")] == X[0, NAMES.index("red")]


def test_gaussian_columns_are_standardised_by_their_weighted_observed_values():
    for table in (X[:, REAL], GAPS[:, REAL]):
        columns = fit_numbers(table, weight=WEIGHT, likelihood="gaussian")
        working = columns.to_working(table, None, np.float64)
        for x in working.T:
            there = ~np.isnan(x)
            assert np.average(x[there], weights=WEIGHT[there]) == pytest.approx(0, abs=1e-12)
            assert np.average(x[there] ** 2, weights=WEIGHT[there]) == pytest.approx(1)


def test_index_names_the_rows():
    index = np.array([4, 4, 0, 17])
    columns = fit()
    for one, all_rows in (
        (columns.to_working(X, index, np.float64), columns.to_working(X, None, np.float64)),
        (columns.log_jacobian(X, index), columns.log_jacobian(X, None)),
    ):
        assert np.array_equal(one, all_rows[index])
    weight = np.array([1.0, 2, 3, 4])
    same_groups(fit(X, index, weight), fit(X[index], np.arange(4), weight))


@pytest.mark.parametrize("missing", [[], [0], [0, 1, 3]])
def test_log_jacobian_is_the_log_determinant_of_the_observed_values(missing):
    names = ["log_normal", "continuous_bernoulli", "gaussian", "beta"]
    columns = fit_numbers(X[:, REAL], likelihood=dict(enumerate(names)))
    row, step = np.array([[101.0, 0.3, -2.1, 0.7]]), 1e-6
    there = [place for place in range(4) if place not in missing]
    row[:, missing] = np.nan
    sides = [
        in_table_order(columns, columns.to_working(row + sign * step * np.eye(4), None, float))
        for sign in (1, -1)
    ]
    moving = (np.abs(sides[0] - sides[1]) / (2 * step))[np.ix_(there, there)]
    _, expected = np.linalg.slogdet(moving)
    np.testing.assert_allclose(columns.log_jacobian(row, None), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_working_units_have_the_requested_dtype(dtype):
    working = fit().to_working(X, None, dtype)
    assert working.dtype == dtype
    assert fit().from_working(working).dtype == np.float64


@pytest.mark.parametrize("table", [np.asfortranarray(X), X.astype(np.float32), X[::-1][::-1]])
def test_any_array_of_the_same_numbers(table):
    expected = fit(np.asarray(table, dtype=float)).to_working(
        np.asarray(table, dtype=float), None, np.float64
    )
    assert np.array_equal(fit(table).to_working(table, None, np.float64), expected)


# -- gaps -------------------------------------------------------------------------


def test_gaps_are_the_columns_that_miss_cells_in_training():
    assert fit().gaps == []
    table = X.copy()
    table[3, [0, 3]] = np.nan
    columns = fit(table)
    places = np.concatenate([group.places for group in columns.groups])
    assert sorted(places[columns.gaps]) == [0, 3]
    assert fit(table, np.arange(4, N), WEIGHT[4:]).gaps == []


def test_a_column_with_missing_values_is_fitted_to_its_observed_values():
    columns = fit(GAPS)
    for group in columns.groups:
        for at, place in enumerate(group.places):
            there = ~np.isnan(GAPS[:, place])
            expected = group.likelihood.fit(GAPS[there, place, None], WEIGHT[there])
            for name, constant in expected.items():
                np.testing.assert_array_equal(group.constants[name][at], constant[0])


@pytest.mark.parametrize("name", ["gaussian", "histogram", "categorical", "poisson", "bernoulli"])
def test_a_column_without_a_value_is_an_error_that_names_it(name):
    table = np.column_stack([np.arange(N) % 2, np.full(N, np.nan)])
    with pytest.raises(ValueError, match="Column 'b' holds no value in any row"):
        fit_numbers(table, "ab", likelihood={"a": "bernoulli", "b": name})


# -- support ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [-0.25, 1.5, np.inf])
def test_a_value_outside_the_support_is_named_with_its_column(value):
    columns, bad = fit(), GAPS.copy()
    bad[7, 5] = value
    message = (
        rf"Column 'blue' is modelled by ContinuousBernoulli, whose support is the interval "
        rf"\[0, 1\], but it holds {value}\. .*, as in likelihood={{'blue': 'gaussian'}}"
    )
    for attempt in (lambda: fit(bad), lambda: columns.to_working(bad, None, np.float64)):
        with pytest.raises(ValueError, match=message):
            attempt()


def test_columns_without_names_are_named_by_place():
    with pytest.raises(ValueError, match=r"Column 0 is modelled by Bernoulli"):
        fit_numbers(X, likelihood="bernoulli")


def test_rows_left_out_may_lie_outside_the_support():
    bad = np.vstack([X, np.full(7, -9.0)])
    assert len(fit(bad).to_working(bad, INDEX, np.float64)) == N


def test_a_likelihood_of_the_row_sum_refuses_missing_values():
    counts = RNG.integers(1, 9, size=(N, 3)).astype(float)
    columns = fit_numbers(counts, "abc", likelihood=Poisson(library_size=True))
    counts[3, 1] = np.nan
    message = r"Column 'b' has a missing value, and Poisson\(library_size=True\) depends on all"
    with pytest.raises(ValueError, match=message):
        columns.to_working(counts, None, np.float64)
    with pytest.raises(ValueError, match=message):
        fit_numbers(counts, "abc", likelihood=Poisson(library_size=True))


def test_a_value_beyond_the_sample_shows_that_a_column_is_not_binary():
    table = np.column_stack([np.arange(30_000) % 5 == 0, np.arange(30_000) / 7]).astype(float)
    table[20_000, 0] = 2.0
    chosen = fit_numbers(table, "ab").likelihoods
    assert chosen["a"] == Histogram()


def test_copies_of_rows_count():
    values = np.arange(8.0)[:, None]
    weight = np.array([900.0, 500, 300, 100, 50, 20, 9, 1])
    of_copies = fit_numbers(np.repeat(values, weight.astype(int), axis=0))
    same_groups(fit_numbers(values, weight=weight), of_copies)


# -- blocks -----------------------------------------------------------------------


@pytest.mark.parametrize("n_cells", [1, N, 2 * N, 49, 7 * N, 7 * N + 1])
@pytest.mark.parametrize("index", [None, INDEX[::-2]])
@pytest.mark.parametrize("table", [X, GAPS], ids=["complete", "gaps"])
def test_blocks_do_not_show(monkeypatch, n_cells, index, table):
    columns = fit(table)

    def all_of_it():
        working = columns.to_working(table, index, np.float64)
        complete = np.where(np.isnan(working), 0.0, working)
        return (
            working,
            columns.from_working(complete),
            columns.from_mean(complete),
            columns.log_jacobian(table, index),
        )

    expected = all_of_it()
    monkeypatch.setattr(reading, "BLOCK_CELLS", n_cells)
    monkeypatch.setattr(reading, "COLUMN_CELLS", n_cells)
    for result, value in zip(all_of_it(), expected, strict=True):
        np.testing.assert_array_equal(result, value)
    again = fit(table)
    same_groups(again, columns)
    assert again.gaps == columns.gaps


class Watched(np.ndarray):
    """An array on which the rows that are asked for are noted."""

    def __array_finalize__(self, source):
        self.rows = getattr(source, "rows", [])

    def __getitem__(self, key):
        if isinstance(key, np.ndarray):
            self.rows.append(key)
        return super().__getitem__(key)


def test_columns_are_fitted_in_passes_in_stored_order(monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_CELLS", 5 * len(NAMES))
    monkeypatch.setattr(_columns, "FEWEST_SAMPLE_ROWS", 1)
    monkeypatch.setattr(_columns, "SAMPLE_CELLS", 0)
    table = X.view(Watched)
    shuffled = RNG.permutation(N)
    fit(table, index=shuffled)
    assert len(table.rows) > 10
    assert all((np.diff(rows) > 0).all() for rows in table.rows)


@pytest.mark.parametrize("n_cells", [1, N])
def test_support_errors_name_the_column_in_any_block(monkeypatch, n_cells):
    monkeypatch.setattr(reading, "BLOCK_CELLS", n_cells)
    bad = X.copy()
    bad[-1, 5] = 2.0
    with pytest.raises(ValueError, match=r"Column 'blue' .* holds 2\.0"):
        fit(bad)


def test_rows_without_units_are_the_same_after_further_rows():
    columns = fit(X)
    index = np.arange(N)
    before = columns.without_units(X, index)
    lower = X.copy()
    lower[0, 0] -= 100.0  # a new smallest value
    later = columns.continued(lower, index)
    assert later.ranges[0, 0] < columns.ranges[0, 0]
    np.testing.assert_array_equal(later.without_units(X, index), before)
