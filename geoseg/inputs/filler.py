"""Empty pixels that no header tells of, and nodata that is a legal value too.

Judged on a sample: the whole raster in at most 512 x 512 pixels where it is small or has overviews, else parts of it.
Nothing is masked here. Leaving out what may be dark ground would be as wrong as mapping what may be empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from scipy import ndimage

from geoseg.inputs.sample import spread_windows
from geoseg.load import complaints_raised, reading
from geoseg.scenes import BandSource, Item

_SAMPLE_PX = 512
_CACHE_BYTES = 32 * 2**20
_CHEAP_SAMPLES = 64_000_000  # pixels times bands that are decoded whole without a second thought
_ITEMS = 8
_LEAST_FILL, _LEAST_CLASH = 0.005, 0.001


def filler_warnings(items: Sequence[Item]) -> tuple[str, ...]:
    """Warnings about the first items among those given, each with the share of pixels that it is about.

    Args:
        items: Items of files on disk; others are left out.
    """
    warnings = []
    for item in items[:_ITEMS]:
        sample = _sample(item)
        if sample is None:
            continue
        pixels, whole = sample
        warnings += [f"{item.id}: {words}" for words in (_clash(item, pixels), _fill(item, pixels, whole)) if words]
    return tuple(warnings)


def _sample(item: Item) -> tuple[NDArray[np.float64], bool] | None:
    """Raw pixels (band, y, x) of an item, and whether they are the whole picture; ``None`` where it cannot be read."""
    if any("://" in source.href or not Path(source.href).is_file() for source in item.bands.values()):
        return None
    rows, cols = item.geobox.shape
    shape = (min(rows, _SAMPLE_PX), min(cols, _SAMPLE_PX))
    layers: dict[BandSource, NDArray[Any]] = {}
    try:
        for href in {source.href: None for source in item.bands.values()}:
            layers |= _layers(href, [s for s in item.bands.values() if s.href == href], shape, len(item.bands))
    except RasterioError:
        return None  # the run itself says what cannot be read
    pixels = [layers[source] for source in item.bands.values()]
    if len({layer.shape for layer in pixels}) > 1:
        return None
    return np.stack(pixels).astype("float64"), pixels[0].shape == shape


def _layers(
    href: str, sources: Sequence[BandSource], shape: tuple[int, int], bands: int
) -> dict[BandSource, NDArray[Any]]:
    """Bands of one file, together: where they are interleaved, each block is decoded once."""
    indexes = [source.index for source in sources]
    with reading(_CACHE_BYTES), rasterio.open(href) as file, complaints_raised():
        if file.width * file.height * bands <= _CHEAP_SAMPLES or all(file.overviews(index) for index in indexes):
            pixels = file.read(indexes, out_shape=(len(indexes), *shape))
        else:
            windows = spread_windows(*file.shape)
            pixels = np.concatenate([file.read(indexes, window=window) for window in windows], axis=1)
    return dict(zip(sources, pixels, strict=True))


def _clash(item: Item, pixels: NDArray[np.float64]) -> str:
    """Words about nodata that only some bands of a pixel have: there it is a value."""
    tags = [source.nodata for source in item.bands.values()]
    if len(tags) == 1 or any(tag is None or np.isnan(tag) for tag in tags):
        return ""
    missing = pixels == np.array(tags, float)[:, None, None]
    share = float((missing.any(axis=0) & ~missing.all(axis=0)).mean())
    if share < _LEAST_CLASH:
        return ""
    return (
        f"nodata {tags[0]:g} is a value too: {share * 100:.1f} % of the pixels have it in some bands only, and are left out with "
        "the empty ones"
    )


def _fill(item: Item, pixels: NDArray[np.float64], whole: bool) -> str:
    """Words about one value in all bands that reaches in from the border, where no header calls it empty."""
    if item.mask is not None or any(source.nodata is not None for source in item.bands.values()):
        return ""
    even = (pixels == pixels[0]).all(axis=0) & np.isfinite(pixels[0])  # what is no number is unobserved anyway
    rim = np.zeros_like(even)
    rim[[0, -1], :] = rim[:, [0, -1]] = True
    values, counts = np.unique(pixels[0][even & rim], return_counts=True)
    if not len(values):
        return ""
    value = float(values[counts.argmax()])
    filled = even & (pixels[0] == value)
    if whole:
        labels, _ = ndimage.label(filled, np.ones((3, 3)))
        filled = np.isin(labels, np.unique(labels[rim & filled]))
    share = float(filled.mean())
    if share < _LEAST_FILL or share > 1 - _LEAST_FILL:
        return ""
    kind = "exact zeros" if value == 0 else f"of the value {value:g}"
    in_all = " in all bands" if len(pixels) > 1 else ""
    return (
        f"{share * 100:.1f} % of the pixels are {kind}{in_all}, from the border on, and no nodata is declared: they are mapped as "
        f"if they were ground. If they are empty, say so with gdal_edit.py -a_nodata {value:g} FILE"
    )
