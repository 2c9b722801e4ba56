"""Outlined examples of what to find: a GeoJSON file in longitude and latitude, each polygon with the name of its class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import mapping, shape

from geoseg.errors import RequestError

_MOST, _MOST_BYTES = 1000, 8 * 2**20
_NAMES = ("prompt", "class", "name")


def read_examples(value: Any) -> dict[str, Any]:  # whatever a caller gives; a GeoJSON document comes back
    """Examples as a FeatureCollection of polygons with the one property ``prompt``.

    Args:
        value: Path of a GeoJSON file, or what is in it. The class of a feature is its property ``prompt``, ``class`` or
            ``name``; of a file without any, the file's name.

    Raises:
        RequestError: If it holds no polygons, or too many.
    """
    fallback = "example"
    if isinstance(value, str | Path):
        path, fallback = Path(value), Path(value).stem
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise _wrong(f"{path}, which is larger than {_MOST_BYTES >> 20} MiB")
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as err:
            raise _wrong(f"{path}: {err}") from err
    features = value.get("features", [value]) if isinstance(value, dict) else []
    found = [made for feature in features for made in _polygons(feature, fallback)]
    if not 0 < len(found) <= _MOST:
        raise _wrong(f"{len(found)} polygons")
    return {"type": "FeatureCollection", "features": found}


def _polygons(feature: Any, fallback: str) -> list[dict[str, Any]]:
    if not isinstance(feature, dict):
        return []
    geometry, facts = feature.get("geometry", feature), feature.get("properties") or {}
    name = next((str(facts[key]).strip() for key in _NAMES if str(facts.get(key) or "").strip()), fallback)
    name = name.partition(",")[0].strip() or fallback
    try:
        outline = shape(geometry)
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as err:
        raise _wrong(f"a geometry that cannot be read ({err})") from err
    west, south, east, north = outline.bounds if not outline.is_empty else (0.0, 0.0, 0.0, 0.0)
    if outline.geom_type not in {"Polygon", "MultiPolygon"} or not outline.is_valid or outline.is_empty:
        raise _wrong(f"a {outline.geom_type} that is no whole polygon")
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise _wrong(f"a polygon from {west:g}, {south:g} to {east:g}, {north:g}")
    parts = outline.geoms if outline.geom_type == "MultiPolygon" else [outline]
    return [
        {"type": "Feature", "properties": {"prompt": name}, "geometry": json.loads(json.dumps(mapping(part)))}
        for part in parts
    ]


def _wrong(given: str) -> RequestError:
    return RequestError(
        f"--example with {given}",
        f"GeoJSON with 1 to {_MOST} polygons in longitude and latitude, each with a property prompt",
        "outline a few objects, and save them as GeoJSON (EPSG:4326)",
    )
