"""Rasters that are refused before anything is read of them, each with what it is and the way out."""

from __future__ import annotations

import errno
import math
import re
from pathlib import Path

import numpy as np
import rasterio
from odc.geo import CRS
from rasterio.enums import ColorInterp

from geoseg.errors import AssetReadError, RequestError
from geoseg.grid import poles_of
from geoseg.scenes.raster_parts import cut_part, is_gdal_name, missing_parts

# A block is decoded whole, in every thread that reads: above this a bound on memory cannot be kept.
MOST_BLOCK_BYTES = 256 * 2**20
# Rows and columns from which reading without blocks or overviews is worth a word.
_LARGE_PX = 25_000_000
_WIDE_PX = 1024
_PARTS_SHOWN = 3
_FIRST_BYTES = 40
_MOST_SHOWN = 300  # letters of a path in a message
# Of a pixel of a grid in degrees that may lie beyond a pole: half of one does where its rows are centred on it.
_BEYOND_POLE_PX = 0.51
# Of a grid in metres whose rows run along parallels: its extent is rounded to whole pixels.
_BEYOND_POLE_METRIC_PX = 1.0
_TURNS = 1.5  # around the Earth, from the first meridian, of a grid in degrees
_FAR_DEGREES = 10.0
_PLACES = 17  # rows and columns of places that are looked at, rim and inside
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
_EARTH_RADIUS_M = 6_378_137.0  # of WGS 84; ellipsoids and spheres of the Earth differ by less than 1 %
_KINDS = (
    (b"PK\x03\x04", "a ZIP archive", "unpack it, and name the rasters in it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it, and name the rasters in it"),
    (b"%PDF", "a PDF", "name the raster that it was made from"),
    (b"{", "JSON", "name the rasters that it speaks of, or pass a catalogue with --catalog"),
    (b"<!doctype html", "an HTML page", "fetch it again, signed in: it is likely the page of a login or of an error"),
    (b"<html", "an HTML page", "fetch it again, signed in: it is likely the page of a login or of an error"),
    (b"<vrtdataset", "a damaged VRT", "write it again with gdalbuildvrt"),
    (b"<?xml", "an XML document", "fetch it again: it is likely the answer of a server that refused"),
    (b"II*\x00", "a damaged TIFF", "copy or fetch it again: its header or the directory of its blocks is broken"),
    (b"II+\x00", "a damaged BigTIFF", "copy or fetch it again: its header or the directory of its blocks is broken"),
    (b"MM\x00*", "a damaged TIFF", "copy or fetch it again: its header or the directory of its blocks is broken"),
)


def what_it_is(path: str) -> tuple[str, str]:
    """A file that GDAL cannot open: what it is in words, with its first bytes, and the way out."""
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as stream:
            first = stream.read(_FIRST_BYTES)
    except OSError as err:
        return f"cannot be opened: {err.strerror or err}", "check the path and who may read it"
    if not size:
        return "an empty file (0 bytes)", "fetch or write it again"
    part, cut = cut_part(path)
    if part == path:
        return f"{cut} ({size:,} bytes)", "copy or fetch it again"
    if part:
        return (
            f"made of {part}, {cut}",
            "copy or fetch that file again, or write this one anew without it (gdalbuildvrt)",
        )
    low = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kind, todo = next(
        ((kind, todo) for magic, kind, todo in _KINDS if low.startswith(magic.lower())),
        ("of no known raster format", "convert it to GeoTIFF, or name another file"),
    )
    return f"{kind}, {size:,} bytes that begin with {_shown(first)}", todo


def _shown(first: bytes) -> str:
    return ascii(first.decode("latin-1"))


def refuse_unnamed(path: str, err: OSError | None = None) -> RequestError:
    """The refusal of what is no file of this machine and no address.

    Args:
        path: What was given.
        err: What the system said of it; ``None`` where it does not know it.
    """
    if is_gdal_name(path):
        return RequestError(
            f"--scenes {path}, a name of GDAL's",
            "a file or folder on this machine, or an address that begins with https://",
            "write what it means to a file, gdal_translate NAME raster.tif (or unpack the archive), and name that file",
        )
    why = "" if err is None or err.errno in {errno.ENOENT, errno.ENOTDIR} else f": {err.strerror}"
    return RequestError(f"--scenes {path[:_MOST_SHOWN]}{why}", "a raster file that exists", "check the path")


