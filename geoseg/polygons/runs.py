"""Runs of equal values in sorted arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_starts(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Indices at which a run of equal values begins; none for no values."""
    first = np.ones(values.size, bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return np.flatnonzero(first)


def pair_starts(major: NDArray[np.int64], minor: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices at which a run of equal pairs begins, for arrays that are sorted as pairs."""
    return np.union1d(run_starts(major), run_starts(minor))


def by_block(places: NDArray[np.int64]) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Indices of entries per block.

    Args:
        places: Block row and block column of each entry, in its first two rows.
    """
    order = np.lexsort((places[1], places[0]))
    rows, cols = places[0, order], places[1, order]
    starts = pair_starts(rows, cols)
    if not starts.size:
        return {}
    blocks = zip(rows[starts].tolist(), cols[starts].tolist(), strict=True)
    return dict(zip(blocks, np.split(order, starts[1:]), strict=True))


def run_lengths(starts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Lengths of the runs that begin at ``starts`` in an array of ``size`` values."""
    return np.diff(np.append(starts, size))
