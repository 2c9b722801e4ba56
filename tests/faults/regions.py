"""Regions in tests, as GeoJSON, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shapely
from pyproj import Geod
from shapely.geometry import box, mapping

Ends = Callable[..., tuple[int, str]]
# Within the raster of ``world``, in degrees.
FIELD = box(15.004, 45.146, 15.010, 45.151)
BOX_TIE = [[15.004, 45.146], [15.010, 45.151], [15.010, 45.146], [15.004, 45.151], [15.004, 45.146]]


def refused(ends: Ends, aoi: object, *words: str, **more: Any) -> tuple[str, str, str]:
    """The three lines of a region that ends with 2."""
    status, err = ends(f"--aoi={aoi}", *words, **more)
    assert status == 2, err
    given, expected, todo = err.splitlines()
    return given, expected, todo


def feature(geometry: object, **more: object) -> dict[str, Any]:
    return {"type": "Feature", "properties": {}, "geometry": mapping(geometry) if geometry else None, **more}


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def polygon(*ring: object) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [list(ring)]}


def written(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def km2(geometry: shapely.Geometry) -> float:
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(shapely.orient_polygons(geometry))[0]) / 1e6
