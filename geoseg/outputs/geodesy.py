"""Positions and areas on the ellipsoid, for outlines and pixels that are given on a grid.

Straight lines of a grid are not straight on the ellipsoid, so long edges get vertices in between before they leave the
grid, as many as keep them within about a hundredth of a pixel of the true line.
"""

from __future__ import annotations

import itertools

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

type Geometries = NDArray[np.object_]

# An edge of L pixels of r metres bends by about L**2 * r * tan(latitude) / (8 * 6.4e6) pixels. L**2 * r = 250,000 keeps
# that at 0.005 tan(latitude).
_EDGE_PX2_M = 250_000.0
_MAX_EDGE_PX = 512.0
_SIDE_POINTS = 64


def to_grid(geometries: Geometries, transform: Affine) -> Geometries:
    """Pixel coordinates (x = column, y = row) to the grid's CRS.

    The arithmetic is GDAL's, so that the corners of equal pixels are equal to the last bit wherever they come from.
    """
    moved: Geometries = shapely.transform(geometries, lambda xy: _apply(transform, xy))
    return moved


def _apply(transform: Affine, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c, d, e, f = tuple(transform)[:6]
    col, row = xy[:, 0], xy[:, 1]
    return np.column_stack((c + col * a + row * b, f + col * d + row * e))


class Geodesy:
    """Longitudes, latitudes and true areas of what lies on one grid.

    Args:
        crs: CRS of the grid.
        transform: From (column, row) to the CRS.
    """

    def __init__(self, crs: CRS, transform: Affine) -> None:
        self._transform = transform
        self._to_lonlat = Transformer.from_crs(crs.proj, 4326, always_xy=True)
        self._geod: Geod = crs.proj.get_geod() or Geod(ellps="WGS84")
        pixel_m = max(self.distance_m((0, 0), (1, 0)), 1e-6)
        self._edge_px = float(np.clip(np.sqrt(_EDGE_PX2_M / pixel_m), 1.0, _MAX_EDGE_PX))

    def lonlat(self, geometries: Geometries) -> Geometries:
        """Polygons in pixel coordinates to polygons in degrees (WGS 84), with vertices added along long edges.

        Longitudes of a polygon that crosses the antimeridian jump from 180 to -180.
        """
        moved: Geometries = shapely.transform(
            to_grid(shapely.segmentize(geometries, self._edge_px), self._transform), self._vertices
        )
        return moved

    def points(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (column, row), float64 of shape (point, 2), to longitude and latitude in degrees."""
        return self._vertices(_apply(self._transform, xy))

    def areas_m2(self, lonlat: Geometries) -> NDArray[np.float64]:
        """Geodesic areas, in square metres, of polygons in degrees; holes are taken off."""
        if len(lonlat) == 0:
            return np.zeros(0)
        kind, vertices, offsets = shapely.to_ragged_array(lonlat)
        if kind is not shapely.GeometryType.POLYGON:
            raise ValueError(f"areas are of polygons, not of {kind}")
        rings, polygons = offsets
        lon, lat = np.ascontiguousarray(vertices[:, 0]), np.ascontiguousarray(vertices[:, 1])
        area = self._geod.polygon_area_perimeter
        of_ring = np.fromiter(
            (abs(area(lon[i:j], lat[i:j])[0]) for i, j in itertools.pairwise(rings)),
            float,
            len(rings) - 1,
        )
        shells = np.asarray(polygons[:-1])
        areas: NDArray[np.float64] = 2 * of_ring[shells] - np.add.reduceat(of_ring, shells)  # shell less holes
        return areas

    def pixel_area_m2(self, rows: slice, cols: slice) -> float:
        """Mean geodesic area of a pixel of a window, in square metres."""
        box = np.array([shapely.box(cols.start, rows.start, cols.stop, rows.stop)], dtype=object)
        area_m2 = float(self.areas_m2(self.lonlat(box))[0])
        return area_m2 / int((rows.stop - rows.start) * (cols.stop - cols.start))

    def distance_m(self, start: tuple[float, float], end: tuple[float, float]) -> float:
        """Geodesic distance in metres between two points (column, row)."""
        (lon0, lat0), (lon1, lat1) = self.points(np.array([start, end], float))
        return float(self._geod.inv([lon0], [lat0], [lon1], [lat1])[2][0])

    def north(self, at: tuple[float, float]) -> tuple[float, float]:
        """Unit vector (column, row) that points to true north from a point (column, row)."""
        lon, lat = self.points(np.array([at], float))[0]
        step = 1e-4 if lat < 89 else -1e-4
        ends = self._to_lonlat.transform([lon, lon], [lat, lat + step], direction="INVERSE")
        pixels = _apply(~self._transform, np.column_stack(ends))
        vector = (pixels[1] - pixels[0]) * np.sign(step)
        col, row = vector / np.hypot(*vector)
        return float(col), float(row)

    def _vertices(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(self._to_lonlat.transform(xy[:, 0], xy[:, 1]))


def cut_at_antimeridian(lonlat: Geometries) -> Geometries:
    """Polygons in degrees, those that cross the antimeridian cut there into multipolygons, as RFC 7946 asks."""
    bounds = shapely.bounds(lonlat)
    crossing = bounds[:, 2] - bounds[:, 0] > 180 if len(lonlat) else np.zeros(0, bool)
    if not crossing.any():
        return lonlat
    whole = lonlat.copy()
    whole[crossing] = [_cut(polygon) for polygon in lonlat[crossing]]
    return whole


def _cut(polygon: shapely.Polygon) -> shapely.MultiPolygon:
    east = shapely.transform(polygon, lambda xy: np.column_stack((xy[:, 0] % 360, xy[:, 1])))
    west_part = shapely.transform(
        shapely.intersection(east, shapely.box(180, -90, 360, 90)), lambda xy: xy - np.array([360.0, 0.0])
    )
    parts = _polygons(shapely.intersection(east, shapely.box(0, -90, 180, 90))) + _polygons(west_part)
    return shapely.MultiPolygon(parts)


def _polygons(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    return [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]


def footprint(geobox: GeoBox) -> shapely.Polygon | shapely.MultiPolygon | None:
    """Outline of a raster in degrees, cut at the antimeridian; ``None`` without a CRS."""
    if geobox.crs is None:
        return None
    rows, cols = geobox.shape
    frame = shapely.segmentize(shapely.box(0, 0, cols, rows), max(rows, cols) / _SIDE_POINTS)
    outline = Geodesy(geobox.crs, geobox.transform).points(shapely.get_coordinates(frame))
    cut = cut_at_antimeridian(np.array([shapely.Polygon(outline)], dtype=object))
    return shapely.orient_polygons(cut[0])
