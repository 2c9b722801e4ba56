"""The region on the lattice: which pixels of a window are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from geoseg.grid import Window
from geoseg.plan.nearby import shape_near
from geoseg.tiles import tiles_over

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
    def outline(self) -> shapely.Geometry:
        """All features as one, prepared to be asked often."""
        union = shapely.union_all(list(self.features.values()))
        shapely.prepare(union)
        return union

    @cached_property
    def _tiny(self) -> Mapping[str, shapely.Geometry]:
        """Features that hold no pixel's centre."""
        return {name: geometry for name, geometry in self.features.items() if _holds_no_centre(geometry)}

    @cached_property
    def _tiny_tree(self) -> shapely.STRtree:
        return shapely.STRtree(list(self._tiny.values()))

    @property
    def is_tiny(self) -> bool:
        """Whether no feature holds a pixel's centre."""
        return bool(self.features) and len(self._tiny) == len(self.features)

    def meets(self, outline: shapely.Geometry) -> bool:
        """Whether a geometry in lattice pixels touches the region."""
        return bool(outline.intersects(self.outline if self.features else box_of(self.window)))

    def mask(self, window: Window, feature: str | None = None) -> NDArray[np.bool_]:
        """(y, x) over ``window``, True = inside the region: the pixel's centre lies in it.

        A feature that holds no pixel's centre takes every pixel that it touches.
        """
        inside = np.zeros(window.shape, dtype=bool)
        if not self.features:
            shared = window & self.window
            if shared:
                inside[shared.within(window)] = True
            return inside
        box = box_of(window)
        if feature is None:
            if window and self.outline.contains(box):
                return ~inside
            _burn([self.outline], inside, window, all_touched=False)
            tiny = self._tiny_tree.geometries[self._tiny_tree.query(box, predicate="intersects")]
            _burn(tiny, inside, window, all_touched=True)
        else:
            _burn([self.features[feature]], inside, window, all_touched=feature in self._tiny)
        return inside

    def touching(self, window: Window) -> list[tuple[str, Window]]:
        """Features that may hold pixels of a window, with the part of the window in which they may lie."""
        places = list(self._places.items())
        found = (
            (name, window & place) for name, place in (places[n] for n in sorted(self._tree.query(box_of(window))))
        )
        return [(name, part) for name, part in found if part]

    def labels(self, window: Window, names: Sequence[str]) -> Iterator[tuple[list[str], NDArray[np.int32]]]:
        """Features as numbers over ``window``, (y, x): n + 1 where the pixel lies in the n-th of those that come with it.

        Many small features cost little more than one of them. Those that might share a pixel come one after the other.

        Args:
            window: Where.
            names: Features.
        """
        shift = Affine.translation(window.col0, window.row0)
        groups: dict[tuple[int, bool], list[str]] = {}
        for name in names:
            groups.setdefault((self._shelves[name], name in self._tiny), []).append(name)
        for (_, is_tiny), members in groups.items():
            numbers = np.zeros(window.shape, dtype="int32")
            shapes = [(self.features[name], number) for number, name in enumerate(members, start=1)]
            rasterize(shapes, out=numbers, transform=shift, all_touched=is_tiny)
            yield members, numbers

    @cached_property
    def _places(self) -> Mapping[str, Window]:
        """Features to the windows in which their pixels may lie."""
        return {name: pixels_around(geometry).padded(1, 1, 1, 1) for name, geometry in self.features.items()}

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree([box_of(place) for place in self._places.values()])

    @cached_property
    def _shelves(self) -> Mapping[str, int]:
        """Features to numbers that differ where their windows meet."""
        shelves = np.zeros(len(self._places), dtype=np.int64)
        for number, box in enumerate(self._tree.geometries):
            near = self._tree.query(box)
            taken = np.unique(shelves[near[near < number]])
            free = np.flatnonzero(taken != np.arange(len(taken)))
            shelves[number] = free[0] if len(free) else len(taken)
        return dict(zip(self._places, shelves.tolist(), strict=True))


def _burn(
    geometries: Iterable[shapely.Geometry], inside: NDArray[np.bool_], window: Window, *, all_touched: bool
) -> None:
    """Set the pixels of a window that lie in any of some geometries."""
    box = box_of(window)
    near = [shape_near(geometry, window) for geometry in geometries if window and geometry.intersects(box)]
    shapes = [(shape, 1) for shape in near if shape is not None]
    if shapes:
        shift = Affine.translation(window.col0, window.row0)
        rasterize(shapes, out=inside.view("uint8"), transform=shift, all_touched=all_touched)


def _holds_no_centre(geometry: shapely.Geometry) -> bool:
    west, north, east, south = geometry.bounds
    if min(east - west, south - north) > _WIDE_PX and geometry.area > _WIDE_PX * max(east - west, south - north):
        return False  # wider than two pixels on average: some centre lies inside
    if any(math.ceil(low - 0.5) > math.floor(high - 0.5) for low, high in ((west, east), (north, south))):
        return True  # between the centres of two rows or columns
    around = pixels_around(geometry)
    for tile in tiles_over(around, 1, _PROBE_PX):
        part = tile.window & around
        shift = Affine.translation(part.col0, part.row0)
        if part and rasterize([(geometry, 1)], out_shape=part.shape, transform=shift).any():
            return False
    return True


def box_of(window: Window) -> shapely.Geometry:
    """A window as a geometry in lattice pixels."""
    return shapely.box(window.col0, window.row0, window.col1, window.row1)


def pixels_around(geometry: shapely.Geometry) -> Window:
    """The smallest window around a geometry in lattice pixels; at least one pixel."""
    west, north, east, south = geometry.bounds  # rows grow downwards, so the smallest y is the first row
    # A millionth of a pixel keeps a border that lies on a pixel's edge from taking the next pixel in.
    row0, col0 = math.floor(north + 1e-6), math.floor(west + 1e-6)
    return Window(row0, col0, max(row0 + 1, math.ceil(south - 1e-6)), max(col0 + 1, math.ceil(east - 1e-6)))
