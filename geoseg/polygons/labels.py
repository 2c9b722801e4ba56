"""What one block knows about its regions: labels and statistics of the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import cc3d
import numpy as np
from numpy.typing import NDArray

from geoseg.compiled import compiled
from geoseg.polygons.runs import run_lengths, run_starts
from geoseg.polygons.source import NO_CLASS, Seams, UInt8

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
    return np.ascontiguousarray(labels, dtype=np.int32), int(count)


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
        key = region << 8 | value
        order = np.argsort(key)
        key = key[order]
        starts = run_starts(key)
        total = np.add.reduceat(pixels[order], starts) if starts.size else pixels
        return cls(key[starts] >> 8, (key[starts] & 255).astype(np.uint8), total)


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics per region, as arrays of one length.

    Attributes:
        pixels: Number of pixels.
        mean: Mean confidence.
        p10: Lowest value that at least 10 % of the pixels do not exceed.
    """

    pixels: Int64
    mean: NDArray[np.float64]
    p10: UInt8

    def take(self, index: Int64) -> Self:
        """Of the regions at an index."""
        return type(self)(self.pixels[index], self.mean[index], self.p10[index])


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What is known of the labels (0 to n) of a block; entry 0 means nothing.

    Attributes:
        classes: Class; 255 for label 0.
        first: Index of the first pixel in reading order, in the flattened block.
        summary: Statistics of the pixels in this block.
        histogram: Of the labels that touch a neighbour block, sorted by label and value.
    """

    classes: UInt8
    first: Int64
    summary: Summary
    histogram: Histogram


def label_facts(labels: Int32, classes: UInt8, confidence: UInt8, touches: NDArray[np.bool_]) -> LabelFacts:
    """Facts of the labels of a block.

    Args:
        labels: Labels (h, w).
        classes: Classes (h, w).
        confidence: Confidence (h, w).
        touches: Whether a label touches a neighbour block, per label (0 to n).
    """
    first, total, end, values = _values_by_label(labels, np.ascontiguousarray(confidence), touches.size - 1)
    pixels, p10, entry_label, entry_value, entry_pixels = _distributions(end, values, touches)
    of_label = classes.ravel()[first]
    of_label[0] = NO_CLASS
    histogram = Histogram(entry_label, entry_value, entry_pixels)
    return LabelFacts(of_label, first, Summary(pixels, total / np.maximum(pixels, 1), p10), histogram)


def summarise(histogram: Histogram) -> tuple[Int64, Summary]:
    """Region numbers, ascending, and exact statistics from histograms (at least one) sorted by region and value."""
    starts = run_starts(histogram.region)
    pixels = np.add.reduceat(histogram.pixels, starts)
    total = np.add.reduceat(histogram.pixels * histogram.value, starts)
    entries = run_lengths(starts, histogram.region.size)
    so_far = np.cumsum(histogram.pixels)
    so_far -= np.repeat(so_far[starts] - histogram.pixels[starts], entries)
    below = 10 * so_far < np.repeat(pixels, entries)
    p10 = histogram.value[starts + np.add.reduceat(below, starts, dtype=np.int64)]
    return histogram.region[starts], Summary(pixels, total / pixels, p10)


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


@compiled("Tuple((int64[::1], int64[::1], int64[::1], uint8[::1]))(int32[:, ::1], uint8[:, ::1], int64)")
def _values_by_label(labels: Int32, confidence: UInt8, count: int) -> tuple[Int64, Int64, Int64, UInt8]:
    """First pixel, sum of the confidence and end of the values, per label; and all values, label by label."""
    first, total = np.full(count + 1, -1, np.int64), np.zeros(count + 1, np.int64)
    end, values = np.zeros(count + 2, np.int64), np.empty(labels.size, np.uint8)
    height, width = labels.shape
    for turn in range(2):  # counts, then puts the values where the counts say
        for y in range(height):
            x = 0
            while x < width:
                label, start = labels[y, x], x
                while x < width and labels[y, x] == label:
                    x += 1
                if turn == 0:
                    if first[label] < 0:
                        first[label] = y * width + start
                    end[label + 1] += x - start
                else:
                    at, added = end[label], 0
                    for step in range(x - start):
                        values[at + step] = confidence[y, start + step]
                        added += confidence[y, start + step]
                    total[label] += added
                    end[label] = at + x - start
        if turn == 0:
            for label in range(count + 1):
                end[label + 1] += end[label]
    return first, total, end[:-1], values


@compiled("Tuple((int64[::1], uint8[::1], int64[::1], uint8[::1], int64[::1]))(int64[::1], uint8[::1], boolean[::1])")
def _distributions(end: Int64, values: UInt8, wanted: NDArray[np.bool_]) -> tuple[Int64, UInt8, Int64, UInt8, Int64]:
    """Pixels and tenth percentile per label; label, value and pixels of the histograms that are wanted."""
    pixels, p10 = np.zeros(len(end), np.int64), np.zeros(len(end), np.uint8)
    most = 0
    for label in range(len(end)):
        pixels[label] = end[label] - (end[label - 1] if label else 0)
        most += min(256, pixels[label]) * wanted[label]
    entry_label, entry_value, entry_pixels = (
        np.empty(most, np.int64),
        np.empty(most, np.uint8),
        np.empty(most, np.int64),
    )
    times, entries = np.zeros(256, np.int64), 0
    for label in range(1, len(end)):
        mine = values[end[label] - pixels[label] : end[label]]
        for value in mine:
            times[value] += 1
        below, low = times[0], 0
        while 10 * below < pixels[label]:
            low += 1
            below += times[low]
        p10[label] = low
        if wanted[label]:
            for value in range(256):
                if times[value]:
                    entry_label[entries], entry_value[entries], entry_pixels[entries] = label, value, times[value]
                    entries += 1
            times[:] = 0
        else:
            for value in mine:
                times[value] = 0
    return pixels, p10, entry_label[:entries], entry_value[:entries], entry_pixels[:entries]
