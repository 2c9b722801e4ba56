"""Some pixels from all over a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from geoseg.load import Rasters, complaints_raised, reading
from geoseg.scenes import BandSource, Item

# Red, near infrared and short-wave infrared: their dark ends tell of an offset.
SAMPLED_BANDS = frozenset({"B04", "B08", "B12", "red", "nir", "nir08", "swir22"})
_OVERVIEW_PX = 512
_CACHE_BYTES = 32 * 2**20
_WINDOWS, _WINDOW_PX = 4, 128


@dataclass(frozen=True, slots=True)
class Sample:
    """Raw numbers of some bands of an item.

    Attributes:
        raw: Band to the valid numbers, 1-D, as they are in the file; without bands that could not be read.
        dtypes: Band to the file's type.
    """

    raw: Mapping[str, NDArray[np.floating | np.integer]]
    dtypes: Mapping[str, str]


def sample_of(item: Item, rasters: Rasters) -> Sample:
    """Pixels of an item, at most about a quarter of a million per band, spread over its whole files.

    From an overview where there is one, else from a fixed pattern of windows.

    Args:
        item: The item.
        rasters: Opens its files.
    """
    wanted = [name for name in item.bands if name in SAMPLED_BANDS] or list(item.bands)[:3]
    raw, dtypes = {}, {}
    for name in wanted:
        try:
            with reading(_CACHE_BYTES):
                values, dtype = _read(item.bands[name], rasters)
        except RasterioError:
            continue
        if values.size:
            raw[name], dtypes[name] = values, dtype
    return Sample(raw, dtypes)


def _read(source: BandSource, rasters: Rasters) -> tuple[NDArray[np.floating | np.integer], str]:
    with rasters.opened(source.href) as file, complaints_raised():
        if file.overviews(source.index) or max(file.shape) <= _OVERVIEW_PX:
            shrink = max(1, max(file.shape) / _OVERVIEW_PX)
            shape = tuple(max(1, round(side / shrink)) for side in file.shape)
            values = file.read(source.index, out_shape=shape).ravel()
        else:
            values = np.concatenate([file.read(source.index, window=w).ravel() for w in spread_windows(*file.shape)])
        dtype: str = file.dtypes[source.index - 1]
    valid = np.isfinite(values)
    if source.nodata is not None and not np.isnan(source.nodata):
        valid &= values != source.nodata
    return values[valid], dtype


def spread_windows(rows: int, cols: int) -> list[RasterWindow]:
    """Sixteen small windows spread evenly over a raster, its corners among them."""
    high, wide = min(_WINDOW_PX, rows), min(_WINDOW_PX, cols)
    tops = np.linspace(0, rows - high, _WINDOWS).astype(int)
    lefts = np.linspace(0, cols - wide, _WINDOWS).astype(int)
    return [RasterWindow(int(left), int(top), wide, high) for top in tops for left in lefts]
