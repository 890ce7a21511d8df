"""Levels that training has not seen."""

import warnings

import numpy as np
import pytest
from mixed_table import GAPS, MIXED, NAMES, N, X, fit

from skvae._table import reading
from skvae._table import unseen as _unseen


def shown(place, x):
    return f"{x:g}"


def test_new_values_of_levels_warn_and_count_as_missing():
    columns, table = fit(likelihood=MIXED | {"member": "ordinal"}), X[:4].copy()
    table[1, 2], table[2, 2], table[3, 2] = 0.5, -1, np.nan
    message = r"Column 'member' .* has not seen, which count as missing: -1\.0, 0\.5\."
    with pytest.warns(UserWarning, match=message):
        masked = columns.foreseen(table, shown)
    assert table[2, 2] == -1  # the caller's is as it was
    assert np.argwhere(np.isnan(masked)).tolist() == [[1, 2], [2, 2], [3, 2]]
    np.testing.assert_array_equal(np.isnan(masked[[2, 0]]).sum(axis=1), [1, 0])
    with pytest.raises(ValueError, match=r"'member' holds -1\.0, which training has not seen"):
        columns.foreseen(table, shown, strict=True)


def test_a_missing_cell_is_no_new_value():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit().foreseen(GAPS, shown, strict=True) is GAPS


def test_unseen_levels_are_found_in_one_pass_and_masked_block_by_block(monkeypatch):
    class Counted:
        shape, dtype, rows_read, largest = X.shape, X.dtype, 0, 0

        def __len__(self):
            return N

        def __getitem__(self, rows):
            found = table[rows]
            self.rows_read += len(found)
            self.largest = max(self.largest, len(found))
            return found

    monkeypatch.setattr(_unseen, "BLOCK_CELLS", 7 * len(NAMES))
    monkeypatch.setattr(reading, "BLOCK_CELLS", 7 * len(NAMES))
    columns, table, counted = fit(), X.copy(), Counted()
    table[[5, 40], [3, 6]] = 99
    with pytest.warns(UserWarning, match="not seen"):
        masked = columns.foreseen(counted, shown)
    assert counted.rows_read == N
    expected = X.copy()
    expected[[5, 40], [3, 6]] = np.nan
    found, wanted = (columns.to_working(one, None, np.float64) for one in (masked, expected))
    np.testing.assert_array_equal(found, wanted)
    assert counted.largest == 7
    np.testing.assert_array_equal(masked, expected)
