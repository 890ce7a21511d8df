"""Minibatches of rows in memory and of rows that stay where they are stored."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skvae._model.cells import Cells
from skvae._training import rows as _rows
from skvae._training.rows import Rows, StoredRows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=40)
SIZE_RANGE = 1, 20
SIZES, SEEDS = st.integers(*SIZE_RANGE), st.integers(0, 2**32)
on_many = settings(derandomize=True, deadline=None, max_examples=60)


def stored(weight, buffer_rows):
    def load(rows):
        assert (np.diff(rows) > 0).all()
        assert len(rows) <= max(buffer_rows, _rows.BLOCK_ROWS + max(SIZE_RANGE))
        return Cells(torch.from_numpy(rows)[:, None].float(), None)

    return StoredRows(weight, 0.0, load, buffer_rows)


KINDS = {
    "in memory": lambda weight: Rows(
        weight, 0.0, Cells(torch.arange(len(weight))[:, None].float(), None)
    ),
    "stored, one buffer": lambda weight: stored(weight, 1000),
    "stored, many buffers": lambda weight: stored(weight, 1),
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(_rows, "BLOCK_ROWS", 8)


def batches_of(kind, weight, n_steps, batch_size, stream):
    """The numbers of the rows in the minibatches of an epoch, (n_steps, batch_size)."""
    rows = kind(torch.as_tensor(weight, dtype=torch.float64))
    buffers = rows.buffers(
        n_steps, batch_size, generator(stream) if isinstance(stream, int) else stream
    )
    values = [
        buffer.cells.take(batch).values[:, 0] for buffer in buffers for batch in buffer.batches
    ]
    return torch.stack(values).long()


@kinds
@on_many
@given(WEIGHTS, SIZES, SIZES, SEEDS)
def test_batches_are_full_and_in_proportion_to_weight(kind, weight, n_steps, batch_size, seed):
    batches = batches_of(kind, weight, n_steps, batch_size, seed)
    assert batches.shape == (n_steps, batch_size)
    counts = np.bincount(batches.ravel(), minlength=len(weight))
    share = np.array(weight) / np.sum(weight)
    assert len(counts) == len(weight)
    assert (np.abs(counts - n_steps * batch_size * share) < 1 + 1e-9).all()


@kinds
@on_many
@given(st.floats(0.01, 100), SIZES, SIZES, st.integers(1, 3), SEEDS)
def test_equal_weights_give_each_row_its_turn(kind, weight, n_steps, batch_size, passes, seed):
    n_rows = n_steps * batch_size
    batches = batches_of(kind, [weight] * n_rows, passes * n_steps, batch_size, seed)
    assert np.bincount(batches.ravel()).tolist() == [passes] * n_rows


@kinds
@on_many
@given(WEIGHTS, SIZES, SIZES, SEEDS, st.integers(-30, 30))
def test_weights_are_relative(kind, weight, n_steps, batch_size, seed, power):
    scaled = [2.0**power * w for w in weight]
    assert torch.equal(
        batches_of(kind, weight, n_steps, batch_size, seed),
        batches_of(kind, scaled, n_steps, batch_size, seed),
    )


@kinds
def test_rows_are_drawn_in_proportion_to_their_weights_in_every_batch(kind):
    weight = np.array([0.2, 1.0, 0.5, 3.0, 0.3])
    counts = np.zeros((2, 5))
    for seed in range(4000):
        for step, batch in enumerate(batches_of(kind, weight, 2, 3, seed)):
            counts[step] += np.bincount(batch, minlength=5)
    np.testing.assert_allclose(counts / 4000, 3 * np.tile(weight / 5, (2, 1)), atol=0.05)


@kinds
def test_epochs_differ_and_seeds_repeat(kind):
    stream, weight = generator(), np.ones(50)
    first, second = (batches_of(kind, weight, 10, 5, stream) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, batches_of(kind, weight, 10, 5, 0))


def test_buffers_of_stored_rows_consist_of_blocks_of_neighbours():
    rows = stored(torch.ones(800, dtype=torch.float64), buffer_rows=32)
    buffers = list(rows.buffers(200, 4, generator()))
    assert len(buffers) == 25
    firsts = []
    for buffer in buffers:
        held = buffer.cells.values[:, 0].long()
        assert len(held) == 32
        starts = held.view(4, 8)[:, 0]
        assert torch.equal(held, (starts[:, None] + torch.arange(8)).ravel())
        firsts.append(int(starts[0]))
    assert firsts != sorted(firsts)


@kinds
def test_rows_are_taken_in_the_requested_order(kind):
    rows = kind(torch.ones(9, dtype=torch.float64))
    asked = torch.tensor([7, 2, 2, 0])
    assert torch.equal(rows.take(asked).values[:, 0].long(), asked)
