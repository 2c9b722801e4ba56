"""One generated scene as a GeoTIFF of any size: to measure on, and to try models on that have no scene of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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


def _mirrored(land: NDArray[np.uint16], row: int, col: int) -> NDArray[np.uint16]:
    """The tile as its neighbours' mirror image, so that the repeated scene has no seams."""
    return land[:, :: -1 if row % 2 else 1, :: -1 if col % 2 else 1]
