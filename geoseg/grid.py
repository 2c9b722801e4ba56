"""One pixel lattice for a job, and integer windows on it.

A lattice is a CRS, a pixel size and a phase. Its pixels are counted from the *anchor*: the pixel corner that lies
nearest to the origin of the CRS. So pixel numbers depend on neither the AOI nor the scenes, and two runs on the same
lattice agree about every window. Nothing here reads a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

_TIE_PX = 1e-6
_HALF_TURN = 180.0
_TURN = 360.0
# Cylindrical projections: x grows with longitude alone, and ends where it began.
_CYLINDRICAL = {
    "Popular Visualisation Pseudo Mercator",
    "Mercator (variant A)",
    "Mercator (variant B)",
    "Mercator (Spherical)",
    "Equidistant Cylindrical",
    "Equidistant Cylindrical (Spherical)",
    "Lambert Cylindrical Equal Area",
    "Lambert Cylindrical Equal Area (Spherical)",
}
CENTRAL_MERIDIAN = ("Longitude of natural origin", "Longitude of false origin")
# A raster that ends this near to the seam of its CRS meets it: kernels reach over it.
_NEAR_PX = 4


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open rectangle of lattice pixels, counted from the anchor (rows grow downwards in the image).

    Attributes:
        row0: First row.
        col0: First column.
        row1: Row after the last.
        col1: Column after the last.
    """

    row0: int
    col0: int
    row1: int
    col1: int

    def __post_init__(self) -> None:
        if self.row1 < self.row0 or self.col1 < self.col0:
            raise ValueError(f"a window must not end before it starts: {self}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row1 - self.row0, self.col1 - self.col0

    @property
    def size_px(self) -> int:
        """Number of pixels."""
        rows, cols = self.shape
        return rows * cols

    def __bool__(self) -> bool:
        return self.size_px > 0

    def __and__(self, other: Window) -> Window:
        """The shared part; empty (falsy) where there is none."""
        row0, col0 = max(self.row0, other.row0), max(self.col0, other.col0)
        return Window(row0, col0, max(row0, min(self.row1, other.row1)), max(col0, min(self.col1, other.col1)))

    def __or__(self, other: Window) -> Window:
        """The smallest window around both."""
        return Window(
            min(self.row0, other.row0),
            min(self.col0, other.col0),
            max(self.row1, other.row1),
            max(self.col1, other.col1),
        )

    def contains(self, other: Window) -> bool:
        """Whether ``other`` lies inside."""
        return (
            self.row0 <= other.row0 and self.col0 <= other.col0 and self.row1 >= other.row1 and self.col1 >= other.col1
        )

    def padded(self, top: int, left: int, bottom: int, right: int) -> Window:
        """The window grown by so many pixels on each side."""
        return Window(self.row0 - top, self.col0 - left, self.row1 + bottom, self.col1 + right)

    def shifted(self, rows: int, cols: int) -> Window:
        """The window moved by so many pixels."""
        return Window(self.row0 + rows, self.col0 + cols, self.row1 + rows, self.col1 + cols)

    def snapped(self, step_px: int) -> Window:
        """The smallest window around this one whose edges are multiples of ``step_px``."""
        return Window(
            self.row0 // step_px * step_px,
            self.col0 // step_px * step_px,
            -(-self.row1 // step_px) * step_px,
            -(-self.col1 // step_px) * step_px,
        )

    def within(self, outer: Window) -> tuple[slice, slice]:
        """Row and column slices of this window in an array that covers ``outer``.

        Raises:
            ValueError: If ``outer`` does not contain this window.
        """
        if not outer.contains(self):
            raise ValueError(f"{self} does not lie within {outer}")
        return (
            slice(self.row0 - outer.row0, self.row1 - outer.row0),
            slice(self.col0 - outer.col0, self.col1 - outer.col0),
        )


@dataclass(frozen=True, slots=True)
class Lattice:
    """The infinite pixel grid that a job computes on.

    Attributes:
        crs: Coordinate reference system.
        transform: Affine of some pixel corner of the grid, kept as it was given, so that windows of a raster that
            defined the lattice have exactly that raster's coordinates.
        anchor: (row, col) of the anchor, counted from the corner that ``transform`` describes.
    """

    crs: CRS
    transform: Affine
    anchor: tuple[int, int]

    @classmethod
    def from_geobox(cls, geobox: GeoBox) -> Self:
        """The lattice that a raster lies on.

        Raises:
            ValueError: If the geobox has no CRS.
        """
        if geobox.crs is None:
            raise ValueError("a lattice needs a CRS")
        col, row = ~geobox.transform @ (0.0, 0.0)
        return cls(_by_code(geobox.crs), geobox.transform, (_nearest(row), _nearest(col)))

    @classmethod
    def from_resolution(cls, crs: CRS | str, resolution: float) -> Self:
        """The north-up lattice with square pixels whose anchor is the origin of the CRS.

        Args:
            crs: Coordinate reference system.
            resolution: Pixel size in CRS units, positive.
        """
        return cls(_by_code(CRS(crs)), Affine(resolution, 0.0, 0.0, 0.0, -resolution, 0.0), (0, 0))

    @property
    def pixel_area(self) -> float:
        """Area of a pixel in squared CRS units."""
        return abs(self.transform.determinant)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel in CRS units (lengths of the pixel's sides; works for rotated grids)."""
        a, b, _, d, e, _ = self.transform[:6]
        return math.hypot(b, e), math.hypot(a, d)

    def geobox(self, window: Window) -> GeoBox:
        """The geobox of a window."""
        row, col = window.row0 + self.anchor[0], window.col0 + self.anchor[1]
        return GeoBox(window.shape, self.transform @ Affine.translation(col, row), self.crs)

    def window_of(self, geobox: GeoBox, tolerance_px: float = 0.02) -> Window | None:
        """The window that a geobox covers, or ``None`` when it does not lie on this lattice."""
        if geobox.crs != self.crs:
            return None
        to_px = ~self.transform @ geobox.transform
        if max(abs(to_px.a - 1), abs(to_px.e - 1)) * max(geobox.shape) > tolerance_px:
            return None
        if max(abs(to_px.b), abs(to_px.d)) * max(geobox.shape) > tolerance_px:
            return None
        row, col = round(to_px.f), round(to_px.c)
        if max(abs(to_px.f - row), abs(to_px.c - col)) > tolerance_px:
            return None
        row0, col0 = row - self.anchor[0], col - self.anchor[1]
        return Window(row0, col0, row0 + geobox.shape[0], col0 + geobox.shape[1])


def _nearest(place_px: float) -> int:
    """The nearest corner; of two that are equally near, always the later one.

    Corners of Landsat pixels and of rasters by pixel centres lie half a pixel beside the origin. Rounding to even, or
    by the last bits of the coordinates, would give each raster of such a grid an anchor of its own.
    """
    return math.floor(place_px + 0.5 + _TIE_PX)


def _by_code(crs: CRS) -> CRS:
    """The same CRS under its EPSG code where it has one, so that equal systems have equal names."""
    code = crs.to_epsg()
    if code is None:
        return crs
    coded = CRS(code)
    return coded if coded.proj.equals(crs.proj, ignore_axis_order=True) else crs


def is_torn(longitudes: NDArray[np.float64]) -> bool:
    """Whether a map in degrees would go round the Earth to hold these places, which lie close to the antimeridian."""
    around = longitudes % 360
    return bool(np.ptp(longitudes) > _HALF_TURN > np.ptp(around))


def turned(geometry: shapely.Geometry, longitude: float) -> shapely.Geometry:
    """A geometry in degrees, each part moved by whole turns to where it is nearest to a longitude."""

    def near(part: shapely.Geometry) -> shapely.Geometry:
        west, _, east, _ = part.bounds
        turns = round((longitude - (west + east) / 2) / 360)
        moved: shapely.Geometry = shapely.transform(part, lambda xy: xy + np.array([360.0 * turns, 0.0]))
        return moved

    parts = shapely.get_parts(geometry)
    return shapely.union_all([near(part) for part in parts])


def round_of(crs: CRS) -> tuple[float, float] | None:
    """Where x comes round: the x in the middle between both ends of a CRS, and the length of a turn.

    Returns:
        Both in units of the CRS; ``None`` where a turn of longitude is not a step in x.
    """
    return _round_of(crs.to_wkt())


@lru_cache(maxsize=64)
def _round_of(wkt: str) -> tuple[float, float] | None:
    proj = CRS(wkt).proj
    if proj.is_geographic:
        return (0.0, _TURN) if proj.axis_info[0].unit_name == "degree" else None
    operation = proj.coordinate_operation
    if operation is None or operation.method_name not in _CYLINDRICAL or proj.geodetic_crs is None:
        return None
    meridian = next((float(p.value) for p in operation.params if p.name in CENTRAL_MERIDIAN), 0.0)
    along = Transformer.from_crs(proj.geodetic_crs, proj, always_xy=True)
    middle, quarter = along.transform([meridian, meridian + 90], [0.0, 0.0])[0]
    return float(middle), 4 * float(abs(quarter - middle))


def poles_of(crs: CRS) -> tuple[float, float]:
    """The y of the south and of the north pole, where each is a line of y; infinite in all other CRSs.

    Grids in degrees and in cylindrical projections go on behind it for part of a pixel, where their rows are centred on
    the pole or their size is round. There is nothing behind it.
    """
    if crs.geographic:
        pole = math.pi / 2 / float(crs.proj.axis_info[0].unit_conversion_factor)
        return -pole, pole
    return (-math.inf, math.inf) if round_of(crs) is None else _poles_of(crs.to_wkt())


@lru_cache(maxsize=64)
def _poles_of(wkt: str) -> tuple[float, float]:
    proj = CRS(wkt).proj
    degrees = poles_of(CRS(proj.geodetic_crs))
    _, y = Transformer.from_crs(proj.geodetic_crs, proj, always_xy=True).transform([0.0, 0.0], degrees)
    south, north = (float(place) for place in y)
    return (south, north) if math.isfinite(south) and math.isfinite(north) else (-math.inf, math.inf)


def on_earth(geobox: GeoBox) -> GeoBox:
    """The place of a grid without what of its first and last rows lies behind a pole; its pixels are not these."""
    if geobox.crs is None:
        return geobox
    a, b, x, d, e, y = geobox.transform[:6]
    ends = y, y + e * geobox.shape.y
    south, north = poles_of(geobox.crs)
    first, last = (min(max(end, south), north) for end in ends)
    if b or d or first == last or (first, last) == ends:
        return geobox
    return GeoBox(geobox.shape, Affine(a, 0.0, x, 0.0, (last - first) / geobox.shape.y, first), geobox.crs)


def meets_seam(geobox: GeoBox) -> bool:
    """Whether a raster reaches a line beyond which its CRS has no places of its own.

    Where longitude starts again, or behind a pole; or whether it goes more than half round the Earth.
    """
    around = round_of(geobox.crs) if geobox.crs is not None else None
    if around is None:
        return False
    middle, turn = around
    box = geobox.boundingbox
    spare = _NEAR_PX * max(abs(geobox.transform.a), abs(geobox.transform.b))
    return bool(
        box.left - spare < middle - turn / 2
        or box.right + spare > middle + turn / 2
        or box.right - box.left > turn / 2
        or on_earth(geobox) != geobox
    )


def typical_place(geobox: GeoBox, crs: CRS) -> tuple[float, float]:
    """A place of a raster at which to measure what its pixels are in another CRS.

    Its middle; where it is so wide that this may be the other side of the globe, its place nearest to the middle of
    where that CRS is used.

    Returns:
        x and y in the CRS of the raster.
    """
    box = geobox.boundingbox
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    around = round_of(geobox.crs) if geobox.crs is not None else None
    use = crs.proj.area_of_use
    if geobox.crs is None or around is None or use is None or box.right - box.left < around[1] / 8:
        return x, y
    lon = use.west + (use.east - use.west) % 360 / 2 if (use.west, use.east) != (-180, 180) else 0.0
    there = CRS("EPSG:4326").transformer_to_crs(geobox.crs)(np.array([lon]), np.array([(use.south + use.north) / 2]))
    if np.isfinite(there).all():
        near = there[0][0] - around[1] * round((there[0][0] - x) / around[1])
        x, y = min(max(near, box.left), box.right), min(max(there[1][0], box.bottom), box.top)
    return float(x), float(y)


def pixel_area_in(geobox: GeoBox, crs: CRS) -> float:
    """Area of a pixel of a raster in squared units of another CRS, at a place that is typical there."""
    assert geobox.crs is not None  # noqa: S101  # rasters without a CRS are refused before
    x, y = typical_place(geobox, crs)
    a, b, _, d, e, _ = geobox.transform[:6]
    ends = geobox.crs.transformer_to_crs(crs)(
        np.array([x - a / 2, x + a / 2, x - b / 2, x + b / 2]), np.array([y - d / 2, y + d / 2, y - e / 2, y + e / 2])
    )
    (dx, dy), (du, dv) = np.diff(np.array(ends).reshape(2, 2, 2), axis=2)[:, :, 0].T
    return float(abs(dx * dv - dy * du))


def outline_in_degrees(geobox: GeoBox) -> shapely.Geometry:
    """The outline of a raster in longitude and latitude, with longitudes counted on past 180, one turn at most.

    Args:
        geobox: In a CRS that comes round (``round_of``).

    Raises:
        ValueError: If its CRS does not.
    """
    around = round_of(geobox.crs) if geobox.crs is not None else None
    if geobox.crs is None or around is None:
        raise ValueError("a CRS in which x comes round")
    middle, turn = around
    to_degrees = geobox.crs.transformer_to_crs("EPSG:4326")
    meridian = float(to_degrees(np.array([middle]), np.array([0.0]))[0][0])

    def counted_on(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        _, lat = to_degrees(np.full(len(xy), middle), xy[:, 1])
        lat = np.where(np.isfinite(lat), lat, np.sign(xy[:, 1]) * 90)
        return np.column_stack((meridian + (xy[:, 0] - middle) / turn * 360, np.clip(lat, -90, 90)))

    rim = geobox.extent.geom
    west, south, east, north = rim.bounds
    placed = shapely.transform(rim.segmentize(max(east - west, north - south) / 100), counted_on)
    west = placed.bounds[0]
    return placed.intersection(shapely.box(west, -90, west + 360, 90))
