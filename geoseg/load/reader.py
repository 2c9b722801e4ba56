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

from geoseg.load.kept import Roi
from geoseg.load.opening import Rasters
from geoseg.load.placing import outline, padded, paste_rois, places
from geoseg.load.seam import Placed, is_round, outline_round, placed_round, reach_round
from geoseg.load.shared import SharedReads
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
        claimed: Pixel grid of the item, where odc is told another one.
    """

    def __init__(
        self,
        sources: dict[tuple[str, int], BandSource],
        log: ReadLog,
        rasters: Rasters | None = None,
        *,
        previews: bool = False,
        claimed: GeoBox | None = None,
    ) -> None:
        super().__init__()
        self._claimed = claimed
        self._rasters = rasters or Rasters()
        self._sources = sources
        self._log = log
        self._previews = previews
        self._shared = SharedReads(sources.values(), self._rasters.kept)

    def open(self, src: RasterSource, ctx: LocalContext) -> ExactReader:  # type: ignore[override]  # a narrower reader
        """A reader of one band of one file."""
        del ctx
        source = self._sources[(src.uri, src.band)]
        claimed = self._claimed or src.geobox
        return ExactReader(source, claimed, self._log, self._shared, self._rasters, previews=self._previews)

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
            place = (outline_round if is_round(self._claimed, dst_geobox) else outline)(self._claimed)
            failed = _warped_failure(np.ones((1, 1), dtype=bool), place, dst_geobox, nearest)
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
        if paste is None and is_round(src_geobox, dst_geobox):
            return self._read_round(file, src_geobox, cfg, dst_geobox, dst)
        plan = None if paste else compute_reproject_roi(src_geobox, dst_geobox)
        roi_src, roi = paste or _rois(plan)
        if roi_is_empty(roi) or roi_is_empty(roi_src):
            return roi, _empty(file, cfg, roi, dst)
        if plan is not None:
            out = _empty(file, cfg, roi, dst)
            window = padded(roi_src, src_geobox.shape.yx)
            shrink = min(plan.read_shrink, *roi_shape(window)) if self._previews else 1
            here = dst_geobox[roi]
            placed = Placed(src_geobox[window], ((0, window),))
            small = _shrunk(placed.geobox, shrink) if self._previews else src_geobox
            kernel = _kernel(*_source_px_per_pixel(small, here), cfg.resampling)
            self._warp(file, placed, shrink, kernel, cfg.fill_value, here, out)
            return roi, out
        pixels, failed, cause = self._shared.window(file, self._source, roi_src)
        out = _unwritten(file, cfg, roi, dst)
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

    def _read_round(
        self,
        file: rasterio.DatasetReader,
        src_geobox: GeoBox,
        cfg: RasterLoadParams,
        target: GeoBox,
        dst: NDArray[Any] | None,
    ) -> tuple[Roi, NDArray[Any]]:
        """A read of a raster that meets the line where longitude starts again."""
        roi: Roi = (slice(0, target.shape[0]), slice(0, target.shape[1]))
        out = _empty(file, cfg, roi, dst)
        placed = placed_round(src_geobox, target)
        if placed is not None:
            width, height = reach_round(src_geobox, target)
            alone = self._previews and len(placed.parts) == 1
            shrink = max(1, min(int(min(width, height)), *placed.geobox.shape)) if alone else 1
            kernel = _kernel(width / shrink, height / shrink, cfg.resampling)
            self._warp(file, placed, shrink, kernel, cfg.fill_value, target, out)
        return roi, out

    def _warp(
        self,
        file: rasterio.DatasetReader,
        placed: Placed,
        shrink: int,
        kernel: dict[str, Any],
        missing: Any,
        target: GeoBox,
        out: NDArray[Any],
    ) -> None:
        pixels, failed, cause, absent = self._windows(file, placed, shrink)
        window_geobox = _shrunk(placed.geobox, shrink)
        values = np.full(pixels.shape, np.nan, dtype="float32") if out.dtype.kind == "f" else pixels
        if out.dtype.kind == "f":
            self._store(pixels, values, file)
            if failed is not None:
                values[failed] = np.nan
        if absent is not None:
            values[:, absent] = missing
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

    def _windows(
        self, file: rasterio.DatasetReader, placed: Placed, shrink: int
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None, str, NDArray[np.bool_] | None]:
        """Pixels of the windows side by side, which failed and why, and the columns that belong to none."""
        if len(placed.parts) == 1:
            return *self._shared.window(file, self._source, placed.parts[0][1], shrink), None
        pixels: NDArray[Any] | None = None
        failed, absent, causes = np.zeros(placed.geobox.shape, bool), np.ones(placed.geobox.shape[1], bool), []
        for start, roi in placed.parts:
            part, lost, cause = self._shared.window(file, self._source, roi)
            if pixels is None:
                pixels = np.zeros(placed.geobox.shape, dtype=part.dtype)
            where = slice(start, start + part.shape[1])
            pixels[:, where], absent[where] = part, False
            if lost is not None:
                failed[:, where] = lost
                causes.append(cause)
        assert pixels is not None  # noqa: S101  # a place has parts
        return pixels, failed if causes else None, next(iter(causes), ""), absent if absent.any() else None

    def _store(self, raw: NDArray[Any], out: NDArray[Any], file: rasterio.DatasetReader) -> None:
        """Raw pixels into ``out``; as values with NaN for nodata where ``out`` is floating point."""
        if out.dtype.kind != "f":
            out[...] = raw
            return
        with np.errstate(over="ignore", invalid="ignore"):  # nodata of double precision, which is left out below
            np.copyto(out, raw, casting="unsafe")
        stated = self._source.nodata
        nodata = file.nodatavals[self._source.index - 1] if stated is None else stated
        if nodata is not None and not np.isnan(nodata):
            is_nodata = raw == nodata
            if is_nodata.any():
                out[is_nodata] = np.nan
        if raw.dtype.kind == "f":
            out[np.isinf(out)] = np.nan  # no sensor measures it, and one of it would fail every pixel in reach
        if self._source.offset:
            out += np.float32(self._source.offset / self._source.scale)


def _empty(file: rasterio.DatasetReader, cfg: RasterLoadParams, roi: Roi, dst: NDArray[Any] | None) -> NDArray[Any]:
    """Where a part of the target is written to, without a pixel yet."""
    out = _unwritten(file, cfg, roi, dst)
    out[...] = cfg.fill_value
    return out


def _unwritten(file: rasterio.DatasetReader, cfg: RasterLoadParams, roi: Roi, dst: NDArray[Any] | None) -> NDArray[Any]:
    """The same for who writes every pixel."""
    return dst[roi] if dst is not None else np.empty(roi_shape(roi), dtype=cfg.dtype or file.dtypes[0])


def take(target: NDArray[Any], source: NDArray[Any]) -> None:
    """How odc-stac puts one read into the result, where each band of an item is one read: as it is."""
    np.copyto(target, source)


TAKE = f"{take.__module__}.{take.__qualname__}"


def _shrunk(window: GeoBox, shrink: int) -> GeoBox:
    """The grid of a window of which one pixel is read for ``shrink`` x ``shrink``."""
    if shrink == 1:
        return window
    rows, cols = (max(1, size // shrink) for size in window.shape)
    return window[: rows * shrink, : cols * shrink].zoom_to((rows, cols))


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


def _kernel(width: float, height: float, resampling: str) -> dict[str, Any]:
    """How to warp, by the reach of a target pixel in source pixels: options of ``rasterio.warp.reproject``."""
    coarser = resampling in {"bilinear", "cubic"} and max(width, height) >= COARSER
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
    touched: NDArray[np.bool_] = lost != 0  # some weights of cubic convolution are below 0
    return touched
