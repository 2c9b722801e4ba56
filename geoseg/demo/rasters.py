"""Cloud-optimised GeoTIFFs of generated arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from geoseg.demo.classes import DemoClass


@dataclass(frozen=True, slots=True)
class RasterFacts:
    """What a file says about its pixels.

    Attributes:
        crs: Coordinate reference system, e.g. ``EPSG:32760``.
        transform: Affine of the upper left pixel corner.
        nodata: Declared nodata value, if any.
        descriptions: One per band.
        colorinterp: One per band; left to GDAL when empty.
        classes: Class table, written as colour table, category tags and description.
        overview: How overviews are resampled: ``average``, ``mode`` or ``nearest``.
    """

    crs: str
    transform: Affine
    nodata: float | None = None
    descriptions: Sequence[str] = ()
    colorinterp: Sequence[ColorInterp] = ()
    classes: Sequence[DemoClass] = field(default=())
    overview: str = "average"


def write_cog(path: Path, pixels: NDArray[Any], facts: RasterFacts, block_px: int = 256) -> None:
    """Write an array as a tiled, deflated GeoTIFF with internal overviews.

    Args:
        path: File to write; its folder exists.
        pixels: (rows, cols) or (band, rows, cols).
        facts: What the file says about them.
        block_px: Side of the internal blocks, a multiple of 16.
    """
    layers = pixels if pixels.ndim == 3 else pixels[None]
    profile = {
        "driver": "GTiff", "count": layers.shape[0], "height": layers.shape[1], "width": layers.shape[2],
        "dtype": layers.dtype.name, "crs": facts.crs, "transform": facts.transform, "nodata": facts.nodata,
    }  # fmt: skip
    if ColorInterp.alpha in facts.colorinterp:
        profile |= {"photometric": "RGB", "alpha": "YES"}
    predictor = "NO" if layers.dtype.itemsize == 1 else "YES"
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(layers)
            _describe(dataset, facts)
        with memory.open() as dataset:
            rasterio.shutil.copy(
                dataset, path, driver="COG", compress="DEFLATE", level="4", predictor=predictor,
                blocksize=str(block_px), overview_resampling=facts.overview,
            )  # fmt: skip


def _describe(dataset: Any, facts: RasterFacts) -> None:  # rasterio has no types
    for number, text in enumerate(facts.descriptions, start=1):
        dataset.set_band_description(number, text)
    if facts.colorinterp:
        dataset.colorinterp = tuple(facts.colorinterp)
    if facts.classes:
        table = {item.index: (*item.colour, 255) for item in facts.classes}
        dataset.write_colormap(1, table)
        dataset.update_tags(1, **{f"class_{item.index}": item.name for item in facts.classes})
