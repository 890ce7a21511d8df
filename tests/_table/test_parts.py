"""A table in parts reads as the array that they make, and fits like it."""

import pickle
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from skvae import Parts, VAETransformer, _data
from skvae._training import rows as _rows

RNG = np.random.default_rng(0)
PIECES = [RNG.normal(size=(n, 5)).round(1) for n in (7, 1, 30)]
WHOLE = np.concatenate(PIECES)
KINDS = {
    "arrays": PIECES,
    "sparse": [csr_array(piece) for piece in PIECES],
    "mixed": (PIECES[0], csr_array(PIECES[1]), PIECES[2].tolist()),
}


class Loaded:
    """Parts that are loaded when they are asked for."""

    def __init__(self, arrays):
        self.arrays, self.n_open = arrays, 0

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, place):
        self.n_open += 1
        return self.arrays[place].copy()


@pytest.mark.parametrize("parts", [*KINDS.values(), Loaded(PIECES)], ids=[*KINDS, "loaded"])
@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(5, 20),
        np.array([37, 0, 8, 7, 7]),
        np.array([], dtype=int),
        [],
        [True, False] * 19,
        np.zeros(38, dtype=bool),
        -1,
        np.int64(7),
        [-1, 3, -38],
        np.array([[0, -1], [8, 7]], dtype=np.int8),
        slice(-3, None),
        slice(None, None, -5),
        (slice(None), [3, 1]),
        (slice(None), -2),
        (slice(None), slice(1, 3)),
        (slice(None), [-1, 0]),
        (slice(None), [True, False, True, False, True]),
    ],
    ids=repr,
)
def test_indexing_is_that_of_the_array(parts, key):
    np.testing.assert_array_equal(Parts(parts)[key], WHOLE[key])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (38, "index 38 is out of bounds"),
        ([0, -39], "index -39 is out of bounds"),
        ([True, False], "boolean index did not match"),
        ([0.0], "only integers"),
        ("a", "only integers"),
        ((slice(None), 5), "index 5 is out of bounds"),
        ((slice(None), [5]), "index 5 is out of bounds"),
        ((slice(3), [1]), r"Columns are read of all rows, .* table\[rows\]\[:, places\]"),
        (([0, 1], [1, 2]), "Columns are read of all rows"),
    ],
    ids=str,
)
def test_a_key_that_numpy_refuses_is_refused(key, message):
    with pytest.raises(IndexError, match=message):
        Parts(PIECES)[key]


def test_threads_read_one_at_a_time():
    class OneReader(Loaded):
        readers = 0

        def __getitem__(self, place):
            self.readers += 1
            time.sleep(1e-4)
            assert self.readers == 1
            self.readers -= 1
            return super().__getitem__(place)

    table = Parts(OneReader(PIECES))
    keys = [RNG.integers(-38, 38, size=9) for _ in range(60)]
    with ThreadPoolExecutor(8) as pool:
        for key, rows in zip(keys, pool.map(table.__getitem__, keys), strict=True):
            np.testing.assert_array_equal(rows, WHOLE[key])


def test_a_table_in_parts_can_be_pickled():
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(Parts(PIECES)))[:], WHOLE)


@pytest.mark.parametrize("places", [[3, 1], [2], slice(1, 3)], ids=str)
def test_columns_are_read_with_two_parts_in_memory_at_most(places):
    class Counted(Loaded):
        alive, most = 0, 0

        def __getitem__(self, place):
            piece = super().__getitem__(place)
            weakref.finalize(piece, self.close)
            self.alive += 1
            self.most = max(self.most, self.alive)
            return piece

        def close(self):
            self.alive -= 1

    table = Parts(Counted(PIECES * 5))
    np.testing.assert_array_equal(table[:, places], np.concatenate([WHOLE] * 5)[:, places])
    assert table.parts.most <= 2


