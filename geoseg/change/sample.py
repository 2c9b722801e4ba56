"""Which pixels the values of a job are fitted to: a fixed lattice over all that two dates have in common.

Neither the AOI nor the cut into tiles has a say in it, so that two jobs over the same scenes fit the same values
(promise 1). The sample is put together in the order of its windows, whatever order they were read in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoseg.change.alignment import Alignment, align, measure_window
from geoseg.grid import Window

SIDE_PX = 128
# What is read at once of a large overlap: opening files and decoding their blocks costs more than pixels do.
_AREA_PX, _AREAS_PER_AXIS = 256, 4
MOST_PIXELS = 2**18


def sample_areas(overlap: Window) -> tuple[Window, ...]:
    """What to read, row by row: all of a small overlap at once; of a large one four by four areas, spread evenly.

    Each axis is small up to 1,024 px. Areas of a large one are 256 px long and lie from edge to edge.

    Args:
        overlap: What the scenes of both dates cover, whole; never cut to an AOI.
    """
    rows, cols = (_areas(start, stop) for start, stop in ((overlap.row0, overlap.row1), (overlap.col0, overlap.col1)))
    return tuple(Window(row0, col0, row1, col1) for row0, row1 in rows for col0, col1 in cols)


def _areas(start: int, stop: int) -> list[tuple[int, int]]:
    length = stop - start
    if length <= _AREA_PX * _AREAS_PER_AXIS:
        return [(start, stop)] if length else []
    starts = [start + (length - _AREA_PX) * number // (_AREAS_PER_AXIS - 1) for number in range(_AREAS_PER_AXIS)]
    return [(first, first + _AREA_PX) for first in starts]


def sample_windows(area: Window) -> tuple[Window, ...]:
    """An area in equal windows of at most 128 px without gaps, row by row: what votes in alignment.

    Args:
        area: Of ``sample_areas``.
    """
    rows, cols = (_spans(start, stop) for start, stop in ((area.row0, area.row1), (area.col0, area.col1)))
    return tuple(Window(row0, col0, row1, col1) for row0, row1 in rows for col0, col1 in cols)


def _spans(start: int, stop: int) -> list[tuple[int, int]]:
    parts = math.ceil((stop - start) / SIDE_PX)
    edges = [start + (stop - start) * number // parts for number in range(parts + 1)] if parts else []
    return list(pairwise(edges))


@dataclass(frozen=True, slots=True)
class Part:
    """What two dates show of one window.

    Attributes:
        window: Where.
        before: Earlier date ``(band, row, col)``.
        after: Later date ``(band, row, col)``.
        valid: ``(row, col)``, pixels that were observed on both dates.
    """

    window: Window
    before: NDArray[np.floating]
    after: NDArray[np.floating]
    valid: NDArray[np.bool_]

    @property
    def windows(self) -> Iterator[Part]:
        """The same, cut into windows of the sample."""
        for window in sample_windows(self.window):
            rows, cols = window.within(self.window)
            yield Part(window, self.before[:, rows, cols], self.after[:, rows, cols], self.valid[rows, cols])


@dataclass(frozen=True, eq=False)
class PairSample:
    """Pixels of both dates.

    Attributes:
        before: Earlier date ``(band, n)`` float64, finite.
        after: Later date ``(band, n)`` float64, finite.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]

    @property
    def swapped(self) -> PairSample:
        """The same with the dates in the other order."""
        return PairSample(self.after, self.before)


def alignment_of(parts: Iterable[Part]) -> Alignment:
    """How the dates lie on each other, by the mean of their bands."""
    ordered = sorted(parts, key=_place)
    return align(measure_window(part.before.mean(axis=0), part.after.mean(axis=0), part.valid) for part in ordered)


def gather(parts: Iterable[Part], overlap: Window, move: Callable[[Part], Part] = lambda part: part) -> PairSample:
    """Pixels of windows as one sample of at most ``MOST_PIXELS``.

    Of larger samples every second, third, ... row and column is kept, counted from the corner of the overlap.

    Args:
        parts: In any order.
        overlap: As for ``sample_areas``.
        move: Brings the later date onto the earlier one.
    """
    ordered = sorted(parts, key=_place)
    total = sum(part.window.size_px for part in ordered)
    every = max(1, math.ceil(math.sqrt(total / MOST_PIXELS)))
    taken = [_taken(move(part), overlap, every) for part in ordered]
    before, after = zip(*taken, strict=True)
    return PairSample(np.concatenate(before, axis=1), np.concatenate(after, axis=1))


def _place(part: Part) -> tuple[int, int]:
    return part.window.row0, part.window.col0


def _taken(part: Part, overlap: Window, every: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Valid pixels of one window on the lattice."""
    rows = slice((overlap.row0 - part.window.row0) % every, None, every)
    cols = slice((overlap.col0 - part.window.col0) % every, None, every)
    before, after = (image[:, rows, cols].astype("float64") for image in (part.before, part.after))
    valid = part.valid[rows, cols] & np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    return before[:, valid], after[:, valid]


def parts_of(
    before: NDArray[np.floating], after: NDArray[np.floating], valid: NDArray[np.bool_], window: Window
) -> Iterator[Part]:
    """The windows of two whole images that are in memory.

    Args:
        before: Earlier date ``(band, row, col)``.
        after: Later date ``(band, row, col)``.
        valid: ``(row, col)``.
        window: Where they lie.
    """
    for area in sample_areas(window):
        rows, cols = area.within(window)
        yield from Part(area, before[:, rows, cols], after[:, rows, cols], valid[rows, cols]).windows
