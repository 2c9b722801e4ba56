"""Files, tables and boxes in words to GeoJSON documents."""

from __future__ import annotations

import codecs
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from geoseg.aoi.scan import MAX_VERTICES, refuse_bomb, refuse_size
from geoseg.errors import InvalidAOIError

#: Member of our own GeoJSON, so that what was noticed on reading reaches the report.
NOTES = "geoseg:notes"
_GEOJSON = {"Polygon", "MultiPolygon", "GeometryCollection", "Feature", "FeatureCollection"}
_JSON, _PARQUET = {".json", ".geojson"}, {".parquet", ".geoparquet"}
_SHOWN_BYTES, _SNIFFED_BYTES, _SHOWN_LAYERS = 40, 1024, 5


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
    if not _is_json(path):
        return _read_table(path, where)
    refuse_size(path.stat().st_size, where)
    data = path.read_bytes()
    if path.suffix.lower() in _JSON:
        return parse_json(data, where)
    refuse_bomb(data, where)  # whatever dialect it is, and whoever parses it
    try:
        document = parse_json(data, where)
    except InvalidAOIError:  # a sequence of texts, perhaps
        return _read_table(path, where)
    return document if document.get("type") in _GEOJSON else _read_table(path, where)


def _is_json(path: Path) -> bool:
    """By name or by its first character, so that no name hides what a document costs to parse."""
    with path.open("rb") as file:
        begin = (
            file.read(_SNIFFED_BYTES).removeprefix(codecs.BOM_UTF8).lstrip(b"\x1e \t\r\n")
        )  # RFC 8142 begins with 1e
    return path.suffix.lower() in _JSON or not begin or begin[:1] in {b"{", b"["}


def is_there(path: Path) -> bool:
    """Whether a file or folder exists; a name that no file system takes is none."""
    try:
        return path.exists()
    except OSError:
        return False


def _file_problem(path: Path) -> str | None:
    try:
        if not path.exists():
            return "no such file"
    except OSError as err:  # a name that no file system takes
        return str(err.strerror)
    if path.is_dir():
        return "a folder"
    return "an empty file" if path.stat().st_size == 0 else None


def _read_table(path: Path, where: str) -> Mapping[str, Any]:
    """The first layer of a file of any format."""
    import geopandas  # noqa: PLC0415  # half a second that GeoJSON users need not wait
    import shapely  # noqa: PLC0415
    from pyarrow import ArrowException  # noqa: PLC0415
    from pyogrio.errors import DataLayerError, DataSourceError  # noqa: PLC0415

    notes: list[str] = []
    try:
        if path.suffix.lower() in _PARQUET:
            frame = geopandas.read_parquet(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # layers are told below, rings are looked at like those of GeoJSON
                notes += _first_layer(path, where)
                frame = geopandas.read_file(path)
    except (DataSourceError, DataLayerError, ArrowException, ValueError, shapely.errors.ShapelyError) as err:
        with path.open("rb") as file:
            begin = _first(file.read(_SHOWN_BYTES))
        raise InvalidAOIError(
            f"{where}: no vector file that can be read ({err}); it begins with {begin}",
            "a vector file that GDAL reads (GeoJSON, GeoPackage, …)",
            "convert the file, or repair its geometries in QGIS with 'Fix geometries'",
        ) from err
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InvalidAOIError(f"{where} without geometries", "a vector file with polygons", "check the file")
    if frame.crs is None:
        raise InvalidAOIError(f"{where} without a CRS", "a file that declares its CRS", "assign one in QGIS")
    if frame.count_coordinates().sum() > MAX_VERTICES:
        raise _too_many("vertices", where)
    named = {str(name).lower(): name for name in reversed(frame.columns)}
    names = {named[name]: name for name in ("id", "name") if name in named}
    document = table_to_geojson(frame[[*names, frame.geometry.name]].rename(columns=names))
    return {**document, NOTES: notes} if notes else document


def _first_layer(path: Path, where: str) -> list[str]:
    """What is to be said where a file has several layers.

    Raises:
        InvalidAOIError: If the first has more features than a region may have vertices.
    """
    import pyogrio  # noqa: PLC0415

    layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
    if layers and pyogrio.read_info(path, layer=layers[0])["features"] > MAX_VERTICES:
        raise _too_many("features", where)
    if len(layers) < 2:
        return []
    return [f"{path.name} has {len(layers)} layers ({', '.join(layers[:_SHOWN_LAYERS])}); the first one is the region"]


def _too_many(what: str, where: str) -> InvalidAOIError:
    return InvalidAOIError(
        f"{where} with more than {MAX_VERTICES:,} {what}", f"at most {MAX_VERTICES:,}", "simplify the outlines"
    )


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
    if not all(map(math.isfinite, (west, south, east, north))):
        raise InvalidAOIError(f"the box {text}", "four finite numbers, in degrees", "correct the numbers")
    if not (west < east and south < north):
        raise InvalidAOIError(
            f"the box {text}",
            "west < east and south < north; west > east only across the 180th meridian",
            "swap the numbers",
        )
    return west, south, east, north
