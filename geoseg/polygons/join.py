"""Polygons of the whole raster, from blocks, in bounded memory.

A region within one block is handed out with its block. Of the others each block gives arcs, which are gathered until the
row of blocks is finished that none of their pixels touches the lower border of, and then linked. So memory holds one row
of blocks' border regions, plus the large ones that go on; and of these no more vertices each than a polygon may have.

Blocks are looked at and outlined by several threads; what joins them goes through the blocks in reading order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from geoseg.polygons.frontier import Frontier, LabelledBlock
from geoseg.polygons.labels import (
    Histogram,
    LabelFacts,
    Summary,
    label_facts,
    label_regions,
    seam_labels,
    summarise,
)
from geoseg.polygons.regions import RegionBatch
from geoseg.polygons.rings import Arcs, put_together
from geoseg.polygons.runs import by_block
from geoseg.polygons.source import NO_CLASS, Block, ClassSource, UInt8, block_rows, read_block, shape_of
from geoseg.polygons.tracing import trace

Int64 = NDArray[np.int64]


def polygonize(source: ClassSource, *, max_vertices: int = 1_000_000, threads: int = 1) -> Iterator[RegionBatch]:
    """The polygons of the 4-connected regions of a map.

    They are those that polygonising the whole raster gives, for any blocks and threads. The source is read once, and
    blocks with pieces of split regions a second time.

    Args:
        source: The map. With several threads blocks are read at the same time.
        max_vertices: A region over several blocks whose polygon would have more vertices is not joined: its pieces, cut
            at the block borders, come out marked ``split``.
        threads: Blocks that are worked on at the same time.

    Yields:
        Batches without empty ones: per block the regions that lie within it, after each row of blocks the joined
        regions that are complete, at the end the pieces of split ones.

    Raises:
        ValueError: If the source hands out arrays of another shape or type than its edges say.
    """
    cols = shape_of(source)[1]
    frontier, gathered = Frontier(cols), _Gathered(max_vertices)
    rows = block_rows(source)
    blocks = [block for row in rows for block in row]
    with ThreadPoolExecutor(threads, "outlines") as pool:
        seen: deque[Future[_Seen]] = deque()
        ahead = iter(blocks)
        outlined: deque[Future[_Outlined]] = deque()
        for row in rows:
            for _ in row:
                while len(seen) < threads and (block := next(ahead, None)) is not None:
                    seen.append(pool.submit(_look, source, block))
                one = seen.popleft().result()
                labelled = frontier.enter(one.block, one.classes, one.labels, one.facts.classes)
                outlined.append(pool.submit(_outline, labelled, one, cols))
                while len(outlined) > threads:
                    yield from gathered.add(outlined.popleft().result())
            while outlined:
                yield from gathered.add(outlined.popleft().result())
            yield from gathered.end_row(*frontier.join_row())
        split = gathered.split_pieces()
        for block in blocks:
            if (block.row, block.col) in split:
                yield _pieces(source, block, split[block.row, block.col], cols)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A block as it was read, with its labels."""

    block: Block
    classes: UInt8
    labels: NDArray[np.int32]
    facts: LabelFacts


def _look(source: ClassSource, block: Block) -> _Seen:
    classes, confidence = read_block(source, block)
    labels, count = label_regions(classes)
    return _Seen(
        block, classes, labels, label_facts(labels, classes, confidence, seam_labels(labels, count, block.seams))
    )


@dataclass(frozen=True, slots=True)
class _Outlined:
    """What a block knows of its regions.

    Attributes:
        within: Those that touch no neighbour block.
        arcs: Arcs of the others, by the number of the piece.
        histogram: Confidence of the others, by the number of the piece.
        pieces: The pieces themselves: number, block row, block column, label, first pixel in the mosaic; (5, n).
        classes: Class of each piece.
    """

    within: RegionBatch | None
    arcs: Arcs
    histogram: Histogram
    pieces: Int64
    classes: UInt8


def _outline(labelled: LabelledBlock, seen: _Seen, cols: int) -> _Outlined:
    arcs, name = _arcs(labelled, cols)
    is_open = name[arcs.region] >= 0
    first_pixel = _in_mosaic(seen.facts.first, labelled.block, cols)
    within = arcs.take(np.flatnonzero(~is_open))
    batch = _batch(within, seen.facts.classes, seen.facts.summary, first_pixel) if len(within) else None
    touches = labelled.open_id >= 0
    histogram = seen.facts.histogram
    histogram = Histogram(labelled.open_id[histogram.region], histogram.value, histogram.pixels)
    label = np.flatnonzero(touches)
    place = np.broadcast_to([[labelled.block.row], [labelled.block.col]], (2, label.size))
    pieces = np.stack([labelled.open_id[label], *place, label, first_pixel[label]])
    across = arcs.take(np.flatnonzero(is_open)).compact()
    return _Outlined(batch, across.renamed(name), histogram, pieces, seen.facts.classes[label])


