"""GeoJSON documents to named polygons. What is no polygon is counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from shapely.geometry import GeometryCollection, MultiPolygon, Polygon, shape
from shapely.geometry.base import BaseGeometry, BaseMultipartGeometry

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
_SHOWN, _SHOWN_LETTERS = 5, 40  # names in a message, and letters of what should be a number
_NUMBERS = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class Part:
    """One feature of a document.

    Attributes:
        name: Its id or name, else its place in the document.
        polygons: Those in its geometry, collections opened.
        others: Kinds of what else is in it; ``null`` where it has no geometry.
        unclosed: Whether a ring does not end where it starts.
    """

    name: str
    polygons: tuple[Polygon, ...]
    others: tuple[str, ...]
    unclosed: bool


def parts_of(document: Mapping[str, Any], where: str) -> list[Part]:
    """The features of a document; one for a geometry alone.

    Raises:
        InvalidAOIError: If it is no GeoJSON.
    """
    kind = document.get("type")
    if kind == "FeatureCollection":
        features = document.get("features") or []
        if not isinstance(features, list | tuple) or not all(isinstance(feature, Mapping) for feature in features):
            raise InvalidAOIError(f"{where} with features that are no objects", "GeoJSON features", "export it again")
        return [
            _part(_name(feature, number), _geometry(feature), where) for number, feature in enumerate(features, start=1)
        ]
    if kind == "Feature":
        return [_part(_name(document, 1), document.get("geometry"), where)]
    if isinstance(kind, str) and kind in _GEOMETRY_TYPES:
        return [_part("1", document, where)]
    raise InvalidAOIError(
        f"{where} {_described(document)}",
        "a GeoJSON geometry, Feature or FeatureCollection",
        "export the region as GeoJSON",
    )


def _geometry(feature: Mapping[str, Any]) -> Any:
    """A feature's geometry; a bare geometry in its place is taken for one, since nothing else can be meant."""
    kind = feature.get("type")
    return feature if isinstance(kind, str) and kind in _GEOMETRY_TYPES else feature.get("geometry")


def _described(document: Mapping[str, Any]) -> str:
    if "type" in document:
        return f"of type {document['type']!r}"
    names = ", ".join(sorted(map(str, document))[:_SHOWN])
    return f"without a type; it has {names}" if names else "without a type or anything else"


def _name(feature: Mapping[str, Any], number: int) -> str:
    properties = feature.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    for name in (feature.get("id"), properties.get("id"), properties.get("name")):
        if name is not None and name != "":
            return str(name)
    return str(number)


def _part(name: str, document: Any, where: str) -> Part:  # whatever a document holds
    if document is None:
        return Part(name, (), ("null",), unclosed=False)
    try:
        _refuse_strays(document, where)
        geometry = shape(document)
        leaves = list(_leaves(geometry))
        unclosed = any(ring[0] != ring[-1] for ring in _rings(document))
    except (
        shapely.errors.ShapelyError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        IndexError,
        RecursionError,
    ) as err:
        raise InvalidAOIError(f"{where}: {err}", "valid GeoJSON coordinates", "export the region again") from err
    polygons = tuple(leaf for leaf in leaves if isinstance(leaf, Polygon) and not leaf.is_empty)
    others = tuple(f"empty {leaf.geom_type}" if leaf.is_empty else leaf.geom_type for leaf in leaves)
    return Part(name, polygons, tuple(kind for kind in others if kind != "Polygon"), unclosed)


def _refuse_strays(document: Mapping[str, Any], where: str) -> None:
    """Libraries turn text into numbers, where it can be read as some. RFC 7946 has numbers only.

    Raises:
        InvalidAOIError: With the first coordinate that is none.
    """
    for member in document.get("geometries", ()) if document.get("type") == "GeometryCollection" else ():
        _refuse_strays(member, where)
    for stray in _strays(document.get("coordinates", ())):
        raise InvalidAOIError(
            f"{where} with the coordinate {json.dumps(stray, default=repr)[:_SHOWN_LETTERS]}",
            "numbers: longitude and latitude without quotes (RFC 7946)",
            "export the region again",
        )


def _strays(coordinates: Iterable[Any]) -> Iterator[Any]:
    """What is neither a number nor a list of numbers, however deep."""
    for part in coordinates:
        if isinstance(part, np.ndarray):
            yield from () if part.dtype.kind in "iuf" else part.ravel()
        elif isinstance(part, list | tuple):
            if not _NUMBERS.issuperset(map(type, part)):
                yield from _strays(part)
        elif type(part) not in _NUMBERS and not isinstance(part, np.number):
            yield part


def _leaves(geometry: BaseGeometry) -> Iterator[BaseGeometry]:
    """Geometries of one piece each, polygons of multi-polygons among them; other multi-geometries stay whole."""
    if isinstance(geometry, GeometryCollection | MultiPolygon) and not geometry.is_empty:
        assert isinstance(geometry, BaseMultipartGeometry)  # noqa: S101  # what both are
        for member in geometry.geoms:
            yield from _leaves(member)
    else:
        yield geometry


def _rings(document: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Rings of a geometry as the document writes them: libraries close them in silence."""
    if document.get("type") == "GeometryCollection":
        for member in document["geometries"]:
            yield from _rings(member)
    elif document.get("type") in {"Polygon", "MultiPolygon"}:
        coordinates = document["coordinates"]
        for polygon in [coordinates] if document["type"] == "Polygon" else coordinates:
            yield from (ring for ring in polygon if len(ring))
