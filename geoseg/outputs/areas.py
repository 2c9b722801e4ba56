"""How much of each class there is, in all and per feature of the AOI."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.compiled import count_values
from geoseg.outputs.files import whole_file
from geoseg.outputs.geodesy import Geodesy
from geoseg.outputs.legend import FAILED, ClassTable, LegendClass

ALL = "all"

# Rows whose pixels have about one area: within 10 km of latitude areas on a lon/lat grid at 60 degrees differ by 0.3 %.
_MOST_ROWS, _STRIP_M = 64, 10_000.0


@dataclass(frozen=True, slots=True)
class AreaRow:
    """The area of one class.

    Attributes:
        feature: Id of the AOI's feature, or ``all``.
        index: Class index.
        code: Code in the legend, or ``None``.
        name: Class name.
        pixels: Number of pixels.
        area_m2: On the ellipsoid; ``None`` without a CRS.
        area_m2_planar: Pixels times the pixel's area in the grid's CRS; ``None`` without a CRS, or where it has degrees.
        share: Of the classified pixels of the feature, 0 to 1.
    """

    feature: str
    index: int
    code: int | None
    name: str
    pixels: int
    area_m2: float | None
    area_m2_planar: float | None
    share: float


class AreaTable:
    """Areas, gathered block by block; blocks in any order give the same numbers but for the last digits.

    Args:
        geobox: Of the map.
        classes: The class table.
        features: Ids of the AOI's features, in the order wanted; may be empty. They may overlap.

    Attributes:
        strip_rows: So many rows of the map, one below the other, have pixels of about one area.
    """

    def __init__(self, geobox: GeoBox, classes: ClassTable, features: Sequence[str] = ()) -> None:
        self._classes = classes
        self._names = (ALL, *features)
        self._geodesy = None if geobox.crs is None else Geodesy(geobox.crs, geobox.transform)
        self._pixel_m2 = _planar_pixel_m2(geobox)
        self.strip_rows = _MOST_ROWS if self._geodesy is None else _rows_alike(self._geodesy, geobox)
        self._pixels = {name: np.zeros(256, np.int64) for name in self._names}
        self._areas_m2 = {name: np.zeros(256) for name in self._names}

    def add(
        self,
        rows: slice,
        cols: slice,
        block: NDArray[np.uint8],
        inside: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> None:
        """Counts a block of the map.

        Args:
            rows: Its rows in the map.
            cols: Its columns.
            block: Classes, uint8 of shape (row, col); nodata outside the AOI.
            inside: For each feature that touches the block: which of its pixels lie in it, bool of the block's shape.
        """
        counted = count_values(block, self.strip_rows)
        strips = [
            (k, slice(k * self.strip_rows, min((k + 1) * self.strip_rows, block.shape[0]))) for k in range(len(counted))
        ]
        strips = [(k, strip) for k, strip in strips if counted[k, :FAILED].any()]
        if not strips:
            return
        places = [(slice(rows.start + strip.start, rows.start + strip.stop), cols) for _, strip in strips]
        pixels_m2 = np.zeros(len(places)) if self._geodesy is None else self._geodesy.pixel_areas_m2(places)
        for (k, strip), pixel_m2 in zip(strips, pixels_m2.tolist(), strict=True):
            self._add(ALL, counted[k], pixel_m2)
            for name, mask in (inside or {}).items():
                self._add(name, np.bincount(block[strip][mask[strip]], minlength=256), pixel_m2)

    def add_counts(self, rows: slice, cols: slice, counts: Mapping[str, NDArray[np.int64]]) -> None:
        """Counts a window whose pixels have about one area, from pixels per value (256 of them) per feature and ``all``."""
        pixel_m2 = 0.0 if self._geodesy is None else self._geodesy.pixel_area_m2(rows, cols)
        for name, values in counts.items():
            self._add(name, values, pixel_m2)

    def _add(self, name: str, values: NDArray[np.int64], pixel_m2: float) -> None:
        self._pixels[name] += values
        self._areas_m2[name] += values * pixel_m2

    def add_features(
        self, names: Sequence[str], windows: Sequence[tuple[slice, slice]], counts: NDArray[np.int64]
    ) -> None:
        """Counts windows of features as `add_counts` does, many at once: each name with its window and its counts."""
        pixel_m2 = np.zeros(len(names)) if self._geodesy is None else self._geodesy.pixel_areas_m2(windows)
        for name, values, area_m2 in zip(names, counts, pixel_m2.tolist(), strict=True):
            self._add(name, values, area_m2)

    def rows(self) -> list[AreaRow]:
        """A row per feature and class, classes without a pixel included."""
        return [self._row(name, entry) for name in self._names for entry in self._classes]

    def _row(self, feature: str, entry: LegendClass) -> AreaRow:
        pixels = int(self._pixels[feature][entry.index])
        classified = int(self._pixels[feature][:FAILED].sum())
        return AreaRow(
            feature=feature,
            index=entry.index,
            code=entry.code,
            name=entry.name,
            pixels=pixels,
            area_m2=None if self._geodesy is None else float(self._areas_m2[feature][entry.index]),
            area_m2_planar=None if self._pixel_m2 is None else pixels * self._pixel_m2,
            share=pixels / classified if classified else 0.0,
        )


def _rows_alike(geodesy: Geodesy, geobox: GeoBox) -> int:
    rows, cols = geobox.shape
    height_m = geodesy.distance_m((cols / 2, rows / 2), (cols / 2, rows / 2 + 1))
    return int(np.clip(_STRIP_M / max(height_m, 1e-3), 1, _MOST_ROWS))


def write_areas(path: Path, rows: Sequence[AreaRow]) -> Path:
    """Writes ``areas.csv``: UTF-8, a header, one line per row.

    Raises:
        OutputError: If the file could not be written whole.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("feature", "class", "code", "name", "pixels", "area_m2", "area_m2_planar", "share"))
        for row in rows:
            table.writerow(
                (
                    _plain(row.feature),
                    row.index,
                    "" if row.code is None else row.code,
                    _plain(row.name),
                    row.pixels,
                    _number(row.area_m2),
                    _number(row.area_m2_planar),
                    f"{row.share:.6f}",
                )
            )
    return path


def _plain(text: str) -> str:
    """A spreadsheet takes a cell that starts with one of these for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _planar_pixel_m2(geobox: GeoBox) -> float | None:
    if geobox.crs is None or geobox.crs.geographic:
        return None
    metres = geobox.crs.proj.axis_info[0].unit_conversion_factor
    a, b, _, d, e, _ = tuple(geobox.transform)[:6]
    return float(abs(a * e - b * d) * metres**2)
