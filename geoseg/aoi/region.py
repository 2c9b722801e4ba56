"""The region as a value: its features, its extent, and the ways in which it can be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon, mapping
from shapely.geometry.base import BaseGeometry

from geoseg.aoi.antimeridian import bounds_round_the_globe
from geoseg.aoi.crs import Stated
from geoseg.aoi.geojson import Part, parts_of
from geoseg.aoi.geometry import area_km2, check_range, repaired
from geoseg.aoi.reading import NOTES, is_there, parse_box, parse_json, read_file, table_to_geojson
from geoseg.errors import InvalidAOIError

_SHOWN = 5  # kinds of geometry in a message
_LONGEST_EDGE = 90.0  # degrees; an edge of more than 180 would be read the short way round


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


@dataclass(frozen=True)
class AOI:
    """Area of interest.

    Attributes:
        features: At least one, each with an area.
        warnings: What was repaired or left out, in plain words.
    """

    features: tuple[Feature, ...]
    warnings: tuple[str, ...] = ()

    @cached_property
    def geometry(self) -> BaseGeometry:
        """Union of the features, EPSG:4326, longitudes within -180 to 180."""
        return shapely.union_all([feature.geometry for feature in self.features])

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees; west > east where the region crosses the 180th meridian."""
        return bounds_round_the_globe(self.geometry)

    @cached_property
    def area_km2(self) -> float:
        """Geodesic area on WGS 84."""
        return area_km2(self.geometry)

    def to_geojson(self) -> dict[str, Any]:
        """The region as a FeatureCollection, the form in which a ``JobSpec`` keeps it, warnings included."""
        features = [
            {"type": "Feature", "id": f.id, "properties": {}, "geometry": mapping(f.geometry)} for f in self.features
        ]
        notes = {NOTES: list(self.warnings)} if self.warnings else {}
        return {"type": "FeatureCollection", "features": features, **notes}

    @classmethod
    def from_geojson(cls, document: Mapping[str, Any], where: str = "the AOI") -> Self:
        """Read a GeoJSON geometry, Feature or FeatureCollection in longitude and latitude.

        A ``crs`` member of old GeoJSON is honoured. Rings may cross the 180th meridian, by longitudes beyond 180 or by
        a jump to the other side.

        Raises:
            InvalidAOIError: If there is no polygon in it, or a coordinate is no position on Earth.
        """
        parts, warnings = parts_of(document, where), [str(note) for note in document.get(NOTES) or ()]
        crs = Stated(document, where)
        with_area = [part for part in parts if part.polygons]
        if not with_area:
            raise _without_area(parts, where)
        warnings.extend(_left_out(parts))
        if crs.warning:
            warnings.append(crs.warning)
        features = []
        for name, part in zip(_distinct([part.name for part in with_area]), with_area, strict=True):
            polygons = [crs.to_degrees(shapely.force_2d(polygon)) for polygon in part.polygons]
            check_range(polygons, where)
            features.append(Feature(name, repaired(polygons, name, where, warnings, unclosed=part.unclosed)))
        return cls(tuple(features), tuple(dict.fromkeys(warnings)))

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "the AOI") -> Self:
        """Read GeoJSON from somewhere that nobody trusts: refused by its bytes before it costs much to parse.

        Raises:
            InvalidAOIError: As ``from_geojson``, and if it is no JSON or too large.
        """
        return cls.from_geojson(parse_json(data, where), where)

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

        West may be larger than east, across the 180th meridian.

        Raises:
            InvalidAOIError: If the four numbers do not make a box.
        """
        text = text or ",".join(str(number) for number in bounds)
        box = shapely.box(*parse_box(bounds, text))
        check_range([box], f"the box {text}")  # before vertices are added along it
        outline: BaseGeometry = box
        west, _, east, _ = outline.bounds
        if east - west > _LONGEST_EDGE:
            outline = shapely.segmentize(outline, _LONGEST_EDGE)
        return cls.from_geojson(mapping(outline), f"the box {text}")

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
            return cls.from_geojson(table_to_geojson(source))
        if isinstance(source, str | Path):
            path = Path(source)
            if str(source).count(",") == 3 and not is_there(path):  # four numbers have three commas
                return cls.from_bbox(str(source))
            return cls.from_geojson(read_file(path), f"--aoi {path}")
        raise InvalidAOIError(
            f"a region of type {type(source).__name__}",
            "a file, four numbers, GeoJSON, a shapely geometry or a GeoDataFrame",
            "turn it into one of these",
        )


def _without_area(parts: Sequence[Part], where: str) -> InvalidAOIError:
    kinds = list(dict.fromkeys(kind for part in parts for kind in part.others))
    shown = ", ".join(kinds[:_SHOWN]) + (", …" if len(kinds) > _SHOWN else "")
    return InvalidAOIError(
        f"{where}: {len(parts)} feature(s) read, none has an area" + (f" ({shown})" if shown else ""),
        "at least one Polygon or MultiPolygon",
        "buffer points and lines to an area, or give a box as --aoi WEST,SOUTH,EAST,NORTH",
    )


def _left_out(parts: Sequence[Part]) -> list[str]:
    """Warnings: how many features, and how many pieces of the others, have no area."""
    bare = sum(not part.polygons for part in parts)
    pieces = sum(len(part.others) for part in parts if part.polygons)
    return [
        *([f"{bare} AOI feature(s) without an area were left out"] if bare else []),
        *([f"{pieces} point(s), line(s) or empty geometries beside AOI polygons were left out"] if pieces else []),
    ]


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
