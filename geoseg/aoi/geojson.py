"""GeoJSON documents to named polygons. What is no polygon is counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
_SHOWN = 5  # names in a message


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
