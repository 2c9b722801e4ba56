"""From corners to polygons.

The outline of a region on a pixel grid is known from its corners alone: sorted by row, consecutive corners are the ends
of horizontal edges; sorted by column, those of vertical edges. A corner is seen in a window of 2 x 2 pixels. So a region
that lies in many blocks needs no merging of polygons: its corners are gathered, and its rings are linked once. There are
no vertices on block borders that would have to be removed, and all arithmetic is on integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, depth_first_order

from geoseg.polygons.runs import run_lengths, run_starts
from geoseg.polygons.source import NO_CLASS

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_RIGHT = np.uint8(1)
"""Turn bit: the horizontal edge lies to the right of the corner (else to its left)."""
_BELOW = np.uint8(2)
"""Turn bit: the vertical edge lies below the corner (else above it)."""
_ALONG = np.uint8(4)
"""Turn bit: the outline leaves the corner along the horizontal edge (else along the vertical one)."""


@dataclass(frozen=True, slots=True)
class Corners:
    """Corners of region outlines; with y downwards the region lies to the right of its outline's direction.

    Attributes:
        region: Number of the region that the corner belongs to, non-negative.
        y: Row of the lattice point (0 is the upper edge of row 0).
        x: Column of the lattice point.
        turn: Where the two edges lie, and which one is next; see the bits above.
    """

    region: Int64
    y: Int32
    x: Int32
    turn: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.region)

    def take(self, index: Int64 | NDArray[np.bool_]) -> Self:
        """The corners at an integer or boolean index."""
        return type(self)(self.region[index], self.y[index], self.x[index], self.turn[index])

    @classmethod
    def concatenate(cls, parts: Sequence[Corners]) -> Corners:
        """All corners of several parts (at least one)."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class Outlines:
    """Traced regions.

    Attributes:
        region: Region numbers, ascending.
        geometry: One polygon per region, x and y as in the corners, normalised.
        first_y: Row of the region's first pixel in reading order.
        first_x: Column of that pixel.
    """

    region: Int64
    geometry: NDArray[np.object_]
    first_y: Int32
    first_x: Int32


def find_corners(classes: NDArray[np.uint8], labels: Int32) -> Corners:
    """Corners of all regions at the inner lattice points of a window.

    Args:
        classes: Class per pixel (h, w); ``NO_CLASS`` has no outline.
        labels: Region number per pixel (h, w), equal within a 4-connected region of this window.

    Returns:
        The corners at lattice points 1 to h - 1 and 1 to w - 1 of the window, counted so that the first one is (0, 0).
    """
    across = classes[:, 1:] != classes[:, :-1]
    along = classes[1:] != classes[:-1]
    point = np.flatnonzero((across[:-1] | across[1:]) & (along[:, :-1] | along[:, 1:]))
    y, x = np.divmod(point.astype(np.int32), np.int32(classes.shape[1] - 1))
    # Per point: do the two pixels above it, below it, left and right of it differ?
    top, bottom, left, right = across[y, x], across[y + 1, x], along[y, x], along[y, x + 1]
    found = []
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        own = (bottom if dy else top) & (right if dx else left)
        others = (top if dy else bottom) | (left if dx else right)
        # A pixel unlike both its neighbours has a corner here; if these agree, their region turns around the pixel.
        for corner, oy, ox, leaves_along in ((own, dy, dx, dy == dx), (own & ~others, 1 - dy, 1 - dx, dy != dx)):
            at = np.flatnonzero(corner)
            at = at[classes[y[at] + oy, x[at] + ox] != NO_CLASS]
            turn = np.full(at.size, dx * _RIGHT | dy * _BELOW | leaves_along * _ALONG, np.uint8)
            found.append(Corners(labels[y[at] + oy, x[at] + ox].astype(np.int64), y[at], x[at], turn))
    return Corners.concatenate(found)


