"""Masked cells are missing values."""

import numpy as np
import pytest

from skvae._table.masked import fill_masked

MASK = [[True, False], [False, False]]


@pytest.mark.parametrize(
    ("dtype", "filled"),
    [
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.int8, np.float64),
        (bool, np.float64),
        (str, object),
        (object, object),
    ],
)
def test_masked_cells_become_nan(dtype, filled):
    cells = np.array([[1, 2], [3, 4]]).astype(dtype)
    found = fill_masked(np.ma.array(cells, mask=MASK))
    assert found.dtype == filled
    assert not np.ma.isMaskedArray(found)
    assert np.isnan(found[0, 0])
    np.testing.assert_array_equal(found[1], cells[1].astype(filled))


def test_a_list_of_masked_rows_keeps_its_masks():
    rows = list(np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=MASK))
    np.testing.assert_array_equal(fill_masked(rows), [[np.nan, 2.0], [3.0, 4.0]])


def test_what_is_not_masked_is_not_copied():
    X = np.ones((2, 2))
    assert fill_masked(X) is X
    assert np.shares_memory(fill_masked(np.ma.array(X)), X)
    assert fill_masked(rows := [[1.0, 2.0]]) is rows
