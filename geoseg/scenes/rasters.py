"""Plain rasters on disk become items too."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioIOError

from geoseg.errors import AssetReadError, ModelMismatchError, RequestError
from geoseg.scenes.recognise import sensor_named
from geoseg.scenes.scene import BandSource, Item
from geoseg.scenes.sensors import SENSORS, Sensor

_COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue", ColorInterp.alpha: "alpha"}
_BANDS_SHOWN = 12
_DATE = re.compile(r"(?<!\d)(19|20)(\d\d)-?([01]\d)-?([0-3]\d)(?!\d)")


def geobox_of_file(href: str) -> GeoBox | None:
    """Pixel grid of a raster, or ``None`` when it cannot be opened."""
    try:
        with rasterio.open(href) as source:
            return GeoBox(source.shape, source.transform, source.crs) if source.crs else None
    except RasterioIOError:
        return None


def item_of_raster(path: str, bands: Sequence[str], sensor: str | None, wanted: Sequence[str]) -> tuple[Item, str]:
    """Read a raster's header and describe it as an item.

    Args:
        path: File that GDAL reads.
        bands: Names of the file's bands in order, where the user gave them.
        sensor: Name in the sensor table, where the user gave it.
        wanted: Bands that the model reads.

    Returns:
        The item, and in words what was guessed; rasters of one kind have the same words.

    Raises:
        RequestError: If the file does not exist or has no georeference.
        AssetReadError: If it cannot be opened.
        ModelMismatchError: If it lacks a wanted band, or its bands have no names.
    """
    if not Path(path).exists():
        raise RequestError(f"--scenes {path}", "a raster file that exists", "check the path")
    try:
        with rasterio.open(path) as source:
            return _describe(path, source, bands, sensor, wanted)
    except RasterioIOError as err:
        raise AssetReadError(f"--scenes {path}: {err}", "a raster that GDAL reads", "check the file") from err


def _describe(
    path: str, source: rasterio.DatasetReader, bands: Sequence[str], sensor: str | None, wanted: Sequence[str]
) -> tuple[Item, str]:
    _refuse_unplaced(path, source)
    names, origin = _band_names(source, bands, wanted, path)
    entry = sensor_named(sensor) if sensor else _guess_sensor(names)
    if not set(wanted) <= set(names):
        raise _lacking(path, f"the bands {', '.join(names)} ({origin})", source.count, wanted)
    geobox = GeoBox(source.shape, source.transform, source.crs)
    item = pystac.Item.from_dict(_document(path, source, names, geobox))
    nodata = _file_nodata(source, entry)
    sources = {b: BandSource("data", names.index(b) + 1, path, entry.scale, entry.offset, nodata) for b in wanted}
    alpha = BandSource("data", names.index("alpha") + 1, path) if "alpha" in names else None
    described = Item(
        id=item.id,
        collection=None,
        sensor=entry,
        datetime=_moment(path, source) or "",
        platform="",
        cloud_cover_percent=None,
        version="",
        geobox=geobox,
        bands=sources,
        mask=alpha,
        alpha=alpha is not None,
        licence="",
        document=item.to_dict(include_self_link=False, transform_hrefs=False),
        href=path,
    )
    return described, f"{entry.title}; bands {', '.join(names)} ({origin})"


def _refuse_unplaced(path: str, source: rasterio.DatasetReader) -> None:
    """Refuse a raster that does not say where its pixels lie, with what it says instead."""
    if source.crs is not None and not source.transform.is_identity:
        return
    points, system = source.gcps
    if points or source.rpcs:
        has, options = "rational polynomial coefficients (RPC)", "-rpc -t_srs EPSG:CODE "
        if points and (system or source.crs):
            has, options = f"{len(points)} ground control points", ""
        elif points:
            has, options = f"{len(points)} ground control points without a CRS", "-s_srs EPSG:CODE -t_srs EPSG:CODE "
        raise RequestError(
            f"--scenes {path} with {has} and no geotransform",
            "a geotransform: pixels on a regular grid of a CRS",
            f"lay it on one with gdalwarp {options}{path} warped.tif, and map warped.tif",
        )
    lacks = {"CRS": source.crs is None, "geotransform": source.transform.is_identity}
    ways = {"CRS": "-a_srs EPSG:CODE", "geotransform": "-a_ullr WEST NORTH EAST SOUTH"}
    missing = [name for name, lacking in lacks.items() if lacking]
    raise RequestError(
        f"--scenes {path} without a {' and a '.join(missing)}, ground control points or RPC",
        "a raster that says where its pixels lie: a CRS and a geotransform",
        f"state what is missing with gdal_edit.py {' '.join(ways[name] for name in missing)} {path}",
    )


def _lacking(path: str, has: str, count: int, wanted: Sequence[str]) -> ModelMismatchError:
    """The refusal of a file in which bands of the model cannot be found.

    Args:
        path: The file.
        has: What is in it, in words.
        count: Number of its bands.
        wanted: Bands that the model reads.
    """
    other = "choose a model for these bands with --model (geoseg models show NAME names what it reads)"
    if count < len(wanted):
        todo = (
            f"put the bands into one file with gdalbuildvrt -separate all.vrt FILE FILE …, and map all.vrt with "
            f"--bands {','.join(wanted)} in the order of the files; or {other}"
        )
    else:
        names = "its band" if count == 1 else f"all {count} bands of the file in their order"
        todo = f"if they are there under other names, name {names} with --bands, {', '.join(wanted)} among them; or {other}"
    return ModelMismatchError(f"{path} with {has}", f"the bands {', '.join(wanted)}, which the model reads", todo)


def _band_names(
    source: rasterio.DatasetReader, given: Sequence[str], wanted: Sequence[str], path: str
) -> tuple[list[str], str]:
    """Names of the file's bands, and where they come from. Alpha keeps its name whatever else is given."""
    interpretation = [_COLOURS.get(colour) for colour in source.colorinterp]
    if given:
        names = list(given)
        if len(names) == source.count - 1 and interpretation[-1] == "alpha":
            names.append("alpha")
        if len(names) != source.count:
            raise RequestError(
                f"--bands {','.join(given)}: {len(given)} for {path} with {source.count} {_bands_in_words(source)}",
                "a name for each band of the file, in its order",
                "give as many names as there are bands; those that the model does not read may have any",
            )
        return names, "named by --bands"
    if all(source.descriptions):
        known = {*wanted, *(band for entry in SENSORS.values() for band in entry.aliases)}
        alpha = _alpha_only(interpretation)  # GDAL calls the fourth of four bands alpha unless told otherwise
        names = [d if d in known else a or d for a, d in zip(alpha, source.descriptions, strict=True)]
        return names, "names in the file"
    if all(interpretation) and len(set(interpretation)) == source.count:
        return [str(name) for name in interpretation], "colours in the file"
    if source.count == len(wanted) and source.dtypes[0] == "uint8" and source.count in {3, 4}:
        return ["red", "green", "blue", "nir"][: source.count], "guessed from 8 bits and the number of bands"
    raise _lacking(path, f"{source.count} {_bands_in_words(source)}, not all of them named", source.count, wanted)


