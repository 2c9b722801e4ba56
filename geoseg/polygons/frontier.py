"""Regions that may still grow while the blocks are read row by row.

The frontier is the pixel row above the current row of blocks and the pixel column left of the current block. A region
stays open as long as it touches that row; with it are kept its corners, its histogram and the names of its pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoseg.polygons.labels import label_regions, seam_labels
from geoseg.polygons.outlines import Corners, find_corners
from geoseg.polygons.source import NO_CLASS, Block, UInt8

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelledBlock:
    """One block with its surroundings as far as they are known.

    Attributes:
        block: Where it lies.
        classes: Classes (h, w).
        labels: Labels (h, w), 0 where there is no class.
        open_id: Number of the open region per label (0 to n), -1 for labels that touch no neighbour block.
        corners: Corners at the block's lattice points, in mosaic pixels, of regions numbered ``-label`` where the region
            ends within the block, else by its open number.
    """

    block: Block
    classes: UInt8
    labels: Int32
    open_id: Int64
    corners: Corners


class Frontier:
    """Numbers open regions consistently over the blocks of one row, and across rows.

    Args:
        cols: Columns of the mosaic.
    """

    def __init__(self, cols: int) -> None:
        self.count = 0
        self._above = _Line.empty(cols + 1)  # entry k is column k - 1
        self._below = _Line.empty(cols + 1)
        self._left = _Line.empty(0)
        self._links: list[Int64] = []

    def enter(self, block: Block, classes: UInt8) -> LabelledBlock:
        """Labels the next block in reading order and joins it to what lies above and to its left."""
        labels, count = label_regions(classes)
        touches = seam_labels(labels, count, block.seams)
        open_id = np.full(count + 1, -1, np.int64)
        open_id[touches] = self.count + np.arange(np.count_nonzero(touches))
        self.count += int(np.count_nonzero(touches))
        if not block.seams.left:
            self._left = _Line.empty(block.shape[0])
        above = self._above.part(block.col0, block.col1 + 1)
        corners = self._corners(block, classes, labels, open_id, above)
        self._link(above.after_first(), classes[0], open_id[labels[0]])
        self._link(self._left, classes[:, 0], open_id[labels[:, 0]])
        self._left = _Line(classes[:, -1].copy(), open_id[labels[:, -1]])
        if block.seams.bottom:
            self._below.put(block.col0 + 1, classes[-1], open_id[labels[-1]])
        return LabelledBlock(block, classes, labels, open_id, corners)

    def end_row(self) -> tuple[Int64, int]:
        """Ends a row of blocks.

        Returns:
            The number of the joined region per open number; joined regions that can still grow come first. And how many
            these are.
        """
        links = np.concatenate([*self._links, np.empty((2, 0), np.int64)], axis=1)
        graph = coo_array((np.ones(links.shape[1], np.int8), (links[0], links[1])), shape=(self.count, self.count))
        joined = connected_components(graph, directed=False)[1] if self.count else np.empty(0, np.int64)
        is_open = np.zeros(self.count, bool)  # per joined region; there are no more of them than open numbers
        growing = self._below.region[self._below.region >= 0]
        is_open[joined[growing]] = True
        number = np.where(is_open, np.cumsum(is_open) - 1, np.count_nonzero(is_open) + np.cumsum(~is_open) - 1)
        joined = number[joined]
        self.count, self._links = int(np.count_nonzero(is_open)), []
        self._above, self._below = self._below, _Line.empty(len(self._below.region))
        self._above.region[self._above.region >= 0] = joined[growing]
        return joined, self.count

    def _link(self, outside: _Line, classes: UInt8, region: Int64) -> None:
        same = np.flatnonzero((outside.classes == classes) & (classes != NO_CLASS))
        pairs = np.stack([outside.region[same], region[same]])
        if pairs.shape[1]:
            self._links.append(np.unique(pairs, axis=1))

    def _corners(self, block: Block, classes: UInt8, labels: Int32, open_id: Int64, above: _Line) -> Corners:
        """Corners at the lattice points whose lower right pixel the block holds, or nobody right of it or below."""
        h, w = block.shape
        window = (h + 1 + (not block.seams.bottom), w + 1 + (not block.seams.right))
        padded = np.full(window, NO_CLASS, np.uint8)
        padded[1 : h + 1, 1 : w + 1], padded[0, : w + 1], padded[1 : h + 1, 0] = (
            classes,
            above.classes,
            self._left.classes,
        )
        number = np.zeros(window, np.int32)
        number[1 : h + 1, 1 : w + 1] = labels
        number[0, : w + 1] = len(open_id) + np.arange(w + 1)
        number[1 : h + 1, 0] = len(open_id) + w + 1 + np.arange(h)
        found = find_corners(padded, number)
        inner = -np.arange(len(open_id))
        name = np.concatenate([np.where(open_id >= 0, open_id, inner), above.region, self._left.region])
        y, x = found.y + np.int32(block.row0), found.x + np.int32(block.col0)
        return Corners(name[found.region], y, x, found.turn)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of pixels: their classes and the open regions that they belong to (-1 for none)."""

    classes: UInt8
    region: Int64

    @classmethod
    def empty(cls, size: int) -> _Line:
        return cls(np.full(size, NO_CLASS, np.uint8), np.full(size, -1, np.int64))

    def part(self, start: int, stop: int) -> _Line:
        return _Line(self.classes[start:stop], self.region[start:stop])

    def after_first(self) -> _Line:
        return _Line(self.classes[1:], self.region[1:])

    def put(self, start: int, classes: UInt8, region: Int64) -> None:
        self.classes[start : start + classes.size] = classes
        self.region[start : start + region.size] = region
