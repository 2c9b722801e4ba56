"""Coordinate-painted twins: a raster's header over pixels that say their own row and column.

Whatever a run makes of a twin, each pixel tells where in the file it came from, and PROJ tells where it should have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.enums import ColorInterp, MaskFlags

from geoseg.composite import make_composite
from geoseg.models import ModelFolder
from geoseg.pipeline.prepare import prepare
from geoseg.pipeline.prepared import Prepared
from geoseg.pixels import Reason
from geoseg.settings import Settings
from geoseg.spec import JobSpec

BANDS = ("row", "col")
_EMPTY = 0  # rows and columns are painted from 1


def paint(path: Path, shape: tuple[int, int], valid: NDArray[np.bool_] | None = None, **header: Any) -> Path:
    """A raster whose pixels hold their row and column, counted from 1; nodata 0 where they are not valid."""
    options = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000), **header}
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 1
    image = np.stack([rows, cols]).astype("float32")
    if valid is not None:
        image[:, ~valid] = _EMPTY
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=shape[0], width=shape[1], count=2, dtype="float32", **options
    ) as file:
        file.write(image)
        for number, name in enumerate(BANDS, start=1):
            file.set_band_description(number, name)
    return path


def twin(original: Path, folder: Path) -> Path:
    """The header of a raster, and which of its pixels are valid by the same means, over painted pixels."""
    with rasterio.open(original) as file:
        valid = file.dataset_mask() > 0
        masked = MaskFlags.per_dataset in file.mask_flag_enums[0] and ColorInterp.alpha not in file.colorinterp
        path = folder / f"{original.stem}.tif"
        paint(path, file.shape, None if masked else valid, crs=file.crs, transform=file.transform, nodata=_no(masked))
    if masked:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask(valid)
    return path


def _no(masked: bool) -> int | None:
    return None if masked else _EMPTY


def planned(model: ModelFolder, *paths: Path, cache: Path, **options: Any) -> Prepared:
    """The job that maps rasters with a model of the bands ``row`` and ``col``."""
    spec = JobSpec.build(scenes=tuple(map(str, paths)), model=str(model.path), workflow="demo", **options)
    return prepare(spec, Settings(cache=cache, device="cpu", max_memory=2 * 10**9))


def read(prepared: Prepared) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Painted rows and columns (2, y, x) from 0 as the network would get them, and where there are any."""
    geobox = prepared.lattice.geobox(prepared.region.window)
    image = make_composite(
        prepared.coverage.scenes,
        geobox,
        2,
        "first",
        "digital-number",
        counted=np.ones(geobox.shape, dtype=bool),
        strip_bytes=10**8,
        threads=2,
    )
    return image.values - 1, image.reason == Reason.OBSERVED


def errors_px(prepared: Prepared, sources: list[Path]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distance in source pixels between where each pixel of the map came from and where PROJ says it should have.

    Args:
        prepared: Of painted rasters.
        sources: Them: a pixel may come from any.

    Returns:
        (y, x) distances, NaN without a value; and where there is a value.
    """
    values, seen = read(prepared)
    geobox = prepared.lattice.geobox(prepared.region.window)
    rows, cols = np.mgrid[: geobox.shape[0], : geobox.shape[1]] + 0.5
    a, b, c, d, e, f = tuple(geobox.transform)[:6]
    x, y = c + cols * a + rows * b, f + cols * d + rows * e
    best = np.full(geobox.shape, np.inf)
    for path in sources:
        with rasterio.open(path) as file:
            own = Transformer.from_crs(prepared.lattice.crs.to_wkt(), file.crs.to_wkt(), always_xy=True)
            inverse = ~file.transform
            wide = file.width
            turn = 360 / abs(file.transform.a) if file.crs.is_geographic else 0.0
        sx, sy = own.transform(x, y) if prepared.lattice.crs.to_wkt() != own.target_crs.to_wkt() else (x, y)
        a, b, c, d, e, f = tuple(inverse)[:6]
        col, row = c + a * sx + b * sy - 0.5, f + d * sx + e * sy - 0.5
        if turn:
            col = (col + 0.5) % turn - 0.5 if wide <= turn else col
        best = np.minimum(best, np.hypot(values[0] - row, values[1] - col))
    return np.where(seen, best, np.nan), seen
