"""Everything about a job that can be known before the first pixel is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS, geom
from odc.geo.geobox import GeoBox
from pyproj import Geod
from pyproj.exceptions import CRSError
from rasterio.features import rasterize

from geoseg.aoi import AOI, box_in_words
from geoseg.errors import ModelMismatchError, NothingToDoError, RequestError
from geoseg.grid import Lattice, Window, is_torn, turned
from geoseg.scenes import Found, Item, Scene, group_scenes, order_scenes
from geoseg.scenes.raster_checks import short_name
from geoseg.spec import JobSpec
from geoseg.tiles import Tile, tiles_over

_METRES_PER_DEGREE = 111_320.0
# Edges of a region are straight in longitude and latitude; this many degrees between points keeps them so on any grid.
_DENSIFY_DEGREES = 0.01
_WIDE_PX, _PROBE_PX = 2.0, 2048


@dataclass(frozen=True)
class Region:
    """The AOI on the job's lattice.

    Attributes:
        window: Pixels of the map.
        features: Feature id to its geometry in lattice pixels (x = column, y = row); empty for "the whole window".
    """

    window: Window
    features: Mapping[str, shapely.Geometry] = field(default_factory=dict)

    @cached_property
    def _union(self) -> shapely.Geometry:
        union = shapely.union_all(list(self.features.values()))
        shapely.prepare(union)
        return union

    def mask(self, window: Window, feature: str | None = None) -> NDArray[np.bool_]:
        """(y, x) over ``window``, True = inside the region: the pixel's centre lies in it.

        A region that holds no pixel's centre takes every pixel that it touches.
        """
        inside = np.zeros(window.shape, dtype=bool)
        if not self.features:
            shared = window & self.window
            if shared:
                inside[shared.within(window)] = True
            return inside
        geometry = self._union if feature is None else self.features[feature]
        box = shapely.box(window.col0, window.row0, window.col1, window.row1)
        if not window or not geometry.intersects(box):
            return inside
        if self._union.contains(box) and feature is None:
            return ~inside
        shift = Affine.translation(window.col0, window.row0)
        rasterize([(geometry, 1)], out=inside.view("uint8"), transform=shift, all_touched=self.is_tiny)
        return inside

    def touching(self, window: Window) -> list[tuple[str, Window]]:
        """Features that may hold pixels of a window, with the part of the window in which they may lie."""
        found = []
        for name, geometry in self.features.items():
            part = window & _bounding(geometry).padded(1, 1, 1, 1)
            if part:
                found.append((name, part))
        return found

    @cached_property
    def is_tiny(self) -> bool:
        """Whether no pixel's centre lies inside."""
        if not self.features:
            return False
        west, north, east, south = self._union.bounds
        if min(east - west, south - north) > _WIDE_PX and self._union.area > _WIDE_PX * max(east - west, south - north):
            return False  # wider than two pixels on average: some centre lies inside
        for tile in tiles_over(self.window, 1, _PROBE_PX):
            part = tile.window & self.window
            shift = Affine.translation(part.col0, part.row0)
            if part and rasterize([(self._union, 1)], out_shape=part.shape, transform=shift).any():
                return False
        return True


@dataclass(frozen=True)
class Coverage:
    """Scenes on the lattice: which items can give pixels to a window.

    Attributes:
        scenes: In the order of the composite rule.
        outlines: Item key to its outline in lattice pixels.
    """

    scenes: tuple[Scene, ...]
    outlines: Mapping[str, shapely.Geometry]

    def touching(self, window: Window) -> tuple[Scene, ...]:
        """Scenes with the items that touch a window, in the order of the rule."""
        box = shapely.box(window.col0, window.row0, window.col1, window.row1)
        found = []
        for scene in self.scenes:
            items = tuple(item for item in scene.items if self.outlines[item.key].intersects(box))
            if items:
                found.append(Scene(items))
        return tuple(found)

    @property
    def items(self) -> tuple[Item, ...]:
        """All items."""
        return tuple(item for scene in self.scenes for item in scene.items)


@dataclass(frozen=True)
class TileTask:
    """A tile and which of its cells the region wants."""

    tile: Tile
    cells: NDArray[np.bool_]

    @property
    def pixels(self) -> int:
        """Pixels of the wanted cells."""
        return int(self.cells.sum()) * self.tile.cell_px**2


def search_bounds(aoi: AOI, margin_m: float) -> tuple[float, float, float, float]:
    """Bounding box to search: the AOI grown by whatever a job may read around it (degrees).

    Args:
        aoi: The region.
        margin_m: Metres that cells and halo may reach beyond it.
    """
    west, south, east, north = aoi.bounds
    lat = math.radians(min(85.0, max(abs(south), abs(north))))
    dy, dx = margin_m / _METRES_PER_DEGREE, margin_m / (_METRES_PER_DEGREE * math.cos(lat))
    return max(-180.0, west - dx), max(-90.0, south - dy), min(180.0, east + dx), min(90.0, north + dy)


