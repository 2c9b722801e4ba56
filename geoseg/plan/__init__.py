"""Everything about a job that can be known before the first pixel is read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from odc.geo import CRS, geom
from odc.geo.geobox import GeoBox
from pyproj import Geod
from pyproj.exceptions import CRSError

from geoseg.aoi import AOI, Bounds, box_in_words, crosses, on_globe
from geoseg.errors import NothingToDoError, RequestError
from geoseg.grid import Lattice, Window, is_torn, meets_seam, on_earth, pixel_area_in, turned
from geoseg.plan.cells import TileTask, TileTasks, tasks_of
from geoseg.plan.checks import (
    check_area,
    check_area_of_use,
    check_pixels,
    check_placed,
    check_resolution,
    check_uncut,
    fitting_crs,
)
from geoseg.plan.placing import DENSIFY_DEGREES, each_grid, grids_of, is_inland, outline_of, to_pixels
from geoseg.plan.region import Region, box_of, pixels_around
from geoseg.scenes import Found, Item, Scene, group_scenes, order_scenes
from geoseg.scenes.raster_checks import short_name
from geoseg.spec import JobSpec

__all__ = [
    "Coverage",
    "Region",
    "TileTask",
    "TileTasks",
    "check_area",
    "check_area_of_use",
    "check_pixels",
    "check_region",
    "check_resolution",
    "choose_lattice",
    "cover",
    "crs_of",
    "place_region",
    "plan_tiles",
    "resolution_m",
    "search_bounds",
    "to_pixels",
]

_METRES_PER_DEGREE = 111_320.0
_FINEST = 1e-12  # pixel in units of a CRS


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
        tree, places = self._index
        near = np.sort(tree.query(box_of(window), predicate="intersects"))
        found = itertools.groupby((places[number] for number in near), key=lambda place: place[0])
        return tuple(Scene(tuple(item for _, item in members)) for _, members in found)

    @cached_property
    def _index(self) -> tuple[shapely.STRtree, tuple[tuple[int, Item], ...]]:
        """Outlines of all items in the order of the rule, and which scene each belongs to."""
        places = tuple((number, item) for number, scene in enumerate(self.scenes) for item in scene.items)
        return shapely.STRtree([self.outlines[item.key] for _, item in places]), places

    @property
    def items(self) -> tuple[Item, ...]:
        """All items."""
        return tuple(item for scene in self.scenes for item in scene.items)


def search_bounds(aoi: AOI, margin_m: float) -> Bounds:
    """Bounding box to search: the AOI grown by whatever a job may read around it.

    Args:
        aoi: The region.
        margin_m: Metres that cells and halo may reach beyond it.

    Returns:
        West, south, east, north in degrees; west > east where the box crosses the 180th meridian.
    """
    west, south, east, north = aoi.bounds
    lat = math.radians(min(85.0, max(abs(south), abs(north))))
    dy, dx = margin_m / _METRES_PER_DEGREE, margin_m / (_METRES_PER_DEGREE * math.cos(lat))
    low, high = max(-90.0, south - dy), min(90.0, north + dy)
    width = (east - west) % 360 if west != -180 or east != 180 else 360.0
    if width + 2 * dx >= 360:
        return -180.0, low, 180.0, high
    return _wrapped(west - dx), low, _wrapped(east + dx), high


def _wrapped(lon: float) -> float:
    """A longitude within -180 to 180, unchanged where it is."""
    return lon if -180 <= lon <= 180 else (lon + 180) % 360 - 180


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
    crs = crs_of(spec.crs) if spec.crs else _main_crs(items, aoi)
    resolution = spec.resolution or min(_resolution_in(grid, crs) for grid in grids_of(items))
    if not _FINEST <= resolution <= 1 / _FINEST:  # a grid of them has no numbers
        raise RequestError(
            f"--resolution {resolution:g}", f"{_FINEST:g} to {1 / _FINEST:g} units of the CRS", "correct it"
        )
    origin = (
        "--crs" if spec.crs else "the zone that holds most of the region" if len(_systems(items)) > 1 else "the scenes"
    )
    if crs.geographic:
        _refuse_torn(crs, items, aoi)
    return Lattice.from_resolution(
        crs, resolution
    ), f"CRS {short_name(crs)} of {origin}, {resolution:g} CRS units per pixel"


def crs_of(text: str) -> CRS:
    """The CRS that an option names.

    Raises:
        RequestError: If PROJ does not know it, or it has no coordinates of a map.
    """
    try:
        crs = CRS(text)
    except (CRSError, ValueError) as err:
        raise RequestError(f"--crs {text}", "a CRS known to PROJ", "write it as EPSG:32633, or as WKT") from err
    if not (crs.geographic or crs.projected):
        raise RequestError(
            f"--crs {text}, {crs.proj.name}",
            "a CRS that is geographic or projected",
            "write it as EPSG:32633, or as WKT",
        )
    return crs


def _refuse_torn(crs: CRS, items: Sequence[Item], aoi: AOI | None) -> None:
    """Refuse a grid in degrees over both sides of the antimeridian, unless the scenes lie on one that goes on there."""
    if aoi is not None:
        places = shapely.get_coordinates(aoi.geometry)[:, 0]
    else:
        rims = [
            on_earth(item.geobox).extent.geom.segmentize(max(item.geobox.extent.boundingbox.span_x / 16, 1e-9))
            for item in items
        ]
        placed = [geom.Geometry(rim, item.geobox.crs).to_crs(crs).geom for rim, item in zip(rims, items, strict=True)]
        places = np.concatenate([shapely.get_coordinates(rim)[:, 0] for rim in placed])
    if is_torn(places) and not _goes_on(items, crs):
        own = items[0].geobox.crs or crs
        way = f"take that of the scenes with --crs {short_name(own)}"
        if own.geographic and not _goes_on(items, own):
            around = aoi.geometry if aoi is not None else on_earth(items[0].geobox).footprint("EPSG:4326").geom
            way = f"set --crs {fitting_crs(around)} (and --resolution in its units)"
        raise RequestError(f"a map in {crs} on both sides of the 180th meridian", "a CRS that has no seam there", way)


def _systems(items: Sequence[Item]) -> list[CRS]:
    systems: list[CRS] = []
    for grid in grids_of(items):
        if grid.crs is not None and grid.crs not in systems:
            systems.append(grid.crs)
    return systems


def _main_crs(items: Sequence[Item], aoi: AOI | None) -> CRS:
    """Among the scenes' systems, the one whose area of use holds most of the region; ties by name."""
    systems = _systems(items)
    if len(systems) == 1:
        return systems[0]
    region = aoi.geometry if aoi is not None else on_earth(items[0].geobox).extent.to_crs("EPSG:4326").geom

    def share(crs: CRS) -> float:
        use = CRS(crs.to_epsg() or crs).proj.area_of_use  # which files leave out
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
    wider = geobox.pad(1)  # as odc takes it
    if meets_seam(geobox) or on_earth(wider) != wider:
        # The whole of it has no outline in another CRS; one of its pixels has.
        return float(f"{math.sqrt(pixel_area_in(on_earth(geobox), crs)):.3g}")
    size = geobox.to_crs(crs).resolution
    return float(f"{min(abs(size.x), abs(size.y)):.3g}")


