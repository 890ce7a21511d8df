import numpy as np

from skvae.likelihoods import _sample
from skvae.likelihoods._sample import ColumnSample, DistinctValues, Others


def test_columns_of_a_wide_table_are_compared_with_evenly_spaced_ones(monkeypatch):
    X = np.random.default_rng(0).normal(size=(50, 7))
    assert Others(X, np.ones(50)).places.tolist() == list(range(7))
    monkeypatch.setattr(_sample, "MOST_COMPARED", 3)
    others = Others(X, np.ones(50))
    assert others.places.tolist() == [0, 3, 6]
    spread = X[:, [0, 3, 6]] - X[:, [0, 3, 6]].mean(axis=0)
    np.testing.assert_allclose(others.values, spread / X[:, [0, 3, 6]].std(axis=0))


def test_a_column_is_not_explained_by_itself():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3))
    X[:, 2] = X[:, 0] + 0.5 * rng.normal(size=2000)

    def unexplained(place):
        column = ColumnSample(
            values=X[:, place],
            weight=np.ones(2000),
            is_category=False,
            is_bool=False,
            is_binary=False,
            is_table_binary=False,
            shares_unit=False,
            n_numeric=3,
            others=Others(X, np.ones(2000)),
            place=place,
            observed=np.ones(2000, dtype=bool),
        )
        return column.unexplained(X[:, place], scores=False)

    # the share of the noise in the variance
    np.testing.assert_allclose([unexplained(place) for place in (1, 2)], [1.0, 0.2], atol=0.03)


def test_distinct_values_count_by_weight():
    column = DistinctValues.of(np.array([2.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0]))
    assert column.values.tolist() == [1.0, 2.0]
    assert column.share.tolist() == [0.5, 0.5]
    assert column.n_rows == 4.0
    assert column.place.tolist() == [1, 0, 1]