def is_address(path: str) -> bool:
    """Whether a reference is an address, such as ``https://…`` or ``s3://…``, rather than a path."""
    return _ADDRESS.match(path) is not None


def refuse_unopened(path: str, words: str) -> RequestError:
    """The refusal of a file that GDAL does not open.

    Args:
        path: Of the file, or its address.
        words: GDAL's.
    """
    if is_address(path):
        return RequestError(
            f"--scenes {path}: {words}",
            "a raster that can be read there",
            "check the address and the network, or copy the file to this machine and name the copy",
        )
    kind, todo = what_it_is(path)
    return RequestError(f"--scenes {path}: {kind}", "a raster: GeoTIFF, JPEG 2000 or another format of GDAL", todo)


def unreached(path: str, words: str) -> AssetReadError:
    """A file whose server did not give it, however often it was asked: nothing is wrong with the request.

    Args:
        path: Its address.
        words: What the last attempt met.
    """
    return AssetReadError(
        f"--scenes {path}: {words}",
        "a server that gives it; it was asked several times",
        "run the same command again later, check the network, or copy the file to this machine and name the copy",
    )


def refuse_parts(path: str, source: rasterio.DatasetReader) -> None:
    """Refuse a file of several rasters, and a virtual one whose rasters are not there.

    Raises:
        RequestError: With their names.
    """
    if not source.count:
        names = source.subdatasets
        shown = ", ".join(names[:_PARTS_SHOWN]) + (", …" if len(names) > _PARTS_SHOWN else "")
        raise RequestError(
            f"--scenes {path}, a container of {len(names)} rasters{f' ({shown})' if names else ''}",
            "a file of one raster",
            f"write the one to map to a file: gdal_translate {names[0] if names else 'NAME'} raster.tif",
        )
    is_virtual = source.driver == "VRT" and Path(path).is_file()
    missing = missing_parts(path) if is_virtual else []
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise RequestError(
            f"--scenes {path}, which is made of {missing[0]}{more}",
            "a virtual raster whose files exist",
            "put the files where it looks for them, or write it again with gdalbuildvrt",
        )


def refuse_numbers(path: str, source: rasterio.DatasetReader) -> None:
    """Refuse numbers that are no measurements: complex ones, and indexes of a palette.

    Raises:
        RequestError: With the command that makes measurements of them.
    """
    first = source.dtypes[0]
    if any(name.startswith("complex") for name in source.dtypes):
        raise RequestError(
            f"--scenes {path} with {first} pixels (amplitude and phase)",
            "real numbers; the real part of a complex number is no amplitude",
            f"take the amplitude: gdal_translate -ot Float32 DERIVED_SUBDATASET:AMPLITUDE:{path} amplitude.tif",
        )
    if source.colorinterp[0] is ColorInterp.palette:
        alpha = any(entry[3] < 255 for entry in source.colormap(1).values())
        raise RequestError(
            f"--scenes {path} with a palette: its pixels are numbers of colours",
            "measurements, or the colours themselves",
            f"expand it: gdal_translate -expand {'rgba' if alpha else 'rgb'} {path} colours.tif",
        )


def refuse_blocks(path: str, source: rasterio.DatasetReader) -> None:
    """Refuse blocks that no bound on memory can hold.

    Raises:
        RequestError: With the size of a block, and the command that cuts it.
    """
    words = _too_large(source)
    if words:
        raise RequestError(
            f"--scenes {path} in {words}",
            f"blocks of at most {MOST_BLOCK_BYTES / 1e9:.2f} GB, since each is decoded whole",
            f"cut it into smaller ones: gdal_translate -of COG {path} tiled.tif",
        )


