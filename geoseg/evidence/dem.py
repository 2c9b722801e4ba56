"""Elevations around an outline, read from the files of a DEM on their own grid, a window at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.windows import Window

from geoseg.errors import AssetReadError, RequestError
from geoseg.evidence.ground import Ground
from geoseg.load import Rasters, reading

Float = NDArray[np.float64]

_CACHE_BYTES = 64 * 2**20
_MOST_PX = 1024  # side of a window; larger outlines are read coarser
_FEWEST = 4  # pixels whose centre is inside; with fewer, those that the outline touches count
_ALIGNED = 1e-3  # pixels
_WHOLE = 0.999
_HALF_ROUND_DEG = 180.0
_OPEN_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class DemFile:
    """One raster of elevations.

    Attributes:
        href: Path or address.
        band: Number of its band, from 1.
        scale: Metres = number x scale + offset.
        offset: See ``scale``.
        nodata: Number of missing pixels; ``None`` where the file's own tag rules.
        geobox: Its pixel grid; unknown until it was opened.
    """

    href: str
    band: int = 1
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    geobox: GeoBox | None = None


@dataclass(frozen=True, slots=True)
class DemWindow:
    """Elevations around an outline.

    Attributes:
        elevation_m: float64 (rows, cols), NaN where unknown.
        inside: (rows, cols), where the outline is.
        steps_m: (rows, 2, 2), east and north in metres of a step of one column and of one row.
        ground: Metres on this window's grid, whose pixel (0, 0) is the window's first.
    """

    elevation_m: Float
    inside: NDArray[np.bool_]
    steps_m: Float
    ground: Ground


@dataclass(frozen=True)
class _Grid:
    """Files that share one pixel lattice; offsets are whole pixels from the first one's corner."""

    crs: CRS
    transform: Affine
    files: tuple[tuple[DemFile, int, int], ...]

    @cached_property
    def ground(self) -> Ground:
        return Ground(self.crs, self.transform)


