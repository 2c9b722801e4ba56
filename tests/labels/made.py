"""Small rasters and pictures that tests of labels write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from geoseg.grid import Window

UTM = "EPSG:32633"
ORIGIN = (500_000, 5_000_000)


def write(path: Path, pixels, *, crs=UTM, transform=None, pixel_m=10.0, nodata=None, names=()):
    """A GeoTIFF of (band, rows, cols) or (rows, cols)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(pixels)
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    where = transform or from_origin(*ORIGIN, pixel_m, pixel_m)
    place = {} if crs is None else {"crs": crs, "transform": where}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(pixels), height=pixels.shape[1], width=pixels.shape[2],
        dtype=pixels.dtype, nodata=nodata, **place,
    ) as out:  # fmt: skip
        out.write(pixels)
        for number, name in enumerate(names, start=1):
            out.set_band_description(number, name)
    return path


def picture(path: Path, pixels, **how):
    """A PNG or JPEG of (rows, cols) or (rows, cols, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **how)
    return path


def everything(member) -> Window:
    return Window(0, 0, *member.shape)


def scenery(seed: int, side: int = 96, bands: int = 3):
    """Bytes (rows, cols, band) with shapes of several sizes, as a photograph has."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side))
    for step in (2, 4, 8, 16, 32):
        grid = rng.normal(size=(side // step + 1, side // step + 1))
        image += np.kron(grid, np.ones((step, step)))[:side, :side]
    image = (image - image.min()) / np.ptp(image) * 255
    tint = rng.uniform(0.7, 1, bands)
    return np.clip(image[..., None] * tint, 0, 255).astype(np.uint8)