def _too_large(source: rasterio.DatasetReader) -> str:
    """Blocks that are too large, in words; "" where they are not."""
    rows, cols = source.block_shapes[0]
    together = 1 if source.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "BAND" else source.count
    size = rows * cols * np.dtype(source.dtypes[0]).itemsize * together
    if size <= MOST_BLOCK_BYTES or source.driver == "JP2OpenJPEG":  # which decodes parts of its one large tile
        return ""
    return f"blocks of {cols} x {rows} pixels, {size / 1e9:.2f} GB each"


def unusable(source: rasterio.DatasetReader) -> str:
    """Why pixels of a file that a catalogue names are not to be read, or ""."""
    if any(name.startswith("complex") for name in source.dtypes):
        return f"{source.dtypes[0]} pixels are no measurements"
    return _too_large(source)


def slow_words(source: rasterio.DatasetReader) -> str:
    """Why reading will be slow, or nothing."""
    cols = source.block_shapes[0][1]
    if source.width * source.height < _LARGE_PX or source.driver not in {"GTiff", "COG"}:
        return ""
    lacks = [
        *(["it is not tiled"] if cols >= source.width and source.width > _WIDE_PX else []),
        *(["it has no overviews"] if not source.overviews(1) else []),
    ]
    return f"slow to read: {' and '.join(lacks)}; gdal_translate -of COG makes it fast" if lacks else ""


def refuse_unplaced(path: str, source: rasterio.DatasetReader) -> None:
    """Refuse a raster that does not say where on Earth its pixels lie, with what it says instead.

    Raises:
        RequestError: With what is missing.
    """
    if source.crs is None or source.transform.is_identity:
        raise _unplaced(path, source)
    terms = source.transform[:6]
    if not all(math.isfinite(term) for term in terms) or abs(source.transform.determinant) == 0:
        raise RequestError(
            f"--scenes {path} with the geotransform {', '.join(f'{term:g}' for term in terms)}",
            "a geotransform whose pixels have an area",
            f"state it with gdal_edit.py -a_ullr WEST NORTH EAST SOUTH {path}, or map it without a place: --pixel-grid",
        )
    crs = CRS(source.crs)
    ellipsoid = crs.proj.ellipsoid
    if not (crs.geographic or crs.projected):
        raise RequestError(
            f"--scenes {path} with the CRS {short_name(crs)}, which has no place on Earth",
            "a geographic or projected CRS",
            f"state the CRS with gdal_edit.py -a_srs EPSG:CODE {path}, or map it without a place: --pixel-grid",
        )
    if ellipsoid is not None and abs(ellipsoid.semi_major_metre / _EARTH_RADIUS_M - 1) > 0.01:
        raise RequestError(
            f"--scenes {path} with the CRS {short_name(crs)} of a body of {ellipsoid.semi_major_metre / 1000:,.0f} km radius",
            "a CRS of the Earth, on which places and areas are measured",
            "map it without a place: --pixel-grid",
        )
    _refuse_off_earth(path, source, crs)


def _refuse_off_earth(path: str, source: rasterio.DatasetReader, crs: CRS) -> None:
    """Refuse grids that reach past a pole, and those of globes and far places of which a CRS knows nothing."""
    share = np.linspace(0, 1, _PLACES)
    cols, rows = (part.ravel() for part in np.meshgrid(share * source.width, share * source.height))
    a, b, c, d, e, f = tuple(source.transform)[:6]
    x, y = c + cols * a + rows * b, f + cols * d + rows * e
    if crs.geographic:
        pole = math.pi / 2 / float(crs.proj.axis_info[0].unit_conversion_factor)
        if np.abs(y).max() <= pole + _BEYOND_POLE_PX * (abs(d) + abs(e)) and np.abs(x).max() <= _TURNS * 4 * pole:
            return
        raise RequestError(
            f"--scenes {path} whose geotransform ({', '.join(f'{term:g}' for term in (a, b, c, d, e, f))}) leads to "
            f"longitudes from {x.min():g} to {x.max():g} and latitudes from {y.min():g} to {y.max():g}",
            f"longitudes from {-_TURNS * 4 * pole:g} to {_TURNS * 4 * pole:g} and latitudes from {-pole:g} to {pole:g}",
            f"state where it lies with gdal_edit.py -a_ullr WEST NORTH EAST SOUTH {path}, or map it without a place: "
            "--pixel-grid",
        )
    south, north = poles_of(crs)
    if not b and not d and max(south - y.min(), y.max() - north) < _BEYOND_POLE_METRIC_PX * abs(e):
        y = np.clip(y, south, north)
    off = 1 - float(np.isfinite(np.stack(crs.transformer_to_crs("EPSG:4326")(x, y))).all(axis=0).mean())
    if off:
        way = f"lay its part of the Earth on another grid with gdalwarp -t_srs EPSG:4326 {path} warped.tif, and map warped.tif"
        if off == 1:
            way = f"state where it lies with gdal_edit.py -a_srs EPSG:CODE -a_ullr WEST NORTH EAST SOUTH {path}"
        raise RequestError(
            f"--scenes {path}, of which {off:.0%} lies off the Earth in the CRS {short_name(crs)}",
            "pixels that all have a longitude and a latitude",
            f"{way}; or map it without a place: --pixel-grid",
        )


