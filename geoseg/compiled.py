"""Loops over millions of pixels and vertices as machine code, which works without the interpreter's lock.

Types are said at once, so that each function is compiled once per machine; the code is kept beside the module, or in the
user's cache folder where that cannot be written. A module with compiled functions takes half a second to import, so rooms
that begin with a request import it late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numba import njit
from numpy.typing import NDArray


def compiled[Function: Callable[..., object]](types: str) -> Callable[[Function], Function]:
    """A decorator: the function, compiled for arguments of some types.

    Args:
        types: In numba's words, ``result(argument, …)``.
    """
    return cast(Callable[[Function], Function], njit(types, nogil=True, cache=True))


@compiled("int64[:, ::1](uint8[:, :], int64)")
def count_values(block: NDArray[np.uint8], strip_rows: int) -> NDArray[np.int64]:
    """Pixels per value (256 of them), for each strip of so many rows of a block."""
    height, width = block.shape
    counts = np.zeros(((height + strip_rows - 1) // strip_rows, 256), np.int64)
    others = np.zeros(256, np.int64)  # a value that follows itself must not wait for its own count
    for strip in range(len(counts)):
        for row in range(strip * strip_rows, min((strip + 1) * strip_rows, height)):
            for col in range(0, width - 1, 2):
                counts[strip, block[row, col]] += 1
                others[block[row, col + 1]] += 1
            if width % 2:
                others[block[row, width - 1]] += 1
        for value in range(256):
            counts[strip, value] += others[value]
            others[value] = 0
    return counts
