"""Scenes to measure on: generated land, as files of any size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import from_origin

from geoseg.demo.landscape import make_landscape
from geoseg.demo.scenes import DemoScenes

_PIXEL_M, _WEST_M, _NORTH_M, _CRS = 10.0, 400_000.0, 5_200_000.0, "EPSG:32633"
_BLOCK_PX = 512


def generated_land(bands: Sequence[str], side_px: int, seed: int = 11) -> NDArray[np.uint16]:
    """Digital numbers (band, y, x) without offset and clouds: the first date of a generated landscape."""
    acquisition = next(iter(DemoScenes(make_landscape(seed, (side_px, side_px))).acquisitions(tuple(bands))))
    reflectance = acquisition.reflectance(tuple(bands))
    numbers = np.nan_to_num(np.asarray(reflectance) * 10_000, nan=1.0)
    return np.clip(np.rint(numbers), 1, 20_000).astype("uint16")


def write_scene(path: Path, bands: Sequence[str], side_px: int, *, tile_px: int = 1024) -> Path:
    """A tiled, compressed GeoTIFF with overviews: one scene of ``side_px`` squared, mirrored from a generated tile."""
    land = generated_land(bands, min(side_px, tile_px))
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=side_px,
        width=side_px,
        count=len(bands),
        dtype="uint16",
        crs=_CRS,
        transform=from_origin(_WEST_M, _NORTH_M, _PIXEL_M, _PIXEL_M),
        tiled=True,
        blockxsize=_BLOCK_PX,
        blockysize=_BLOCK_PX,
        compress="deflate",
        predictor=2,
        zlevel=1,
        nodata=0,
    ) as file:
        for number, name in enumerate(bands, start=1):
            file.set_band_description(number, name)
        side = land.shape[1]
        for row in range(0, side_px, side):
            for col in range(0, side_px, side):
                part = _mirrored(land, row // side, col // side)[:, : side_px - row, : side_px - col]
                file.write(part, window=((row, row + part.shape[1]), (col, col + part.shape[2])))
        file.build_overviews([2, 4, 8, 16], Resampling.average)  # as scenes are delivered
    return path


def write_repeated(path: Path, tile: Path, side_px: int) -> Path:
    """A virtual raster of ``side_px`` squared that repeats one file: large, and it takes no space on disk."""
    with rasterio.open(tile) as file:
        size, names, transform, crs = file.width, file.descriptions, file.transform, file.crs
    lines = [f'<VRTDataset rasterXSize="{side_px}" rasterYSize="{side_px}">', f"<SRS>{crs.to_string()}</SRS>"]
    lines.append(f"<GeoTransform>{', '.join(map(repr, transform.to_gdal()))}</GeoTransform>")
    for band, name in enumerate(names, start=1):
        lines.append(f'<VRTRasterBand dataType="UInt16" band="{band}"><Description>{name}</Description>')
        lines.append("<NoDataValue>0</NoDataValue>")
        for row in range(0, side_px, size):
            for col in range(0, side_px, size):
                high, wide = min(size, side_px - row), min(size, side_px - col)
                lines.append(
                    f"<SimpleSource><SourceFilename relativeToVRT={quoteattr('1')}>{tile.name}</SourceFilename>"
                    f"<SourceBand>{band}</SourceBand>"
                    f'<SrcRect xOff="0" yOff="0" xSize="{wide}" ySize="{high}"/>'
                    f'<DstRect xOff="{col}" yOff="{row}" xSize="{wide}" ySize="{high}"/></SimpleSource>'
                )
        lines.append("</VRTRasterBand>")
    path.write_text("\n".join([*lines, "</VRTDataset>"]))
    return path


def _mirrored(land: NDArray[np.uint16], row: int, col: int) -> NDArray[np.uint16]:
    """The tile as its neighbours' mirror image, so that the repeated scene has no seams."""
    return land[:, :: -1 if row % 2 else 1, :: -1 if col % 2 else 1]
