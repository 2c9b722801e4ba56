"""Items of generated files for tests of the reading rooms: what a catalogue would describe, without the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
import worlds
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from geoseg.scenes import SENSORS, Item
from geoseg.scenes.understand import understand

UTM33 = "EPSG:32633"
CORNER = (500_000.0, 5_000_000.0)
"""West and north of generated files, a multiple of every pixel size in use."""


def paint(path: Path, image: NDArray[Any], geobox: GeoBox, **profile: Any) -> Path:
    """A GeoTIFF of an array (band, y, x) on any geobox, turned ones too."""
    bands, rows, cols = image.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", **profile}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=rows,
        width=cols,
        count=bands,
        dtype=image.dtype,
        crs=str(geobox.crs),
        transform=geobox.transform,
        **options,
    ) as file:
        file.write(image)
    return path


def box(
    shape: tuple[int, int], pixel: float = 10.0, at: tuple[float, float] = CORNER, crs: str = UTM33, turned: float = 0
) -> GeoBox:
    """A geobox by its upper left corner; ``turned`` in degrees."""
    transform = Affine.translation(*at) @ Affine.rotation(turned) @ Affine.scale(pixel, -pixel)
    return GeoBox(shape, transform, CRS(crs))


def make_item(
    folder: Path,
    name: str,
    bands: dict[str, NDArray[Any]],
    *,
    pixels: dict[str, float] | None = None,
    at: tuple[float, float] = CORNER,
    sensor: str = "sentinel-2-l2a",
    facts: dict[str, Any] | None = None,
    **properties: Any,
) -> Item:
    """An item with a file per band; a band named ``SCL`` is the quality band.

    Args:
        folder: Where files go.
        name: Item id.
        bands: Band name to array (y, x).
        pixels: Band name to pixel size in metres, 10 where not given.
        at: Upper left corner.
        sensor: Name in the sensor table.
        facts: ``raster:bands`` entry of the bands other than the quality band.
        **properties: Properties of the item, ``datetime`` among them.
    """
    properties = {"datetime": "2022-03-01T10:00:00Z", "platform": "sentinel-2a", **properties}
    assets = {}
    for band, image in bands.items():
        pixel = (pixels or {}).get(band, 10.0)
        path = worlds.write_raster(folder / name / f"{band}.tif", image[None], origin=at, pixel=pixel)
        assets[band] = {
            "href": str(path),
            "proj:shape": list(image.shape),
            "proj:transform": [pixel, 0.0, at[0], 0.0, -pixel, at[1]],
            "raster:bands": [{} if band == "SCL" else (facts or {})],
        }
    document = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": sensor,
        "geometry": {"type": "Point", "coordinates": [15.0, 45.0]},
        "bbox": [15.0, 45.0, 15.0, 45.0],
        "properties": {"proj:code": UTM33, **properties},
        "links": [],
        "assets": assets,
    }
    item = pystac.Item.from_dict(document)
    return understand(item, [band for band in bands if band != "SCL"], SENSORS[sensor])


def break_block(path: Path, row: int, col: int, band: int = 1) -> None:
    """Overwrite one compressed block with bytes that are not deflate."""
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band))
        size = int(file.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)


def bilinear(image: NDArray[np.floating], source: GeoBox, target: GeoBox) -> NDArray[np.float64]:
    """What bilinear interpolation between pixel centres gives, by pyproj and arithmetic; NaN outside the centres."""
    from pyproj import Transformer
    from scipy.ndimage import map_coordinates

    rows, cols = np.mgrid[: target.shape[0], : target.shape[1]]
    x, y = target.transform @ np.array([cols.ravel() + 0.5, rows.ravel() + 0.5])
    x, y = Transformer.from_crs(str(target.crs), str(source.crs), always_xy=True).transform(x, y)
    col, row = ~source.transform @ np.array([x, y])
    values = map_coordinates(image.astype("float64"), [row - 0.5, col - 0.5], order=1, cval=np.nan)
    return values.reshape(target.shape)
