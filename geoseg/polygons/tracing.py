"""Outlines in a window of pixels, as closed rings and as arcs that go on elsewhere; compiled, without the interpreter's lock.

With y downwards the region lies to the left of its outline's direction, which is how GEOS turns the rings of normalised
polygons. A step is one pixel edge, named by the lattice point that it leaves and its direction. An arc ends where its
next step leads to another block, and at a point where two pieces of one class touch of which only the join knows whether
they are one region. Where one region touches itself in a point, its outline crosses over, so that its rings part there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoseg.compiled import compiled

UInt8 = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_EAST, _SOUTH, _WEST, _NORTH = 0, 1, 2, 3

# Columns of an arc: number of its region; its vertices; the step that it begins with (-1 for a closed ring), the one that
# comes next, and where that is not known the one that comes next if the outline crosses over (else -1); and twice its
# share of the area: the sum of x over its steps down, less that over its steps up.
REGION, FIRST, LAST, FROM, NEXT, ACROSS, AREA = range(7)
ARC_COLUMNS = 7
NO_STEP = -1

_NO_CLASS = 255

# By direction: the way of a step, and the pixel ahead on the left of the point that it leads to. The pixel ahead on the
# right is the one ahead on the left of the next direction, that behind on the left of the one before.
_GO_Y, _GO_X = np.array([0, 1, 0, -1]), np.array([1, 0, -1, 0])
_AHEAD_Y, _AHEAD_X = np.array([-1, 0, 0, -1]), np.array([0, 0, -1, -1])

_CUT = 2  # of 0: own corner, 1: crosses over, 2: the join decides


@compiled("int64(int32[:, ::1], int64[::1], int64, int64, int64, int64)")
def _at_saddle(number: Int32, name: Int64, y: int, x: int, other_y: int, other_x: int) -> int:
    """What outlines do between two pixels of one class that touch in a point."""
    one, other = number[y, x], number[other_y, other_x]
    if one == other:
        return 1
    if name[one] < 0 or name[other] < 0:
        return 0
    return 1 if name[one] == name[other] else _CUT


@compiled(
    "UniTuple(int64, 4)(uint8[:, ::1], int32[:, ::1], int64[::1], uint8[:, ::1], int32[:, ::1], int64,"
    " int64, int64, int64, int64, int64, int64)"
)
def _follow(
    classes: UInt8,
    number: Int32,
    name: Int64,
    seen: UInt8,
    vertices: Int32,
    count: int,
    y: int,
    x: int,
    way: int,
    row0: int,
    col0: int,
    points: int,
) -> tuple[int, int, int, int]:
    """Goes from a point until the outline is closed, leaves the window, or is cut.

    Returns:
        Number of vertices so far, the next step, the step across, and the share of the area.
    """
    height, width = classes.shape
    first_y, first_x, first_way, area = y, x, way, 0
    own = classes[y + _AHEAD_Y[way], x + _AHEAD_X[way]]
    while True:
        from_y, from_x = y, x
        y, x = y + _GO_Y[way], x + _GO_X[way]
        if x == 0 or y == 0 or x == width or y == height:
            return count, ((from_y + row0) * points + from_x + col0) * 4 + way, NO_STEP, area
        area += (y - from_y) * (x + col0)
        right, left = (way + 1) & 3, (way + 3) & 3
        other_y, other_x = y + _AHEAD_Y[right], x + _AHEAD_X[right]
        if classes[y + _AHEAD_Y[way], x + _AHEAD_X[way]] == own:
            if classes[other_y, other_x] != own:
                continue
            way = right
        elif classes[other_y, other_x] == own:
            meeting = _at_saddle(number, name, y + _AHEAD_Y[left], x + _AHEAD_X[left], other_y, other_x)
            if meeting == _CUT:
                vertices[count, 0], vertices[count, 1] = x + col0, y + row0
                here = ((y + row0) * points + x + col0) * 4
                return count + 1, here + left, here + right, area
            way = right if meeting else left
        else:
            way = left
        vertices[count, 0], vertices[count, 1] = x + col0, y + row0
        count += 1
        if way <= _SOUTH:
            seen[y, x] |= 1 << way
        if way == first_way and y == first_y and x == first_x:
            return count, NO_STEP, NO_STEP, area


@compiled("UniTuple(int64, 2)(uint8[:, ::1])")
def _sizes(classes: UInt8) -> tuple[int, int]:
    """Bounds of the number of vertices and of points at which an outline may begin."""
    corners, begins = 0, 0
    for y in range(1, classes.shape[0]):
        above, below = classes[y - 1], classes[y]
        for x in range(1, classes.shape[1]):
            right, low = above[x] != below[x], below[x - 1] != below[x]
            corners += ((above[x - 1] != above[x]) | low) & ((above[x - 1] != below[x - 1]) | right)
            begins += right & low
    return 4 * corners, begins


@compiled("int64(uint8[:, ::1], int32[:, ::1])")
def _enter_rim(classes: UInt8, starts: Int32) -> int:
    """Steps into the window: one or two for each edge between classes at its rim; their number."""
    height, width = classes.shape
    count = 0
    for y, way in ((0, _SOUTH), (height, _NORTH)):
        row = classes[y - (way == _NORTH)]
        for x in range(1, width):
            if row[x - 1] != row[x] and row[x + _AHEAD_X[way]] != _NO_CLASS:
                starts[count, 0], starts[count, 1], starts[count, 2] = y, x, way
                count += 1
    for x, way in ((0, _EAST), (width, _WEST)):
        col = x - (way == _WEST)
        for y in range(1, height):
            if classes[y - 1, col] != classes[y, col] and classes[y + _AHEAD_Y[way], col] != _NO_CLASS:
                starts[count, 0], starts[count, 1], starts[count, 2] = y, x, way
                count += 1
    return count


@compiled("UniTuple(int64, 2)(uint8[:, ::1], int32[:, ::1], int64[::1], int32[:, ::1], int64, int32[:, ::1])")
def _find_starts(classes: UInt8, number: Int32, name: Int64, cuts: Int32, cut: int, rings: Int32) -> tuple[int, int]:
    """Steps behind cuts, and steps of which each ring has one.

    That is at the upper left corner of a shell's first pixel, or of the first pixel of a hole.
    """
    ring = 0
    for y in range(1, classes.shape[0]):
        for x in range(1, classes.shape[1]):
            low_right = classes[y, x]
            if low_right == classes[y - 1, x] or low_right == classes[y, x - 1]:
                continue
            if low_right != _NO_CLASS:
                if classes[y - 1, x - 1] == low_right and _at_saddle(number, name, y, x, y - 1, x - 1) == _CUT:
                    cuts[cut, 0], cuts[cut, 1], cuts[cut, 2] = y, x, _NORTH
                    cuts[cut + 1, 0], cuts[cut + 1, 1], cuts[cut + 1, 2] = y, x, _SOUTH
                    cut += 2
                else:
                    rings[ring, 0], rings[ring, 1], rings[ring, 2] = y, x, _SOUTH
                    ring += 1
            if classes[y - 1, x] == classes[y, x - 1] and classes[y, x - 1] != _NO_CLASS:
                if classes[y - 1, x - 1] != classes[y - 1, x] and _at_saddle(number, name, y - 1, x, y, x - 1) == _CUT:
                    cuts[cut, 0], cuts[cut, 1], cuts[cut, 2] = y, x, _EAST
                    cuts[cut + 1, 0], cuts[cut + 1, 1], cuts[cut + 1, 2] = y, x, _WEST
                    cut += 2
                else:
                    rings[ring, 0], rings[ring, 1], rings[ring, 2] = y, x, _EAST
                    ring += 1
    return cut, ring


@compiled("Tuple((int32[:, ::1], int64[:, ::1]))(uint8[:, ::1], int32[:, ::1], int64[::1], int64, int64, int64)")
def _trace(classes: UInt8, number: Int32, name: Int64, row0: int, col0: int, points: int) -> tuple[Int32, Int64]:
    height, width = classes.shape
    most_vertices, begins = _sizes(classes)
    cuts = np.empty((4 * begins + 2 * (height + width), 3), np.int32)
    rings = np.empty((2 * begins, 3), np.int32)
    cut, ring = _find_starts(classes, number, name, cuts, _enter_rim(classes, cuts), rings)
    vertices, arcs = np.empty((most_vertices, 2), np.int32), np.empty((cut + ring, ARC_COLUMNS), np.int64)
    seen = np.zeros((height, width), np.uint8)
    count, arc = 0, 0
    for index in range(cut + ring):
        is_cut = index < cut
        y, x, way = cuts[index] if is_cut else rings[index - cut]
        if not is_cut and seen[y, x] >> way & 1:
            continue
        arcs[arc, REGION] = number[y + _AHEAD_Y[way], x + _AHEAD_X[way]]
        arcs[arc, FROM] = ((y + row0) * points + x + col0) * 4 + way if is_cut else NO_STEP
        arcs[arc, FIRST] = count
        count, arcs[arc, NEXT], arcs[arc, ACROSS], arcs[arc, AREA] = _follow(
            classes, number, name, seen, vertices, count, y, x, way, row0, col0, points
        )
        arcs[arc, LAST] = count
        # A first step that leaves the window is the first one of an arc of the next block.
        arc += not is_cut or arcs[arc, NEXT] != arcs[arc, FROM] or arcs[arc, ACROSS] != NO_STEP
    return vertices[:count], arcs[:arc]


def trace(
    classes: NDArray[np.uint8], number: NDArray[np.int32], name: NDArray[np.int64], origin: tuple[int, int], cols: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Outlines of all regions at the inner lattice points of a window.

    Args:
        classes: Class per pixel (h, w); ``NO_CLASS`` has no outline.
        number: Region number per pixel (h, w), equal within a 4-connected region of this window.
        name: Per region number what tells pieces of one region from others: negative for a region that lies in the
            window as a whole; where two others differ, they may still be one.
        origin: Row and column in the mosaic of the lattice point 1, 1 of the window.
        cols: Columns of the mosaic.

    Returns:
        Vertices (n, 2) int32, x and y in the mosaic; and arcs (m, ``ARC_COLUMNS``) int64 of which a closed one (``FROM`` is
        ``NO_STEP``) is a whole ring.
    """
    row0, col0 = origin
    found: tuple[NDArray[np.int32], NDArray[np.int64]] = _trace(classes, number, name, row0 - 1, col0 - 1, cols + 1)
    return found
