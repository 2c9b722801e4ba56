"""The reader that odc-stac uses for every band: exact, independent of how the grid was cut, and honest about holes.

Differences from odc's own rasterio reader, each with its reason:

- A warp always starts from an array of source pixels and runs with an exact transformer. GDAL's default allows an
  eighth of a pixel of error, interpolated along the destination's scan lines, so the same pixel would differ between
  two tiles.
- The width of the resampling kernel is fixed per file. GDAL's default takes it from the shapes of the two windows, so
  a narrow strip of a turned grid would be blurred.
- Overviews are used for previews only: which overview fits depends on the request, not on the pixel.
- A block that cannot be read does not fail the request. Its samples become missing and the pixels that would have
  used them are reported to a ``ReadLog``.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo import xy_
from odc.geo.geobox import GeoBox
from odc.geo.overlap import ReprojectInfo, compute_reproject_roi, native_pix_transform
from odc.geo.roi import roi_is_empty, roi_shape
from odc.loader._rio import GlobalContext, LocalContext, RioDriver
from odc.loader.types import RasterLoadParams, RasterSource, ReaderSubsetSelection
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.warp import reproject

from geoseg.load.opening import Rasters
from geoseg.load.placing import outline, padded, paste_rois, places
from geoseg.load.shared import Roi, SharedReads
from geoseg.scenes import BandSource
from geoseg.scenes.raster_checks import unusable, what_it_is
from geoseg.scenes.scene import PIXEL_CRS, PIXEL_STEP

# Source pixels per pixel from which they are averaged. Not 2, where the distortion between two zones would decide.
COARSER = 1.5


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Pixels that a source should have given and did not.

    Attributes:
        href: The file.
        cause: What the server or GDAL said.
        geobox: Where the failed pixels lie.
        failed: (y, x), True = at least one sample of the pixel's resampling kernel could not be read.
    """

    href: str
    cause: str
    geobox: GeoBox
    failed: NDArray[np.bool_]


@dataclass(slots=True)
class ReadLog:
    """Failures of one load, filled by several threads."""

    failures: list[ReadFailure] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, failure: ReadFailure) -> None:
        """Note a failure."""
        with self._lock:
            self.failures.append(failure)


class ExactDriver(RioDriver):
    """odc-loader driver that opens ``ExactReader``.

    Args:
        sources: href and band number to the facts of the band.
        log: Where failures go.
        rasters: Opens files.
        previews: Whether overviews may be used.
    """

    def __init__(
        self,
        sources: dict[tuple[str, int], BandSource],
        log: ReadLog,
        rasters: Rasters | None = None,
        *,
        previews: bool = False,
    ) -> None:
        super().__init__()
        self._rasters = rasters or Rasters()
        self._sources = sources
        self._log = log
        self._previews = previews
        self._shared = SharedReads(sources.values())

    def open(self, src: RasterSource, ctx: LocalContext) -> ExactReader:  # type: ignore[override]  # a narrower reader
        """A reader of one band of one file."""
        del ctx
        source = self._sources[(src.uri, src.band)]
        return ExactReader(source, src.geobox, self._log, self._shared, self._rasters, previews=self._previews)

    def new_load(self, geobox: GeoBox, *, chunks: dict[str, int] | None = None) -> GlobalContext:
        """State of one load; nothing is kept between reads."""
        return GlobalContext(geobox, chunks=chunks)


