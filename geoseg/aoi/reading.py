"""Files, tables and boxes in words to GeoJSON documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from geoseg.aoi.scan import MAX_VERTICES, refuse_bomb, refuse_size
from geoseg.errors import InvalidAOIError

_JSON = {".json", ".geojson"}
_SHOWN_BYTES = 40


def parse_json(data: bytes, where: str) -> Mapping[str, Any]:
    """A GeoJSON document from its bytes, which nobody trusts.

    Args:
        data: UTF-8, with or without a byte order mark.
        where: How messages call it.

    Raises:
        InvalidAOIError: If it is no JSON object, or too large.
    """
    refuse_bomb(data, where)
    try:
        document = json.loads(data.decode("utf-8-sig"), parse_constant=lambda name: _refuse_constant(name, where))
    except (ValueError, RecursionError) as err:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise InvalidAOIError(
            f"{where}: {err}; it begins with {_first(data)}", "GeoJSON in UTF-8", "export the region again as GeoJSON"
        ) from err
    if not isinstance(document, Mapping):
        raise InvalidAOIError(f"{where}: a JSON {type(document).__name__}", "a GeoJSON object", "export it again")
    return document


def _refuse_constant(name: str, where: str) -> NoReturn:
    raise InvalidAOIError(f"{where} with the number {name}", "finite numbers", "export the region again")


def _first(data: bytes) -> str:
    return repr(data[:_SHOWN_BYTES])[1:]


def read_file(path: Path) -> Mapping[str, Any]:
    """A vector file as GeoJSON in longitude and latitude, unless it is GeoJSON that states otherwise.

    Raises:
        InvalidAOIError: If there is no such file, or nothing reads it.
    """
    where = f"--aoi {path}"
    problem = _file_problem(path)
    if problem is not None:
        raise InvalidAOIError(
            f"{where}: {problem}", "a vector file with polygons, or WEST,SOUTH,EAST,NORTH", "check the path"
        )
    if path.suffix.lower() in _JSON:
        refuse_size(path.stat().st_size, where)
        return parse_json(path.read_bytes(), where)
    return _read_vector(path, where)


def _file_problem(path: Path) -> str | None:
    if not path.exists():
        return "no such file"
    if path.is_dir():
        return "a folder"
    return "an empty file" if path.stat().st_size == 0 else None


def _read_vector(path: Path, where: str) -> Mapping[str, Any]:
    import geopandas  # noqa: PLC0415  # half a second that GeoJSON users need not wait
    from pyogrio.errors import DataLayerError, DataSourceError  # noqa: PLC0415

    try:
        frame = geopandas.read_file(path)
    except (DataSourceError, DataLayerError) as err:
        with path.open("rb") as file:
            begin = _first(file.read(_SHOWN_BYTES))
        raise InvalidAOIError(
            f"{where}: no vector file; it begins with {begin}",
            "a vector file that GDAL reads (GeoJSON, GeoPackage, …)",
            "convert the file",
        ) from err
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InvalidAOIError(f"{where} without geometries", "a vector file with polygons", "check the file")
    if frame.crs is None:
        raise InvalidAOIError(f"{where} without a CRS", "a file that declares its CRS", "assign one in QGIS")
    if frame.count_coordinates().sum() > MAX_VERTICES:
        raise InvalidAOIError(
            f"{where} with more than {MAX_VERTICES:,} vertices", f"at most {MAX_VERTICES:,}", "simplify the outlines"
        )
    names = [name for name in ("id", "name") if name in frame]
    return table_to_geojson(frame[[*names, frame.geometry.name]])


def table_to_geojson(source: Any) -> Mapping[str, Any]:  # Any: a geometry or a table of any library
    """GeoJSON in longitude and latitude of whatever has a ``__geo_interface__``; tables must state their CRS.

    Raises:
        InvalidAOIError: If a table does not.
    """
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


def parse_box(bounds: Sequence[Any], text: str) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees; east is made larger than west where the box crosses the 180th meridian.

    Raises:
        InvalidAOIError: If the four numbers do not make a box.
    """
    try:
        west, south, east, north = (float(part) for part in bounds)
    except (TypeError, ValueError) as err:
        raise InvalidAOIError(
            f"--aoi {text}",
            "an existing file, or WEST,SOUTH,EAST,NORTH in degrees",
            "check the path or the numbers",
        ) from err
    if west > east and east + 360 - west < 180:
        east += 360  # the short way round
    if not (west < east and south < north):
        raise InvalidAOIError(
            f"the box {text}",
            "west < east and south < north; west > east only across the 180th meridian",
            "swap the numbers",
        )
    return west, south, east, north