def far_words(source: rasterio.DatasetReader) -> str:
    """A word about a raster that lies far from where its CRS is used: its northing may be that of another one."""
    crs = CRS(source.crs)
    use = CRS(crs.to_epsg() or source.crs).proj.area_of_use  # which files leave out
    x, y = source.transform @ (source.width / 2, source.height / 2)
    (lon,), (lat,) = crs.transformer_to_crs("EPSG:4326")(np.array([x]), np.array([y]))
    if use is None or not math.isfinite(lon) or not math.isfinite(lat):
        return ""
    wide = (use.east - use.west) % 360 or 360
    beside = max(0.0, abs((lon - use.west - wide / 2 + 180) % 360 - 180) - wide / 2)
    if max(beside, use.south - lat, lat - use.north) < _FAR_DEGREES:
        return ""
    return (
        f"in {short_name(crs)} it lies at longitude {lon:.2f} and latitude {lat:.2f}, far from where that CRS is used "
        f"(longitude {use.west:g} to {use.east:g}, latitude {use.south:g} to {use.north:g}): check the CRS"
    )


def _unplaced(path: str, source: rasterio.DatasetReader) -> RequestError:
    points, system = source.gcps
    if points or source.rpcs:
        has, options = "rational polynomial coefficients (RPC)", "-rpc -t_srs EPSG:CODE "
        if points and (system or source.crs):
            has, options = f"{len(points)} ground control points", ""
        elif points:
            has, options = f"{len(points)} ground control points without a CRS", "-s_srs EPSG:CODE -t_srs EPSG:CODE "
        return RequestError(
            f"--scenes {path} with {has} and no geotransform",
            "a geotransform: pixels on a regular grid of a CRS",
            f"lay it on one with gdalwarp {options}{path} warped.tif, and map warped.tif; or map it without a place: "
            "--pixel-grid",
        )
    lacks = {"CRS": source.crs is None, "geotransform": source.transform.is_identity}
    ways = {"CRS": "-a_srs EPSG:CODE", "geotransform": "-a_ullr WEST NORTH EAST SOUTH"}
    missing = [name for name, lacking in lacks.items() if lacking]
    stated = " ".join(ways[name] for name in missing)
    # Formats like PNG and JPEG are not edited in place.
    way = f"gdal_edit.py {stated} {path}"
    if source.driver != "GTiff":
        way = f"gdal_translate {stated} {path} placed.tif, and map placed.tif"
    beside = getattr(source, "crs_from", "")
    vain = f" ({beside} beside it states none that PROJ knows)" if beside else ""
    return RequestError(
        f"--scenes {path} without a {' and a '.join(missing)}, ground control points or RPC{vain}",
        "a raster that says where its pixels lie: a CRS and a geotransform",
        f"state what is missing with {way}; or map it without a place: --pixel-grid",
    )


def short_name(crs: CRS) -> str:
    """Code of a CRS, or its name where it has no code."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.proj.name or "without a name")
