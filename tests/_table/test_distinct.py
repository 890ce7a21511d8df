"""What training sees of the rows: their values and weights, not their order or container."""

from itertools import permutations, product

import numpy as np
import pytest

from skvae._table import distinct as _distinct
from skvae._table.distinct import distinct_rows, row_hashes, smallest

RNG = np.random.default_rng(0)
X = RNG.integers(0, 5, size=(60, 3)).astype(float)  # 125 values: some rows repeat
WEIGHT = RNG.integers(0, 4, size=60).astype(float)


def table_and_weight(X, weight=None):
    """The distinct rows in their order, and their weights."""
    index, weight, _ = distinct_rows(X, np.ones(len(X)) if weight is None else weight)
    return np.asarray(X[index], dtype=float), weight


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a, b)


def test_each_row_once_with_its_sum_of_weights():
    rows, weight = table_and_weight(X, WEIGHT)
    expected, inverse = np.unique(X[WEIGHT > 0], axis=0, return_inverse=True)
    order = np.lexsort(rows.T[::-1])
    assert np.array_equal(rows[order], expected)
    assert np.array_equal(weight[order], np.bincount(inverse.ravel(), WEIGHT[WEIGHT > 0]))


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(seed):
    order = np.random.default_rng(seed).permutation(len(X))
    assert_same(table_and_weight(X, WEIGHT), table_and_weight(X[order], WEIGHT[order]))


def test_the_order_of_equal_rows_does_not_matter_to_the_last_bit():
    # 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1 in floating point
    sums = {
        distinct_rows(np.ones((3, 2)), np.array(w))[1][0] for w in permutations((0.1, 0.2, 0.3))
    }
    assert len(sums) == 1


def test_weights_equal_repetitions():
    assert_same(table_and_weight(X, WEIGHT), table_and_weight(X.repeat(WEIGHT.astype(int), axis=0)))


def test_rows_of_no_weight_are_dropped():
    weight = np.array([0.0, 1.0, 0.0])
    index, kept, _ = distinct_rows(np.array([[1.0], [2.0], [3.0]]), weight)
    assert (index.tolist(), kept.tolist()) == ([1], [1.0])


def test_minus_zero_is_zero():
    assert_same(table_and_weight(np.array([[0.0, 1], [-0.0, 1]])), ([[0.0, 1.0]], [2.0]))


def test_missing_cells_are_alike_and_unlike_any_value():
    # NaN has many patterns of bits; R writes 1954 into its NA
    patterns = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF80000000007A2], np.uint64)
    missing = np.column_stack([np.ones(3), patterns.view(float)])
    assert len(np.unique(row_hashes(missing))) == 1
    index, weight, _ = distinct_rows(np.vstack([missing, [[1.0, 0.0]]]), np.ones(4))
    assert sorted(zip(index.tolist(), weight.tolist(), strict=True)) == [(0, 3.0), (3, 1.0)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_missing_cells_are_alike_in_any_dtype(dtype):
    gaps = np.where(X == 2, np.nan, X)
    assert np.array_equal(row_hashes(gaps.astype(dtype)), row_hashes(gaps))


def test_rows_that_differ_in_their_missing_cells_are_distinct():
    rows = np.array(list(product([0.0, 1.0, np.nan], repeat=6)))
    assert len(np.unique(row_hashes(rows))) == 3**6


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "float16", "float32", ">f8"])
def test_dtype_does_not_matter(dtype):
    assert np.array_equal(row_hashes(X.astype(dtype)), row_hashes(X))


def test_bool_is_zero_and_one():
    assert np.array_equal(row_hashes(X > 2), row_hashes((X > 2).astype(float)))


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "read-only", "memmap"])
def test_memory_layout_does_not_matter(layout, tmp_path):
    other = {
        "fortran": lambda: np.asfortranarray(X),
        "strided": lambda: np.repeat(X, 2, axis=1)[:, ::2],
        "reversed": lambda: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
        "read-only": lambda: np.frombuffer(X.tobytes()).reshape(X.shape),
        "memmap": lambda: np.memmap(tmp_path / "X", float, "w+", shape=X.shape),
    }[layout]()
    if layout == "memmap":
        other[:] = X
    assert_same(table_and_weight(other, WEIGHT), table_and_weight(X, WEIGHT))


@pytest.mark.parametrize("values", [(0, 1), (-1, 1), (0.0, 1e-300), (1.0, 1 + 2**-52)])
def test_rows_of_few_values_are_distinct(values):
    rows = np.array(list(product(values, repeat=13)))
    assert len(np.unique(row_hashes(rows))) == 2**13


def test_rows_that_differ_in_one_cell_of_many_are_distinct():
    rows = np.eye(784)
    assert len(np.unique(row_hashes(np.vstack([rows, -rows, np.zeros(784)])))) == 2 * 784 + 1


def test_rows_with_swapped_columns_are_distinct():
    assert len(np.unique(row_hashes(np.array([[0.0, 1.0], [1.0, 0.0]])))) == 2


def test_chunks_do_not_show(monkeypatch):
    expected = row_hashes(X)
    for n_rows in (1, 7, 59, 60, 61):
        monkeypatch.setattr(_distinct, "HASHED_CELLS", n_rows * X.shape[1])
        assert np.array_equal(row_hashes(X), expected)


def test_marked_rows_stay_marked_when_rows_are_added():
    hashes = RNG.integers(0, 2**64, size=2000, dtype=np.uint64)
    few, many = smallest(hashes[:1000], 100, seed=7), smallest(hashes, 200, seed=7)
    assert (few.sum(), many.sum()) == (100, 200)
    assert (few & many[:1000]).sum() > 60  # by chance 10
    other = smallest(hashes, 200, seed=8)
    assert (other & many).sum() < 60  # by chance 20
