"""Small pictures of large maps, in bounded memory: the finished file's overviews are read, never the map itself."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.enums import Resampling

from geoseg.outputs.files import whole_file
from geoseg.outputs.legend import NODATA, ClassTable, colour_table, rgba

MAX_SIDE_PX = 1200

_CLASS_OPACITY = 0.6
_OPTIONS: dict[str, dict[str, int]] = {"PNG": {"compress_level": 3}, "WEBP": {"quality": 85}}


def preview_geobox(geobox: GeoBox, max_side_px: int = MAX_SIDE_PX) -> GeoBox:
    """The same ground with at most ``max_side_px`` pixels a side; the geobox itself where it is small enough."""
    rows, cols = geobox.shape
    factor = max(rows, cols) / max_side_px
    if factor <= 1:
        return geobox
    return geobox.zoom_to((max(round(rows / factor), 1), max(round(cols / factor), 1)))


def read_preview(
    path: Path, shape: tuple[int, int], resampling: Literal["mode", "average"] = "mode"
) -> NDArray[np.uint8]:
    """A raster of one band, made smaller from its nearest larger overview.

    Args:
        path: A COG.
        shape: Rows and columns wanted, no more than the raster has.
        resampling: ``mode`` for classes. Both leave nodata out.
    """
    with rasterio.Env(GDAL_CACHEMAX=32 << 20), rasterio.open(path) as src:
        pixels: NDArray[np.uint8] = src.read(1, out_shape=shape, resampling=Resampling[resampling])
    return pixels


def colour_classes(pixels: NDArray[np.uint8], classes: ClassTable) -> Image.Image:
    """Classes as a palette picture; nodata is transparent.

    Args:
        pixels: Classes, uint8 of shape (row, col).
        classes: The class table.
    """
    palette = np.zeros((256, 3), np.uint8)
    for value, colour in colour_table(classes).items():
        palette[value] = rgba(colour)[:3]
    image = Image.frombytes("P", pixels.shape[::-1], np.ascontiguousarray(pixels).tobytes())
    image.putpalette(palette.ravel().tolist())
    image.info["transparency"] = NODATA
    return image


def write_preview(
    path: Path,
    pixels: NDArray[np.uint8],
    classes: ClassTable,
    imagery: NDArray[np.uint8] | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> Path:
    """Writes the classes in their colours over the imagery, as PNG.

    Args:
        path: Final name.
        pixels: Classes, uint8 of shape (row, col).
        classes: The class table.
        imagery: RGB, uint8 of shape (row, col, 3), on the same geobox.
        valid: Where the imagery has pixels, bool of shape (row, col).

    Raises:
        OutputError: If the file could not be written whole.
    """
    picture = colour_classes(pixels, classes).convert("RGBA")
    if imagery is not None:
        below = imagery_picture(imagery, valid)
        picture.putalpha(picture.getchannel("A").point(lambda alpha: round(alpha * _CLASS_OPACITY)))
        picture = Image.alpha_composite(below, picture)
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded(picture, "PNG"))
    return path


def imagery_picture(imagery: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> Image.Image:
    """RGB, uint8 of shape (row, col, 3), as a picture that is transparent where it is not valid."""
    shown = np.full(imagery.shape[:2], True) if valid is None else valid
    alpha = np.where(shown, 255, 0).astype(np.uint8)
    return Image.fromarray(np.dstack((imagery, alpha)))


def encoded(picture: Image.Image, kind: Literal["PNG", "WEBP"]) -> bytes:
    """The picture as the bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, format=kind, **_OPTIONS[kind])
    return stream.getvalue()
