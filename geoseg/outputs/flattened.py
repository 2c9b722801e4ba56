"""True areas of millions of vertices: the equal-area projection of a grid, as a polynomial per cell of it.

A projection is smooth: over some hundred pixels a polynomial of fifth degree follows it to about the last digit of the
coordinates. Whether it does is looked at cell by cell; where it does not (at a pole, at the edge of the projection, or
where pixels are tens of kilometres wide) a polygon has no area here, and is to be measured point by point.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.compiled import compiled
from geoseg.outputs.geodesy import Geodesy, Geometries

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]

_CELL_PX = 512
_DEGREE = 5
_NODES = 8
# Of a coordinate, in pixels: an area of one pixel is then off by less than 1e-9. Less than 1e-8 m cannot be asked for,
# because coordinates of ten thousand kilometres have no more digits.
_TOLERANCE_PX, _LEAST_TOLERANCE_M = 2e-10, 1e-8
_HALF_WAY_ROUND_M = 20_000_000.0


class Outlines(Protocol):
    """Polygons as flat arrays.

    Attributes of shapely's ragged arrays: rings follow each other in ``vertices``, each ends with its first vertex.
    """

    @property
    def vertices(self) -> NDArray[Any]:
        """Vertices (n, 2), x and y."""

    @property
    def ring_offsets(self) -> Int64:
        """Where each ring begins in the vertices, and the end of the last."""

    @property
    def polygon_offsets(self) -> Int64:
        """Where each polygon begins in the ring offsets, shell first, and the end of the last."""


class FlatAreas:
    """Areas of polygons in pixel coordinates.

    Args:
        geodesy: Of the grid.
    """

    def __init__(self, geodesy: Geodesy) -> None:
        self._geodesy = geodesy
        self._tolerance_m = max(_TOLERANCE_PX * geodesy.pixel_m, _LEAST_TOLERANCE_M)
        self._known: dict[tuple[int, int], Float] = {}
        nodes = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
        self._points = np.vstack([_lattice(nodes), _lattice(np.array([-1.0, -0.5, 0.5, 1.0]))])
        self._terms = _terms(self._points)
        self._solve = np.linalg.pinv(self._terms[: _NODES**2])

    def areas_m2(self, outlines: Outlines) -> Float:
        """True areas in square metres, holes taken off."""
        if len(outlines.polygon_offsets) < 2:
            return np.empty(0)
        areas = self._by_polynomials(outlines)
        rest = np.flatnonzero(np.isnan(areas))
        if rest.size:
            areas[rest] = self._geodesy.areas_m2(geometry_of(outlines)[rest])
        return areas

    def _by_polynomials(self, outlines: Outlines) -> Float:
        """The areas, NaN where the polynomials do not hold."""
        vertices = np.ascontiguousarray(outlines.vertices, np.float64)
        cols, rows = (range(int(v.min() // _CELL_PX), int(v.max() // _CELL_PX) + 1) for v in vertices.T)
        self._learn((row, col) for row in rows for col in cols)
        table = np.stack([self._known[row, col].ravel() for row in rows for col in cols])
        rings, polygons = outlines.ring_offsets, outlines.polygon_offsets
        return _areas(vertices, rings, polygons, table, rows.start, cols.start, len(cols), self._geodesy.edge_px)

    def _learn(self, cells: Iterable[tuple[int, int]]) -> None:
        """Fits the cells that are not known yet; one whose fit is off has no coefficients but NaN."""
        new = [cell for cell in cells if cell not in self._known]
        if not new:
            return
        middle = (np.array(new, float)[:, ::-1] + 0.5) * _CELL_PX
        points = middle[:, None] + self._points * (_CELL_PX / 2)
        metres = self._geodesy.flat(points.reshape(-1, 2)).reshape(points.shape)
        origin = metres[:, :1]
        with np.errstate(invalid="ignore"):  # infinite where the projection ends
            known = self._solve @ (metres - origin)[:, : self._solve.shape[1]]
            off = np.abs(self._terms @ known - (metres - origin)).max(axis=(1, 2))
        known[:, 0] += origin[:, 0]
        known[~(off <= self._tolerance_m)] = np.nan
        self._known.update(zip(new, known.transpose(0, 2, 1), strict=True))


def geometry_of(outlines: Outlines) -> Geometries:
    """The same polygons as shapely has them."""
    offsets = outlines.ring_offsets, outlines.polygon_offsets
    vertices = np.asarray(outlines.vertices, np.float64)
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, vertices, offsets), dtype=object)


def _lattice(steps: Float) -> Float:
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


def _terms(points: Float) -> Float:
    """Products of powers (n, term), in the order in which ``_areas`` adds them."""
    u, v = points.T
    return np.stack([u**i * v**j for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)], axis=-1)


@compiled("float64(float64[:, ::1], int64, int64, float64, float64)")
def _value(known: Float, cell: int, at: int, u: float, v: float) -> float:
    """The polynomial of fifth degree at a point; its coefficients begin at an entry of the cell's row."""
    value, term = 0.0, at + 20
    for i in range(5, -1, -1):
        inner = 0.0
        for _ in range(6 - i):
            inner = inner * v + known[cell, term]
            term -= 1
        value = value * u + inner
    return value


@compiled(
    "float64[::1](float64[:, ::1], int64[::1], int64[::1], float64[:, ::1], int64, int64, int64, float64)",
)
def _areas(
    vertices: Float,
    rings: Int64,
    polygons: Int64,
    known: Float,
    first_row: int,
    first_col: int,
    cols: int,
    edge_px: float,
) -> Float:
    result = np.empty(len(polygons) - 1)
    for polygon in range(len(polygons) - 1):
        area, west, east = 0.0, np.inf, -np.inf
        for ring in range(polygons[polygon], polygons[polygon + 1]):
            doubled, x0, y0, x1, y1 = 0.0, 0.0, 0.0, 0.0, 0.0
            for vertex in range(rings[ring], rings[ring + 1]):
                parts, from_col, from_row = 1, vertices[vertex, 0], vertices[vertex, 1]
                col, row = from_col, from_row
                if vertex > rings[ring]:
                    from_col, from_row = vertices[vertex - 1, 0], vertices[vertex - 1, 1]
                    if abs(col - from_col) + abs(row - from_row) > edge_px:
                        parts = int(np.ceil(np.hypot(col - from_col, row - from_row) / edge_px))
                for part in range(1, parts + 1):
                    px, py = col, row
                    if part < parts:
                        px, py = from_col + (col - from_col) * part / parts, from_row + (row - from_row) * part / parts
                    cell_row, cell_col = int(np.floor(py * (1 / _CELL_PX))), int(np.floor(px * (1 / _CELL_PX)))
                    cell = (cell_row - first_row) * cols + cell_col - first_col
                    u, v = px * (2 / _CELL_PX) - 2 * cell_col - 1, py * (2 / _CELL_PX) - 2 * cell_row - 1
                    x, y = _value(known, cell, 0, u, v), _value(known, cell, 21, u, v)
                    if vertex == rings[ring]:
                        x0, y0 = x, y
                    else:
                        doubled += (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
                    x1, y1 = x, y
                    west, east = min(west, x), max(east, x)
            area += abs(doubled) if ring == polygons[polygon] else -abs(doubled)
        result[polygon] = area / 2 if east - west < _HALF_WAY_ROUND_M else np.nan
    return result