def _bands_in_words(source: rasterio.DatasetReader) -> str:
    """Such as ``bands (1 red, 2 unnamed; uint8)``."""
    words = [
        name or (colour.name if colour in _COLOURS or colour is ColorInterp.gray else "unnamed")
        for name, colour in zip(source.descriptions, source.colorinterp, strict=True)
    ]
    listed = [f"{number} {word}" for number, word in enumerate(words[:_BANDS_SHOWN], start=1)]
    rest = [f"{len(words) - _BANDS_SHOWN} more"] if len(words) > _BANDS_SHOWN else []
    return f"{'band' if source.count == 1 else 'bands'} ({', '.join(listed + rest)}; {source.dtypes[0]})"


def _alpha_only(interpretation: Sequence[str | None]) -> list[str | None]:
    return [name if name == "alpha" else None for name in interpretation]


def _guess_sensor(names: Sequence[str]) -> Sensor:
    have = set(names)
    if "B10" in have and have <= {*SENSORS["sentinel-2-l1c"].aliases, "alpha"}:
        return SENSORS["sentinel-2-l1c"]
    if have <= {*SENSORS["sentinel-2-l2a"].aliases, "SCL", "alpha"}:
        return SENSORS["sentinel-2-l2a"]
    if {"red", "green", "blue"} <= have:
        return SENSORS["rgbn" if "nir" in have else "rgb"]
    return SENSORS["raster"]


def _file_nodata(source: rasterio.DatasetReader, sensor: Sensor) -> float | None:
    """The file's tag where its dtype can hold it, else the sensor's value."""
    tag = source.nodata
    if tag is None:
        return sensor.nodata
    if np.isnan(tag) or np.issubdtype(source.dtypes[0], np.floating):
        return float(tag)
    limits = np.iinfo(source.dtypes[0])
    return float(tag) if limits.min <= tag <= limits.max else sensor.nodata


def _moment(path: str, source: rasterio.DatasetReader) -> str | None:
    stamp = source.tags().get("TIFFTAG_DATETIME", "")
    for text in (Path(path).stem, stamp.replace(":", "")):
        match = _DATE.search(text)
        if match:
            try:
                day = dt.date(int(match[1] + match[2]), int(match[3]), int(match[4]))
            except ValueError:
                continue
            return f"{day.isoformat()}T00:00:00Z"
    return None


def _document(path: str, source: rasterio.DatasetReader, names: Sequence[str], geobox: GeoBox) -> dict[str, Any]:
    outline = geobox.extent.to_crs("EPSG:4326")
    bands = [{"name": name, "data_type": source.dtypes[0]} for name in names]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
        ],
        "id": Path(path).stem,
        "geometry": outline.json,
        "bbox": list(outline.boundingbox.bbox),
        "properties": {
            "datetime": _moment(path, source) or "1970-01-01T00:00:00Z",
            "proj:code": f"EPSG:{code}" if (code := source.crs.to_epsg()) else None,
            "proj:wkt2": source.crs.to_wkt(),
        },
        "links": [],
        "assets": {
            "data": {
                "href": path,
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
                "proj:shape": list(geobox.shape),
                "proj:transform": list(geobox.transform)[:6],
                "eo:bands": [{"name": name} for name in names],
                "raster:bands": bands,
            }
        },
    }
