"""The ``crs`` member that GeoJSON had before RFC 7946. Old files carry it, and mean it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from geoseg.errors import InvalidAOIError

_ASK = "reproject it to EPSG:4326 and leave the member out"


class Stated:
    """The CRS that a document states for its coordinates.

    Args:
        document: GeoJSON.
        where: How messages call it.

    Raises:
        InvalidAOIError: If it states several, one that is unknown, or a link to one.
    """

    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        self._where = where
        names = {_name(member, where) for member in _members(document)}
        if len(names) > 1:
            raise InvalidAOIError(f"{where} with several CRSs: {', '.join(sorted(names))}", "one", _ASK)
        self.name = names.pop() if names else "CRS84"
        self.is_degrees = self.name.upper().endswith("CRS84")
        self._transformer: Transformer | None = None
        if not self.is_degrees:
            try:
                crs = CRS.from_user_input(self.name)
            except (CRSError, UnicodeError) as err:
                raise InvalidAOIError(f"{where} with the CRS {self.name}", "one that PROJ knows", _ASK) from err
            # x before y whatever the authority says: so did every program that wrote this member.
            self._transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)

    @property
    def warning(self) -> str | None:
        """What to tell of it, if it is not what GeoJSON has by itself."""
        if self.is_degrees:
            return None
        return f"the AOI states the CRS {self.name} in a crs member; its coordinates were read in it, x before y"

    def to_degrees(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """A geometry in longitude and latitude, corner by corner.

        Raises:
            InvalidAOIError: If a corner has no place in the CRS.
        """
        if self._transformer is None:
            return geometry
        transformer = self._transformer

        def moved(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            degrees = np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
            lost = ~np.isfinite(degrees).all(axis=1)
            if lost.any():
                x, y = xy[lost.argmax()]
                raise InvalidAOIError(
                    f"{self._where} with the position ({x:g}, {y:g}) in {self.name}",
                    f"positions within {self.name}",
                    f"check the crs member, or {_ASK}",
                )
            return degrees

        return shapely.transform(geometry, moved)


def _members(document: Mapping[str, Any]) -> Iterator[Any]:
    """Of a collection, of features and of geometries: the old standard allowed it everywhere."""
    if "crs" in document:
        yield document["crs"]
    features = document.get("features")
    inner = features if isinstance(features, list | tuple) else [document.get("geometry")]
    for part in inner:
        if isinstance(part, Mapping):
            yield from _members(part)


def _name(member: Any, where: str) -> str:  # whatever a document holds
    if member is None:
        return "CRS84"
    properties = member.get("properties") if isinstance(member, Mapping) else None
    if isinstance(properties, Mapping):
        if member.get("type") == "name" and isinstance(properties.get("name"), str):
            return str(properties["name"])
        if member.get("type") == "EPSG" and isinstance(properties.get("code"), int | str):
            return f"EPSG:{properties['code']}"
    raise InvalidAOIError(f"{where} with the crs member {str(member)[:80]}", 'a crs member of type "name"', _ASK)
