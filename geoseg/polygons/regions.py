"""What this room hands out: regions of the mosaic as aligned arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.polygons.rings import Polygons


@dataclass(frozen=True, slots=True, eq=False)
class RegionBatch:
    """Some 4-connected regions of one class each, as arrays of one length, sorted by ``first_pixel``.

    Attributes:
        polygons: In mosaic pixels (x = column, y = row), with integer corners unless simplified; valid, normalised,
            without collinear vertices.
        class_index: Class of the region, uint8.
        pixels: Number of pixels, int64. Simplification does not change it.
        confidence_mean: Exact mean of the stored integers, percent, float64.
        confidence_p10: Lowest stored value ``v`` such that at least 10 % of the pixels have a value of ``v`` or less, uint8.
        first_pixel: ``row * cols + col`` of the first pixel in reading order, int64. It names the region, whatever
            the blocks.
        split: True for a piece of a region with too many vertices, cut at the block borders. All other columns
            then describe the piece.
    """

    polygons: Polygons
    class_index: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    confidence_mean: NDArray[np.float64]
    confidence_p10: NDArray[np.uint8]
    first_pixel: NDArray[np.int64]
    split: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if len({len(column) for column in _columns(self)}) != 1:
            raise ValueError("the columns of a batch must have one length")

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def geometry(self) -> NDArray[np.object_]:
        """The polygons as shapely has them, made anew by each call."""
        return self.polygons.geometry()

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> RegionBatch:
        """The regions at an integer or boolean index."""
        index = np.arange(len(self))[index]
        return RegionBatch(self.polygons.take(index), *(column[index] for column in _columns(self)[1:]))

    def parts(self, vertices: int) -> Iterator[RegionBatch]:
        """The same regions, in order, in parts of at most so many vertices, or of one region that has more."""
        ends = self.polygons.ring_offsets[self.polygons.polygon_offsets[1:]]
        start = 0
        while start < len(self):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + vertices, side="right")))
            whole = start == 0 and stop == len(self)
            yield self if whole else self.take(np.arange(start, stop))
            start = stop

    @classmethod
    def chained(cls, batches: Sequence[RegionBatch]) -> RegionBatch:
        """All regions of several batches (at least one), one batch after the other."""
        if len(batches) == 1:
            return batches[0]
        polygons = Polygons.concatenate([batch.polygons for batch in batches])
        columns = zip(*(_columns(batch)[1:] for batch in batches), strict=True)
        return cls(polygons, *map(np.concatenate, columns))

    @classmethod
    def concatenate(cls, batches: Sequence[RegionBatch]) -> RegionBatch:
        """All regions of several batches (at least one), sorted by ``first_pixel``."""
        joined = cls.chained(batches)
        return joined.take(np.argsort(joined.first_pixel, kind="stable"))


def _columns(batch: RegionBatch) -> list[Any]:  # arrays of different types, which a starred call cannot tell apart
    return [getattr(batch, field.name) for field in fields(batch)]
