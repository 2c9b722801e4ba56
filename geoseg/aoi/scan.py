"""A look at the bytes of a JSON document before it is parsed.

A parser pays for what a document says: a few bytes per bracket become a hundred in memory, nesting becomes recursion, and
a number of ten million digits is multiplied out. Counting brackets costs a pass over the bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InvalidAOIError

MAX_BYTES = 64 * 2**20
MAX_VERTICES = 1_000_000
_MAX_NESTING = 64  # a FeatureCollection of multi-polygons has eight
_MAX_DIGITS = 400  # the longest number that json writes has 330
_MAX_COMMAS = 4 * MAX_VERTICES  # three numbers and the next position
_CHUNK = 2**20


def refuse_size(size: int, where: str) -> None:
    """Refuse a document by its length in bytes.

    Raises:
        InvalidAOIError: If it is too long to be read.
    """
    if size > MAX_BYTES:
        raise InvalidAOIError(f"{where} of {size / 1e6:,.0f} MB", f"at most {MAX_BYTES / 1e6:.0f} MB", _SIMPLER)


def refuse_bomb(data: bytes, where: str) -> None:
    """Refuse JSON that would cost far more to parse than a region may.

    Args:
        data: The document; need not be valid.
        where: How messages call it.

    Raises:
        InvalidAOIError: If it is too long, nested too deep, or has too many vertices or digits.
    """
    refuse_size(len(data), where)
    counted = _Counted()
    # Behind a backslash, a quote is a letter like others.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data
    for start in range(0, len(bare), _CHUNK):
        counted.add(np.frombuffer(bare, dtype="uint8", count=min(_CHUNK, len(bare) - start), offset=start))
        problem = counted.problem
        if problem is not None:
            raise InvalidAOIError(f"{where} with {problem[0]}", problem[1], _SIMPLER)


_SIMPLER = "simplify the outline, in QGIS with 'Simplify', or give its box as --aoi WEST,SOUTH,EAST,NORTH"


class _Counted:
    """What was seen of a document, outside its strings."""

    def __init__(self) -> None:
        self.depth = self.deepest = self.brackets = self.commas = 0
        self.digits = self.most_digits = 0  # of the number that the last chunk ended in, and of the longest
        self.quoted = False

    def add(self, chunk: NDArray[np.uint8]) -> None:
        inside = np.logical_xor.accumulate(chunk == ord('"')) ^ self.quoted
        self.quoted = bool(inside[-1])
        opened = ((chunk == ord("[")) | (chunk == ord("{"))) & ~inside
        closed = ((chunk == ord("]")) | (chunk == ord("}"))) & ~inside
        depth = self.depth + np.cumsum(opened.astype("int8") - closed.astype("int8"), dtype="int32")
        self.deepest, self.depth = max(self.deepest, int(depth.max())), int(depth[-1])
        self.brackets += int(opened.sum())
        self.commas += int(((chunk == ord(",")) & ~inside).sum())
        self._count_digits((chunk >= ord("0")) & (chunk <= ord("9")) & ~inside)

    def _count_digits(self, digit: NDArray[np.bool_]) -> None:
        others = np.flatnonzero(~digit)
        if not others.size:
            self.digits += digit.size
            self.most_digits = max(self.most_digits, self.digits)
            return
        runs = np.diff(others, prepend=-1) - 1
        runs[0] += self.digits
        self.digits = int(digit.size - 1 - others[-1])
        self.most_digits = max(self.most_digits, int(runs.max()), self.digits)

    @property
    def problem(self) -> tuple[str, str] | None:
        """What was found and what is allowed, if it is too much."""
        if self.deepest > _MAX_NESTING:
            return f"more than {_MAX_NESTING} levels of nested brackets", f"at most {_MAX_NESTING}; GeoJSON has eight"
        # A position is a pair of brackets.
        if self.brackets > MAX_VERTICES or self.commas > _MAX_COMMAS:
            return f"more than {MAX_VERTICES:,} vertices", f"at most {MAX_VERTICES:,} vertices"
        if self.most_digits > _MAX_DIGITS:
            return f"a number of more than {_MAX_DIGITS} digits", "degrees, with some 10 digits"
        return None
