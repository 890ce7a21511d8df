"""A source of rows reads as the array that it holds, and fits like it."""

import numpy as np
import pytest

from skvae import RowSource, VAETransformer
from skvae._table import source

X = np.random.default_rng(0).normal(size=(60, 4))


class Rows(RowSource):
    """Keeps an array, and what was asked for."""

    def __init__(self, X):
        super().__init__(X.shape, X.dtype)
        self.X, self.asked = X, []

    def read(self, rows):
        self.asked.append(rows)
        return self.X[rows]


@pytest.mark.parametrize(
    "key",
    [slice(None), slice(5, 50, 3), np.array([7, 3, 3, -1]), X[:, 0] > 0, 5, [[1, 2], [3, 4]]],
    ids=str,
)
def test_indexing_selects_as_in_an_array(key):
    rows = Rows(X)
    np.testing.assert_array_equal(rows[key], X[key])
    assert all((np.diff(asked) >= 0).all() for asked in rows.asked)


def test_columns_are_read_in_blocks(monkeypatch):
    monkeypatch.setattr(source, "BLOCK_CELLS", 40)
    rows = Rows(X)
    np.testing.assert_array_equal(rows[:, [2, 0]], X[:, [2, 0]])
    assert max(map(len, rows.asked)) == 10
    np.testing.assert_array_equal(np.asarray(rows), X)


def test_a_fit_to_a_source_is_that_to_the_array():
    fits = [VAETransformer(2, max_iter=2, random_state=0).fit(table) for table in (X, Rows(X))]
    np.testing.assert_array_equal(*(vae.transform(X) for vae in fits))
    np.testing.assert_array_equal(fits[0].score_samples(X), fits[1].score_samples(Rows(X)))


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [((3,), float, "two axes"), ((3, -1), float, "two axes"), ((3, 2), object, "hold numbers")],
)
def test_a_source_is_a_table_of_numbers(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        RowSource(shape, dtype)


def test_errors_of_a_source_are_named():
    with pytest.raises(NotImplementedError, match=r"RowSource has no method read\(rows\)"):
        RowSource((3, 2))[:]

    class Short(Rows):
        def read(self, rows):
            return self.X[rows][1:]

    with pytest.raises(ValueError, match=r"Short.read was asked for 2 rows of 4 columns, .*\(1, 4"):
        Short(X)[:2]


def test_a_source_of_no_columns_is_refused():
    with pytest.raises(ValueError, match="Found 0 columns in X, but at least 1 is required"):
        VAETransformer(1).fit(Rows(np.empty((10, 0))))


def test_a_child_process_has_a_lock_of_its_own(monkeypatch):
    before = source.READING
    monkeypatch.setattr(source, "READING", before)  # restored afterwards
    source._renew_lock()
    assert source.READING is not before
