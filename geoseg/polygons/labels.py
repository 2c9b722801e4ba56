"""What one block knows about its regions: labels and histograms of the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import cc3d
import numpy as np
from numpy.typing import NDArray

from geoseg.polygons.runs import run_lengths, run_starts
from geoseg.polygons.source import Seams, UInt8

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


def label_regions(classes: UInt8) -> tuple[Int32, int]:
    """Numbers the 4-connected regions of equal class.

    Args:
        classes: Class per pixel (h, w).

    Returns:
        Labels (h, w), 0 for no class and 1 to n for regions, always the same for the same pixels; and n.
    """
    shifted = classes + np.uint8(1)  # no class (255) wraps round to cc3d's background, 0
    labels, count = cc3d.connected_components(shifted, connectivity=4, return_N=True)
    return labels.astype(np.int32, copy=False), int(count)


def seam_labels(labels: Int32, count: int, seams: Seams) -> NDArray[np.bool_]:
    """Which labels (0 to n) touch a neighbour block; label 0 never does."""
    touches = np.zeros(count + 1, bool)
    sides = (
        (seams.top, labels[0]),
        (seams.left, labels[:, 0]),
        (seams.bottom, labels[-1]),
        (seams.right, labels[:, -1]),
    )
    for is_seam, side in sides:
        if is_seam:
            touches[side] = True
    touches[0] = False
    return touches


@dataclass(frozen=True, slots=True)
class Histogram:
    """Sparse histograms of regions: so many pixels of a region have this confidence.

    Attributes:
        region: Number of the region, non-negative.
        value: Stored confidence.
        pixels: Number of pixels.
    """

    region: Int64
    value: UInt8
    pixels: Int64

    def take(self, index: NDArray[np.bool_]) -> Self:
        """The entries at a boolean index."""
        return type(self)(self.region[index], self.value[index], self.pixels[index])

    @classmethod
    def concatenate(cls, parts: Sequence[Histogram]) -> Histogram:
        """All entries of several parts (at least one), one per region and value, sorted by both."""
        region, value, pixels = (np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls))
        key, inverse = np.unique(region << 8 | value, return_inverse=True)
        total = np.zeros(key.size, np.int64)
        np.add.at(total, inverse, pixels)
        return cls(key >> 8, (key & 255).astype(np.uint8), total)


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics per region, as arrays of one length.

    Attributes:
        region: Region numbers, ascending.
        pixels: Number of pixels.
        mean: Mean confidence.
        p10: Lowest value that at least 10 % of the pixels do not exceed.
    """

    region: Int64
    pixels: Int64
    mean: NDArray[np.float64]
    p10: UInt8


def count_confidence(labels: Int32, confidence: UInt8) -> Histogram:
    """Histograms of all labelled regions (label 0 left out), sorted by label and value."""
    key_type = np.uint32 if labels.size < 1 << 24 else np.uint64
    key: NDArray[np.unsignedinteger[Any]] = labels.ravel().astype(key_type)
    key <<= key_type(8)
    key |= confidence.ravel()
    key.sort()
    starts = run_starts(key)
    pixels = run_lengths(starts, key.size)
    key = key[starts]
    histogram = Histogram((key >> key_type(8)).astype(np.int64), (key & key_type(255)).astype(np.uint8), pixels)
    return histogram.take(histogram.region > 0)


def summarise(histogram: Histogram) -> Summary:
    """Exact statistics from histograms (at least one) that are sorted by region and value."""
    starts = run_starts(histogram.region)
    pixels = np.add.reduceat(histogram.pixels, starts)
    total = np.add.reduceat(histogram.pixels * histogram.value, starts)
    entries = run_lengths(starts, histogram.region.size)
    so_far = np.cumsum(histogram.pixels)
    so_far -= np.repeat(so_far[starts] - histogram.pixels[starts], entries)
    below = 10 * so_far < np.repeat(pixels, entries)
    p10 = histogram.value[starts + np.add.reduceat(below, starts, dtype=np.int64)]
    return Summary(histogram.region[starts], pixels, total / pixels, p10)


def class_of_label(labels: Int32, classes: UInt8, count: int) -> UInt8:
    """Class per label (0 to n); 255 for label 0."""
    result = np.full(count + 1, 255, np.uint8)
    result[labels] = classes
    return result


def first_of_label(labels: Int32, count: int) -> Int64:
    """Index of the first pixel in reading order, in the flattened block, per label (0 to n); -1 where there is none."""
    result = np.full(count + 1, -1, np.int64)
    result[labels.ravel()[::-1]] = np.arange(labels.size - 1, -1, -1)  # the last assignment to an entry counts
    return result
