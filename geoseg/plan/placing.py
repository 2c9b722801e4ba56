"""Geometries and rasters on the lattice; all dates of a square share one pixel grid, and are placed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS, geom
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geoseg.aoi import crosses, on_globe
from geoseg.grid import Lattice, Window, meets_seam, on_earth, outline_in_degrees
from geoseg.plan.checks import area_to_use
from geoseg.plan.region import box_of
from geoseg.scenes import Item

# Edges of a region are straight in longitude and latitude; this many degrees between points keeps them so on any grid.
DENSIFY_DEGREES = 0.01
# Rasters wider than this do not fit into every CRS.
_WIDE_DEGREES = 45.0
# A raster that is narrower, and lies so far from the antimeridian and the poles, reaches neither.
_NARROW_DEGREES, _INLAND_DEGREES, _TEMPERATE_DEGREES = 20.0, 150.0, 75.0
_EVERYWHERE = Window(-(10**9), -(10**9), 10**9, 10**9)


def grids_of(items: Iterable[Item]) -> list[GeoBox]:
    """The pixel grids of items, each once: all dates of a square share one, and are placed together."""
    return list(dict.fromkeys(_each_once(items)))


def _each_once(items: Iterable[Item]) -> Iterable[GeoBox]:
    """Pixel grids, each object once: to compare the CRS of a hundred thousand takes seconds."""
    return {id(item.geobox): item.geobox for item in items}.values()


def each_grid[T](items: Iterable[Item], made: Callable[[Item], T]) -> dict[str, T]:
    """Item key to what its pixel grid gives, which is made once for each grid."""
    known: dict[GeoBox, T] = {}
    same: dict[int, T] = {}
    found = {}
    for item in items:
        number = id(item.geobox)
        if number not in same:
            if item.geobox not in known:
                known[item.geobox] = made(item)
            same[number] = known[item.geobox]
        found[item.key] = same[number]
    return found


def to_pixels(geometry: shapely.Geometry, crs: CRS | str, lattice: Lattice, densify: float) -> shapely.Geometry:
    """A geometry in lattice pixels (x = column, y = row).

    Args:
        geometry: In ``crs``.
        crs: See ``geometry``.
        lattice: The grid.
        densify: Distance between added points on edges, in units of ``crs``.
    """
    longest = np.hypot(*np.diff(shapely.get_coordinates(geometry), axis=0).T).max(initial=0.0)
    placed, source = geometry, CRS(crs)
    if source != lattice.crs:
        if longest >= densify:
            placed = _with_points(placed, source, densify)
        to_map = source.transformer_to_crs(lattice.crs)
        placed = shapely.transform(placed, lambda xy: np.column_stack(to_map(xy[:, 0].copy(), xy[:, 1].copy())))
    a, b, c, d, e, f = (~(lattice.transform @ Affine.translation(lattice.anchor[1], lattice.anchor[0])))[:6]
    return shapely.transform(placed, lambda xy: xy @ np.array([[a, d], [b, e]]) + np.array([c, f]))


def _with_points(geometry: shapely.Geometry, crs: CRS, step: float) -> shapely.Geometry:
    """A geometry with points at most ``step`` apart."""
    if isinstance(geometry, shapely.MultiPolygon):
        return shapely.MultiPolygon([_with_points(part, crs, step) for part in geometry.geoms])
    if not isinstance(geometry, shapely.Polygon):
        return geom.Geometry(geometry, crs).segmented(step).geom
    shell, *holes = (
        _densified(shapely.get_coordinates(ring), step) for ring in (geometry.exterior, *geometry.interiors)
    )
    return shapely.Polygon(shell, holes)


def _densified(points: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """A line with points at most ``step`` apart, (point, 2): those that ``odc.geo`` puts there, all at once."""
    if len(points) < 2:
        return points
    edges = shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1))
    lengths = shapely.length(edges)
    along = np.cumsum(np.full(int(lengths.max() / step) + 2, step))  # one after the other, as rounding has it
    counts = np.searchsorted(along, lengths)
    counts[points[:-1, 0] ** 2 + points[1:, 0] ** 2 < step**2] = 0  # odc.geo takes these for short
    after = np.cumsum(counts + 1)  # where the edges end
    dense = np.empty((after[-1] + 1, 2))
    is_end = np.zeros(len(dense), dtype=bool)
    is_end[0] = is_end[after] = True
    dense[is_end] = points
    first = np.repeat(np.cumsum(counts) - counts, counts)
    far = along[np.arange(len(first)) - first]
    dense[~is_end] = shapely.get_coordinates(shapely.line_interpolate_point(np.repeat(edges, counts), far))
    return dense


def outline_of(geobox: GeoBox, lattice: Lattice) -> shapely.Geometry:
    """Where a raster lies, in lattice pixels."""
    window = lattice.window_of(geobox)
    if window is not None:
        return shapely.box(window.col0, window.row0, window.col1, window.row1)
    extent = on_earth(geobox).extent
    west, south, east, north = extent.boundingbox.bbox
    step = max(east - west, north - south) / 50
    if extent.crs is not None and extent.crs != lattice.crs and not is_inland(geobox):
        if meets_seam(geobox):
            return _outline_round(geobox, lattice)
        degrees = extent.to_crs("EPSG:4326", resolution=step).geom
        if crosses(degrees):  # a ring that jumps would lie all round the globe
            return to_pixels(on_globe(degrees), "EPSG:4326", lattice, DENSIFY_DEGREES)
    return to_pixels(extent.geom, extent.crs or lattice.crs, lattice, step)


def is_inland(geobox: GeoBox) -> bool:
    """Whether a raster plainly lies far from the 180th meridian and from the poles: then its outline is a simple one."""
    if geobox.crs is None or not geobox.crs.projected:
        return False
    rows, cols = geobox.shape
    row, col = (side.ravel() for side in np.meshgrid(np.linspace(0, rows, 5), np.linspace(0, cols, 5)))
    a, b, c, d, e, f = geobox.transform[:6]
    x, y = a * col + b * row + c, d * col + e * row + f
    lon, lat = _to_degrees(str(geobox.crs)).transform(x, y)
    near = np.isfinite(lon).all() and np.isfinite(lat).all() and float(np.ptp(lon)) < _NARROW_DEGREES
    return bool(near and np.abs(lon).max() < _INLAND_DEGREES and np.abs(lat).max() < _TEMPERATE_DEGREES)


@lru_cache(128)
def _to_degrees(crs: str) -> Transformer:
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)


def _outline_round(geobox: GeoBox, lattice: Lattice) -> shapely.Geometry:
    """The outline of a raster that meets the seam of its CRS: longitudes are counted on, as PROJ understands them.

    What is too wide for the CRS of the map to hold is cut to where that CRS is used.
    """
    degrees = outline_in_degrees(geobox)
    west, _, east, _ = degrees.bounds
    use = area_to_use(lattice.crs)
    if east - west > _WIDE_DEGREES and use is not None:
        part = degrees.intersection(use)
        degrees = degrees if part.is_empty else part
    pixels = to_pixels(degrees, "EPSG:4326", lattice, max(DENSIFY_DEGREES, (east - west) / 5000))
    if not all(math.isfinite(edge) for edge in pixels.bounds):
        return box_of(_EVERYWHERE)
    return pixels if pixels.is_valid else shapely.make_valid(pixels, method="structure")