class ExactReader:
    """Reads one band onto a geobox.

    Args:
        source: Facts of the band.
        claimed: Pixel grid of the file as its item states it, for files that cannot be opened.
        log: Where failures go.
        shared: Gives raw windows.
        rasters: Opens files.
        previews: Whether overviews may be used.
    """

    def __init__(
        self,
        source: BandSource,
        claimed: Any,
        log: ReadLog,
        shared: SharedReads,
        rasters: Rasters | None = None,
        *,
        previews: bool,
    ) -> None:
        self._rasters = rasters or Rasters()
        self._source = source
        self._shared = shared
        self._claimed = claimed
        self._log = log
        self._previews = previews

    def read(
        self,
        cfg: RasterLoadParams,
        dst_geobox: GeoBox,
        *,
        dst: NDArray[Any] | None = None,
        selection: ReaderSubsetSelection | None = None,
    ) -> tuple[Roi, NDArray[Any]]:
        """Pixels of the band on ``dst_geobox``; see ``odc.loader.types.RasterReader``.

        Floating-point destinations get ``value / scale`` (digital numbers without the offset) with NaN where nothing
        was observed; integer ones get raw codes with ``cfg.fill_value`` there.

        Raises:
            AssetChangedError: If the file is no longer the one that the job began with.
        """
        del selection
        try:
            with rasterio.Env(**_siblings(self._source)), self._rasters.opened(self._source.href) as file:
                return self._read_open(file, cfg, dst_geobox, dst)
        except RasterioError as err:
            return self._unreadable(_cause(self._source.href, str(err)), cfg, dst_geobox, dst)

    def _unreadable(
        self, cause: str, cfg: RasterLoadParams, dst_geobox: GeoBox, dst: NDArray[Any] | None
    ) -> tuple[Roi, NDArray[Any]]:
        roi: Roi = (slice(0, dst_geobox.shape[0]), slice(0, dst_geobox.shape[1]))
        failed = np.ones(dst_geobox.shape, dtype=bool)
        if isinstance(self._claimed, GeoBox):
            nearest = {"resampling": Resampling.nearest, "tolerance": 0}
            failed = _warped_failure(np.ones((1, 1), dtype=bool), outline(self._claimed), dst_geobox, nearest)
        out = dst if dst is not None else np.empty(dst_geobox.shape, dtype=cfg.dtype or "float32")
        out[...] = cfg.fill_value
        if failed.any():
            self._log.add(ReadFailure(self._source.href, cause, dst_geobox, failed))
        return roi, out

    def _read_open(
        self, file: rasterio.DatasetReader, cfg: RasterLoadParams, dst_geobox: GeoBox, dst: NDArray[Any] | None
    ) -> tuple[Roi, NDArray[Any]]:
        if damage := self._source.damage or unusable(file):
            return self._unreadable(damage, cfg, dst_geobox, dst)
        src_geobox = self._placed(file, dst_geobox)
        if src_geobox is None:  # a truncated header keeps the pixels and loses the place
            return self._unreadable("no georeference", cfg, dst_geobox, dst)
        paste = paste_rois(src_geobox, dst_geobox)
        plan = None if paste else compute_reproject_roi(src_geobox, dst_geobox)
        roi_src, roi = paste or _rois(plan)
        out = dst[roi] if dst is not None else np.empty(roi_shape(roi), dtype=cfg.dtype or file.dtypes[0])
        out[...] = cfg.fill_value
        if roi_is_empty(roi) or roi_is_empty(roi_src):
            return roi, out
        if plan is not None:
            self._warp(file, src_geobox, plan, cfg.resampling, dst_geobox[roi], out)
            return roi, out
        pixels, failed, cause = self._shared.window(file, self._source, roi_src)
        self._store(pixels, out, file)
        if failed is not None:
            self._log.add(ReadFailure(self._source.href, cause, dst_geobox[roi], failed))
        return roi, out

    def _placed(self, file: rasterio.DatasetReader, target: GeoBox) -> GeoBox | None:
        """The file's pixel grid, in degrees on the target's side of the antimeridian; ``None`` without a place."""
        if self._source.pixel_grid:
            return GeoBox(file.shape, PIXEL_STEP, PIXEL_CRS)
        if file.crs is None or file.transform.is_identity:
            return None
        own = GeoBox(file.shape, file.transform, file.crs)
        claimed = self._claimed
        if own.crs is None or not own.crs.geographic or not isinstance(claimed, GeoBox):
            return own
        if not claimed.crs == own.crs == target.crs:
            return own
        turns = round((claimed.boundingbox.left - own.boundingbox.left) / 360)
        return GeoBox(own.shape, Affine.translation(360.0 * turns, 0) @ own.transform, own.crs) if turns else own

    def _warp(
        self,
        file: rasterio.DatasetReader,
        src_geobox: GeoBox,
        plan: ReprojectInfo,
        resampling: str,
        target: GeoBox,
        out: NDArray[Any],
    ) -> None:
        roi_src = padded(_rois(plan)[0], src_geobox.shape.yx)
        window_geobox = src_geobox[roi_src]
        shrink = min(plan.read_shrink, *roi_shape(roi_src)) if self._previews else 1
        pixels, failed, cause = self._shared.window(file, self._source, roi_src, shrink)
        if shrink > 1:
            rows, cols = pixels.shape
            window_geobox = window_geobox[: rows * shrink, : cols * shrink].zoom_to(pixels.shape)
        kernel = _kernel(window_geobox if self._previews else src_geobox, target, resampling)
        values = np.full(pixels.shape, np.nan, dtype="float32") if out.dtype.kind == "f" else pixels
        if out.dtype.kind == "f":
            self._store(pixels, values, file)
            if failed is not None:
                values[failed] = np.nan
        reproject(
            values,
            out,
            src_nodata=np.nan if out.dtype.kind == "f" else None,
            dst_nodata=np.nan if out.dtype.kind == "f" else None,
            init_dest_nodata=out.dtype.kind == "f",
            **places(window_geobox, target),
            **kernel,
        )
        if failed is not None:
            lost = _warped_failure(failed, window_geobox, target, kernel)
            if lost.any():
                self._log.add(ReadFailure(self._source.href, cause, target, lost))

    def _store(self, raw: NDArray[Any], out: NDArray[Any], file: rasterio.DatasetReader) -> None:
        """Raw pixels into ``out``; as values with NaN for nodata where ``out`` is floating point."""
        if out.dtype.kind != "f":
            out[...] = raw
            return
        np.copyto(out, raw, casting="unsafe")
        stated = self._source.nodata
        nodata = file.nodatavals[self._source.index - 1] if stated is None else stated
        if nodata is not None and not np.isnan(nodata):
            out[raw == nodata] = np.nan
        if raw.dtype.kind == "f":
            out[np.isinf(out)] = np.nan  # no sensor measures it, and one of it would fail every pixel in reach
        if self._source.offset:
            out += np.float32(self._source.offset / self._source.scale)


