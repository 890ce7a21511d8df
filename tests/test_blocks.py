"""Slices that cover all."""

import pytest

from skvae._blocks import chunks


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (3, 3), (7, 3), (7, 100), (3, 0)])
def test_chunks_cover_the_rows(n, size):
    slices = list(chunks(n, size))
    assert [i for rows in slices for i in range(n)[rows]] == list(range(n))
    assert all(0 < rows.stop - rows.start <= max(1, size) for rows in slices)
