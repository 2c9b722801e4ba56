"""Polygons, lines, points and boxes with a class each, and their labels on the pixel grid of an image.

The written rules: a pixel belongs to a polygon that has its centre (with ``all_touched``: that it touches at all). Lines
are drawn as wide as they are said to be. A point labels the one pixel it lies in. Of features that overlap, the one that
comes later in the file is on top. Everything else is ``elsewhere``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.labels.base import IGNORE
from geoseg.labels.files import metres

_BOX = ("xmin", "ymin", "xmax", "ymax")
_POINTS, _LINES = {0, 4}, {1, 2, 5}  # shapely's numbers of geometry types

#: Attribute values of features to class indices.
type Meaning = Callable[[Sequence[object], Path], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one file, in its order.

    Attributes:
        geometries: Polygons, lines and points.
        index: Class of each.
        crs: Of their coordinates; ``None`` = columns and rows of an image.
    """

    geometries: NDArray[np.object_]
    index: NDArray[np.uint8]
    crs: CRS | None

    @cached_property
    def tree(self) -> shapely.STRtree:
        """To find those of a box."""
        return shapely.STRtree(self.geometries)


@dataclass(frozen=True, eq=False)
class VectorTruth:
    """Features drawn on an image's grid, window by window; implements ``Truth``.

    Attributes:
        elsewhere: Label of pixels that no feature has.
        width_m: Width of lines in metres.
        area: Features outside of which nothing is known, if any.
    """

    features: Features
    grid: GeoBox
    elsewhere: int = IGNORE
    all_touched: bool = False
    width_m: float | None = None
    area: Features | None = None

    def read(self, window: Window) -> NDArray[np.uint8]:
        """See ``Truth``."""
        out = _drawn(self._placed, window, self.elsewhere, self.all_touched)
        if self.area is not None:
            known = _drawn(self._known, window, IGNORE, all_touched=False)
            out[known == IGNORE] = IGNORE
        return out

    @property
    def bounds(self) -> Window:
        """Pixels of the image around all of its features; empty where it has none."""
        if not len(self._placed.geometries):
            return Window(0, 0, 0, 0)
        left, lowest, right, highest = shapely.total_bounds(self._placed.geometries)
        rows, cols = self.grid.shape
        box = Window(math.floor(-highest), math.floor(left), math.ceil(-lowest) + 1, math.ceil(right) + 1)
        return box & Window(0, 0, rows, cols)

    @cached_property
    def _placed(self) -> Features:
        return placed(self.features, self.grid, self.width_m)

    @cached_property
    def _known(self) -> Features:
        assert self.area is not None  # noqa: S101  # asked for only then
        return placed(self.area, self.grid, None)


def placed(features: Features, grid: GeoBox, width_m: float | None) -> Features:
    """Those features that may touch an image, in its columns and (negative) rows.

    Rows are negative so that up is up, as in maps: where an edge runs through the centre of a pixel, it then falls to the
    side to which GDAL lets it fall for the whole image.

    Raises:
        RequestError: If there are lines and no width to draw them with.
    """
    geometries, index = features.geometries, features.index
    if features.crs is None:
        upright = shapely.transform(geometries, lambda xy: xy * (1.0, -1.0))
    else:
        near = np.sort(features.tree.query(shapely.box(*_bounds_in(grid, features.crs))))
        geometries, index = geometries[near], index[near]
        upright = shapely.transform(geometries, _to_pixels(features.crs, grid))
    finite = np.isfinite(shapely.bounds(upright)).all(axis=1) if len(upright) else np.ones(0, dtype=bool)
    upright, index = upright[finite], index[finite].copy()
    kinds = shapely.get_type_id(upright)
    lines = np.isin(kinds, list(_LINES))
    if lines.any():
        size = metres(grid)
        if width_m is None or size is None:
            raise RequestError(
                "lines as labels" + ("" if width_m is None else " of an image whose pixels have no size in metres"),
                "polygons, points, or lines with a width on a projected image",
                "give width_m in the data of the configuration, or buffer the lines to polygons",
            )
        upright[lines] = shapely.buffer(upright[lines], width_m / size / 2)
    return Features(upright, index, None)


def _bounds_in(grid: GeoBox, crs: CRS) -> tuple[float, float, float, float]:
    """A box around a grid in another CRS, with a pixel to spare."""
    around = grid.pad(2).extent.to_crs(crs, resolution=math.inf if grid.crs == crs else _step(grid)).boundingbox
    return around.left, around.bottom, around.right, around.top


def _step(grid: GeoBox) -> float:
    """Length of the edges that an outline is cut into before it is bent."""
    return float(max(*grid.shape) * (abs(grid.transform.a) or abs(grid.transform.b)) / 16)


def _to_pixels(crs: CRS, grid: GeoBox) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    assert grid.crs is not None  # noqa: S101  # images without a place have features in pixels
    between = None if crs == grid.crs else Transformer.from_crs(crs.proj, grid.crs.proj, always_xy=True)
    a, b, c, d, e, f = (~grid.transform)[:6]

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy.T if between is None else between.transform(*xy.T)
        return np.column_stack((a * x + b * y + c, -(d * x + e * y + f)))

    return move


