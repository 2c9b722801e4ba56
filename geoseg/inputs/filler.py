"""Empty pixels that no header tells of, and nodata that is a legal value too.

Judged on a sample: the whole raster in at most 512 x 512 pixels where it is small (and no server's) or has overviews, else parts of it.
Nothing is masked here. Leaving out what may be dark ground would be as wrong as mapping what may be empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from scipy import ndimage

from geoseg.inputs.sample import spread_windows
from geoseg.load import Rasters, complaints_raised, reading
from geoseg.scenes import BandSource, Item
from geoseg.scenes.raster_checks import is_address

_SAMPLE_PX = 512
_CACHE_BYTES = 32 * 2**20
_CHEAP_SAMPLES = 64_000_000  # pixels times bands that are decoded whole without a second thought
_ITEMS = 8
_AT_ONCE = 4
_LEAST_FILL, _LEAST_CLASH = 0.005, 0.001


@dataclass(frozen=True, slots=True)
class _Look:
    """Raw pixels (band, y, x) of an item, each band's nodata, and whether the pixels are the whole picture."""

    pixels: NDArray[np.float64]
    nodata: tuple[float | None, ...]
    is_whole: bool


def filler_warnings(items: Sequence[Item], rasters: Rasters | None = None) -> tuple[str, ...]:
    """Warnings about the first items among those given, each with the share of pixels that it is about.

    Args:
        items: Items, of files on disk or on servers.
        rasters: Opens their files.
    """
    first = items[:_ITEMS]
    is_remote = any(is_address(source.href) for item in first for source in item.bands.values())
    with ThreadPoolExecutor(_AT_ONCE if is_remote else 1) as pool:  # servers are waited for, blocks cost memory
        looks = list(pool.map(partial(_look, rasters=rasters or Rasters()), first))
    return tuple(
        f"{item.id}: {words}"
        for item, look in zip(first, looks, strict=True)
        if look is not None
        for words in (_clash(look), _fill(item, look))
        if words
    )


def _look(item: Item, rasters: Rasters) -> _Look | None:
    """A sample of an item; ``None`` where it cannot be read."""
    rows, cols = item.geobox.shape
    shape = (min(rows, _SAMPLE_PX), min(cols, _SAMPLE_PX))
    layers: dict[BandSource, tuple[NDArray[Any], float | None]] = {}
    try:
        for href in {source.href: None for source in item.bands.values()}:
            sources = [s for s in item.bands.values() if s.href == href]
            layers |= _layers(rasters, href, sources, shape, len(item.bands))
    except RasterioError:
        return None  # the run itself says what cannot be read
    pixels = [layers[source][0] for source in item.bands.values()]
    if len({layer.shape for layer in pixels}) > 1:
        return None
    nodata = tuple(layers[source][1] for source in item.bands.values())
    return _Look(np.stack(pixels).astype("float64"), nodata, pixels[0].shape == shape)


def _layers(
    rasters: Rasters, href: str, sources: Sequence[BandSource], shape: tuple[int, int], bands: int
) -> dict[BandSource, tuple[NDArray[Any], float | None]]:
    """Bands of one file, together, and their nodata: where they are interleaved, each block is decoded once."""
    indexes = [source.index for source in sources]
    with reading(_CACHE_BYTES), rasters.opened(href) as file, complaints_raised():
        is_cheap = not is_address(href) and file.width * file.height * bands <= _CHEAP_SAMPLES
        alike = len({file.dtypes[index - 1] for index in indexes}) == 1
        together = [indexes] if alike else [[index] for index in indexes]  # rasterio reads bands of one dtype
        if is_cheap or all(file.overviews(index) for index in indexes) or max(file.shape) <= _SAMPLE_PX:
            parts = [file.read(some, out_shape=(len(some), *shape)) for some in together]
        else:
            windows = spread_windows(*file.shape)
            parts = [np.concatenate([file.read(some, window=w) for w in windows], axis=1) for some in together]
        pixels = [band for part in parts for band in part]
        tags = [file.nodatavals[s.index - 1] if s.nodata is None else s.nodata for s in sources]
    return dict(zip(sources, zip(pixels, tags, strict=True), strict=True))


def _clash(look: _Look) -> str:
    """Words about nodata that only some bands of a pixel have: there it is a value."""
    tags = look.nodata
    if len(tags) == 1 or any(tag is None or np.isnan(tag) for tag in tags):
        return ""
    missing = look.pixels == np.array(tags, float)[:, None, None]
    share = float((missing.any(axis=0) & ~missing.all(axis=0)).mean())
    if share < _LEAST_CLASH:
        return ""
    return (
        f"nodata {tags[0]:g} is a value too: {share * 100:.1f} % of the pixels have it in some bands only, and are left out with "
        "the empty ones"
    )


def _fill(item: Item, look: _Look) -> str:
    """Words about one value in all bands that reaches in from the border, where no header calls it empty."""
    if item.mask is not None or any(tag is not None for tag in look.nodata):
        return ""
    pixels = look.pixels
    even = (pixels == pixels[0]).all(axis=0) & np.isfinite(pixels[0])  # what is no number is unobserved anyway
    rim = np.zeros_like(even)
    rim[[0, -1], :] = rim[:, [0, -1]] = True
    values, counts = np.unique(pixels[0][even & rim], return_counts=True)
    if not len(values):
        return ""
    value = float(values[counts.argmax()])
    filled = even & (pixels[0] == value)
    if look.is_whole:
        labels, _ = ndimage.label(filled, np.ones((3, 3)))
        filled = np.isin(labels, np.unique(labels[rim & filled]))
    share = float(filled.mean())
    if share < _LEAST_FILL or (value and share > 1 - _LEAST_FILL):  # nothing but zeros: a file that was never filled
        return ""
    kind = "exact zeros" if value == 0 else f"of the value {value:g}"
    files = [source.href for source in item.bands.values()]
    where = "in the bands of the item" if any(map(is_address, files)) else f"with gdal_edit.py -a_nodata {value:g} FILE"
    in_all = " in all bands" if len(pixels) > 1 else ""
    return (
        f"{share * 100:.1f} % of the pixels are {kind}{in_all}, from the border on, and no nodata is declared: they are mapped as "
        f"if they were ground. If they are empty, say so {where}"
    )
