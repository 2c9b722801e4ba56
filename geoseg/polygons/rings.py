"""Polygons as flat arrays: their rings, put together from arcs in the order and direction of GEOS's normal form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.compiled import compiled
from geoseg.polygons.runs import run_starts
from geoseg.polygons.tracing import ACROSS, ARC_COLUMNS, AREA, FIRST, FROM, LAST, NEXT, NO_STEP, REGION

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """Polygons of one batch.

    Attributes:
        vertices: x and y (n, 2), int32 or float64; each ring ends with its first vertex.
        ring_offsets: Where each ring begins in ``vertices``, and the end of the last; int64.
        polygon_offsets: Where each polygon begins in ``ring_offsets``, shell first, and the end of the last; int64.
    """

    vertices: NDArray[Any]
    ring_offsets: Int64
    polygon_offsets: Int64

    def __len__(self) -> int:
        return len(self.polygon_offsets) - 1

    @classmethod
    def of(cls, geometry: NDArray[np.object_]) -> Self:
        """Those of shapely polygons."""
        _, vertices, (ring_offsets, polygon_offsets) = shapely.to_ragged_array(geometry)
        return cls(vertices, ring_offsets.astype(np.int64), polygon_offsets.astype(np.int64))

    def geometry(self) -> NDArray[np.object_]:
        """As shapely polygons."""
        offsets = self.ring_offsets, self.polygon_offsets
        vertices = self.vertices.astype(np.float64)
        return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, vertices, offsets), dtype=object)

    @classmethod
    def concatenate(cls, parts: Sequence[Polygons]) -> Self:
        """All polygons of several parts (at least one)."""
        rings = [part.ring_offsets[1:] + shift for part, shift in _shifted(parts, lambda part: len(part.vertices))]
        polygons = [
            part.polygon_offsets[1:] + shift for part, shift in _shifted(parts, lambda part: len(part.ring_offsets) - 1)
        ]
        zero = np.zeros(1, np.int64)
        vertices = np.concatenate([part.vertices for part in parts])
        return cls(vertices, np.concatenate([zero, *rings]), np.concatenate([zero, *polygons]))

    def take(self, index: Int64) -> Self:
        """The polygons at an integer index."""
        rings, polygon_offsets = _gathered(self.polygon_offsets, index)
        vertices, ring_offsets = _gathered(self.ring_offsets, rings)
        return type(self)(self.vertices[vertices], ring_offsets, polygon_offsets)


@dataclass(frozen=True, slots=True, eq=False)
class Arcs:
    """Parts of outlines, some of them whole rings.

    Attributes:
        vertices: x and y of the vertices (n, 2), int32.
        table: A row per arc (m, ``ARC_COLUMNS``), int64; see the columns in ``tracing``.
    """

    vertices: Int32
    table: Int64

    def __len__(self) -> int:
        return len(self.table)

    @property
    def region(self) -> Int64:
        """Number of the region, per arc."""
        return self.table[:, REGION]

    @property
    def lengths(self) -> Int64:
        """Number of vertices, per arc."""
        return self.table[:, LAST] - self.table[:, FIRST]

    @classmethod
    def none(cls) -> Self:
        """No arcs."""
        return cls(np.empty((0, 2), np.int32), np.empty((0, ARC_COLUMNS), np.int64))

    def take(self, index: Int64) -> Self:
        """The arcs at an index; the vertices of all others stay where they are, see ``compact``."""
        return type(self)(self.vertices, self.table[index])

    def compact(self) -> Self:
        """Without vertices that belong to no arc."""
        table = self.table.copy()
        table[:, LAST] = np.cumsum(self.lengths)
        table[:, FIRST] = table[:, LAST] - self.lengths
        return type(self)(_runs(self.vertices, self.table), table)

    def renamed(self, name: Int64) -> Self:
        """With another number for each region."""
        table = self.table.copy()
        table[:, REGION] = name[self.region]
        return type(self)(self.vertices, table)

    @classmethod
    def concatenate(cls, parts: Sequence[Arcs]) -> Self:
        """All arcs of several parts (at least one)."""
        table = np.concatenate([part.table for part in parts])
        shift = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
        table[:, FIRST : LAST + 1] += np.repeat(shift, [len(part) for part in parts])[:, None]
        return cls(np.concatenate([part.vertices for part in parts]), table)


def put_together(arcs: Arcs, order: Int64) -> tuple[Polygons, Int64]:
    """The polygons of regions whose arcs are all known.

    Args:
        arcs: Every arc of every region, in any order; at least one region.
        order: By region number; polygons of smaller ones come first, no two are alike.

    Returns:
        The polygons, normalised, and the region of each.
    """
    rings, sequence = _walk(arcs.vertices, arcs.table, _following(arcs.table))
    region, area, x, y, size = rings[:, [0, 1, 2, 3, 8]].T
    # In GEOS's normal form holes with more vertices come first, then those that begin further to the right.
    in_order = np.lexsort((-y, -x, -size, area > 0, order[region]))
    region = region[in_order]
    starts = run_starts(region)
    vertices, ring_offsets = _copy(arcs.vertices, arcs.table, rings, sequence, in_order)
    return Polygons(vertices, ring_offsets, np.append(starts, region.size)), region[starts]


def _following(table: Int64) -> Int64:
    """The arc that follows each, itself for a closed one."""
    result = np.arange(len(table))
    is_open = np.flatnonzero(table[:, FROM] != NO_STEP)
    if is_open.size:
        by_step = is_open[np.argsort(table[is_open, FROM])]
        steps = table[by_step, FROM]
        own = by_step[np.minimum(np.searchsorted(steps, table[is_open, NEXT]), steps.size - 1)]
        across = by_step[np.minimum(np.searchsorted(steps, table[is_open, ACROSS]), steps.size - 1)]
        crosses = table[across, FROM] == table[is_open, ACROSS]
        crosses &= table[across, REGION] == table[is_open, REGION]
        result[is_open] = np.where(crosses, across, own)
    return result


def _shifted(parts: Sequence[Polygons], size: Callable[[Polygons], int]) -> Iterator[tuple[Polygons, int]]:
    """Each part with the size of all before it."""
    shift = 0
    for part in parts:
        yield part, shift
        shift += size(part)


def _gathered(offsets: Int64, index: Int64) -> tuple[Int64, Int64]:
    """Indices of the parts of some runs, and the offsets of these runs when they follow each other."""
    lengths = offsets[index + 1] - offsets[index]
    result = np.concatenate([[0], np.cumsum(lengths)])
    return np.arange(result[-1]) + np.repeat(offsets[index] - result[:-1], lengths), result


@compiled("int32[:, ::1](int32[:, :], int64[:, :])")
def _runs(vertices: Int32, table: Int64) -> Int32:
    """The vertices of some arcs, one arc after the other."""
    size = 0
    for arc in range(len(table)):
        size += table[arc, LAST] - table[arc, FIRST]
    result = np.empty((size, 2), np.int32)
    at = 0
    for arc in range(len(table)):
        for vertex in range(table[arc, FIRST], table[arc, LAST]):
            result[at, 0], result[at, 1] = vertices[vertex, 0], vertices[vertex, 1]
            at += 1
    return result


# Columns of a ring: region, twice its area, x and y of its first vertex, where that one is (place in the sequence of arcs,
# and vertex), where the ring begins and ends in that sequence, and its vertices.
_RING_COLUMNS = 9


@compiled("Tuple((int64[:, ::1], int64[::1]))(int32[:, :], int64[:, :], int64[::1])")
def _walk(vertices: Int32, arcs: Int64, following: Int64) -> tuple[Int64, Int64]:
    """All rings, each with the leftmost of its vertices (the uppermost of these), and arcs in the order of their rings."""
    rings = np.empty((len(arcs), _RING_COLUMNS), np.int64)
    sequence = np.empty(len(arcs), np.int64)
    done = np.zeros(len(arcs), np.bool_)
    count, place = 0, 0
    for first in range(len(arcs)):
        if done[first]:
            continue
        begin, arc, area, size = place, first, 0, 0
        best_x, best_y, best_place, best = 2**62, 0, 0, 0
        while not done[arc]:
            done[arc] = True
            sequence[place] = arc
            area += arcs[arc, AREA]
            size += arcs[arc, LAST] - arcs[arc, FIRST]
            for vertex in range(arcs[arc, FIRST], arcs[arc, LAST]):
                x, y = int(vertices[vertex, 0]), int(vertices[vertex, 1])
                if x < best_x or (x == best_x and y < best_y):
                    best_x, best_y, best_place, best = x, y, place, vertex
            place += 1
            arc = following[arc]
        ring = rings[count]
        ring[0], ring[1], ring[2], ring[3], ring[4] = arcs[first, REGION], area, best_x, best_y, best_place
        ring[5], ring[6], ring[7], ring[8] = best, begin, place, size
        count += 1
    return rings[:count].copy(), sequence


@compiled("Tuple((int32[:, ::1], int64[::1]))(int32[:, :], int64[:, :], int64[:, ::1], int64[::1], int64[::1])")
def _copy(vertices: Int32, arcs: Int64, rings: Int64, sequence: Int64, order: Int64) -> tuple[Int32, Int64]:
    """Closed rings from their first vertex on, and where each begins."""
    offsets = np.empty(len(order) + 1, np.int64)
    offsets[0] = 0
    for index in range(len(order)):
        offsets[index + 1] = offsets[index] + rings[order[index], 8] + 1
    result = np.empty((offsets[-1], 2), np.int32)
    for index in range(len(order)):
        ring = rings[order[index]]
        at, place = offsets[index], ring[4]
        for turn in range(ring[7] - ring[6] + 1):
            arc = sequence[place]
            start = ring[5] if turn == 0 else arcs[arc, FIRST]
            stop = ring[5] if turn == ring[7] - ring[6] else arcs[arc, LAST]
            for vertex in range(start, stop):
                result[at, 0], result[at, 1] = vertices[vertex, 0], vertices[vertex, 1]
                at += 1
            place += 1
            if place == ring[7]:
                place = ring[6]
        result[at, 0], result[at, 1] = result[offsets[index], 0], result[offsets[index], 1]
    return result, offsets
