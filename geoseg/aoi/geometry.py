"""What is done to the polygons of a feature: refused where they are no place, repaired where little is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod
from shapely.geometry import LinearRing, MultiPolygon, Polygon

from geoseg.aoi.antimeridian import flat, split
from geoseg.errors import InvalidAOIError

_MAX_REPAIR_CHANGE = 0.01
_WGS84 = Geod(ellps="WGS84")
_EDGE_DEGREES = 0.5


def area_km2(geometry: shapely.Geometry) -> float:
    """Area on WGS 84 of polygons in degrees, edges straight in longitude and latitude.

    Of rings that cross themselves, what is left of both signs. Edges as geodesics, which pyproj measures, would give a
    box round the globe no area.
    """
    return sum(_ring_m2(p.exterior) - sum(map(_ring_m2, p.interiors)) for p in shapely.get_parts(geometry)) / 1e6


def _ring_m2(ring: LinearRing) -> float:
    # Vertices are added to the ring: GEOS repairs polygons to which it adds any.
    xy = _equal_area(shapely.get_coordinates(shapely.segmentize(ring, _EDGE_DEGREES)))
    return float(Polygon(xy).area)


def _equal_area(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cylindrical equal-area projection of the ellipsoid, in metres; longitudes may run on beyond 180."""
    e, sine = math.sqrt(_WGS84.es), np.sin(np.radians(lonlat[:, 1]))
    q = (1 - e**2) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)
    return np.column_stack((_WGS84.a * np.radians(lonlat[:, 0]), _WGS84.a * q / 2))


def check_range(polygons: Sequence[Polygon], where: str) -> None:
    """Refuse positions that are none, with the first one and a guess at what it is instead.

    Raises:
        InvalidAOIError: Unless longitudes are within -360 to 360 and latitudes within -90 to 90.
    """
    xy = shapely.get_coordinates(np.array(polygons, dtype=object))
    right = np.isfinite(xy).all(axis=1) & (np.abs(xy[:, 0]) <= 360) & (np.abs(xy[:, 1]) <= 90)
    if right.all():
        return
    x, y = xy[(~right).argmax()]
    raise InvalidAOIError(
        f"{where} with the position ({x:g}, {y:g})",
        "longitude -180 to 180 and latitude -90 to 90, in that order",
        _cause(x, y),
    )


def _cause(x: float, y: float) -> str:
    if not (np.isfinite(x) and np.isfinite(y)):
        return "export the region again; a position must be two finite numbers"
    if abs(x) <= 90 < abs(y) <= 360:
        return "latitude and longitude seem to be swapped: swap them"
    if abs(x) > 360 and abs(y) <= 1e8:
        return "these seem to be metres of a projected CRS: reproject to EPSG:4326, or use a file that states its CRS"
    return "check the coordinates, swap them, or reproject to EPSG:4326"


def repaired(
    polygons: Sequence[Polygon], name: str, where: str, warnings: list[str], *, unclosed: bool
) -> Polygon | MultiPolygon:
    """Polygons of a feature in one form: valid, within -180 to 180, counter-clockwise, each vertex once.

    Args:
        polygons: In degrees.
        name: Of the feature.
        where: How messages call the region.
        warnings: What was repaired is added here, with the area before and after.
        unclosed: Whether a ring had to be closed.

    Raises:
        InvalidAOIError: If a repair would change the area by more than a hundredth, or nothing has an area.
    """
    try:
        flattened = [flat(polygon) for polygon in polygons]
    except ValueError as err:
        raise InvalidAOIError(
            f"{where}, feature {name} with {err}", "outlines that run round a pole without one", "split the region"
        ) from err
    whole = _one([polygon for polygon, _ in flattened])
    west, south, east, north = whole.bounds
    if east - west > 360:
        raise InvalidAOIError(
            f"{where}, feature {name} of {east - west:g} degrees of longitude", "at most 360", "check the coordinates"
        )
    clean = _valid(whole, name, where, warnings, unclosed=unclosed)
    there = split(clean)
    if any(jumps for _, jumps in flattened):
        warnings.append(
            f"AOI feature {name} has edges of more than 180 degrees, and was read the short way, across the 180th "
            f"meridian: longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to {north:.4f}"
        )
    normal = shapely.orient_polygons(shapely.normalize(there))
    assert isinstance(normal, Polygon | MultiPolygon)  # noqa: S101  # neither step makes anything else
    return normal


def _valid(
    whole: Polygon | MultiPolygon, name: str, where: str, warnings: list[str], *, unclosed: bool
) -> shapely.Geometry:
    once = shapely.remove_repeated_points(whole, 0)
    causes = ["a ring was not closed"] if unclosed else []
    if shapely.get_num_coordinates(once) < shapely.get_num_coordinates(whole):
        causes.append("repeated vertices")
    fixed: shapely.Geometry = once
    if not once.is_valid:
        causes.append(shapely.is_valid_reason(once))
        made = shapely.make_valid(once, method="structure", keep_collapsed=False)
        areal = [part for part in shapely.get_parts(made) if isinstance(part, Polygon)]
        fixed = _one(areal) if areal else Polygon()
    before = area_km2(whole)
    after = area_km2(fixed) if causes else before
    if abs(after - before) > _MAX_REPAIR_CHANGE * max(before, after):
        raise InvalidAOIError(
            f"{where}, feature {name}: {causes[-1]}; a repair would change its area from {before:.7g} to {after:.7g} km2",
            "a polygon whose rings do not cross",
            "repair the geometry, in QGIS with 'Fix geometries'",
        )
    if after == 0:
        raise InvalidAOIError(
            f"{where}, feature {name} without an area", "a polygon with an area", "buffer it, or give a box"
        )
    if causes:
        warnings.append(
            f"AOI feature {name} was repaired ({'; '.join(causes)}): {before:.7g} km2 before, {after:.7g} km2 after"
        )
    return fixed


def _one(polygons: Sequence[Polygon]) -> Polygon | MultiPolygon:
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
