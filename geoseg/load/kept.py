"""Blocks of files that more than one tile looks at, kept decoded until the next one comes.

A tile and its halo end somewhere within blocks of a file. Each of these blocks is decoded whole and used in part; the
neighbours of the tile want the rest, and its last rows and columns once more for their own halo. GDAL keeps blocks too, but for one handle, and a handle is opened for each read:
what fails on it must not leave anything behind for the next one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

Roi = tuple[slice, slice]
# Pixels (band, y, x) of a window of an open file.
ReadPart = Callable[[RasterWindow], NDArray[Any]]
_Key = tuple[str, tuple[int, ...], int, int]

# Lines that a file keeps one by one are read so many at once.
_LEAST_SIDE_PX = 64
# A block that would push out most others is not worth its place.
_LARGEST_SHARE = 8


class KeptBlocks:
    """Decoded blocks, those that were asked for last. Any thread may ask.

    Args:
        limit_bytes: Of all blocks together; 0 keeps none.
        reach_px: Pixels in which the windows of neighbours lie over each other.
    """

    def __init__(self, limit_bytes: int = 0, reach_px: int = 0) -> None:
        self._limit_bytes = limit_bytes
        self._reach_px = reach_px
        self._held_bytes = 0
        self._blocks: OrderedDict[_Key, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def window(self, file: rasterio.DatasetReader, href: str, bands: tuple[int, ...], roi: Roi, read: ReadPart) -> Any:
        """Pixels (band, y, x) of a window; ``None`` where nothing is gained by keeping blocks of this file.

        Args:
            file: The open file; it must be the same under this address as long as blocks are kept.
            href: Its address.
            bands: From 1.
            roi: Rows and columns.
            read: Reads a part of the file; what it raises is passed on, and nothing of that part is kept.
        """
        height, width = _unit(file, bands)
        dtype = np.dtype(file.dtypes[bands[0] - 1])
        if height * width * dtype.itemsize * len(bands) * _LARGEST_SHARE > self._limit_bytes:
            return None
        rows, cols = roi
        inner = self._inner(rows, height, file.height), self._inner(cols, width, file.width)
        pixels = np.empty((len(bands), rows.stop - rows.start, cols.stop - cols.start), dtype)
        if inner[0].start < inner[0].stop and inner[1].start < inner[1].stop:
            pixels[:, *_within(inner, roi)] = read(RasterWindow.from_slices(*inner))
        for block in _rim(roi, inner, height, width):
            whole = (
                slice(block[0].start, min(block[0].stop, file.height)),
                slice(block[1].start, min(block[1].stop, file.width)),
            )
            found = self._block((href, bands, whole[0].start, whole[1].start), whole, read)
            part = _shared(whole[0], roi[0]), _shared(whole[1], roi[1])
            pixels[:, *_within(part, roi)] = found[:, *_within(part, whole)]
        return pixels

    def _inner(self, span: slice, side: int, end: int) -> slice:
        """The blocks of a span that no neighbour wants; beyond the ends of a file there is none."""
        start = span.start and span.start + self._reach_px
        stop = span.stop if span.stop == end else max(0, span.stop - self._reach_px) // side * side
        return slice(-(-start // side) * side, stop)

    def _block(self, key: _Key, whole: Roi, read: ReadPart) -> NDArray[Any]:
        with self._lock:
            found = self._blocks.get(key)
            if found is not None:
                self._blocks.move_to_end(key)
                return found
        found = read(RasterWindow.from_slices(*whole))
        with self._lock:
            if key not in self._blocks:
                self._blocks[key] = found
                self._held_bytes += found.nbytes
            while self._held_bytes > self._limit_bytes:
                self._held_bytes -= self._blocks.popitem(last=False)[1].nbytes
        return found


def _unit(file: rasterio.DatasetReader, bands: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of what is decoded at once: a block, or several low or narrow ones."""
    height, width = file.block_shapes[bands[0] - 1]
    return height * -(-_LEAST_SIDE_PX // height), width * -(-_LEAST_SIDE_PX // width)


def _rim(roi: Roi, inner: Roi, height: int, width: int) -> Iterator[Roi]:
    """The other blocks."""
    rows, cols = roi
    for row in range(rows.start // height * height, rows.stop, height):
        is_inner_row = inner[0].start <= row < inner[0].stop
        for col in range(cols.start // width * width, cols.stop, width):
            if not (is_inner_row and inner[1].start <= col < inner[1].stop):
                yield slice(row, row + height), slice(col, col + width)


def _shared(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _within(part: Roi, whole: Roi) -> Roi:
    rows, cols = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True))
    return rows, cols
