"""The likelihood of each column, by the user's choice or by "auto"."""

import warnings

import numpy as np
import pytest

from skvae._table.choice import binary_columns, choose_likelihoods
from skvae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Ordinal,
    StudentT,
)

NAMES = ["height", "red", "member", "colour"]
TABLE = np.column_stack(
    [np.linspace(150, 190, 60), np.linspace(0, 1, 60), np.arange(60) % 2, np.arange(60) % 3]
)
FEW = np.arange(100) % 5 * 1.0


def choose(table, likelihood, names=NAMES, category=()):
    chosen, _ = choose_likelihoods(
        names,
        likelihood,
        table,
        np.ones(len(table)),
        [table],
        is_category=[name in category for name in names],
        is_bool=[False] * len(names),
        shares_unit=[False] * len(names),
    )
    return chosen


def test_a_mapping_leaves_the_other_columns_to_auto():
    fixed = Gaussian(scale=2.0)
    chosen = choose(TABLE, {"height": fixed, "red": "continuous_bernoulli"}, category=["colour"])
    assert chosen == [fixed, ContinuousBernoulli(), Bernoulli(), Categorical()]


@pytest.mark.parametrize("key", [1, np.int64(1)])
def test_a_mapping_names_columns_without_names_by_place(key):
    chosen = choose(TABLE, {key: "continuous_bernoulli"}, names=range(4))
    assert [one == ContinuousBernoulli() for one in chosen] == [False, True, False, False]


@pytest.mark.parametrize("key", ["green", 0, None])
def test_an_unknown_column(key):
    with pytest.raises(ValueError, match=rf"'likelihood' names {key!r}, but the column"):
        choose(TABLE, {key: "gaussian"})


@pytest.mark.parametrize("name", ["wishart", "Gaussian ", None, 3, Gaussian])
@pytest.mark.parametrize("mapped", [False, True])
def test_an_unknown_likelihood(name, mapped):
    with pytest.raises(
        ValueError, match=r"'likelihood' of column '.*' must be 'auto', one of .*; got "
    ):
        choose(TABLE, {"red": name} if mapped else name)


@pytest.mark.parametrize("name", sorted(set(LIKELIHOODS) - {"categorical", "ordinal"}))
def test_categories_need_a_likelihood_of_levels(name):
    message = rf"'colour' holds categories, and {LIKELIHOODS[name].__name__} is for numbers"
    with pytest.raises(ValueError, match=message):
        choose(TABLE, {"colour": name}, category=["colour"])


@pytest.mark.parametrize("likelihood", ["student_t", Gaussian(scale=2.0)])
def test_a_likelihood_of_numbers_leaves_categories_to_auto(likelihood):
    names = ["height", "red", "colour"]
    *numbers, colour = choose(TABLE[:, [0, 1, 3]], likelihood, names=names, category=["colour"])
    assert colour == Categorical()
    expected = likelihood if isinstance(likelihood, Gaussian) else StudentT()
    assert numbers == [expected, expected]
    assert choose(TABLE, "ordinal", category=["colour"]) == [Ordinal()] * 4


def test_rows_are_read_until_no_column_can_be_binary():
    blocks = iter([[[0, 1, np.nan], [1, 5, 1]], [[1, 1, 2]], [[0, 0, 0]], [[7, 7, 7]]])
    arrays = (np.array(block, dtype=float) for block in blocks)
    assert binary_columns(arrays, [False, True, True])[1:].tolist() == [False, False]
    assert len(list(blocks)) == 2
    assert binary_columns(iter([TABLE]), [True] * 4).tolist() == [False, False, True, False]


@pytest.mark.parametrize(("n_levels", "warns"), [(100, True), (60, True), (40, False)])
def test_a_column_of_keys_warns(n_levels, warns):
    table = (np.arange(100) % n_levels).astype(float)[:, None]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        choose(table, "auto", names=["id"], category=["id"])
    start = f"Column 'id' holds {n_levels} different categories in 100 rows, "
    assert [str(one.message).startswith(start) for one in caught] == [True] * warns


def test_a_density_of_few_values_warns():
    table = np.column_stack([(FEW + 1) / 10, np.linspace(0.1, 0.9, 100), (FEW + 2) / 10])
    message = "Column 'a' holds only 5 different values, like 1 more with few values, which Beta"
    with pytest.warns(UserWarning, match=message):
        choose(table, "beta", names="abc")


@pytest.mark.parametrize(
    ("column", "likelihood"),
    [
        (FEW, "auto"),
        (FEW, "histogram"),
        (FEW, "categorical"),
        (FEW, "poisson"),
        (FEW / 10, "continuous_bernoulli"),
        (FEW, "gaussian"),  # whose noise has a lower limit
        (np.arange(100.0) % 11 / 20 + 0.1, "beta"),
        ((FEW[:49] + 1) / 10, "beta"),  # too few rows
        (np.full(100, 0.5), "beta"),
    ],
)
def test_other_columns_of_few_values_do_not_warn(column, likelihood):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choose(column[:, None], likelihood, names="a")
