"""Regions that cross the 180th meridian.

There are three ways to write one: longitudes beyond 180, a ring whose longitudes jump from one side to the other, and
two parts that meet at 180. Here all become the third. A ring that runs round a pole gets the pole as its edge.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

Bounds = tuple[float, float, float, float]

_ON_SEAM = 1e-9  # degrees, a tenth of a millimetre


def split_bounds(bounds: Bounds) -> tuple[Bounds, ...]:
    """A box in degrees as one box, or as two where its west lies east of its east, across the 180th meridian."""
    west, south, east, north = bounds
    return (bounds,) if west <= east else ((west, south, 180.0, north), (-180.0, south, east, north))


def bounds_round_the_globe(geometry: shapely.Geometry) -> Bounds:
    """The narrowest box around a geometry in degrees (-180 to 180).

    Returns:
        West, south, east, north; west > east where the box crosses the 180th meridian, as in RFC 7946.
    """
    spans = sorted((west, east) for west, _, east, _ in shapely.bounds(shapely.get_parts(geometry)))
    _, south, _, north = geometry.bounds
    west, east = spans[0][0], spans[0][1]
    widest, after, before = 0.0, 0.0, 0.0
    for start, end in spans[1:]:
        if start - east > widest:
            widest, before, after = start - east, east, start
        east = max(east, end)
    if widest > west + 360 - east:
        return float(after), float(south), float(before), float(north)
    return float(west), float(south), float(east), float(north)


def flat(polygon: Polygon) -> tuple[Polygon, bool]:
    """A polygon in degrees with longitudes that run on where they jumped, and whether any jumped.

    Edges of more than 180 degrees are read as going the other, shorter way round; those of exactly 360 are a world
    map's. The longitudes of the result may lie outside -180 to 180.

    Raises:
        ValueError: If a hole runs round a pole.
    """
    shell, winds, jumps = _unwrapped(shapely.get_coordinates(polygon.exterior))
    if winds:
        pole = 90.0 if shell[:, 1].mean() > 0 else -90.0
        shell = np.vstack([shell, [(shell[-1, 0], pole), (shell[0, 0], pole), shell[0]]])
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = []
    for ring in polygon.interiors:
        hole, hole_winds, hole_jumps = _unwrapped(shapely.get_coordinates(ring))
        if hole_winds:
            raise ValueError("a hole that runs round a pole")
        jumps |= hole_jumps
        centre = (hole[:, 0].min() + hole[:, 0].max()) / 2
        moved = 360.0 * round((middle - centre) / 360)
        holes.append(hole + np.array([moved, 0.0]))
    return (Polygon(shell, holes), True) if jumps else (polygon, False)


def split(geometry: shapely.Geometry) -> shapely.Geometry:
    """A valid geometry with any longitudes as one within -180 to 180, cut where it crosses."""
    west, _, east, _ = geometry.bounds
    if west >= -180 and east <= 180:
        return geometry
    parts: list[shapely.Geometry] = []
    for turn in range(int((west + 180) // 360), int((east + 180) // 360) + 1):
        part = geometry.intersection(shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        parts.extend(p for p in shapely.get_parts(_turned(part, turn)) if isinstance(p, Polygon) and p.area > 0)
    union = shapely.union_all(parts)
    return MultiPolygon(parts) if len(parts) > 1 and union.area == sum(part.area for part in parts) else union


def on_globe(geometry: shapely.Geometry) -> shapely.Geometry:
    """Polygons in degrees, however they are written, as valid ones within -180 to 180: an outline that is no request."""
    parts = [flat(part)[0] for part in shapely.get_parts(geometry) if isinstance(part, Polygon)]
    return shapely.union_all([split(shapely.make_valid(part)) for part in parts])


def crosses(geometry: shapely.Geometry) -> bool:
    """Whether the outline of a polygon in degrees jumps over the 180th meridian, or lies on both sides of it."""
    west, _, east, _ = geometry.bounds
    return bool(
        west < -180 or east > 180 or any(flat(p)[1] for p in shapely.get_parts(geometry) if isinstance(p, Polygon))
    )


def _turned(geometry: shapely.Geometry, turn: int) -> shapely.Geometry:
    def moved(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        lon = xy[:, 0] - 360.0 * turn
        return np.column_stack((np.where(np.abs(np.abs(lon) - 180) < _ON_SEAM, np.sign(lon) * 180, lon), xy[:, 1]))

    return shapely.transform(geometry, moved)


def _unwrapped(ring: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool, bool]:
    """A closed ring with longitudes that run on; whether it runs round a pole; whether it jumped."""
    steps = np.diff(ring[:, 0])
    jump = (np.abs(steps) > 180) & (np.abs(steps) < 360)
    if not jump.any():
        return ring, False, False
    turns = np.concatenate([[0.0], np.cumsum(np.where(jump, -360.0 * np.sign(steps), 0.0))])
    return np.column_stack((ring[:, 0] + turns, ring[:, 1])), turns[-1] != 0, True
