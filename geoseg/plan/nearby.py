"""The part of a geometry that decides about a window: of a coast with a million points, the few edges near it.

An edge whose two ends lie on one outer side of the window crosses neither it nor a ray that counts: leaving out points
between two others on the same side changes no pixel of the window, and no number of the edges that cross it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.grid import Window

# Geometries of fewer points are taken whole; points so near to the window count as in it.
_MANY, _SPARE_PX = 256, 4


def shape_near(geometry: shapely.Geometry, window: Window) -> Any:
    """What `rasterize` takes for a window instead of a whole geometry; the pixels are the same.

    Args:
        geometry: Polygons in lattice pixels.
        window: Where pixels are asked for.

    Returns:
        The geometry itself where it is small, or a GeoJSON object; ``None`` where it goes round nothing of the window.
    """
    if shapely.get_num_coordinates(geometry) < _MANY:
        return geometry
    polygons = []
    for polygon in shapely.get_parts(geometry):
        if not isinstance(polygon, shapely.Polygon):
            continue
        rings = [_reduced(shapely.get_coordinates(ring), window) for ring in (polygon.exterior, *polygon.interiors)]
        polygons.append([ring for ring in rings if ring])
    around = [rings for rings in polygons if rings]
    return {"type": "MultiPolygon", "coordinates": around} if around else None


def _reduced(points: NDArray[np.float64], window: Window) -> list[list[float]]:
    """A ring with the same edges in and near a window; empty where it goes round nothing of it."""
    points = points[:-1]
    row0, col0 = window.row0 - _SPARE_PX, window.col0 - _SPARE_PX
    row1, col1 = window.row1 + _SPARE_PX, window.col1 + _SPARE_PX
    for axis, edge, sign in ((0, col0, -1), (0, col1, 1), (1, row0, -1), (1, row1, 1)):
        outside = (points[:, axis] - edge) * sign > 0
        # One side after the other: a path round a corner keeps a point on each side.
        points = points[~(outside & np.roll(outside, 1) & np.roll(outside, -1))]
        if len(points) < 3:  # no area
            return []
    ring: list[list[float]] = points.tolist()
    return [*ring, ring[0]]