def _drawn(features: Features, window: Window, elsewhere: int, all_touched: bool) -> NDArray[np.uint8]:
    """Features that are placed, drawn on a window."""
    out = np.full(window.shape, elsewhere, np.uint8)
    if not len(features.geometries):
        return out
    box = shapely.box(window.col0, -window.row1, window.col1, -window.row0)
    here = np.sort(features.tree.query(box))
    upright = Affine(1, 0, window.col0, 0, -1, -window.row0)
    run: list[tuple[Any, int]] = []

    def draw() -> None:
        if run:
            rasterio.features.rasterize(run, out=out, transform=upright, all_touched=all_touched)
            run.clear()

    for number in here:
        geometry, value = features.geometries[number], int(features.index[number])
        if shapely.get_type_id(geometry) in _POINTS:
            draw()
            _dot(out, window, geometry, value)
        elif not geometry.is_empty:
            run.append((geometry, value))
    draw()
    return out


def _dot(out: NDArray[np.uint8], window: Window, points: Any, value: int) -> None:
    for x, y in shapely.get_coordinates(points):
        row, col = math.floor(-y), math.floor(x)
        if window.row0 <= row < window.row1 and window.col0 <= col < window.col1:
            out[row - window.row0, col - window.col0] = value


def read_features(path: Path, attribute: str, meaning: Meaning, *, layer: str | None, pixels: bool) -> Features:
    """Features of a vector file, or boxes of a CSV file with the columns xmin, ymin, xmax and ymax in pixels.

    Args:
        path: Whatever GDAL reads, GeoParquet, or such a CSV file.
        attribute: Field with the class; empty where all are of one.
        meaning: Values of the field to class indices; gets ``None`` for each where there is no field.
        layer: Of the file; the first where it is ``None``.
        pixels: Whether coordinates are columns and rows.

    Raises:
        RequestError: If the file cannot be read, or has no such field.
    """
    if path.suffix.lower() == ".csv":
        return _boxes(path, attribute, meaning)
    import geopandas  # noqa: PLC0415  # half a second that other readers need not wait
    import pyogrio.errors  # noqa: PLC0415

    try:
        if path.suffix.lower() in {".parquet", ".geoparquet"}:
            table = geopandas.read_parquet(path)
        else:
            table = geopandas.read_file(path, **({} if layer is None else {"layer": layer}))
    except (OSError, ValueError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as err:
        raise RequestError(f"labels {path}: {err}", "a vector file that GDAL reads", "correct path or labels") from err
    if not isinstance(table, geopandas.GeoDataFrame) or (table.crs is None and not pixels):
        raise RequestError(f"labels {path} without geometries or CRS", "features with a CRS", "assign one in QGIS")
    if attribute and attribute not in table.columns:
        fields = ", ".join(name for name in table.columns if name != table.geometry.name) or "none"
        raise RequestError(f"labels {path} with the fields {fields}", f"the field {attribute}", "correct attribute")
    table = table[~(table.geometry.isna() | table.geometry.is_empty)]
    values = list(table[attribute]) if attribute else [None] * len(table)
    geometries = shapely.force_2d(np.asarray(table.geometry.array))
    return Features(*_single(geometries, meaning(values, path)), None if pixels else CRS(table.crs))


def _single(geometries: NDArray[np.object_], index: NDArray[np.uint8]) -> tuple[NDArray[np.object_], NDArray[np.uint8]]:
    """Collections taken apart, so that each part is drawn by the rule of its kind; polygons made valid."""
    parts, of = shapely.get_parts(geometries, return_index=True)
    while (shapely.get_type_id(parts) == 7).any():  # collections within collections
        parts, inner = shapely.get_parts(parts, return_index=True)
        of = of[inner]
    return parts, index[of]


def _boxes(path: Path, attribute: str, meaning: Meaning) -> Features:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        corners = np.array([[float(row[name]) for name in _BOX] for row in rows], dtype=np.float64).reshape(-1, 4)
        values = [row[attribute] for row in rows] if attribute else [None] * len(rows)
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError) as err:
        raise RequestError(
            f"labels {path}: {type(err).__name__} {err}",
            f"a CSV file with numbers in {', '.join(_BOX)}" + (f", and {attribute}" if attribute else ""),
            "correct the file, labels or attribute of the data",
        ) from err
    return Features(np.asarray(shapely.box(*corners.T)), meaning(values, path), None)


def meaning_of(index: Mapping[str, int], numbers: Mapping[int, int], label: int | None) -> Meaning:
    """What attribute values mean.

    Args:
        index: Class or ``IGNORE`` of a text.
        numbers: Class or ``IGNORE`` of a number.
        label: The class of all, where there is no attribute.

    Returns:
        Raises ``RequestError`` for values that mean nothing, all of them named.
    """

    def one(value: object) -> int | None:
        if value is None and label is not None:
            return label
        text = str(value).strip()
        if text in index:
            return index[text]
        try:
            number = float(text)
        except ValueError:
            return None
        return numbers.get(int(number)) if number.is_integer() else None

    def mean(values: Sequence[object], path: Path) -> NDArray[np.uint8]:
        found = [one(value) for value in values]
        strange = sorted({str(value) for value, number in zip(values, found, strict=True) if number is None})
        if strange:
            raise RequestError(
                f"labels {path} of the class{'es' * (len(strange) > 1)} {', '.join(strange[:20])}",
                f"classes, values or ignore of the data: {', '.join([*index, *map(str, numbers)])}",
                "add them to a class (values), to rename, or to ignore",
            )
        return np.array(found, dtype=np.uint8)

    return mean