class Dem:
    """A digital elevation model of one or more files. Use `opened` around reads.

    Files on one lattice are one raster, in the order of their names where they overlap. Of several lattices that cover
    an outline the finest counts that covers all of it. What is read for an outline depends on nothing but the outline
    and the files.

    Args:
        files: At least one; their headers are read here.
        rasters: Opens them.

    Raises:
        AssetReadError: If one cannot be opened.
        RequestError: If one has no place on Earth.
    """

    def __init__(self, files: Sequence[DemFile], rasters: Rasters | None = None) -> None:
        self._rasters = rasters or Rasters()
        self._open: dict[str, rasterio.DatasetReader] = {}
        self._stack = ExitStack()
        self.files = tuple(self._described(file) for file in sorted(files, key=lambda f: (f.href, f.band)))
        self._grids = _grids(self.files)
        self._transformers: dict[tuple[str, int], Transformer] = {}

    @property
    def crs(self) -> str:
        """CRS of the finest lattice, in words."""
        code = self._grids[0].crs.to_epsg()
        return f"EPSG:{code}" if code else str(self._grids[0].crs)

    @property
    def pixel_m(self) -> float:
        """Side of a pixel of the finest lattice on the ground, at the middle of its first file."""
        return _pixel_m(self._grids[0])

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keeps files open that windows are read from."""
        with ExitStack() as self._stack:
            try:
                yield
            finally:
                self._open.clear()

    def around(self, outline: shapely.Polygon, crs: CRS, margin_m: float) -> DemWindow | None:
        """Elevations of an outline's bounding box, grown by a margin.

        Args:
            outline: Polygon in coordinates of ``crs``.
            crs: Of the outline.
            margin_m: How far the window reaches beyond it on each side.

        Returns:
            The window; ``None`` where no file has an elevation of the outline.

        Raises:
            AssetReadError: If a file cannot be read.
        """
        best: tuple[float, DemWindow] | None = None
        for number, grid in enumerate(self._grids):
            with reading(_CACHE_BYTES):  # settings of GDAL are those of a thread
                window = self._window(grid, self._placed(outline, crs, number), margin_m)
            if window is None:
                continue
            share = float(np.isfinite(window.elevation_m[window.inside]).mean())
            if best is None or share > best[0]:
                best = share, window
            if share >= _WHOLE:
                break
        return None if best is None or not best[0] else best[1]

    def _placed(self, outline: shapely.Polygon, crs: CRS, number: int) -> shapely.Polygon:
        """An outline in pixels of a grid (x = column, y = row)."""
        grid = self._grids[number]
        key = (str(crs), number)
        if key not in self._transformers:
            self._transformers[key] = Transformer.from_crs(crs.proj, grid.crs.proj, always_xy=True)
        a, b, c, d, e, f = tuple(~grid.transform)[:6]

        def moved(xy: Float) -> Float:
            x, y = self._transformers[key].transform(xy[:, 0], xy[:, 1])
            return np.column_stack((c + x * a + y * b, f + x * d + y * e))

        placed: shapely.Polygon = shapely.transform(outline, moved)
        return placed

    def _window(self, grid: _Grid, outline: shapely.Polygon, margin_m: float) -> DemWindow | None:
        west, north, east, south = outline.bounds
        if not np.isfinite([west, north, east, south]).all():
            return None
        if grid.crs.geographic and (east - west) * abs(grid.transform.a) > _HALF_ROUND_DEG:
            return None  # it crosses the line where degrees jump, and its box would go round the Earth
        middle = np.array([[(west + east) / 2, (north + south) / 2]])
        steps = np.linalg.norm(grid.ground.steps_m(middle)[0], axis=1)
        if not np.isfinite(steps).all() or not steps.all():
            return None
        margin = [math.ceil(margin_m / step) + 1 for step in steps]
        row0, row1 = math.floor(north) - margin[1], math.ceil(south) + margin[1]
        col0, col1 = math.floor(west) - margin[0], math.ceil(east) + margin[0]
        if not any(_overlaps(file, at, (row0, row1, col0, col1)) for file, *at in grid.files):
            return None
        step = max(1, math.ceil(max(row1 - row0, col1 - col0) / _MOST_PX))
        row0, col0 = row0 // step * step, col0 // step * step
        shape = -(-(row1 - row0) // step), -(-(col1 - col0) // step)
        elevation = np.full(shape, np.nan)
        for file, row, col in grid.files:
            self._fill(elevation, file, (row0 - row, col0 - col), step)
        transform = grid.transform @ Affine.translation(col0, row0) @ Affine.scale(step)
        ground = grid.ground.moved(transform)
        rows = np.column_stack((np.full(shape[0], shape[1] / 2), np.arange(shape[0]) + 0.5))
        own = shapely.transform(outline, lambda xy: (xy - [col0, row0]) / step)
        return DemWindow(elevation, _inside(own, shape), ground.steps_m(rows), ground)

    def _fill(self, elevation: Float, file: DemFile, corner: tuple[int, int], step: int) -> None:
        """Put a file's pixels where the window has none yet."""
        assert file.geobox is not None  # noqa: S101  # as above
        (rows, cols), (row0, col0) = file.geobox.shape, corner
        # Whole steps of the window that touch the file.
        top, left = (max(0, -(-max(0, -first) // step)) for first in (row0, col0))
        bottom = min(elevation.shape[0], (rows - row0) // step)
        right = min(elevation.shape[1], (cols - col0) // step)
        if bottom <= top or right <= left:
            return
        window = Window(col0 + left * step, row0 + top * step, (right - left) * step, (bottom - top) * step)
        try:
            source = self._reader(file.href)
            read = source.read(
                file.band,
                window=window,
                out_shape=(bottom - top, right - left),
                resampling=Resampling.average if step > 1 else Resampling.nearest,
                masked=True,
            )
        except RasterioError as err:
            raise _unreadable(file.href, err) from err
        values = read.astype(np.float64).filled(np.nan)
        if file.nodata is not None:
            values[values == file.nodata] = np.nan
        part = elevation[top:bottom, left:right]
        np.copyto(part, values * file.scale + file.offset, where=np.isnan(part))

    def _reader(self, href: str) -> rasterio.DatasetReader:
        if href not in self._open:
            if len(self._open) >= _OPEN_AT_ONCE:
                self._stack.close()
                self._open.clear()
            self._open[href] = self._stack.enter_context(self._rasters.opened(href))
        return self._open[href]

    def _described(self, file: DemFile) -> DemFile:
        try:
            with reading(_CACHE_BYTES), self._rasters.opened(file.href) as source:
                placed = source.crs is not None
                geobox = GeoBox(source.shape, source.transform, source.crs) if placed else None
        except RasterioError as err:
            raise _unreadable(file.href, err) from err
        if geobox is None:
            raise RequestError(f"--dem {file.href}, which has no CRS", "elevations with a place", "name another file")
        return replace(file, geobox=geobox)


def _unreadable(href: str, err: RasterioError) -> AssetReadError:
    return AssetReadError(f"--dem {href}: {err}", "a raster of elevations that can be read", "replace the file")


def _overlaps(file: DemFile, at: Sequence[int], window: tuple[int, int, int, int]) -> bool:
    assert file.geobox is not None  # noqa: S101  # as above
    (rows, cols), (row, col) = file.geobox.shape, at
    return window[0] < row + rows and window[1] > row and window[2] < col + cols and window[3] > col


def _inside(outline: shapely.Polygon, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre is inside; where these are few, all that the outline touches."""
    for all_touched in (False, True):
        drawn = rasterize([(outline, 1)], shape, fill=0, all_touched=all_touched, dtype="uint8").astype(bool)
        if np.count_nonzero(drawn) >= _FEWEST:
            break
    return np.asarray(drawn)


def _grids(files: Sequence[DemFile]) -> tuple[_Grid, ...]:
    """Lattices of some files, the finest first."""
    found: list[tuple[GeoBox, list[tuple[DemFile, int, int]]]] = []
    for file in files:
        assert file.geobox is not None  # noqa: S101  # as above
        for first, members in found:
            offset = _offset(first, file.geobox)
            if offset is not None:
                members.append((file, *offset))
                break
        else:
            found.append((file.geobox, [(file, 0, 0)]))
    grids = [_Grid(first.crs, first.transform, tuple(members)) for first, members in found if first.crs is not None]
    return tuple(sorted(grids, key=_pixel_m))


def _pixel_m(grid: _Grid) -> float:
    """Side of a pixel on the ground at the middle of the grid's first file."""
    file, row, col = grid.files[0]
    assert file.geobox is not None  # noqa: S101  # as above
    rows, cols = file.geobox.shape
    steps = grid.ground.steps_m(np.array([[col + cols / 2, row + rows / 2]]))[0]
    return float(np.sqrt(abs(np.linalg.det(steps))))


def _offset(first: GeoBox, other: GeoBox) -> tuple[int, int] | None:
    """Row and column of another grid's corner on the first one's lattice; ``None`` where it is off it."""
    if first.crs != other.crs:
        return None
    move = ~first.transform @ other.transform
    col, row = move.c, move.f
    turned = max(abs(move.a - 1) * other.shape.x, abs(move.e - 1) * other.shape.y, abs(move.b), abs(move.d))
    if turned > _ALIGNED or max(abs(col - round(col)), abs(row - round(row))) > _ALIGNED:
        return None
    return round(row), round(col)