def choose_lattice(spec: JobSpec, items: Sequence[Item], aoi: AOI | None, like: GeoBox | None) -> tuple[Lattice, str]:
    """The pixel grid of a job, and in words where it comes from.

    Order: ``--like``; the scenes' own grid when they share one and no other is asked for; else CRS and resolution
    from the options or the scenes, anchored at the origin of the CRS.

    Raises:
        RequestError: If the CRS is unknown.
    """
    if like is not None:
        return Lattice.from_geobox(like), f"the grid of {spec.like}"
    if spec.crs is None and spec.resolution is None:
        lattice = Lattice.from_geobox(items[0].geobox)
        if all(lattice.window_of(item.geobox) is not None for item in items):
            return lattice, "the scenes' own grid"
    try:
        crs = CRS(spec.crs) if spec.crs else _main_crs(items, aoi)
    except CRSError as err:
        raise RequestError(f"--crs {spec.crs}", "a CRS known to PROJ", "write it as EPSG:32633, or as WKT") from err
    resolution = spec.resolution or min(_resolution_in(item.geobox, crs) for item in items)
    origin = (
        "--crs" if spec.crs else "the zone that holds most of the region" if len(_systems(items)) > 1 else "the scenes"
    )
    if crs.geographic:
        _refuse_torn(crs, items, aoi)
    return Lattice.from_resolution(crs, resolution), f"CRS {crs} of {origin}, {resolution:g} CRS units per pixel"


def _refuse_torn(crs: CRS, items: Sequence[Item], aoi: AOI | None) -> None:
    """Refuse a grid in degrees over both sides of the antimeridian, unless the scenes lie on one that goes on there."""
    if aoi is not None:
        places = shapely.get_coordinates(aoi.geometry)[:, 0]
    else:
        rims = [
            item.geobox.extent.geom.segmentize(max(item.geobox.extent.boundingbox.span_x / 16, 1e-9)) for item in items
        ]
        placed = [geom.Geometry(rim, item.geobox.crs).to_crs(crs).geom for rim, item in zip(rims, items, strict=True)]
        places = np.concatenate([shapely.get_coordinates(rim)[:, 0] for rim in placed])
    if is_torn(places) and {item.geobox.crs for item in items} != {crs}:
        raise RequestError(
            f"a map in {crs} on both sides of the antimeridian",
            "a CRS that has no seam there",
            f"set --crs to that of the scenes, such as {short_name(items[0].geobox.crs or crs)}",
        )


def _systems(items: Sequence[Item]) -> list[CRS]:
    systems: list[CRS] = []
    for item in items:
        if item.geobox.crs is not None and item.geobox.crs not in systems:
            systems.append(item.geobox.crs)
    return systems


def _main_crs(items: Sequence[Item], aoi: AOI | None) -> CRS:
    """Among the scenes' systems, the one whose area of use holds most of the region; ties by name."""
    systems = _systems(items)
    if len(systems) == 1:
        return systems[0]
    region = aoi.geometry if aoi is not None else items[0].geobox.extent.to_crs("EPSG:4326").geom

    def share(crs: CRS) -> float:
        use = crs.proj.area_of_use
        return (
            0.0
            if use is None
            else float(shapely.box(use.west, use.south, use.east, use.north).intersection(region).area)
        )

    return max(systems, key=lambda crs: (round(share(crs), 9), str(crs)))


def _resolution_in(geobox: GeoBox, crs: CRS) -> float:
    """Pixel size of a geobox in the units of a CRS: its own, or that of the middle pixel reprojected."""
    if geobox.crs == crs:
        return float(min(Lattice.from_geobox(geobox).pixel_size))
    size = geobox.to_crs(crs).resolution
    return float(f"{min(abs(size.x), abs(size.y)):.3g}")


def to_pixels(geometry: shapely.Geometry, crs: CRS | str, lattice: Lattice, densify: float) -> shapely.Geometry:
    """A geometry in lattice pixels (x = column, y = row).

    Args:
        geometry: In ``crs``.
        crs: See ``geometry``.
        lattice: The grid.
        densify: Distance between added points on edges, in units of ``crs``.
    """
    source = geom.Geometry(geometry, crs)
    placed = source if source.crs == lattice.crs else source.to_crs(lattice.crs, resolution=densify)
    a, b, c, d, e, f = (~(lattice.transform @ Affine.translation(lattice.anchor[1], lattice.anchor[0])))[:6]
    return shapely.transform(placed.geom, lambda xy: xy @ np.array([[a, d], [b, e]]) + np.array([c, f]))


