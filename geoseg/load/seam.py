"""Rasters that meet the line where longitude starts again, on grids that do not know it.

PROJ gives each place one longitude, within half a turn of the central meridian. A raster that touches that line,
crosses it, counts 0 to 360 or goes round the whole Earth has places on both sides of it. Here longitudes are counted
on from the raster's own middle, or from the target where the raster goes round; see docs/decisions/017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from geoseg.grid import CENTRAL_MERIDIAN, meets_seam, round_of, typical_place
from geoseg.load.kept import Roi
from geoseg.load.placing import KERNEL_PAD_PX, outline

# Points along each side of the lattice by which a target is measured.
_POINTS = 33
# A turn is so many columns when the last one is off by no more than this.
_DRIFT_PX = 0.01
# From this share of a turn on, the whole of it is read.
_NEARLY_ROUND = 0.75


@dataclass(frozen=True, slots=True)
class Placed:
    """Windows of a file side by side, and where they lie.

    Attributes:
        geobox: Their common pixel grid; its CRS may have another central meridian than the file's.
        parts: First column in ``geobox``, and the window of the file. Columns of no part are missing.
    """

    geobox: GeoBox
    parts: tuple[tuple[int, Roi], ...]


@dataclass(frozen=True, slots=True)
class _Round:
    """How a raster goes round.

    Attributes:
        source: Its pixel grid.
        middle: x in the middle of its CRS.
        turn: Length of a turn in x.
        ring: Columns of a turn, where the raster holds most of one; else 0.
    """

    source: GeoBox
    middle: float
    turn: float
    ring: int

    @classmethod
    def of(cls, source: GeoBox) -> _Round:
        around = round_of(_crs(source))
        assert around is not None  # noqa: S101  # only rasters that meet a seam come here
        a, b, _, d, *_ = source.transform[:6]
        cols = around[1] / a
        whole = b == d == 0 and a > 0 and abs(cols - round(cols)) <= _DRIFT_PX and source.shape[1] >= cols / 2
        return cls(source, *around, round(cols) if whole else 0)

    @property
    def centre(self) -> float:
        """X in the middle of the raster."""
        box = self.source.boundingbox
        return float(box.left + box.right) / 2

    def near(self, x: NDArray[np.float64], about: float) -> NDArray[np.float64]:
        """The same places, counted within half a turn of ``about``."""
        return x - self.turn * np.round((x - about) / self.turn)


def is_round(source: GeoBox, target: GeoBox) -> bool:
    """Whether a source is to be placed by this module on a target."""
    return source.crs != target.crs and meets_seam(source)


def placed_round(source: GeoBox, target: GeoBox) -> Placed | None:
    """The part of a source that a target needs, in one piece; ``None`` where there is none."""
    around = _Round.of(source)
    x, y = _lattice_in(source, target)
    seen = np.isfinite(x) & np.isfinite(y)
    if not seen.any():
        return None
    x, y = np.where(seen, x, np.nan), np.where(seen, y, np.nan)
    about = around.centre
    if around.ring:  # counted from a quarter near the target, so that the ends are far away
        here = x[_POINTS // 2, _POINTS // 2] if seen[_POINTS // 2, _POINTS // 2] else x[seen][0]
        about = around.middle + around.turn / 4 * round(4 * (here - around.middle) / around.turn)
    cols, rows = ~source.transform @ (around.near(x, about), y)
    top, bottom, step = _span(rows)
    row0, row1 = max(0, math.floor(top - step)), min(source.shape[0], math.ceil(bottom + step))
    left, right, step = _span(cols)
    period = abs(around.turn / source.transform.a) if source.transform.a else math.inf
    col0, col1 = math.floor(left - step), math.ceil(right + step)
    if around.ring and (step > period / 2 or col1 - col0 > _NEARLY_ROUND * period):
        about = around.middle  # PROJ's own longitudes, which GDAL leaves alone where a window goes round
        col0 = round((about - around.turn / 2 - source.transform.c) / source.transform.a) - KERNEL_PAD_PX
        col1 = col0 + around.ring + 2 * KERNEL_PAD_PX
    elif step > period / 2:
        col0, col1 = 0, source.shape[1]
    parts = _parts(col0, col1, source.shape[1], around.ring)
    if row1 <= row0 or not parts:
        return None
    first, last = parts[0][0], parts[-1][0] + parts[-1][1].stop - parts[-1][1].start
    window = GeoBox((row1 - row0, last - first), source.transform @ Affine.translation(first, row0), source.crs)
    rois = tuple((start - first, (slice(row0, row1), part)) for start, part in parts)
    return Placed(_recentred(window, about - around.middle, around.turn), rois)


def outline_round(source: GeoBox) -> GeoBox:
    """The area of a source as a single pixel."""
    around = _Round.of(source)
    if not around.ring:
        return _recentred(outline(source), around.centre - around.middle, around.turn)
    b, _, d, e, f = source.transform[1:6]
    return outline(
        GeoBox(
            source.shape, Affine(around.turn / source.shape[1], b, around.middle - around.turn / 2, d, e, f), source.crs
        )
    )


def reach_round(source: GeoBox, target: GeoBox) -> tuple[float, float]:
    """Reach of a target pixel along the columns and rows of the source.

    Measured where neither the source's middle nor the cut of the target's lattice decides.
    """
    around, crs = _Round.of(source), _crs(source)
    x, y = typical_place(source, _crs(target))
    (tx,), (ty,) = crs.transformer_to_crs(_crs(target))(np.array([x]), np.array([y]))
    a, b, _, d, e, _ = target.transform[:6]
    half = np.array([(-a, -d), (a, d), (-b, -e), (b, e)]) / 2
    sx, sy = _crs(target).transformer_to_crs(crs)(tx + half[:, 0], ty + half[:, 1])
    cols, rows = ~source.transform @ (around.near(sx, x), sy)
    sizes = (math.hypot(along[1] - along[0], along[3] - along[2]) for along in (cols, rows))
    width, height = (float(f"{size:.4g}") if math.isfinite(size) and size > 0 else 1.0 for size in sizes)
    return width, height


def _crs(geobox: GeoBox) -> CRS:
    assert geobox.crs is not None  # noqa: S101  # rasters without a CRS are refused before anything is read
    return geobox.crs


def _lattice_in(source: GeoBox, target: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points all over a target, its rim among them, in the CRS of the source: (y, x) each."""
    height, width = target.shape
    rows, cols = np.meshgrid(np.linspace(0, height, _POINTS), np.linspace(0, width, _POINTS), indexing="ij")
    a, b, c, d, e, f = target.transform[:6]
    places: Any = _crs(target).transformer_to_crs(_crs(source))(
        (c + a * cols + b * rows).ravel(), (f + d * cols + e * rows).ravel()
    )
    x, y = (np.asarray(axis, dtype="float64").reshape(rows.shape) for axis in places)
    return x, y


