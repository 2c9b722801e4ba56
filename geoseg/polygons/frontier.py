"""Regions across blocks, while the blocks are read row by row.

The frontier is the pixel row above the current row of blocks and the pixel column left of the current block. Pieces that
touch a neighbour block get a number when their block is entered, and are linked to the pieces of the same class that
the frontier shows beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoseg.polygons.labels import seam_labels
from geoseg.polygons.source import NO_CLASS, Block, UInt8

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of pixels.

    Attributes:
        classes: Their classes.
        open_id: Numbers of the pieces that they belong to, -1 where there is no class or no pixel.
    """

    classes: UInt8
    open_id: Int64

    @classmethod
    def empty(cls, size: int) -> Self:
        """A line outside the mosaic."""
        return cls(np.full(size, NO_CLASS, np.uint8), np.full(size, -1, np.int64))

    def part(self, start: int, stop: int | None = None) -> Line:
        """The same pixels from ``start`` to ``stop``."""
        return Line(self.classes[start:stop], self.open_id[start:stop])

    def put(self, start: int, other: Line) -> None:
        """Overwrites pixels from ``start`` on."""
        self.classes[start : start + other.classes.size] = other.classes
        self.open_id[start : start + other.open_id.size] = other.open_id


@dataclass(frozen=True, slots=True)
class LabelledBlock:
    """One block, and the pixels above it and to its left.

    Attributes:
        block: Where it lies.
        classes: Classes (h, w).
        labels: Labels (h, w), 0 where there is no class.
        class_of_label: Class per label (0 to n).
        open_id: Number of the piece per label (0 to n), -1 for labels that touch no neighbour block.
        above: The w + 1 pixels above the block, from the one above and left of its first pixel.
        left: The h pixels left of the block.
    """

    block: Block
    classes: UInt8
    labels: Int32
    class_of_label: UInt8
    open_id: Int64
    above: Line
    left: Line

    @property
    def top_row(self) -> Line:
        """The block's first row."""
        return Line(self.classes[0], self.open_id[self.labels[0]])

    @property
    def left_column(self) -> Line:
        """The block's first column."""
        return Line(self.classes[:, 0], self.open_id[self.labels[:, 0]])


class Frontier:
    """Numbers pieces, and joins those that are one region.

    Args:
        cols: Columns of the mosaic.
    """

    def __init__(self, cols: int) -> None:
        self.count = 0
        self._above = Line.empty(cols + 1)  # entry k is column k - 1
        self._below = Line.empty(cols + 1)
        self._left = Line.empty(0)
        self._links: list[Int64] = []

    def enter(self, block: Block, classes: UInt8, labels: Int32, class_of_label: UInt8) -> LabelledBlock:
        """Takes the next block in reading order and links it to what lies above and to its left."""
        touches = seam_labels(labels, class_of_label.size - 1, block.seams)
        open_id = np.full(class_of_label.size, -1, np.int64)
        pieces = int(np.count_nonzero(touches))
        open_id[touches] = self.count + np.arange(pieces)
        self.count += pieces
        above = self._above.part(block.col0, block.col1 + 1)
        left = self._left if block.seams.left else Line.empty(block.shape[0])
        entered = LabelledBlock(block, classes, labels, class_of_label, open_id, above, left)
        self._link(above.part(1), entered.top_row)
        self._link(left, entered.left_column)
        self._left = Line(classes[:, -1].copy(), open_id[labels[:, -1]])
        if block.seams.bottom:
            self._below.put(block.col0 + 1, Line(classes[-1], open_id[labels[-1]]))
        return entered

    def end_row(self) -> None:
        """Ends a row of blocks; numbers stay as they are."""
        self._above, self._below = self._below, Line.empty(self._below.classes.size)

    def join(self) -> Int64:
        """Number of the joined region per number of a piece, from 0."""
        if not self.count:
            return np.empty(0, np.int64)
        links = np.concatenate([*self._links, np.empty((2, 0), np.int64)], axis=1)
        graph = coo_array((np.ones(links.shape[1], np.int8), (links[0], links[1])), shape=(self.count, self.count))
        joined: NDArray[np.int32] = connected_components(graph, directed=False)[1]
        return joined.astype(np.int64)

    def join_row(self) -> tuple[Int64, int]:
        """Ends a row of blocks and goes on with joined regions in place of pieces, and only those that can still grow.

        Returns:
            The number of the joined region per number of a piece, growing regions first; and how many these are.
        """
        joined = self.join()
        inside = self._below.open_id >= 0
        grows = np.zeros(self.count, bool)  # per joined region; there are no more of them than pieces
        grows[joined[self._below.open_id[inside]]] = True
        growing = int(np.count_nonzero(grows))
        joined = np.where(grows, np.cumsum(grows) - 1, growing + np.cumsum(~grows) - 1)[joined]
        self._below.open_id[inside] = joined[self._below.open_id[inside]]
        self.count, self._links = growing, []
        self.end_row()
        return joined, growing

    def _link(self, outside: Line, inside: Line) -> None:
        same = np.flatnonzero((outside.classes == inside.classes) & (inside.classes != NO_CLASS))
        if same.size:
            self._links.append(np.unique(np.stack([outside.open_id[same], inside.open_id[same]]), axis=1))