def place_region(aoi: AOI | None, items: Sequence[Item], lattice: Lattice) -> Region:
    """The region on the lattice; the footprint of the scenes where there is no AOI."""
    if aoi is None:
        _refuse_cut_scenes(items, lattice)
        outlines = shapely.union_all([outline_of(grid, lattice) for grid in grids_of(items)])
        exact = [lattice.window_of(item.geobox) for item in items]
        if all(window is not None for window in exact):
            return Region(_around([window for window in exact if window is not None]))
        return Region(pixels_around(outlines), {"footprint": outlines})
    parts: dict[str, shapely.Geometry] = {}
    own = [item for item in items if item.geobox.crs == lattice.crs]
    middle = list(each_grid(own, lambda item: item.geobox.extent.centroid.coords[0][0]).values())
    for feature in aoi.features:
        geometry = feature.geometry
        if lattice.crs.geographic and middle:  # a grid in degrees may go on past 180
            geometry = turned(geometry, sum(middle) / len(middle))
        pixels = to_pixels(geometry, "EPSG:4326", lattice, DENSIFY_DEGREES)
        check_placed(pixels, lattice)
        # Round a pole, the edges along 180 W and 180 E and along the pole itself meet.
        parts[feature.id] = pixels if pixels.is_valid else shapely.make_valid(pixels, method="structure")
    return Region(pixels_around(shapely.union_all(list(parts.values()))), parts)


