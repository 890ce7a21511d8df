"""Distinct rows in a canonical order, so that training does not depend on the caller's order."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skvae._blocks import HASHED_CELLS, chunks
from skvae._floats import float_errors_ignored


def distinct_rows(
    X: NDArray[Any], weight: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.uint64]]:
    """One index for each distinct row of positive weight, the sum of its weights, and its hash.

    Rows are compared and ordered by a 64-bit BLAKE2b hash of their values. The result is therefore
    the same for any order of the rows, for weights and repetitions, and for any container or dtype
    that holds the same numbers. The probability that any two of n distinct rows share a hash is
    below n^2 / 2^65: one in 36,000 for 30 million rows.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
        Non-negative.

    Returns
    -------
    index : ndarray of shape (n_distinct,)
    weight : ndarray of shape (n_distinct,)
    hashes : ndarray of shape (n_distinct,)
        Increasing.
    """
    hashes = row_hashes(X)
    order = np.lexsort((weight, hashes))  # by weight within a hash: rounding is deterministic
    order = order[weight[order] > 0]
    _, first = np.unique(hashes[order], return_index=True)
    return order[first], np.add.reduceat(weight[order], first), hashes[order[first]]


def smallest(hashes: NDArray[np.uint64], n: int, seed: int) -> NDArray[np.bool_]:
    """Mark the ``n`` smallest hashes, in an order that depends on the seed.

    The order of two hashes does not depend on the others, so when rows are added, most marked rows
    remain marked.
    """
    # multiplication by an odd number permutes the 64-bit numbers
    rank = np.argsort(hashes * np.uint64(2 * seed + 1), kind="stable")
    marked = np.zeros(len(hashes), dtype=np.bool_)
    marked[rank[:n]] = True
    return marked


def row_hashes(X: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row's values, (n, d) -> (n,).

    Hashes the bytes in float32 if that represents the whole row exactly, which halves the time for
    a wide row, and in float64 otherwise.
    """
    hashes = np.empty(len(X), dtype=np.uint64)
    for rows in chunks(len(X), HASHED_CELLS // max(1, X.shape[1])):
        wide = np.array(X[rows], dtype=np.float64, order="C")
        missing = np.isnan(wide)
        wide[missing] = np.nan  # one bit pattern in place of the many that NaN has
        wide += 0.0  # turns -0.0 into 0.0
        with float_errors_ignored("over", "under"):
            narrow = wide.astype(np.float32)
        is_exact = ((narrow == wide) | missing).all(axis=1)
        found = hashes[rows]
        for part, those in ((narrow, is_exact), (wide, ~is_exact)):
            found[those] = _hashes_of_bytes(part[those])
    return hashes


def _hashes_of_bytes(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row's bytes. (n, d) -> (n,)."""
    data, width = rows.tobytes(), rows.shape[1] * rows.itemsize
    pieces = (data[start : start + width] for start in range(0, len(data), width))
    digests = b"".join([blake2b(piece, digest_size=8).digest() for piece in pieces])
    return np.frombuffer(digests, dtype=np.uint64)
