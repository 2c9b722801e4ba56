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


def run_lengths(starts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Lengths of the runs that begin at ``starts`` in an array of ``size`` values."""
    return np.diff(np.append(starts, size))
