"""Split large data into blocks, and define the sizes of the blocks."""

from __future__ import annotations

from collections.abc import Iterator

# Tables, in cells. Cells that are hashed, checked, converted or summed together fit in the cache of
# a processor. Columns are fitted in blocks, and each block takes a pass over the table.
HASHED_CELLS, CHECKED_CELLS, BLOCK_CELLS, PIECE_CELLS = 2**16, 2**17, 2**18, 2**18
COLUMN_CELLS = 2**24
# The largest sample of rows for PCA and for the noise around locations.
START_ROWS, START_CELLS = 2**13, 2**24
# The largest number of rows held out for validation.
MOST_HELD_OUT = 2**16
# Cells of the sample from which likelihoods are chosen, in very wide tables.
SAMPLE_CELLS = 2**26
# Rows whose working units take more bytes than LARGEST_COPY are converted in parts, in each epoch.
# BLOCK_ROWS neighbouring rows are read together.
LARGEST_COPY, BLOCK_ROWS = 2**30, 4096
# Draws times rows for which the bound is computed together during training.
CHUNK_ROWS = 4096
# Bytes of the largest tensor of a chunk in inference, and elements of a layer. The fastest as
# measured.
CHUNK_BYTES, CACHED_ELEMENTS = 2**24, 2**17
# Elements of the masses of levels that are computed together.
STATISTICS_ELEMENTS = 2**23
# Elements of the largest tensor when codes are decoded, and the fewest codes of a row at a time.
DECODED_ELEMENTS, FEWEST_AT_ONCE = 2**19, 4
# Draws of a row that are computed together.
DRAWS_AT_ONCE = 64
# Cells of the rows that `score_cells` scores together.
LEFT_OUT_AT_ONCE = 2**20


def codes_at_once(n_rows: int, width: int) -> int:
    """The number of codes of each row to decode together, if a code takes ``width`` elements."""
    return max(FEWEST_AT_ONCE, DECODED_ELEMENTS // max(1, n_rows * width))


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` items, but at least one, that cover ``n``."""
    size = max(1, size)
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