def trace(corners: Corners) -> Outlines:
    """The polygons of regions whose corners are all known.

    Where a region touches itself in a point, its rings part there (shell and hole touch), as the simple-feature rules
    ask for.

    Args:
        corners: Every corner of every region, in any order; at least those of one region.
    """
    corners = corners.take(_order(corners.region, corners.y, corners.x, corners.turn & _RIGHT))
    walk, starts = _walk(_following(corners))
    first = run_starts(corners.region)
    return Outlines(corners.region[first], _polygons(corners.take(walk), starts), corners.y[first], corners.x[first])


def _order(region: Int64, major: Int32, minor: Int32, bit: NDArray[np.uint8]) -> Int64:
    """Sorts by region, major, minor and whether the bit is set."""
    minor_bits, major_bits = int(minor.max()).bit_length(), int(major.max()).bit_length()
    if int(region.max()).bit_length() + major_bits + minor_bits + 1 > 63:  # the packed key below would not fit
        return np.lexsort((bit, minor, major, region))
    key = (((region << major_bits | major) << minor_bits | minor) << 1) | (bit > 0)
    return np.argsort(key)


def _following(corners: Corners) -> Int64:
    """Index of the next corner along the outline, for corners sorted by region, y, x and side."""
    region, y, x, turn = corners.region, corners.y, corners.x, corners.turn.copy()
    touching = np.flatnonzero((region[1:] == region[:-1]) & (y[1:] == y[:-1]) & (x[1:] == x[:-1]))
    # Both corners turn around their own pixel; exchanging the vertical edges makes them turn around the gaps.
    turn[touching] ^= _BELOW
    turn[touching + 1] ^= _BELOW
    by_column = _order(region, x, y, turn & _BELOW)
    vertical = np.empty(len(corners), np.int64)
    vertical[by_column[0::2]], vertical[by_column[1::2]] = by_column[1::2], by_column[0::2]
    horizontal = np.arange(len(corners)) ^ 1
    return np.where(turn & _ALONG, horizontal, vertical)


def _walk(following: Int64) -> tuple[Int64, Int64]:
    """The corners in the order of their rings, and where each ring starts in that order.

    One depth-first walk over a spine of extra nodes, each of which leads into one ring and then on to the next node.
    """
    n = following.size
    cycles = csr_array((np.ones(n, np.int8), following, np.arange(n + 1)), shape=(n, n))
    count, ring = connected_components(cycles, directed=True, connection="weak")
    entry = np.empty(count, np.int64)
    entry[ring[::-1]] = np.arange(n - 1, -1, -1)
    spine = np.column_stack([entry, n + 1 + np.arange(count)]).ravel()[:-1]
    # Within a row the ring comes before the next spine node, and the last node leads into its ring only.
    indptr = np.concatenate([np.arange(n), np.arange(n, n + 2 * count, 2), [n + 2 * count - 1]])
    size = n + count
    graph = csr_array((np.ones(indptr[-1]), np.concatenate([following, spine]), indptr), shape=(size, size))
    walk = depth_first_order(graph, n, directed=True, return_predecessors=False)
    walk = walk[walk < n].astype(np.int64)
    return walk, run_starts(ring[walk])


def _polygons(walked: Corners, starts: Int64) -> NDArray[np.object_]:
    """One normalised polygon per region, ascending, from corners in the order of their rings."""
    lengths = run_lengths(starts, len(walked))
    y, x = walked.y.astype(np.int64), walked.x.astype(np.int64)
    after = np.arange(1, len(walked) + 1)
    after[starts + lengths - 1] = starts
    area = np.add.reduceat(x * y[after] - x[after] * y, starts)
    region = walked.region[starts]
    rings = np.lexsort((area < 0, region))  # a region's only clockwise ring is its shell and comes first
    closed = lengths[rings] + 1
    offsets = np.concatenate([[0], np.cumsum(closed)])
    step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], closed)
    vertex = np.repeat(starts[rings], closed) + np.where(step == np.repeat(closed - 1, closed), 0, step)
    shells = np.append(run_starts(region[rings]), rings.size)
    coordinates = np.column_stack([x[vertex], y[vertex]]).astype(np.float64)
    polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, coordinates, (offsets, shells))
    return np.asarray(shapely.normalize(polygons), dtype=object)