def place_region(aoi: AOI | None, items: Sequence[Item], lattice: Lattice) -> Region:
    """The region on the lattice; the footprint of the scenes where there is no AOI."""
    if aoi is None:
        outlines = shapely.union_all([_outline(item, lattice) for item in items])
        exact = [lattice.window_of(item.geobox) for item in items]
        if all(window is not None for window in exact):
            return Region(_around([window for window in exact if window is not None]))
        return Region(_bounding(outlines), {"footprint": outlines})
    parts: dict[str, shapely.Geometry] = {}
    middle = [item.geobox.extent.centroid.coords[0][0] for item in items if item.geobox.crs == lattice.crs]
    for feature in aoi.features:
        geometry = feature.geometry
        if lattice.crs.geographic and middle:  # a grid in degrees may go on past 180
            geometry = turned(geometry, sum(middle) / len(middle))
        pixels = to_pixels(geometry, "EPSG:4326", lattice, _DENSIFY_DEGREES)
        parts[feature.id] = shapely.union(parts[feature.id], pixels) if feature.id in parts else pixels
    return Region(_bounding(shapely.union_all(list(parts.values()))), parts)


def cover(found: Found, rule: str, lattice: Lattice) -> Coverage:
    """The scenes on the lattice, in the order of a rule."""
    scenes = order_scenes(group_scenes(found.items), rule)
    return Coverage(scenes, {item.key: _outline(item, lattice) for item in found.items})


def _outline(item: Item, lattice: Lattice) -> shapely.Geometry:
    window = lattice.window_of(item.geobox)
    if window is not None:
        return shapely.box(window.col0, window.row0, window.col1, window.row1)
    extent = item.geobox.extent
    west, south, east, north = extent.boundingbox.bbox
    return to_pixels(extent.geom, extent.crs or lattice.crs, lattice, max(east - west, north - south) / 50)


def _bounding(geometry: shapely.Geometry) -> Window:
    west, north, east, south = geometry.bounds  # rows grow downwards, so the smallest y is the first row
    # A millionth of a pixel keeps a border that lies on a pixel's edge from taking the next pixel in.
    row0, col0 = math.floor(north + 1e-6), math.floor(west + 1e-6)
    return Window(row0, col0, max(row0 + 1, math.ceil(south - 1e-6)), max(col0 + 1, math.ceil(east - 1e-6)))


def _around(windows: Sequence[Window]) -> Window:
    total = windows[0]
    for window in windows[1:]:
        total = total | window
    return total


def plan_tiles(region: Region, coverage: Coverage, side_cells: int, cell_px: int) -> list[TileTask]:
    """Tiles with the cells that the region wants, row by row.

    Raises:
        NothingToDoError: If no scene touches the region.
    """
    # Before the tiles: those of a region far from fine scenes are too many to count.
    if not any(outline.intersects(_box_of(region.window)) for outline in coverage.outlines.values()):
        raise _apart(coverage)
    tasks = []
    for tile in tiles_over(region.window, side_cells, cell_px):
        cells = tile.touched_cells(region.mask(tile.window))
        if cells.any():
            tasks.append(TileTask(tile, cells))
    if not tasks:
        raise _apart(coverage)
    return tasks


def _apart(coverage: Coverage) -> NothingToDoError:
    places = [item.geobox.footprint("EPSG:4326").boundingbox.bbox for item in coverage.items]
    west, south, east, north = zip(*places, strict=True)
    return NothingToDoError(
        "a region that no scene touches",
        f"scenes over the region; those found cover {box_in_words((min(west), min(south), max(east), max(north)))}",
        "move the region (--aoi), or choose other scenes",
    )


def _box_of(window: Window) -> shapely.Geometry:
    return shapely.box(window.col0, window.row0, window.col1, window.row1)


def resolution_m(lattice: Lattice, region: Region) -> float:
    """Side of a pixel on the ground in the middle of the region, in metres."""
    middle = Window(
        row0 := (region.window.row0 + region.window.row1) // 2,
        col0 := (region.window.col0 + region.window.col1) // 2,
        row0 + 1,
        col0 + 1,
    )
    pixel = lattice.geobox(middle).extent.to_crs("EPSG:4326")
    return math.sqrt(abs(Geod(ellps="WGS84").geometry_area_perimeter(pixel.geom)[0]))


def check_resolution(size: float, allowed_m: tuple[float, float] | None, model: str) -> None:
    """Refuse pixels far from what the model was made for.

    Raises:
        ModelMismatchError: If the pixel size is outside the range.
    """
    if allowed_m is not None and not allowed_m[0] * 0.99 <= size <= allowed_m[1] * 1.01:
        raise ModelMismatchError(
            f"pixels of {size:.3g} m for the model {model}",
            f"pixels of {allowed_m[0]:g} to {allowed_m[1]:g} m",
            "set --resolution, or choose a model for this kind of image",
        )
