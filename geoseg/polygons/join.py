"""Polygons of the whole raster, from blocks, in bounded memory.

A region within one block is handed out with its block. The others are gathered until the row of blocks is finished that
none of their pixels touches the lower border of. So memory holds one row of blocks' border regions, plus the large ones
that go on; and of these no more corners each than a polygon may have vertices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from geoseg.polygons.frontier import Frontier, LabelledBlock
from geoseg.polygons.labels import Histogram, class_of_label, count_confidence, label_regions, summarise
from geoseg.polygons.outlines import Corners, find_corners, trace
from geoseg.polygons.regions import RegionBatch
from geoseg.polygons.runs import by_block
from geoseg.polygons.source import NO_CLASS, Block, ClassSource, UInt8, block_rows, read_block, shape_of

Int64 = NDArray[np.int64]


def polygonize(source: ClassSource, *, max_vertices: int = 1_000_000) -> Iterator[RegionBatch]:
    """The polygons of the 4-connected regions of a map.

    They are those that polygonising the whole raster gives, for any blocks. The source is read once, and blocks with
    pieces of split regions a second time.

    Args:
        source: The map.
        max_vertices: A region over several blocks whose polygon would have more vertices is not joined: its pieces, cut
            at the block borders, come out marked ``split``.

    Yields:
        Batches without empty ones: per block the regions that lie within it, after each row of blocks the joined
        regions that are complete, at the end the pieces of split ones.

    Raises:
        ValueError: If the source hands out arrays of another shape or type than its edges say.
    """
    cols = shape_of(source)[1]
    frontier, gathered = Frontier(cols), _Gathered(max_vertices)
    rows = block_rows(source)
    for row in rows:
        for block in row:
            classes, confidence = read_block(source, block)
            labelled = frontier.enter(block, classes)
            histogram = count_confidence(labelled.labels, confidence)
            corners = _corners(labelled)
            gathered.add(labelled, corners, histogram)
            yield from _within(labelled, corners, histogram, cols)
        yield from gathered.end_row(*frontier.join_row(), cols)
    split = gathered.split_pieces()
    for block in (block for row in rows for block in row):
        if (block.row, block.col) in split:
            yield _pieces(source, block, split[block.row, block.col], cols)


@dataclass
class _Gathered:
    """What is known of the open regions.

    Attributes:
        max_vertices: Above this a region's corners are dropped.
        corners: Corners of open regions, in parts.
        histograms: Histograms of open regions, in parts.
        pieces: Of open regions: open number, block row, block column, label; (4, n) in parts.
        classes: Class per open number, in parts.
        dropped: Number of corners dropped so far, per open number.
        split: Pieces of regions that are complete and not joined: block row, block column, label, and 1 where the region
            has other pieces; (4, n) in parts.
    """

    max_vertices: int
    corners: list[Corners] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    pieces: list[Int64] = field(default_factory=list)
    classes: list[UInt8] = field(default_factory=list)
    dropped: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    split: list[Int64] = field(default_factory=list)

    def add(self, labelled: LabelledBlock, corners: Corners, histogram: Histogram) -> None:
        """Takes what a block knows of regions that touch its neighbours."""
        self.corners.append(corners.take(corners.region >= 0))
        open_id = labelled.open_id[histogram.region]
        part = Histogram(open_id, histogram.value, histogram.pixels)
        self.histograms.append(part.take(open_id >= 0))
        label = np.flatnonzero(labelled.open_id >= 0)
        place = np.broadcast_to([[labelled.block.row], [labelled.block.col]], (2, label.size))
        self.pieces.append(np.stack([labelled.open_id[label], *place, label]))
        self.classes.append(labelled.class_of_label[label])

    def end_row(self, joined: Int64, growing: int, cols: int) -> Iterator[RegionBatch]:
        """Joins what belongs together and hands out what is complete.

        Args:
            joined: Number of the joined region per open number.
            growing: So many of the joined regions may still grow; they come first.
            cols: Columns of the mosaic.
        """
        count = int(joined.max()) + 1 if joined.size else 0
        classes = np.empty(count, np.uint8)
        classes[joined] = np.concatenate([*self.classes, np.empty(0, np.uint8)])
        corners = Corners.concatenate([Corners(joined[c.region], c.y, c.x, c.turn) for c in self.corners])
        histogram = Histogram.concatenate([Histogram(joined[h.region], h.value, h.pixels) for h in self.histograms])
        pieces = np.concatenate(self.pieces, axis=1)
        pieces[0] = joined[pieces[0]]
        vertices = np.bincount(corners.region, minlength=count)
        np.add.at(vertices, joined[: self.dropped.size], self.dropped)
        too_large = vertices > self.max_vertices
        dropped = pieces[:, too_large[pieces[0]] & (pieces[0] >= growing)]
        has_others = np.bincount(pieces[0], minlength=count)[dropped[0]] > 1
        self.split.append(np.vstack([dropped[1:], has_others]))
        keep_corners, keep_entries = ~too_large[corners.region], ~too_large[histogram.region]
        grow_corners, grow_entries = corners.region < growing, histogram.region < growing
        self.corners = [corners.take(keep_corners & grow_corners)]
        self.histograms = [histogram.take(keep_entries & grow_entries)]
        self.pieces = [pieces[:, pieces[0] < growing]]
        self.classes = [classes[:growing]]
        self.dropped = np.where(too_large, vertices, 0)[:growing]
        corners = corners.take(keep_corners & ~grow_corners)
        if len(corners):
            yield _batch(corners, histogram.take(keep_entries & ~grow_entries), classes, cols)

    def split_pieces(self) -> dict[tuple[int, int], Int64]:
        """Per block the pieces of regions that were not joined: label, and 1 where the region has other pieces."""
        pieces = np.concatenate([*self.split, np.empty((4, 0), np.int64)], axis=1)
        return {block: pieces[2:, index] for block, index in by_block(pieces[:2]).items()}


def _corners(labelled: LabelledBlock) -> Corners:
    """Corners at the lattice points whose lower right pixel lies in the block, or outside the mosaic beside it.

    Regions are named by the number of their piece, or by ``-label`` where they touch no neighbour block.
    """
    block, (h, w) = labelled.block, labelled.block.shape
    window = (h + 1 + (not block.seams.bottom), w + 1 + (not block.seams.right))
    classes, number = np.full(window, NO_CLASS, np.uint8), np.zeros(window, np.int32)
    top, left, inside = np.s_[0, : w + 1], np.s_[1 : h + 1, 0], np.s_[1 : h + 1, 1 : w + 1]
    classes[top], classes[left], classes[inside] = labelled.above.classes, labelled.left.classes, labelled.classes
    outside = labelled.open_id.size
    number[top] = np.arange(outside, outside + w + 1)
    number[left] = np.arange(outside + w + 1, outside + w + 1 + h)
    number[inside] = labelled.labels
    within = np.where(labelled.open_id < 0, -np.arange(outside), labelled.open_id)
    name = np.concatenate([within, labelled.above.open_id, labelled.left.open_id])
    found = find_corners(classes, number)
    return Corners(name[found.region], found.y + np.int32(block.row0), found.x + np.int32(block.col0), found.turn)


def _within(labelled: LabelledBlock, corners: Corners, histogram: Histogram, cols: int) -> Iterator[RegionBatch]:
    """The regions that touch no neighbour block."""
    corners = corners.take(corners.region < 0)
    if len(corners):
        corners = Corners(-corners.region, corners.y, corners.x, corners.turn)
        inner = histogram.take(labelled.open_id[histogram.region] < 0)
        yield _batch(corners, inner, labelled.class_of_label, cols)


def _pieces(source: ClassSource, block: Block, pieces: Int64, cols: int) -> RegionBatch:
    """Some labels of a block, as if there were nothing around it."""
    classes, confidence = read_block(source, block)
    numbers, count = label_regions(classes)
    wanted = np.zeros(count + 1, bool)
    wanted[pieces[0]] = True
    corners = find_corners(np.pad(classes, 1, constant_values=NO_CLASS), np.pad(numbers, 1))
    corners = corners.take(wanted[corners.region])
    corners = Corners(corners.region, corners.y + np.int32(block.row0), corners.x + np.int32(block.col0), corners.turn)
    histogram = count_confidence(numbers, confidence)
    of_label = class_of_label(numbers, classes, count)
    batch = _batch(corners, histogram.take(wanted[histogram.region]), of_label, cols)
    has_others = np.zeros(count + 1, bool)
    has_others[pieces[0]] = pieces[1] > 0
    row, col = np.divmod(batch.first_pixel, cols)
    return replace(batch, split=has_others[numbers[row - block.row0, col - block.col0]])


def _batch(corners: Corners, histogram: Histogram, classes: UInt8, cols: int) -> RegionBatch:
    """Traces regions that are complete and puts their columns together."""
    outlines, summary = trace(corners), summarise(histogram)
    if not np.array_equal(outlines.region, summary.region):
        raise AssertionError("outlines and histograms must be of the same regions")
    batch = RegionBatch(
        geometry=outlines.geometry,
        class_index=classes[outlines.region],
        pixels=summary.pixels,
        confidence_mean=summary.mean,
        confidence_p10=summary.p10,
        first_pixel=outlines.first_y.astype(np.int64) * cols + outlines.first_x,
        split=np.zeros(len(outlines.region), bool),
    )
    return batch.take(np.argsort(batch.first_pixel))