def _span(places: NDArray[np.float64]) -> tuple[float, float, float]:
    """Least and greatest of places on a lattice, and what may lie between two of its points, with a kernel's pad."""
    steps = [np.abs(np.diff(places, axis=axis)) for axis in (0, 1)]
    widest = max((float(np.nanmax(step)) for step in steps if np.isfinite(step).any()), default=0.0)
    return float(np.nanmin(places)), float(np.nanmax(places)), widest + KERNEL_PAD_PX


def _parts(col0: int, col1: int, width: int, ring: int) -> tuple[tuple[int, slice], ...]:
    """Columns, counted on round the Earth, as parts of the file: first column, and the slice of the file."""
    parts = []
    for turn in range(col0 // ring, (col1 - 1) // ring + 1) if ring else (0,):
        start = turn * ring
        low, high = max(col0, start), min(col1, start + (min(width, ring) if ring else width))
        if high > low:
            parts.append((low, slice(low - start, high - start)))
    return tuple(parts)


def _recentred(geobox: GeoBox, shift: float, turn: float) -> GeoBox:
    """The same place in a CRS whose central meridian lies ``shift`` further; GDAL does it itself for degrees."""
    crs = _crs(geobox)
    if crs.geographic or not shift:
        return geobox
    return GeoBox(
        geobox.shape, Affine.translation(-shift, 0) @ geobox.transform, _turned_crs(crs.to_wkt(), 360 * shift / turn)
    )


@lru_cache(maxsize=64)
def _turned_crs(wkt: str, degrees: float) -> CRS:
    """A cylindrical projection with its central meridian moved; the datum, and so the ways to it, stay."""
    document = pyproj.CRS(wkt).to_json_dict()
    for parameter in document["conversion"]["parameters"]:
        if parameter["name"] in CENTRAL_MERIDIAN:
            parameter["value"] += degrees
    for part in (document, document["conversion"]):
        part.pop("id", None)
    document["name"] += " turned"
    for key in ("area", "bbox", "usages", "scope"):
        document.pop(key, None)
    return CRS(pyproj.CRS.from_json_dict(document).to_wkt())
