"""Rasters that are refused before anything is read of them, each with what it is and the way out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import rasterio
from odc.geo import CRS
from rasterio.enums import ColorInterp

from geoseg.errors import RequestError

# A block is decoded whole, in every thread that reads: above this a bound on memory cannot be kept.
MOST_BLOCK_BYTES = 256 * 2**20
# Rows and columns from which reading without blocks or overviews is worth a word.
_LARGE_PX = 25_000_000
_WIDE_PX = 1024
_FIRST_BYTES = 40
_EARTH_RADIUS_M = 6_378_137.0  # of WGS 84; ellipsoids and spheres of the Earth differ by less than 1 %
_KINDS = (
    (b"PK\x03\x04", "a ZIP archive", "unpack it, and name the rasters in it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it, and name the rasters in it"),
    (b"%PDF", "a PDF", "name the raster that it was made from"),
    (b"{", "JSON", "name the rasters that it speaks of, or pass a catalogue with --catalog"),
    (b"<!doctype html", "an HTML page", "fetch it again, signed in: it is likely the page of a login or of an error"),
    (b"<html", "an HTML page", "fetch it again, signed in: it is likely the page of a login or of an error"),
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
    low = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kind, todo = next(
        ((kind, todo) for magic, kind, todo in _KINDS if low.startswith(magic.lower())),
        ("of no known raster format", "convert it to GeoTIFF, or name another file"),
    )
    return f"{kind}, {size:,} bytes that begin with {_shown(first)}", todo


def _shown(first: bytes) -> str:
    return ascii(first.decode("latin-1"))


def refuse_unopened(path: str, words: str) -> RequestError:
    """The refusal of a file that GDAL does not open.

    Args:
        path: Of the file, or its address.
        words: GDAL's.
    """
    if "://" in path:
        return RequestError(f"--scenes {path}: {words}", "a raster that GDAL reads", "check the address")
    kind, todo = what_it_is(path)
    return RequestError(f"--scenes {path}: {kind}", "a raster: GeoTIFF, JPEG 2000 or another format of GDAL", todo)


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
    return RequestError(
        f"--scenes {path} without a {' and a '.join(missing)}, ground control points or RPC",
        "a raster that says where its pixels lie: a CRS and a geotransform",
        f"state what is missing with gdal_edit.py {' '.join(ways[name] for name in missing)} {path}, or map it without "
        "a place: --pixel-grid",
    )


def short_name(crs: CRS) -> str:
    """Code of a CRS, or its name where it has no code."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.proj.name or "without a name")