@dataclass
class _Gathered:
    """What is known of the open regions.

    Attributes:
        max_vertices: Above this a region's arcs are dropped.
        arcs: Arcs of open regions, in parts.
        histograms: Histograms of open regions, in parts.
        pieces: Pieces of open regions, in parts.
        classes: Class per open number, in parts.
        dropped: Number of vertices dropped so far, per open number.
        split: Pieces of regions that are complete and not joined: block row, block column, label, and 1 where the region
            has other pieces; (4, n) in parts.
        new_arcs: Arcs of the current row of blocks, in parts.
    """

    max_vertices: int
    arcs: Arcs = field(default_factory=Arcs.none)
    histograms: list[Histogram] = field(default_factory=list)
    pieces: list[Int64] = field(default_factory=list)
    classes: list[UInt8] = field(default_factory=list)
    dropped: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    split: list[Int64] = field(default_factory=list)
    new_arcs: list[Arcs] = field(default_factory=list)

    def add(self, outlined: _Outlined) -> Iterator[RegionBatch]:
        """Takes what a block knows of regions that touch its neighbours, and hands out the others."""
        self.new_arcs.append(outlined.arcs)
        self.histograms.append(outlined.histogram)
        self.pieces.append(outlined.pieces)
        self.classes.append(outlined.classes)
        if outlined.within is not None:
            yield outlined.within

    def end_row(self, joined: Int64, growing: int) -> Iterator[RegionBatch]:
        """Joins what belongs together and hands out what is complete.

        Args:
            joined: Number of the joined region per open number.
            growing: So many of the joined regions may still grow; they come first.
        """
        count = int(joined.max()) + 1 if joined.size else 0
        classes = np.empty(count, np.uint8)
        classes[joined] = np.concatenate([*self.classes, np.empty(0, np.uint8)])
        arcs = Arcs.concatenate([self.arcs, *self.new_arcs]).renamed(joined)
        histogram = Histogram.concatenate([Histogram(joined[h.region], h.value, h.pixels) for h in self.histograms])
        pieces = np.concatenate(self.pieces, axis=1)
        pieces[0] = joined[pieces[0]]
        first_pixel = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first_pixel, pieces[0], pieces[4])
        vertices = np.zeros(count, np.int64)
        np.add.at(vertices, arcs.region, arcs.lengths)
        np.add.at(vertices, joined[: self.dropped.size], self.dropped)
        too_large = vertices > self.max_vertices
        dropped = pieces[:, too_large[pieces[0]] & (pieces[0] >= growing)]
        has_others = np.bincount(pieces[0], minlength=count)[dropped[0]] > 1
        self.split.append(np.vstack([dropped[1:4], has_others]))
        keep_arcs, keep_entries = ~too_large[arcs.region], ~too_large[histogram.region]
        grow_arcs, grow_entries = arcs.region < growing, histogram.region < growing
        self.arcs, self.new_arcs = arcs.take(np.flatnonzero(keep_arcs & grow_arcs)).compact(), []
        self.histograms = [histogram.take(keep_entries & grow_entries)]
        self.pieces = [pieces[:, pieces[0] < growing]]
        self.classes = [classes[:growing]]
        self.dropped = np.where(too_large, vertices, 0)[:growing]
        arcs = arcs.take(np.flatnonzero(keep_arcs & ~grow_arcs))
        if len(arcs):
            region, summary = summarise(histogram.take(keep_entries & ~grow_entries))
            place = np.zeros(count, np.int64)
            place[region] = np.arange(region.size)
            yield _batch(arcs, classes, summary.take(place), first_pixel)

    def split_pieces(self) -> dict[tuple[int, int], Int64]:
        """Per block the pieces of regions that were not joined: label, and 1 where the region has other pieces."""
        pieces = np.concatenate([*self.split, np.empty((4, 0), np.int64)], axis=1)
        return {block: pieces[2:, index] for block, index in by_block(pieces[:2]).items()}


def _arcs(labelled: LabelledBlock, cols: int) -> tuple[Arcs, Int64]:
    """Outlines at the lattice points whose lower right pixel lies in the block, or outside the mosaic beside it.

    Returns:
        The arcs, by a number that is the label for regions of the block; and per number that of the piece, or ``-1`` and
        less where a region touches no neighbour block.
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
    name = np.concatenate([labelled.open_id, labelled.above.open_id, labelled.left.open_id])
    return Arcs(*trace(classes, number, name, (block.row0, block.col0), cols)), name


def _pieces(source: ClassSource, block: Block, pieces: Int64, cols: int) -> RegionBatch:
    """Some labels of a block, as if there were nothing around it."""
    seen = _look(source, block)
    wanted = np.zeros(seen.facts.first.size, bool)
    wanted[pieces[0]] = True
    classes, number = np.pad(seen.classes, 1, constant_values=NO_CLASS), np.pad(seen.labels, 1)
    arcs = Arcs(*trace(classes, number, np.full(wanted.size, -1), (block.row0, block.col0), cols))
    first_pixel = _in_mosaic(seen.facts.first, block, cols)
    batch = _batch(arcs.take(np.flatnonzero(wanted[arcs.region])), seen.facts.classes, seen.facts.summary, first_pixel)
    has_others = np.zeros(wanted.size, bool)
    has_others[pieces[0]] = pieces[1] > 0
    row, col = np.divmod(batch.first_pixel, cols)
    return replace(batch, split=has_others[seen.labels[row - block.row0, col - block.col0]])


def _in_mosaic(pixel: Int64, block: Block, cols: int) -> Int64:
    """Index of pixels in the flattened mosaic, from that in the flattened block."""
    row, col = np.divmod(pixel, block.shape[1])
    return (row + block.row0) * cols + col + block.col0


def _batch(arcs: Arcs, classes: UInt8, summary: Summary, first_pixel: Int64) -> RegionBatch:
    """Links the arcs of regions that are complete and puts their columns together; all else is per region number."""
    polygons, region = put_together(arcs, first_pixel)
    summary = summary.take(region)
    return RegionBatch(
        polygons=polygons,
        class_index=classes[region],
        pixels=summary.pixels,
        confidence_mean=summary.mean,
        confidence_p10=summary.p10,
        first_pixel=first_pixel[region],
        split=np.zeros(len(region), bool),
    )
