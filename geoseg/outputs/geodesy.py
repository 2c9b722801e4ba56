"""Positions and areas on the ellipsoid, for outlines and pixels that are given on a grid.

Straight lines of a grid are not straight on the ellipsoid, so long edges get vertices in between before they leave the
grid, as many as keep them within a thousandth of a pixel or so of the true line.

Areas are taken in the cylindrical equal-area projection of the grid's own ellipsoid, which is exact for the outline it
is given and takes all vertices in one call; measuring rings along geodesics gives the same to a few parts in a million
and takes several times as long. Rings that the projection would tear apart are measured along geodesics.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from geoseg.grid import poles_of, round_of

type Geometries = NDArray[np.object_]

# An edge of L pixels of r metres bends by about L**2 * r * tan(latitude) / (8 * 6.4e6) pixels. L**2 * r = 25,000 keeps
# that at 0.0005 tan(latitude).
_EDGE_PX2_M = 25_000.0
_MAX_EDGE_PX = 512.0
_SIDE_POINTS = 64
_HALF_WAY_ROUND_M = 20_000_000.0
_PARTS = 8
_POLE_DEGREES = 1e-7


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

    Attributes:
        pixel_m: Width of the first pixel, in metres.
        edge_px: Longer edges get vertices in between, in pixels.
    """

    def __init__(self, crs: CRS, transform: Affine) -> None:
        self._transform = transform
        self._around = round_of(crs)
        self._poles = poles_of(crs)
        self._to_lonlat = Transformer.from_crs(crs.proj, 4326, always_xy=True)
        self._geod: Geod = crs.proj.get_geod() or Geod(ellps="WGS84")
        self.pixel_m = max(self.distance_m((0, 0), (1, 0)), 1e-6)
        self.edge_px = float(np.clip(np.sqrt(_EDGE_PX2_M / self.pixel_m), 1.0, _MAX_EDGE_PX))
        middle = float(self.points(np.zeros((1, 2)))[0, 0])
        equal_area = f"+proj=cea +lon_0={middle!r} +a={self._geod.a!r} +b={self._geod.b!r} +units=m +type=crs"
        self._to_equal_area = Transformer.from_crs(crs.proj, equal_area, always_xy=True)

    def lonlat(self, geometries: Geometries) -> Geometries:
        """Polygons in pixel coordinates to polygons in degrees (WGS 84), with vertices added along long edges.

        Longitudes of a polygon that crosses the antimeridian jump from 180 to -180.
        """
        moved: Geometries = shapely.transform(_moved(self._on_grid(geometries), self._to_lonlat), _within_180)
        return moved

    def points(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (column, row), float64 of shape (point, 2), to longitude and latitude in degrees."""
        x, y = self._on_earth(_apply(self._transform, xy)).T
        return _within_180(np.column_stack(self._to_lonlat.transform(x, y)))

    def areas_m2(self, geometries: Geometries) -> NDArray[np.float64]:
        """True areas, in square metres, of polygons in pixel coordinates; holes are taken off."""
        on_grid = self._on_grid(geometries)
        if self._around is not None:  # such a grid goes on where longitudes jump
            return np.asarray(shapely.area(shapely.transform(on_grid, self._unrolled)), float)
        flat = _moved(on_grid, self._to_equal_area)
        areas: NDArray[np.float64] = np.asarray(shapely.area(flat), float)
        bounds = shapely.bounds(flat)
        torn = bounds[:, 2] - bounds[:, 0] > _HALF_WAY_ROUND_M
        for index in np.flatnonzero(torn):
            parts = _moved(self._on_grid(_in_columns(geometries[index])), self._to_lonlat)
            areas[index] = sum(
                abs(self._geod.geometry_area_perimeter(part)[0]) for part in shapely.orient_polygons(parts)
            )
        return areas

    def flat(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (column, row), float64 of shape (point, 2), to metres in an equal-area projection."""
        on_grid = self._on_earth(_apply(self._transform, xy))
        if self._around is not None:
            return self._unrolled(on_grid)
        return np.column_stack(self._to_equal_area.transform(on_grid[:, 0], on_grid[:, 1]))

    def _unrolled(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of a grid in which longitude is a length, in its equal-area projection; nothing jumps."""
        assert self._around is not None  # noqa: S101  # as the caller knows
        middle, turn = self._around
        north = self._to_equal_area.transform(np.full(len(xy), middle), xy[:, 1])[1]
        return np.column_stack((xy[:, 0] * (2 * np.pi * self._geod.a / turn), north))

    def pixel_area_m2(self, rows: slice, cols: slice) -> float:
        """Mean true area of a pixel of a window, in square metres."""
        return float(self.pixel_areas_m2([(rows, cols)])[0])

    def pixel_areas_m2(self, windows: Sequence[tuple[slice, slice]]) -> NDArray[np.float64]:
        """The same for many windows (rows, columns) at once."""
        sides = np.array([(r.start, r.stop, c.start, c.stop) for r, c in windows], dtype=np.int64).reshape(-1, 4)
        row0, row1, col0, col1 = sides.T
        boxes: Geometries = shapely.box(col0, row0, col1, row1)
        areas: NDArray[np.float64] = self.areas_m2(boxes) / ((row1 - row0) * (col1 - col0))
        return areas

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

    def _on_grid(self, geometries: Geometries) -> Geometries:
        """In the grid's CRS, with vertices added along long edges (few polygons have any)."""
        bounds = shapely.bounds(geometries).reshape(-1, 4)
        long = (bounds[:, 2:] - bounds[:, :2]).max(axis=1) > self.edge_px if len(bounds) else np.zeros(0, bool)
        if long.any():
            geometries = geometries.copy()
            geometries[long] = shapely.segmentize(geometries[long], self.edge_px)
        moved: Geometries = shapely.transform(to_grid(geometries, self._transform), self._on_earth)
        return moved

    def _on_earth(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack((xy[:, 0], np.clip(xy[:, 1], *self._poles)))


def _within_180(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes of grids in degrees that go on past 180, as such between -180 and 180."""
    beyond = np.abs(lonlat[:, 0]) > 180
    if beyond.any():
        lonlat = lonlat.copy()
        lonlat[beyond, 0] = (lonlat[beyond, 0] + 180) % 360 - 180
    return lonlat


def area_m2(geobox: GeoBox) -> float:
    """True area of a grid, in square metres.

    Raises:
        ValueError: If it has no CRS.
    """
    if geobox.crs is None:
        raise ValueError("plain pixels have no area in metres")
    rows, cols = (np.linspace(0, side, min(side, _PARTS) + 1) for side in geobox.shape)
    boxes = [shapely.box(w, n, e, s) for n, s in pairwise(rows) for w, e in pairwise(cols)]
    return float(Geodesy(geobox.crs, geobox.transform).areas_m2(np.array(boxes, dtype=object)).sum())


def _moved(geometries: Geometries, transformer: Transformer) -> Geometries:
    moved: Geometries = shapely.transform(
        geometries, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
    )
    return moved


def cut_at_antimeridian(lonlat: Geometries) -> Geometries:
    """Polygons in degrees, those that cross the antimeridian cut there into multipolygons, as RFC 7946 asks.

    Vertices must lie closer than half a turn, as those of ``Geodesy.lonlat`` do. A polygon around a pole reaches up to
    it: its ring goes once round the Earth, then along the antimeridian to the pole and back.
    """
    bounds = shapely.bounds(lonlat)
    crossing = bounds[:, 2] - bounds[:, 0] > 180 if len(lonlat) else np.zeros(0, bool)
    if not crossing.any():
        return lonlat
    whole = lonlat.copy()
    whole[crossing] = [_cut(polygon) for polygon in lonlat[crossing]]
    return whole


def _cut(polygon: shapely.Polygon) -> shapely.Polygon | shapely.MultiPolygon:
    shell = _unrolled(shapely.get_coordinates(polygon.exterior))
    west, east = shell[:, 0].min(), shell[:, 0].max()
    inside, across = [], []
    for ring in polygon.interiors:
        hole = _unrolled(shapely.get_coordinates(ring))
        low, high = hole[:, 0].min(), hole[:, 0].max()
        placed = [hole + np.array([t, 0.0]) for t in (-360.0, 0.0, 360.0) if high + t > west and low + t < east]
        if len(placed) == 1 and west < placed[0][:, 0].min() and placed[0][:, 0].max() < east:
            inside += placed
        else:  # over the line along which a ring around the Earth was opened: few, each taken off by itself
            across += [_valid(shapely.Polygon(part)) for part in placed]
    area = _valid(shapely.Polygon(shell, inside))
    if across:
        area = shapely.difference(area, shapely.union_all(across))
    parts = []
    for turn in (-1, 0, 1):
        strip = shapely.intersection(area, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        parts += _polygons(shapely.transform(strip, lambda xy, turn=turn: xy - np.array([360.0 * turn, 0.0])))
    # Joined, for a polygon that goes once round the Earth meets itself.
    whole = _polygons(shapely.union_all(parts))
    return whole[0] if len(whole) == 1 else shapely.MultiPolygon(whole)


def _unrolled(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed ring whose longitudes go on past 180 instead of jumping; one around a pole is led to it and back."""
    at_pole = np.abs(ring[:-1, 1]) > 90 - _POLE_DEGREES
    # A corner at a pole has no longitude: it is reached and left along a meridian. An edge there, of a grid in degrees,
    # has its own.
    corners = np.flatnonzero(at_pole & ~np.roll(at_pole, 1) & ~np.roll(at_pole, -1))
    if len(corners):
        ring = ring[:-1].copy()
        after = np.roll(ring, -1, 0)[corners, 0]
        ring[corners, 0] = np.roll(ring, 1, 0)[corners, 0]
        ring = np.insert(ring, corners + 1, np.column_stack((after, ring[corners, 1])), axis=0)
        ring = np.vstack((ring, ring[:1]))
    ring = np.column_stack((np.unwrap(ring[:, 0], period=360.0), ring[:, 1]))
    if abs(ring[-1, 0] - ring[0, 0]) > 180:
        pole = float(np.copysign(90.0, ring[:, 1].mean()))
        ring = np.vstack((ring, [(ring[-1, 0], pole), (ring[0, 0], pole), ring[0]]))
    turns = np.round((ring[:, 0].min() + ring[:, 0].max()) / 720)
    unrolled: NDArray[np.float64] = ring - np.array([360.0 * turns, 0.0])
    return unrolled


def _in_columns(polygon: shapely.Polygon) -> Geometries:
    """A polygon cut into columns: the ring of a wide one may go so far round the Earth that its inside is not known."""
    west, south, east, north = polygon.bounds
    edges = pairwise(np.linspace(west, east, _PARTS + 1))
    strips = [shapely.intersection(polygon, shapely.box(left, south, right, north)) for left, right in edges]
    return np.array([part for strip in strips for part in _polygons(strip)], dtype=object)


def _valid(polygon: shapely.Polygon) -> shapely.Geometry:
    return polygon if shapely.is_valid(polygon) else shapely.make_valid(polygon)


def _polygons(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]


def footprint(geobox: GeoBox) -> shapely.Polygon | shapely.MultiPolygon | None:
    """Outline of a raster in degrees, cut at the antimeridian; ``None`` without a CRS."""
    if geobox.crs is None:
        return None
    rows, cols = geobox.shape
    frame = shapely.segmentize(shapely.box(0, 0, cols, rows), max(rows, cols) / _SIDE_POINTS)
    outline = Geodesy(geobox.crs, geobox.transform).points(shapely.get_coordinates(frame))
    cut = cut_at_antimeridian(np.array([shapely.Polygon(outline)], dtype=object))
    return shapely.orient_polygons(cut[0])
