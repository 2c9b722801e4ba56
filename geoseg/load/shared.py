"""One read for all bands of a file that keeps them together.

In a pixel-interleaved file every block holds all bands. odc-stac asks band by band, each time with a handle of its own,
so that every block would be decoded once for each band.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.roi import roi_shape
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from geoseg.load.complaints import complaints_raised
from geoseg.load.kept import KeptBlocks, Roi
from geoseg.scenes import BandSource

# Raw pixels, which of them could not be read (None where all could), and why.
WindowRead = tuple[NDArray[Any], NDArray[np.bool_] | None, str]
_DRIVERS_OF_BLOCKS = {"GTiff", "COG", "JP2OpenJPEG"}


@dataclass(slots=True)
class _Entry:
    """A window of a file while some of its bands are still to be fetched."""

    left: set[int]
    lock: threading.Lock = field(default_factory=threading.Lock)
    read: WindowRead | None = None
    is_tried: bool = False


class SharedReads:
    """Raw windows of files, read once for all wanted bands where a file keeps its bands together.

    Args:
        sources: Everything that the load will read. What one band's read brings along is kept until the other bands
            have taken it.
        kept: Blocks that other tiles have decoded.
    """

    def __init__(self, sources: Iterable[BandSource], kept: KeptBlocks | None = None) -> None:
        self._kept = kept or KeptBlocks()
        wanted: dict[str, set[int]] = {}
        for source in sources:
            wanted.setdefault(source.href, set())
            if source.index:  # 0 is the mask, which lies apart
                wanted[source.href].add(source.index)
        self._wanted = {href: tuple(sorted(indexes)) for href, indexes in wanted.items()}
        self._entries: dict[tuple[str, int, int, int, int, int], _Entry] = {}
        self._lock = threading.Lock()

    def window(self, file: rasterio.DatasetReader, source: BandSource, roi: Roi, shrink: int = 1) -> WindowRead:
        """Raw pixels of a band in a window of its file.

        Args:
            file: The open file.
            source: The band.
            roi: Rows and columns.
            shrink: For previews: one pixel for so many in each direction.
        """
        bands = self._wanted[source.href]
        if source.index == 0 or len(bands) == 1 or not _keeps_bands_together(file, bands):
            return self._read_alone(file, source, roi, shrink)
        rows, cols = roi
        key = (source.href, rows.start, rows.stop, cols.start, cols.stop, shrink)
        with self._lock:
            entry = self._entries.setdefault(key, _Entry(set(bands)))
        with entry.lock:
            is_first = not entry.is_tried
            if is_first:
                entry.is_tried = True
                entry.read = self._read_all(file, source.href, bands, roi, shrink)
            read = entry.read
            entry.left.discard(source.index)
            if not entry.left:
                with self._lock:
                    self._entries.pop(key, None)
        if read is not None:
            return read[0][bands.index(source.index)], *read[1:]
        if is_first and not _fails_by_blocks(file):
            return _nothing_of(file, source.index, roi, _words_of_all(file))
        return self._read_alone(file, source, roi, shrink)

    def _read_all(
        self, file: rasterio.DatasetReader, href: str, bands: tuple[int, ...], roi: Roi, shrink: int
    ) -> WindowRead | None:
        """All bands of a window; ``None`` where something fails, which each band then finds out for itself."""
        try:
            if shrink > 1:
                return _read_small(file, bands, roi, shrink)
            if _has_jpeg_blocks(file):
                return _read_blocks(file, bands, roi)
            return self._read_plainly(file, href, bands, roi), None, ""
        except RasterioError:
            return None

    def _read_alone(self, file: rasterio.DatasetReader, source: BandSource, roi: Roi, shrink: int) -> WindowRead:
        if shrink > 1:
            pixels, failed, cause = _read_small(file, (source.index,), roi, shrink)
            return pixels[0], failed, cause
        if source.index and not _has_jpeg_blocks(file):
            with suppress(RasterioError):  # what fails is found below
                return self._read_plainly(file, source.href, (source.index,), roi)[0], None, ""
        return read_window(file, source.index, roi)

    def _read_plainly(self, file: rasterio.DatasetReader, href: str, bands: tuple[int, ...], roi: Roi) -> NDArray[Any]:
        """Pixels (band, y, x) of a window, with what is known of it already.

        Raises:
            RasterioError: If something cannot be read, or decoded.
        """
        found = None
        if _fails_by_blocks(file):
            found = self._kept.window(file, href, bands, roi, partial(_raw, file, bands))
        return _raw(file, bands, RasterWindow.from_slices(*roi)) if found is None else found


def _fails_by_blocks(file: rasterio.DatasetReader) -> bool:
    """Whether a handle still gives the right pixels of other blocks once a read has failed.

    A file of a VRT that cannot be opened fails the first read that needs it, and is zeros in all later ones. So are the
    lines of a JPEG or PNG after the one that does not decode (GDAL 3.12).
    """
    return file.driver in _DRIVERS_OF_BLOCKS


def _words_of_all(file: rasterio.DatasetReader) -> str:
    if file.driver == "VRT":
        return "a file that this virtual raster is made of cannot be read"
    return f"what a {file.driver} file holds after a part that cannot be read is not known"


def _nothing_of(file: rasterio.DatasetReader, index: int, roi: Roi, cause: str) -> WindowRead:
    shape = roi_shape(roi)
    return np.zeros(shape, dtype=_dtype(file, index)), np.ones(shape, dtype=bool), cause


def _keeps_bands_together(file: rasterio.DatasetReader, bands: tuple[int, ...]) -> bool:
    same_type = len({file.dtypes[index - 1] for index in bands}) == 1
    return same_type and file.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") != "BAND"


def _has_jpeg_blocks(file: rasterio.DatasetReader) -> bool:
    """Whether it matters that each block is decoded in a read of its own: the complaint does not say which it was."""
    return file.driver == "GTiff" and "JPEG" in file.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "")


def _read_small(file: rasterio.DatasetReader, bands: tuple[int, ...], roi: Roi, shrink: int) -> WindowRead:
    """One pixel for ``shrink`` x ``shrink``, from an overview where there is one, and which of them failed.

    GDAL goes through a shrunk window line by line, and decodes a row of blocks for every line when its cache is smaller
    than that row. Part by part, each about a block, everything is decoded once. A part that cannot be read is failed;
    of JPEG blocks also the parts around it, which GDAL may give the same block again without a complaint.

    Raises:
        RasterioError: If something cannot be read of a file whose handle is then good for nothing.
    """
    rows, cols = roi
    shape = tuple(max(1, size // shrink) for size in roi_shape(roi))
    first = max(bands[0], 1)
    step = shrink if file.overviews(first) else 1
    height, width = (max(1, side * step // shrink) for side in file.block_shapes[first - 1])
    reach = (height, width) if _has_jpeg_blocks(file) else (0, 0)
    small = np.zeros((len(bands), *shape), dtype=_dtype(file, bands[0]))
    failed = np.zeros(shape, dtype=bool)
    cause = ""
    for row in range(0, shape[0], height):
        for col in range(0, shape[1], width):
            high, wide = min(height, shape[0] - row), min(width, shape[1] - col)
            window = RasterWindow(cols.start + col * shrink, rows.start + row * shrink, wide * shrink, high * shrink)
            try:
                small[:, row : row + high, col : col + wide] = _raw(file, bands, window, (high, wide))
            except RasterioError as err:
                if not _fails_by_blocks(file):
                    raise
                top, left = max(0, row - reach[0]), max(0, col - reach[1])
                failed[top : row + high + reach[0], left : col + wide + reach[1]] = True
                cause = str(err.__cause__ or err)
    return small, failed if failed.any() else None, cause


def _raw(
    file: rasterio.DatasetReader, bands: tuple[int, ...], window: RasterWindow, shape: tuple[int, int] | None = None
) -> NDArray[Any]:
    """Pixels (band, y, x) of a window; the band 0 is the file's mask, whole or beside it (255 = valid).

    Raises:
        RasterioError: If something cannot be read, or decoded.
    """
    out_shape = None if shape is None else (len(bands), *shape)
    with complaints_raised():
        if bands == (0,):
            mask: NDArray[Any] = file.read_masks([1], window=window, out_shape=out_shape)
            return mask
        pixels: NDArray[Any] = file.read(list(bands), window=window, out_shape=out_shape)
        return pixels


def _dtype(file: rasterio.DatasetReader, index: int) -> str:
    return file.dtypes[index - 1] if index else "uint8"


def read_window(file: rasterio.DatasetReader, index: int, roi: Roi) -> WindowRead:
    """A band's raw pixels in a window. What fails is found block by block; failed pixels hold zero."""
    cause = ""
    if not _has_jpeg_blocks(file):
        try:
            return _raw(file, (index,), RasterWindow.from_slices(*roi))[0], None, ""
        except RasterioError as err:
            cause = str(err)
            if not _fails_by_blocks(file):
                return _nothing_of(file, index, roi, str(err.__cause__ or err))
    pixels, failed, of_block = _read_blocks(file, (index,), roi)
    return pixels[0], failed, of_block or cause


