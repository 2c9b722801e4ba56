"""Items x geobox to pixels, lazily, through odc-stac and Dask, with the samples that could not be read.

Owns reading. Knows bands and pixel counts, not models, and decides nothing about which date is best.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import dask
import dask.threaded
import numpy as np
import odc.stac
import pystac
import rasterio
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.grid import on_earth
from geoseg.load.complaints import complaints_raised
from geoseg.load.kept import KeptBlocks
from geoseg.load.opening import Rasters, local_fact
from geoseg.load.reader import COARSER, TAKE, ExactDriver, ReadFailure, ReadLog
from geoseg.load.seam import is_round
from geoseg.scenes import BandSource, Item

__all__ = [
    "COARSER",
    "KeptBlocks",
    "Pixels",
    "Rasters",
    "ReadFailure",
    "complaints_raised",
    "lazy_item",
    "local_fact",
    "pixels_of",
    "reading",
]

# Below this, a window of a few blocks is decoded again and again. rasterio takes bytes, GDAL itself megabytes.
_LEAST_CACHE_BYTES = 32 * 2**20

#: How bands are brought onto a grid that is not their own.
type Resampling = Literal["bilinear", "cubic"]

# GDAL settings of every read, each with its reason.
_GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no listing of remote folders; the reader allows it for files on disk
    "GDAL_HTTP_MAX_RETRY": 5,  # 429, 502, 503, 504 and dropped connections
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,  # a stalled body ends instead of hanging
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1000,
    "GTIFF_IGNORE_READ_ERRORS": False,  # would turn a truncated file into silent zeros
}


@contextmanager
def reading(cache_bytes: int) -> Iterator[None]:
    """GDAL's settings for reads, with a bound on its block cache (bytes)."""
    with rasterio.Env(GDAL_CACHEMAX=max(_LEAST_CACHE_BYTES, cache_bytes), **_GDAL_OPTIONS):
        yield


@dataclass(frozen=True, slots=True)
class Pixels:
    """One item on one geobox.

    Attributes:
        bands: For each band (y, x) float32 as it was read; NaN where nothing was observed.
        scales: What the bands are multiplied by to be in the unit that was asked for. Whoever takes pixels does it, so
            that millions of them are not gone through once more.
        usable: (y, x), True = every band observed and the quality band agrees.
        masked: (y, x), True = observed, but something was in the way (cloud, shadow).
        failed: (y, x), True = some sample could not be read and nothing that could be read rules the pixel out.
    """

    bands: tuple[NDArray[np.float32], ...]
    scales: tuple[np.float32, ...]
    usable: NDArray[np.bool_]
    masked: NDArray[np.bool_]
    failed: NDArray[np.bool_]

    @property
    def values(self) -> NDArray[np.float32]:
        """(band, y, x) in the unit that was asked for: a copy."""
        return np.stack([band * scale for band, scale in zip(self.bands, self.scales, strict=True)])


@dataclass(frozen=True, slots=True)
class LazyItem:
    """An item on a geobox whose pixels are read when a strip of rows is asked for."""

    item: Item
    geobox: GeoBox
    bands: Mapping[BandSource, xr.DataArray]
    quantity: str
    log: ReadLog


def lazy_item(
    item: Item,
    geobox: GeoBox,
    strip_rows: int,
    quantity: str,
    rasters: Rasters | None = None,
    *,
    previews: bool = False,
    resampling: Resampling = "bilinear",
) -> LazyItem:
    """Plan the read of an item: one Dask task per band and strip, no pixel yet.

    Args:
        item: What to read.
        geobox: Where to.
        strip_rows: Height of the parts in which it will be read.
        quantity: ``reflectance``, or ``digital-number`` (without the sensor's offset).
        rasters: Opens the files.
        previews: Whether overviews are good enough.
        resampling: Of bands that do not lie on the grid; quality bands take their nearest pixel.
    """
    log = ReadLog()
    # Where the item does not state its grid, odc asks its footprint which strips to read; that may be a rough outline.
    outline = on_earth(item.geobox).footprint("EPSG:4326").json
    # Where an asset states no type, odc guesses by the end of its address, which may be a signature.
    assets = {name: {"type": "image/tiff", **asset} for name, asset in item.document["assets"].items()}
    stated = {**item.document, "geometry": outline, "assets": assets}
    seam = is_round(item.geobox, geobox)
    document = pystac.Item.from_dict(_everywhere(stated, geobox) if seam else stated, preserve_dict=False)
    by_place = {(source.href, _odc_index(item, source)): source for source in item.sources}
    driver = ExactDriver(by_place, log, rasters, previews=previews, claimed=item.geobox if seam else None)
    chunks = {"y": min(strip_rows, geobox.shape[0]), "x": geobox.shape[1]}

    def planned(
        sources: Iterable[BandSource], dtype: str, missing: float, resampling: str
    ) -> dict[BandSource, xr.DataArray]:
        names = {source: _odc_name(item, source) for source in sources}
        dataset = odc.stac.load(
            [document],
            bands=list(names.values()),
            geobox=geobox,
            chunks=chunks,
            resampling=resampling,
            dtype=dtype,
            nodata=missing,
            driver=driver,
            fuse_func=TAKE,
        )
        return {source: dataset[name].isel(time=0) for source, name in names.items()}

    bands = planned(item.bands.values(), "float32", float("nan"), resampling)
    if item.mask is not None:
        rule = item.sensor.mask
        dtype, missing = (rule.dtype, rule.missing) if rule is not None and not item.alpha else ("uint8", 0)
        bands |= planned([item.mask], dtype, missing, "nearest")
    return LazyItem(item, geobox, bands, quantity, log)


