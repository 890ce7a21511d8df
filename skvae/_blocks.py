"""Large data in blocks, and how large the blocks are."""

from __future__ import annotations

from collections.abc import Iterator

# Tables, in cells. What is hashed, checked, converted or summed together fits in a processor's
# cache; columns are fitted in blocks of which each takes a pass over the table.
HASHED_CELLS, CHECKED_CELLS, BLOCK_CELLS, PIECE_CELLS = 2**16, 2**17, 2**18, 2**18
COLUMN_CELLS = 2**24
# Of the rows by which likelihoods are chosen, in very wide tables.
SAMPLE_CELLS = 2**26
# Rows whose working units take more bytes than this are converted in parts, in each epoch, and
# so many neighbouring rows are read together.
LARGEST_COPY, BLOCK_ROWS = 2**30, 4096
# Draws times rows whose bound is computed together during training.
CHUNK_ROWS = 4096
# Elements of the largest tensor of a chunk in inference, and of a layer: by measurement, the
# fastest.
CHUNK_ELEMENTS, CACHED_ELEMENTS = 2**20, 2**17
# Codes of a row that are decoded together: few, which leaves room for more rows that search for
# their modes together.
DRAWS_AT_ONCE = 64
# Cells of rows that `score_cells` scores together, each row without one of its cells.
LEFT_OUT_AT_ONCE = 2**20


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` items, but at least one, that cover ``n``."""
    size = max(1, size)
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