def _siblings(source: BandSource) -> dict[str, str]:
    """GDAL's options for a file on disk: it looks for masks and headers beside it by name. Remote folders are let be."""
    return {} if "://" in source.href else {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}


def _cause(href: str, words: str) -> str:
    """Why a file cannot be opened: what it is, where it lies here and is no raster; else GDAL's words."""
    if "://" in href or href.startswith("/vsi") or not Path(href).is_file():
        return words
    return f"no raster: {what_it_is(href)[0]}"


def _rois(plan: ReprojectInfo | None) -> tuple[Roi, Roi]:
    """Source and target slices of odc's plan."""
    assert plan is not None  # noqa: S101  # the caller has a plan where it pastes nothing
    source, target = plan.roi_src, plan.roi_dst
    return _plain(source), _plain(target)


def _plain(roi: Any) -> Roi:  # odc's normalised slices, which are slices under another name
    rows, cols = roi
    return slice(rows.start, rows.stop), slice(cols.start, cols.stop)


def _kernel(source: GeoBox, target: GeoBox, resampling: str) -> dict[str, Any]:
    """How to warp: options of ``rasterio.warp.reproject`` that are equal for every cut of the target's lattice."""
    width, height = _source_px_per_pixel(source, target)
    coarser = resampling == "bilinear" and max(width, height) >= COARSER
    return {
        "resampling": Resampling.average if coarser else Resampling[resampling],
        "tolerance": 0,
        "XSCALE": 1 / width,
        "YSCALE": 1 / height,
    }


def _source_px_per_pixel(source: GeoBox, target: GeoBox) -> tuple[float, float]:
    """Reach of a target pixel along the columns and rows of the source, in the middle of the source.

    Rounded to what matters, so that every part of the target's lattice gives the same numbers.
    """
    to_target = native_pix_transform(source, target)
    rows, cols = source.shape
    x, y = to_target([xy_(cols / 2, rows / 2)])[0].xy
    around = [xy_(x + dx, y + dy) for dx, dy in ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))]
    left, right, top, bottom = (point.xy for point in to_target.back(around))
    sizes = (math.hypot(right[axis] - left[axis], bottom[axis] - top[axis]) for axis in (0, 1))
    # A source whose middle has no place in the target's CRS (a globe, say) says nothing about the part that is read.
    width, height = (float(f"{size:.4g}") if math.isfinite(size) and size > 0 else 1.0 for size in sizes)
    return width, height


def _warped_failure(
    failed: NDArray[np.bool_], source: GeoBox, target: GeoBox, kernel: dict[str, Any]
) -> NDArray[np.bool_]:
    """Target pixels whose resampling kernel touches a failed sample: those to which it has a weight."""
    lost = np.zeros(target.shape, dtype="float32")
    reproject(
        failed.astype("float32"),
        lost,
        **places(source, target),
        **kernel,
    )
    return lost > 0
