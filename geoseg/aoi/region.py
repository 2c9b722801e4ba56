"""The region that is asked for: any polygon file, a bounding box or GeoJSON, as longitude and latitude.

Owns reading and refusing regions. Knows nothing of grids and scenes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import shapely
from pyproj import Geod
from shapely.geometry import MultiPolygon, Polygon, box, mapping, shape
from shapely.geometry.base import BaseGeometry

from geoseg.errors import InvalidAOIError

_GEOMETRY_TYPES = {
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
    "Point",
    "LineString",
    "MultiPoint",
    "MultiLineString",
}
_MAX_REPAIR_CHANGE = 0.01
_NOTES = "geoseg:notes"  # member of our own GeoJSON, so that what was noticed on reading reaches the report
_SPLIT = "a region that crosses the 180th meridian must be split there"


def box_in_words(bounds: Sequence[float]) -> str:
    """West, south, east, north in degrees, as people read them: a ten-thousandth of a degree is some ten metres."""

    def span(low: float, high: float, signs: str) -> str:
        return " to ".join(f"{abs(value):.4f} {signs[value >= 0]}" for value in (low, high))

    west, south, east, north = bounds
    return f"longitude {span(west, east, 'WE')}, latitude {span(south, north, 'SN')}"


@dataclass(frozen=True, slots=True)
class Feature:
    """One part of the region, with the name that tables show.

    Attributes:
        id: The feature's own id or name, else its place in the file.
        geometry: Polygon or MultiPolygon in EPSG:4326 (longitude, latitude).
    """

    id: str
    geometry: Polygon | MultiPolygon


@dataclass(frozen=True, slots=True)
class AOI:
    """Area of interest.

    Attributes:
        features: At least one, each with an area.
        warnings: What was repaired or left out, in plain words.
    """

    features: tuple[Feature, ...]
    warnings: tuple[str, ...] = ()

    @property
    def geometry(self) -> BaseGeometry:
        """Union of the features, EPSG:4326."""
        return shapely.union_all([feature.geometry for feature in self.features])

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""
        west, south, east, north = self.geometry.bounds
        return west, south, east, north

    @property
    def area_km2(self) -> float:
        """Geodesic area on WGS 84."""
        return abs(Geod(ellps="WGS84").geometry_area_perimeter(self.geometry)[0]) / 1e6

    def to_geojson(self) -> dict[str, Any]:
        """The region as a FeatureCollection, the form in which a ``JobSpec`` keeps it, warnings included."""
        features = [
            {"type": "Feature", "id": f.id, "properties": {}, "geometry": mapping(f.geometry)} for f in self.features
        ]
        notes = {_NOTES: list(self.warnings)} if self.warnings else {}
        return {"type": "FeatureCollection", "features": features, **notes}

    @classmethod
    def from_geojson(cls, document: Mapping[str, Any], where: str = "the AOI") -> Self:
        """Read a GeoJSON geometry, Feature or FeatureCollection in longitude and latitude.

        Raises:
            InvalidAOIError: If there is no polygon in it, or a coordinate is no position on Earth.
        """
        parts, warnings = _features_of(document, where), [str(note) for note in document.get(_NOTES) or ()]
        polygons = [(name, g) for name, g in parts if g is not None and g.geom_type in {"Polygon", "MultiPolygon"}]
        if not polygons:
            kinds = sorted({"null" if g is None else g.geom_type for _, g in parts}) or ["no feature"]
            raise InvalidAOIError(
                f"{where} with {len(parts)} feature(s): {', '.join(kinds)}",
                "at least one Polygon or MultiPolygon",
                "buffer points and lines to an area, or give a box as --aoi WEST,SOUTH,EAST,NORTH",
            )
        if len(polygons) < len(parts):
            warnings.append(f"{len(parts) - len(polygons)} AOI feature(s) without an area were left out")
        features = []
        for name, (_, geometry) in zip(_distinct([name for name, _ in polygons]), polygons, strict=True):
            _check_range(geometry, where)
            if _jumps(geometry):
                warnings.append(f"AOI feature {name} has an edge of more than 180 degrees; {_SPLIT}")
            features.append(Feature(name, _repaired(geometry, name, where, warnings)))
        return cls(tuple(features), tuple(dict.fromkeys(warnings)))

    @classmethod
    def from_bbox(cls, text: str) -> Self:
        """Read ``WEST,SOUTH,EAST,NORTH`` in degrees.

        Raises:
            InvalidAOIError: If the four numbers do not make a box.
        """
        return cls.from_bounds(text.split(","), text)

    @classmethod
    def from_bounds(cls, bounds: Sequence[Any], text: str = "") -> Self:  # Any: numbers, or what should be some
        """A box from west, south, east and north in degrees; ``text`` is how messages call it.

        Raises:
            InvalidAOIError: If the four numbers do not make a box.
        """
        text = text or ",".join(str(number) for number in bounds)
        try:
            west, south, east, north = (float(part) for part in bounds)
        except (TypeError, ValueError) as err:
            raise InvalidAOIError(
                f"--aoi {text}",
                "an existing file, or WEST,SOUTH,EAST,NORTH in degrees",
                "check the path or the numbers",
            ) from err
        if not (west < east and south < north):
            raise InvalidAOIError(
                f"the box {text}",
                "west < east and south < north",
                f"swap the numbers; {_SPLIT}",
            )
        return cls.from_geojson(mapping(box(west, south, east, north)), f"the box {text}")

    @classmethod
    def read(cls, source: Any) -> Self:  # whatever a caller of the Python interface has
        """Read a region.

        Args:
            source: Vector file; box in words, or as four numbers; GeoJSON; shapely geometry in longitude and latitude;
                GeoDataFrame or GeoSeries with a CRS; anything else with a ``__geo_interface__``.

        Raises:
            InvalidAOIError: If it cannot be read or has no area.
        """
        if isinstance(source, Mapping):
            return cls.from_geojson(source)
        if isinstance(source, tuple | list | np.ndarray):
            return cls.from_bounds(list(source))
        if hasattr(source, "__geo_interface__"):
            return cls.from_geojson(_geo_interface(source))
        if isinstance(source, str | Path):
            return cls._read_words(source)
        raise InvalidAOIError(
            f"a region of type {type(source).__name__}",
            "a file, four numbers, GeoJSON, a shapely geometry or a GeoDataFrame",
            "turn it into one of these",
        )

    @classmethod
    def _read_words(cls, source: str | Path) -> Self:
        path = Path(source)
        if not path.exists() and str(source).count(",") == 3:  # four numbers have three commas
            return cls.from_bbox(str(source))
        problem = _file_problem(path)
        if problem is not None:
            raise InvalidAOIError(
                f"--aoi {path}: {problem}", "a vector file with polygons, or WEST,SOUTH,EAST,NORTH", "check the path"
            )
        if path.suffix.lower() in {".json", ".geojson"}:
            return cls.from_geojson(_load_json(path), str(path))
        return cls._read_vector(path)

    @classmethod
    def _read_vector(cls, path: Path) -> Self:
        import geopandas  # noqa: PLC0415  # half a second that GeoJSON users need not wait
        from pyogrio.errors import DataSourceError  # noqa: PLC0415

        try:
            frame = geopandas.read_file(path)
        except DataSourceError as err:
            raise InvalidAOIError(
                f"--aoi {path}: {err}", "a vector file that GDAL reads (GeoJSON, GeoPackage, …)", "convert the file"
            ) from err
        if not isinstance(frame, geopandas.GeoDataFrame):
            raise InvalidAOIError(f"--aoi {path} without geometries", "a vector file with polygons", "check the file")
        if frame.crs is None:
            raise InvalidAOIError(f"--aoi {path} without a CRS", "a file that declares its CRS", "assign one in QGIS")
        names = [name for name in ("id", "name") if name in frame]
        return cls.from_geojson(_geo_interface(frame[[*names, frame.geometry.name]]), str(path))


def _geo_interface(source: Any) -> Mapping[str, Any]:  # Any: a geometry or a table of any library
    """GeoJSON in longitude and latitude of whatever has a ``__geo_interface__``; tables must state their CRS."""
    if not hasattr(source, "to_crs"):
        return cast("Mapping[str, Any]", source.__geo_interface__)
    if source.crs is None:
        raise InvalidAOIError(
            f"a {type(source).__name__} without a CRS", "one that states its CRS", "give it one with set_crs"
        )
    document: dict[str, Any] = dict(source.to_crs("EPSG:4326").__geo_interface__)
    # Rows of a table are counted from 0; its columns "id" and "name", else the place in it, name a feature here.
    document["features"] = [{**feature, "id": None} for feature in document.get("features", ())]
    return document


def _file_problem(path: Path) -> str | None:
    if not path.exists():
        return "no such file"
    if path.is_dir():
        return "a folder"
    return "an empty file" if path.stat().st_size == 0 else None


def _load_json(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as err:
        raise InvalidAOIError(f"--aoi {path}: {err}", "GeoJSON in UTF-8", "export the file again as GeoJSON") from err
    if not isinstance(document, Mapping):
        raise InvalidAOIError(f"--aoi {path}: a JSON {type(document).__name__}", "a GeoJSON object", "export it again")
    return document


def _features_of(document: Mapping[str, Any], where: str) -> list[tuple[str, BaseGeometry | None]]:
    kind = document.get("type")
    if kind == "FeatureCollection":
        features = document.get("features") or []
        if not isinstance(features, list | tuple) or not all(isinstance(feature, Mapping) for feature in features):
            raise InvalidAOIError(f"{where} with features that are no objects", "GeoJSON features", "export it again")
        return [
            (_name(feature, number), _geometry(feature.get("geometry"), where))
            for number, feature in enumerate(features, start=1)
        ]
    if kind == "Feature":
        return [(_name(document, 1), _geometry(document.get("geometry"), where))]
    if isinstance(kind, str) and kind in _GEOMETRY_TYPES:
        return [("1", _geometry(document, where))]
    raise InvalidAOIError(
        f"{where} of type {kind!r}", "a GeoJSON geometry, Feature or FeatureCollection", "export the region as GeoJSON"
    )


def _name(feature: Mapping[str, Any], number: int) -> str:
    properties = feature.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    for name in (feature.get("id"), properties.get("id"), properties.get("name")):
        if name is not None and name != "":
            return str(name)
    return str(number)


def _distinct(names: list[str]) -> list[str]:
    """Names that tell features apart: repeated ones get a number, and so does ``all``, the total's name in tables."""
    taken: set[str] = {"all"}
    distinct = []
    for name in names:
        free, number = name, 2
        while free in taken:
            free, number = f"{name} ({number})", number + 1
        taken.add(free)
        distinct.append(free)
    return distinct


