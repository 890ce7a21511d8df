"""How parameters become a plan."""

import pytest

from skvae._training.plan import auto_batch_size


@pytest.mark.parametrize(
    ("n_rows", "batch_size"),
    [(1, 64), (1000, 64), (8191, 64), (8192, 128), (30_000, 256), (10**7, 512)],
)
def test_batches_grow_with_the_table(n_rows, batch_size):
    assert auto_batch_size(n_rows) == batch_size
