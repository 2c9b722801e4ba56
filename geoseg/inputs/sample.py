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
from geoseg.scenes.raster_checks import is_address

# Red, near infrared and short-wave infrared: their dark ends tell of an offset.
_SAMPLED = frozenset({"B04", "B08", "B12", "red", "nir", "nir08", "swir22"})
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


def is_sampled(item: Item) -> bool:
    """Whether some pixels of an item are worth a look."""
    return bool(_SAMPLED & set(item.bands) or item.sensor.dark_bands) or item.sensor.quantity == "digital-number"


def sample_of(item: Item, rasters: Rasters) -> Sample:
    """Pixels of an item, at most about a quarter of a million per band, spread over its whole files.

    From an overview where there is one, else from a fixed pattern of windows.

    Args:
        item: The item.
        rasters: Opens its files.
    """
    wanted = {name: item.bands[name] for name in [n for n in item.bands if n in _SAMPLED] or list(item.bands)[:3]}
    wanted |= _within_reach(item)
    raw, dtypes = {}, {}
    for href in {source.href: None for source in wanted.values()}:
        sources = {name: source for name, source in wanted.items() if source.href == href}
        try:
            with reading(_CACHE_BYTES):
                read = _read(href, sources, rasters)
        except RasterioError:
            continue
        for name, (values, dtype) in read.items():
            if values.size:
                raw[name], dtypes[name] = values, dtype
    return Sample(raw, dtypes)


def _within_reach(item: Item) -> Mapping[str, BandSource]:
    """The witnesses; no server is asked for them alone, since a run of files on disk may have no network."""
    if any(is_address(source.href) for source in item.bands.values()):
        return item.witnesses
    return {name: source for name, source in item.witnesses.items() if not is_address(source.href)}


def _read(
    href: str, sources: Mapping[str, BandSource], rasters: Rasters
) -> dict[str, tuple[NDArray[np.floating | np.integer], str]]:
    """Valid numbers and types of bands of one file, together: where they are interleaved, each block is decoded once."""
    indexes = [source.index for source in sources.values()]
    with rasters.opened(href) as file, complaints_raised():
        if all(file.overviews(index) for index in indexes) or max(file.shape) <= _OVERVIEW_PX:
            shrink = max(1, max(file.shape) / _OVERVIEW_PX)
            shape = tuple(max(1, round(side / shrink)) for side in file.shape)
            pixels = file.read(indexes, out_shape=(len(indexes), *shape)).reshape(len(indexes), -1)
        else:
            parts = [file.read(indexes, window=window) for window in spread_windows(*file.shape)]
            pixels = np.concatenate([part.reshape(len(indexes), -1) for part in parts], axis=1)
        dtypes: list[str] = [file.dtypes[index - 1] for index in indexes]
    found = {}
    for (name, source), values, dtype in zip(sources.items(), pixels, dtypes, strict=True):
        valid = np.isfinite(values)
        if source.nodata is not None and not np.isnan(source.nodata):
            valid &= values != source.nodata
        found[name] = values[valid].astype(dtype, copy=False), dtype
    return found


def spread_windows(rows: int, cols: int) -> list[RasterWindow]:
    """Sixteen small windows spread evenly over a raster, its corners among them."""
    high, wide = min(_WINDOW_PX, rows), min(_WINDOW_PX, cols)
    tops = np.linspace(0, rows - high, _WINDOWS).astype(int)
    lefts = np.linspace(0, cols - wide, _WINDOWS).astype(int)
    return [RasterWindow(int(left), int(top), wide, high) for top in tops for left in lefts]
