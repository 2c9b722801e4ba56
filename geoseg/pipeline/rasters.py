"""Classes, confidence and areas of the finished map, gathered while its blocks are read for the polygons."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.grid import Window
from geoseg.machine import usable_cores
from geoseg.mosaic import Blocks, Counts
from geoseg.outputs.areas import AreaTable
from geoseg.outputs.legend import colour_table, name_table
from geoseg.outputs.raster import CogWriter, WrittenRaster
from geoseg.pipeline.prepared import Prepared
from geoseg.plan import Region
from geoseg.polygons import ClassSource, OverSource

# GDAL needs a few rows of blocks and gains nothing from more.
COG_CACHE_BYTES = 64 * 2**20

UInt8 = NDArray[np.uint8]


@dataclass
class Rasters(OverSource):
    """A map that is written while it is read. Use it as a context manager, and `close` it when every block was read.

    Implements ``geoseg.polygons.ClassSource``; blocks may be read in any order, by any thread, and more than once.

    Attributes:
        prepared: The job.
        mosaic: The map as it was computed.
        source: The map as it is written.
        out: Folder of the files.
        counts: Pixels by reason.
        areas: Areas of the classes.
    """

    prepared: Prepared
    mosaic: Blocks
    source: ClassSource
    out: Path
    counts: Counts = field(default_factory=Counts)
    areas: AreaTable = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(self.prepared.region.features)
        self._features = names if len(names) > 1 else ()  # an AOI with several deserves rows of their own
        self.areas = AreaTable(self.prepared.geobox, self.prepared.classes, self._features)
        self._counting, self._seen = Lock(), set[tuple[int, int]]()
        self._files = ExitStack()

    def __enter__(self) -> Self:
        table, geobox = self.prepared.classes, self.prepared.geobox
        self._classes = self._files.enter_context(
            CogWriter(
                self.out / "classes.tif",
                geobox,
                colours=colour_table(table),
                names=name_table(table),
                overview_resampling="mode",
                description="class",
                memory_bytes=COG_CACHE_BYTES,
                threads=usable_cores(),
            )
        )
        try:
            self._confidence = self._files.enter_context(
                CogWriter(
                    self.out / "confidence.tif",
                    geobox,
                    overview_resampling="average",
                    description="confidence of the class in percent",
                    memory_bytes=COG_CACHE_BYTES,
                    threads=usable_cores(),
                )
            )
        except BaseException:
            self._files.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def read(self, block_row: int, block_col: int) -> tuple[UInt8, UInt8]:
        """Classes and confidence of a block, which is written when it is read for the first time."""
        classes, confidence = self.source.read(block_row, block_col)
        with self._counting:
            is_new = (block_row, block_col) not in self._seen
            self._seen.add((block_row, block_col))
        if is_new:
            rows, cols = self.mosaic.slices(block_row, block_col)
            self._classes.add(rows, cols, classes)
            self._confidence.add(rows, cols, confidence)
            with self._counting:
                self.mosaic.count(self.counts, block_row, block_col)
                self.areas.add(rows, cols, classes)
                if self._features:
                    window = self.mosaic.window(block_row, block_col)
                    _count_features(self.prepared.region, window, rows, cols, classes, self.areas)
        return classes, confidence

    def close(self, at_once: int = 1) -> WrittenRaster:
        """Finishes both files, one after the other or at once; what is known of the classes."""
        with ThreadPoolExecutor(at_once, "close") as pool:
            classes, confidence = (pool.submit(file.close) for file in (self._classes, self._confidence))
            confidence.result()
            return classes.result()


def _count_features(
    region: Region, window: Window, rows: slice, cols: slice, classes: NDArray[np.uint8], areas: AreaTable
) -> None:
    """Add a block to the areas of the features that it touches: low ones together, others one after the other."""
    touching = region.touching(window)
    low = {name: part for name, part in touching if part.shape[0] <= areas.strip_rows}
    for names, labels in region.labels(window, list(low)):
        found, counts = _counts_of(labels, classes)
        places = [_slices(low[names[number]], window, rows, cols) for number in found]
        areas.add_features([names[number] for number in found], places, counts)
    for name, part in touching:
        if name in low:
            continue
        inside = region.mask(part, name)
        top, left = part.row0 - window.row0, part.col0 - window.col0
        for start in range(0, inside.shape[0], areas.strip_rows):
            strip = inside[start : start + areas.strip_rows]
            if strip.any():
                at = slice(top + start, top + start + len(strip)), slice(left, left + strip.shape[1])
                place = (
                    slice(rows.start + at[0].start, rows.start + at[0].stop),
                    slice(cols.start + at[1].start, cols.start + at[1].stop),
                )
                areas.add_counts(*place, {name: np.bincount(classes[at][strip], minlength=256)})


def _counts_of(labels: NDArray[np.int32], classes: NDArray[np.uint8]) -> tuple[list[int], NDArray[np.int64]]:
    """Which labels there are, less one, and how many pixels of each value they have, (label, 256)."""
    at = labels > 0
    pairs, pixels = np.unique((labels[at].astype(np.int64) - 1) * 256 + classes[at], return_counts=True)
    found, place = np.unique(pairs // 256, return_inverse=True)
    counts = np.zeros((len(found), 256), dtype=np.int64)
    counts[place, pairs % 256] = pixels
    return found.tolist(), counts


def _slices(part: Window, window: Window, rows: slice, cols: slice) -> tuple[slice, slice]:
    """A part of a block's window as rows and columns of the map."""
    top, left = rows.start + part.row0 - window.row0, cols.start + part.col0 - window.col0
    return slice(top, top + part.shape[0]), slice(left, left + part.shape[1])