def _everywhere(document: dict[str, Any], geobox: GeoBox) -> dict[str, Any]:
    """An item that claims the target's own grid: odc, which chooses strips by it, has no outline across a seam."""
    assert geobox.crs is not None  # noqa: S101  # targets have one
    grid = {
        "proj:code": None,
        "proj:epsg": None,
        "proj:wkt2": geobox.crs.to_wkt(),
        "proj:shape": list(geobox.shape),
        "proj:transform": list(geobox.transform)[:6],
    }
    assets = {name: {**_unplaced(asset), **grid} for name, asset in document["assets"].items()}
    return {**document, "properties": {**_unplaced(document["properties"]), **grid}, "assets": assets}


def _unplaced(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if not name.startswith("proj:")}


def pixels_of(lazy: LazyItem, rows: slice, threads: int) -> tuple[Pixels, tuple[ReadFailure, ...]]:
    """Read a strip of rows.

    Args:
        lazy: Planned read.
        rows: Rows of its geobox.
        threads: Reads at the same time.

    Returns:
        The pixels, and what could not be read.
    """
    lazy.log.failures.clear()
    parts = [lazy.bands[source][rows].data for source in lazy.item.sources]
    # By its name the scheduler would be looked for among those of `distributed`, which is imported for it.
    read = dask.compute(*parts, scheduler=dask.threaded.get, num_workers=threads)
    failures = tuple(lazy.log.failures)
    bands = dict(zip(lazy.item.sources, read, strict=True))
    return _judge(lazy, bands, lazy.geobox[rows, :], failures), failures


def _judge(
    lazy: LazyItem, bands: dict[BandSource, NDArray[Any]], geobox: GeoBox, failures: tuple[ReadFailure, ...]
) -> Pixels:
    item = lazy.item
    lost = {source: _on(geobox, [f for f in failures if f.href == source.href]) for source in item.sources if failures}
    sources = tuple(item.bands.values())
    values = tuple(bands[source] for source in sources)
    observed = np.ones(geobox.shape, dtype=bool)
    is_number = np.empty_like(observed)
    for source, band in zip(sources, values, strict=True):
        np.equal(band, band, out=is_number)  # all but NaN
        if source in lost:
            is_number |= lost[source]
        observed &= is_number
    clear = np.ones_like(observed)
    if item.mask is not None:
        observed_by_mask, clear = _quality(item, bands[item.mask])
        unknown = lost.get(item.mask, False)
        observed &= observed_by_mask | unknown
        clear |= unknown
    failed = np.zeros_like(observed)
    for mask in lost.values():
        failed |= mask
    failed &= observed & clear
    is_scaled = lazy.quantity == "reflectance"
    scales = tuple(np.float32(source.scale if is_scaled else 1) for source in sources)
    return Pixels(values, scales, observed & clear & ~failed, observed & ~clear, failed)


def _quality(item: Item, codes: NDArray[np.unsignedinteger[Any]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the quality band says that something was observed, and where it was clear."""
    if item.alpha:
        return codes > 0, np.ones(codes.shape, dtype=bool)
    rule = item.sensor.mask
    assert rule is not None  # noqa: S101  # an item with a mask band has a sensor with a rule
    return rule.judge(codes)


def _on(geobox: GeoBox, failures: list[ReadFailure]) -> NDArray[np.bool_]:
    """Failures of one source, painted on a geobox of the same pixel grid."""
    lost = np.zeros(geobox.shape, dtype=bool)
    for failure in failures:
        shift = ~geobox.transform @ failure.geobox.transform
        row, col = round(shift.f), round(shift.c)
        height, width = failure.failed.shape
        r0, c0, r1, c1 = max(row, 0), max(col, 0), min(row + height, lost.shape[0]), min(col + width, lost.shape[1])
        if r1 > r0 and c1 > c0:
            lost[r0:r1, c0:c1] |= failure.failed[r0 - row : r1 - row, c0 - col : c1 - col]
    return lost


def _odc_name(item: Item, source: BandSource) -> str:
    """The name by which odc-stac knows a band: the asset's, with the number for files of several bands."""
    return f"{source.asset}.{_odc_index(item, source)}" if _band_count(item, source) > 1 else source.asset


def _odc_index(item: Item, source: BandSource) -> int:
    """The band's number for odc-stac, which has none for a mask: items list it after the bands."""
    return source.index or _band_count(item, source)


def _band_count(item: Item, source: BandSource) -> int:
    asset = item.document["assets"][source.asset]
    return len(asset.get("raster:bands", asset.get("bands", ())))
