"""Simplification that keeps borders shared.

Neighbours share arcs between junctions. Each arc is simplified once, so no gap and no overlap appears. For that every
junction must be a vertex of every ring that passes it, also where it lies within a straight edge of one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import GeosegError, MemoryTooSmallError
from geoseg.polygons.regions import RegionBatch
from geoseg.polygons.rings import Polygons

Int64 = NDArray[np.int64]

# Peak memory of everything in here: from coverages of 0.27 to 3.2 million vertices, land cover as well as pixel noise
# (GEOS 3.14); the sum is 0 to 30 % above what was measured.
BYTES_PER_VERTEX = 150
BYTES_PER_REGION = 1600
BYTES_PER_JUNCTION = 2200

_BATCH = 65_536
"""Regions per batch that is handed out."""


def simplify(
    batches: Iterable[RegionBatch], shape: tuple[int, int], tolerance_px: float, max_bytes: int | None = None
) -> Iterator[RegionBatch]:
    """Regions with fewer vertices that still fit together: no gaps, no overlaps, all of them valid.

    Arcs between junctions are simplified with the Visvalingam-Whyatt algorithm, those towards failed, nodata and the
    outside of the mosaic like any others. No region and no hole vanishes: a small one ends as a triangle. All columns but
    ``geometry`` stay those of the region before. The result does not depend on the blocks (that of split regions does).

    All regions are in memory at once.

    Args:
        batches: All regions of the map, with integer corners.
        shape: Rows and columns of the mosaic.
        tolerance_px: Roughly the square root of the area, in pixels, of the triangles that are cut off. A corner of a
            single pixel has 0.5 square pixels, so little happens below 0.71. 0 changes nothing.
        max_bytes: Memory that may be used; ``None`` for no limit.

    Yields:
        Batches sorted by ``first_pixel``, also from one to the next.

    Raises:
        ValueError: If the tolerance is negative or not finite.
        MemoryTooSmallError: If the regions need more than ``max_bytes``; before anything was simplified.
        GeosegError: If a region came out empty or invalid; nothing is handed out then.
    """
    if not (np.isfinite(tolerance_px) and tolerance_px >= 0):
        raise ValueError(f"a tolerance is a finite number of pixels, not {tolerance_px}")
    if tolerance_px == 0:
        yield from batches
        return
    gathered = _gather(batches, max_bytes)
    if not gathered:
        return
    regions = RegionBatch.concatenate(gathered)
    del gathered
    matched = match_edges(regions.geometry, shape)
    vertices = len(regions.polygons.vertices)
    _check_memory(vertices, len(regions), int(shapely.get_num_coordinates(matched).sum()) - vertices, max_bytes)
    simplified = shapely.coverage_simplify(matched, tolerance_px)
    del matched
    _check(simplified)
    regions = replace(regions, polygons=Polygons.of(shapely.normalize(simplified)))
    for start in range(0, len(regions), _BATCH):
        yield regions.take(np.arange(start, min(start + _BATCH, len(regions))))


def match_edges(geometry: NDArray[np.object_], shape: tuple[int, int]) -> NDArray[np.object_]:
    """The same polygons, with a vertex wherever the vertex of another one lies within an edge.

    Args:
        geometry: Polygons with integer corners and edges along rows and columns.
        shape: Rows and columns of the mosaic.
    """
    _, coordinates, (ring_offsets, polygon_offsets) = shapely.to_ragged_array(geometry)
    x, y = coordinates.astype(np.int64).T
    along_row, row_rank = np.unique(y * (shape[1] + 1) + x, return_inverse=True)
    along_col, col_rank = np.unique(x * (shape[0] + 1) + y, return_inverse=True)
    horizontal = np.append(y[1:] == y[:-1], True)
    rank = np.where(horizontal, row_rank, col_rank)
    step = np.where(horizontal, np.append(row_rank[1:], 0), np.append(col_rank[1:], 0)) - rank
    step[ring_offsets[1:] - 1] = 1  # the closing vertex of a ring begins no edge, and is kept once
    times: Int64 = np.abs(step)
    starts = np.concatenate([[0], np.cumsum(times)])
    edge = np.repeat(np.arange(x.size), times)
    rank = rank[edge] + np.sign(step)[edge] * (np.arange(edge.size) - starts[edge])
    in_row = horizontal[edge]
    result = np.empty((edge.size, 2))
    result[in_row, 1], result[in_row, 0] = np.divmod(along_row[rank[in_row]], shape[1] + 1)
    result[~in_row, 0], result[~in_row, 1] = np.divmod(along_col[rank[~in_row]], shape[0] + 1)
    polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, result, (starts[ring_offsets], polygon_offsets))
    return np.asarray(polygons, dtype=object)


def _gather(batches: Iterable[RegionBatch], max_bytes: int | None) -> list[RegionBatch]:
    """All batches, as long as simplifying them fits into memory."""
    gathered, vertices, regions = [], 0, 0
    for batch in batches:
        gathered.append(batch)
        vertices += len(batch.polygons.vertices)
        regions += len(batch)
        _check_memory(vertices, regions, 0, max_bytes)
    return gathered


def _check_memory(vertices: int, regions: int, junctions: int, max_bytes: int | None) -> None:
    needed = vertices * BYTES_PER_VERTEX + regions * BYTES_PER_REGION + junctions * BYTES_PER_JUNCTION
    if max_bytes is not None and needed > max_bytes:
        raise MemoryTooSmallError(
            f"{max_bytes / 1e6:,.0f} MB for simplifying at least {regions:,} polygons with {vertices:,} vertices",
            f"at least {needed / 1e6:,.0f} MB, because neighbours are simplified together",
            "give more memory, raise the minimum area, or leave out the simplification",
        )


def _check(geometry: NDArray[np.object_]) -> None:
    lost = int(np.count_nonzero(shapely.is_empty(geometry) | ~shapely.is_valid(geometry)))
    if lost:
        raise GeosegError(
            f"{len(geometry):,} polygons, {lost:,} of which came out empty or invalid",
            "every polygon to survive its simplification",
            "use a smaller tolerance or none, and report the map that shows this",
        )