def test_shape_and_dtype():
    table = Parts([PIECES[0].astype(np.float32), np.ones((2, 5), dtype=np.int16)])
    assert table.shape == (9, 5)
    assert len(table) == 9
    assert table.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(Parts(PIECES)), WHOLE)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], r"the same number of columns; got \[\]"),
        ([PIECES[0], PIECES[1][:, :3]], r"the same number of columns; got \[3, 5\]"),
        ([PIECES[0], PIECES[1][:, 0]], r"Part 1 must be a table of numbers; got .* shape \(1,\)"),
        ([np.array([["a"]])], "Part 0 must be a table of numbers; .* dtype <U1"),
        ([PIECES[0], pd.DataFrame(PIECES[1])], "Part 1 is a data frame"),
        (iter(PIECES), "'parts' must be a sequence, .* got a list_iterator"),
    ],
)
def test_errors(parts, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Parts(parts)


@pytest.mark.parametrize("parts", KINDS.values(), ids=KINDS)
def test_a_fit_to_parts_is_that_to_the_array(parts):
    settings = {"n_components": 2, "likelihood": "gaussian", "max_iter": 3, "random_state": 0}
    one, other = (VAETransformer(**settings).fit(X) for X in (WHOLE, Parts(parts)))
    for method in ("transform", "score_samples", "impute"):
        expected = getattr(one, method)(WHOLE)
        np.testing.assert_array_equal(getattr(other, method)(Parts(parts)), expected)


def test_rows_that_stay_in_parts_train(monkeypatch):
    monkeypatch.setattr(_data, "LARGEST_COPY", 4 * 5 * 32)
    monkeypatch.setattr(_rows, "BLOCK_ROWS", 8)
    X = RNG.normal(size=(400, 1)) * np.ones(5) + 0.1 * RNG.normal(size=(400, 5))
    parts = Loaded(np.split(X, 4))
    vae = VAETransformer(1, likelihood="gaussian", batch_size=8, random_state=0).fit(Parts(parts))
    assert vae.score(X) > VAETransformer(1, max_iter=1, random_state=0).fit(X).score(X) + 0.05
    # checks and units, and the lots of each epoch
    assert parts.n_open < 4 * (10 + 50 * vae.n_iter_)


def test_a_part_is_loaded_once_for_its_neighbours():
    parts = Loaded(PIECES)
    table = Parts(parts)
    opened = parts.n_open
    for start in range(0, len(table), 5):
        np.testing.assert_array_equal(table[start : start + 5], WHOLE[start : start + 5])
    assert parts.n_open == opened + len(PIECES)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("table", [csr_array(WHOLE), Parts(PIECES)], ids=["sparse", "parts"])
def test_a_model_of_a_frame_takes_numbers_in_other_forms(table):
    frame = pd.DataFrame(WHOLE, columns=list("abcde"))
    vae = VAETransformer(2, likelihood="gaussian", max_iter=2, random_state=0)
    vae.fit(frame, X_val=table)
    np.testing.assert_array_equal(vae.transform(table), vae.transform(WHOLE))
    pd.testing.assert_frame_equal(vae.impute(table), frame)


def test_masked_cells_of_a_part_are_missing():
    table = Parts([np.ma.masked_equal([[1, 2], [3, 4]], 2), np.ones((1, 2), dtype=int)])
    np.testing.assert_array_equal(table[:], [[1, np.nan], [3, 4], [1, 1]])


def test_parts_without_rows():
    table = Parts([np.empty((0, 5)), *PIECES, np.empty((0, 5))])
    np.testing.assert_array_equal(np.asarray(table), WHOLE)


def test_bad_values_are_named():
    pieces = [PIECES[0], PIECES[2].copy()]
    pieces[1][3, 2] = np.inf
    with pytest.raises(ValueError, match="infinity: inf in column 2, row 10"):
        VAETransformer(2).fit(Parts(pieces))
    with pytest.raises(ValueError, match="Found 1 rows in X, but at least 2"):
        VAETransformer(2).fit(Parts([PIECES[1]]))
    vae = VAETransformer(2, max_iter=1).fit(WHOLE)
    with pytest.raises(ValueError, match="X has 3 features"):
        vae.transform(Parts([WHOLE[:, :3]]))