def cover(found: Found, rule: str, lattice: Lattice) -> Coverage:
    """The scenes on the lattice, in the order of a rule."""
    scenes = order_scenes(group_scenes(found.items), rule)
    return Coverage(scenes, each_grid(found.items, lambda item: outline_of(item.geobox, lattice)))


def _around(windows: Sequence[Window]) -> Window:
    total = windows[0]
    for window in windows[1:]:
        total = total | window
    return total


def plan_tiles(region: Region, coverage: Coverage, side_cells: int, cell_px: int, aoi: AOI | None = None) -> TileTasks:
    """Tiles with the cells that the region wants, row by row.

    Raises:
        NothingToDoError: If no scene touches the region.
    """
    # Before the tiles: those of a region far from fine scenes are too many to count.
    if not any(map(region.meets, {id(outline): outline for outline in coverage.outlines.values()}.values())):
        around = box_of(region.window)
        near = any(outline.intersects(around) for outline in coverage.outlines.values())
        raise _apart(aoi, coverage.items, ": they lie only in the box around it" if near else "")
    return tasks_of(region, side_cells, cell_px)


def check_region(aoi: AOI, items: Sequence[Item], lattice: Lattice) -> None:
    """Refuse a region that the CRS of the map is not made for.

    Raises:
        NothingToDoError: If no scene is near it either: then the region is wrong, not the CRS.
        RequestError: With a CRS that fits.
    """
    try:
        check_area_of_use(aoi, lattice.crs, goes_on=_goes_on(items, lattice.crs))
    except RequestError:
        footprints = [on_earth(grid).footprint("EPSG:4326").geom for grid in grids_of(items)]
        if not any(shapely.box(*footprint.bounds).intersects(aoi.geometry) for footprint in footprints):
            raise _apart(aoi, items) from None
        raise
    _refuse_cut_scenes(items, lattice, aoi)


def _goes_on(items: Sequence[Item], crs: CRS) -> bool:
    """Whether a CRS is one of degrees that scenes of it count on past 180."""
    boxes = [grid.boundingbox for grid in grids_of(items) if grid.crs == crs]
    return crs.geographic and any(box.left < -180 or box.right > 180 for box in boxes)


def _refuse_cut_scenes(items: Sequence[Item], lattice: Lattice, aoi: AOI | None = None) -> None:
    """Refuse scenes over the region that the CRS of the map would tear apart: reading them would leave holes."""
    firsts: dict[int, Item] = {}
    for item in items:
        firsts.setdefault(id(item.geobox), item)
    for item in firsts.values():
        if item.geobox.crs == lattice.crs or is_inland(item.geobox):
            continue
        if crosses(degrees := on_earth(item.geobox).footprint("EPSG:4326").geom):
            whole = on_globe(degrees)
            if aoi is None or aoi.geometry.intersects(whole):
                check_uncut(whole, lattice.crs, f"the scene {item.id}")


def _apart(aoi: AOI | None, items: Sequence[Item], how: str = "") -> NothingToDoError:
    places = [on_earth(grid).footprint("EPSG:4326").boundingbox.bbox for grid in grids_of(items)]
    west, south, east, north = zip(*places, strict=True)
    where = f", {box_in_words(aoi.bounds)}" if aoi is not None else ""
    return NothingToDoError(
        f"a region that no scene touches{how}{where}",
        f"scenes over the region; those found cover {box_in_words((min(west), min(south), max(east), max(north)))}",
        "move the region (--aoi), or choose other scenes",
    )


def resolution_m(lattice: Lattice, region: Region) -> float:
    """Side of a pixel on the ground in the middle of the region, in metres."""
    middle = Window(
        row0 := (region.window.row0 + region.window.row1) // 2,
        col0 := (region.window.col0 + region.window.col1) // 2,
        row0 + 1,
        col0 + 1,
    )
    pixel = on_earth(lattice.geobox(middle)).extent.to_crs("EPSG:4326")
    return math.sqrt(abs(Geod(ellps="WGS84").geometry_area_perimeter(pixel.geom)[0]))