def _read_blocks(file: rasterio.DatasetReader, bands: tuple[int, ...], roi: Roi) -> WindowRead:
    """Bands (band, y, x) of a window, block by block, and which of its pixels (y, x) some band could not be read of."""
    pixels = np.zeros((len(bands), *roi_shape(roi)), dtype=_dtype(file, bands[0]))
    failed = np.zeros(pixels.shape[1:], dtype=bool)
    cause = ""
    for block, part in _blocks_within(file, bands[0], roi):
        try:
            pixels[:, *part] = _raw(file, bands, block)
        except RasterioError as err:
            failed[part] = True
            cause = str(err.__cause__ or err)
    return pixels, failed if failed.any() else None, cause


def _blocks_within(file: rasterio.DatasetReader, index: int, roi: Roi) -> Iterator[tuple[RasterWindow, Roi]]:
    """Parts of the file's blocks that lie in a window, as file window and as slices of the window's array."""
    rows, cols = roi
    height, width = file.block_shapes[max(index, 1) - 1]
    for row in range(rows.start // height * height, rows.stop, height):
        for col in range(cols.start // width * width, cols.stop, width):
            r0, r1 = max(row, rows.start), min(row + height, rows.stop)
            c0, c1 = max(col, cols.start), min(col + width, cols.stop)
            part = (slice(r0 - rows.start, r1 - rows.start), slice(c0 - cols.start, c1 - cols.start))
            yield RasterWindow(c0, r0, c1 - c0, r1 - r0), part