def _geometry(document: Mapping[str, Any] | None, where: str) -> BaseGeometry | None:
    if document is None:
        return None
    try:
        geometry = shape(document)
    except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, AttributeError, IndexError) as err:
        raise InvalidAOIError(f"{where}: {err}", "valid GeoJSON coordinates", "export the region again") from err
    return None if geometry.is_empty else geometry


def _check_range(geometry: BaseGeometry, where: str) -> None:
    for x, y in shapely.get_coordinates(geometry):
        if not (math.isfinite(x) and math.isfinite(y) and -180 <= x <= 180 and -90 <= y <= 90):
            raise InvalidAOIError(
                f"{where} with the position ({x:g}, {y:g})",
                "longitude -180 to 180 and latitude -90 to 90, in that order",
                _SPLIT if 180 < abs(x) <= 360 and abs(y) <= 90 else "swap the coordinates, or reproject to EPSG:4326",
            )


def _jumps(geometry: BaseGeometry) -> bool:
    """Whether a ring jumps from one side of the 180th meridian to the other; edges along -180 to 180 are a world map's."""
    rings = shapely.get_rings(shapely.get_parts(geometry))
    steps = [np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])) for ring in rings]
    return any(((step > 180) & (step < 360)).any() for step in steps)


def _repaired(geometry: BaseGeometry, name: str, where: str, warnings: list[str]) -> Polygon | MultiPolygon:
    if not geometry.is_valid:
        fixed = shapely.make_valid(geometry, method="structure")
        before, after = geometry.area, fixed.area
        if before <= 0 or abs(after - before) > _MAX_REPAIR_CHANGE * max(before, after):
            raise InvalidAOIError(
                f"{where}, feature {name}: {shapely.is_valid_reason(geometry)}",
                "a polygon whose rings do not cross",
                "repair the geometry, in QGIS with 'Fix geometries'",
            )
        warnings.append(
            f"AOI feature {name} was repaired; its area went from {before:.6g} to {after:.6g} square degrees"
        )
        geometry = fixed
    if not isinstance(geometry, Polygon | MultiPolygon) or geometry.area == 0:
        raise InvalidAOIError(
            f"{where}, feature {name} without an area", "a polygon with an area", "buffer it, or give a box"
        )
    return geometry
