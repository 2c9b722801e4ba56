"""What the finished map shows around an outline: how far the next water is, and what its border lies in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage as ndi

UInt8 = NDArray[np.uint8]

_LAST_CLASS = 250
_PART_PX = 256  # larger outlines are looked at in parts of this side
_MOST_REACH_PX = 512
_NEAR_PX = 12
_KEPT_BLOCKS = 24


class FinishedMap(Protocol):
    """A map that is read block by block; see ``geoseg.polygons.ClassSource``."""

    @property
    def row_edges(self) -> tuple[int, ...]:
        """Block borders (0, …, rows)."""

    @property
    def col_edges(self) -> tuple[int, ...]:
        """Block borders (0, …, cols)."""

    def read(self, block_row: int, block_col: int) -> tuple[UInt8, UInt8]:
        """Classes and confidence of a block."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts of one outline.

    Attributes:
        water_distance_m: From the nearest pixel of the outline to the nearest of water, centre to centre; ``None`` where
            there is none within reach.
        cultivated_share: Share of cultivated pixels among the classified ones of the ring round the outline, 0 to 1;
            ``None`` where the ring has no class.
    """

    water_distance_m: float | None
    cultivated_share: float | None


class MapWindows:
    """Windows of a finished map, whatever its blocks.

    Args:
        source: The map.
    """

    def __init__(self, source: FinishedMap) -> None:
        self._source = source
        self._rows, self._cols = np.array(source.row_edges), np.array(source.col_edges)
        self.shape = int(self._rows[-1]), int(self._cols[-1])
        self._block = lru_cache(maxsize=_KEPT_BLOCKS)(lambda row, col: source.read(row, col)[0])

    def read(self, row0: int, row1: int, col0: int, col1: int) -> UInt8:
        """Classes of a window, (row1 - row0, col1 - col0); 255 outside the map."""
        window = np.full((row1 - row0, col1 - col0), 255, np.uint8)
        top, bottom = max(row0, 0), min(row1, self.shape[0])
        left, right = max(col0, 0), min(col1, self.shape[1])
        if bottom <= top or right <= left:
            return window
        for i in range(*_touched(self._rows, top, bottom)):
            for j in range(*_touched(self._cols, left, right)):
                block = self._block(i, j)
                y, x = int(self._rows[i]), int(self._cols[j])
                r0, r1 = max(top, y), min(bottom, y + block.shape[0])
                c0, c1 = max(left, x), min(right, x + block.shape[1])
                window[r0 - row0 : r1 - row0, c0 - col0 : c1 - col0] = block[r0 - y : r1 - y, c0 - x : c1 - x]
        return window


def reach_px(radius_m: float, pixel_m: float) -> int:
    """How far water is looked for, in pixels: the radius, or 512 pixels where these are less."""
    return min(int(np.ceil(radius_m / pixel_m)), _MOST_REACH_PX)


def surroundings_of(
    outline: shapely.Polygon,
    windows: MapWindows,
    pixel_m: tuple[float, float],
    *,
    water: Collection[int],
    cultivated: Collection[int],
    radius_m: float,
    ring_px: int,
) -> Surroundings:
    """Facts of an outline.

    Args:
        outline: In pixels of the map (x = column, y = row).
        windows: The map.
        pixel_m: Height and width of a pixel on the ground.
        water: Classes that are water; none where the map has no such class.
        cultivated: Classes that are cultivated.
        radius_m: How far water is looked for.
        ring_px: Width of the ring round the outline.
    """
    looked_px = reach_px(radius_m, min(pixel_m)) if water else 0
    nearest, ring, tilled = np.inf, 0, 0
    for row0, row1, col0, col1 in _parts(outline, ring_px):
        inside = drawn(
            outline, (row1 - row0 + 2 * ring_px, col1 - col0 + 2 * ring_px), (row0 - ring_px, col0 - ring_px)
        )
        core = np.s_[ring_px : ring_px + row1 - row0, ring_px : ring_px + col1 - col0]
        # The first look is near, and nearly always enough where there is water at all.
        for reach in sorted({min(_NEAR_PX, looked_px), looked_px}) if looked_px and inside[core].any() else ():
            wet = _members(windows.read(row0 - reach, row1 + reach, col0 - reach, col1 + reach), water)
            if wet.any():
                distance = ndi.distance_transform_edt(~wet, sampling=pixel_m)
                there = distance[reach : reach + row1 - row0, reach : reach + col1 - col0][inside[core]]
                nearest = min(nearest, float(there.min()))
            if nearest <= reach * min(pixel_m):
                break
        if cultivated and inside.any():
            round_it = ndi.distance_transform_edt(~inside)[core] <= ring_px
            seen = windows.read(row0, row1, col0, col1)[round_it & ~inside[core]]
            ring += int(np.count_nonzero(seen <= _LAST_CLASS))
            tilled += int(np.count_nonzero(_members(seen, cultivated)))
    return Surroundings(
        water_distance_m=nearest if nearest <= min(radius_m, looked_px * min(pixel_m)) else None,
        cultivated_share=tilled / ring if ring else None,
    )


def _members(classes: UInt8, wanted: Collection[int]) -> NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(wanted)] = True
    return table[classes]


def _parts(outline: shapely.Polygon, ring_px: int) -> Iterator[tuple[int, int, int, int]]:
    """The bounding box with its ring, in parts of bounded size."""
    left, top, right, bottom = outline.bounds
    rows = range(int(np.floor(top)) - ring_px, int(np.ceil(bottom)) + ring_px, _PART_PX)
    cols = range(int(np.floor(left)) - ring_px, int(np.ceil(right)) + ring_px, _PART_PX)
    for row in rows:
        for col in cols:
            yield row, min(row + _PART_PX, rows.stop), col, min(col + _PART_PX, cols.stop)


def drawn(outline: shapely.Polygon, shape: tuple[int, ...], corner: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of a window, (rows, cols), whose middle lies in an outline.

    Args:
        outline: In pixels of the map (x = column, y = row).
        shape: Rows and columns of the window.
        corner: Its first row and column.
    """
    placed = shapely.transform(outline, lambda xy: xy - [corner[1], corner[0]])
    return np.asarray(rasterize([(placed, 1)], shape, fill=0, dtype="uint8")).astype(bool)


def _touched(edges: NDArray[np.int64], first: int, last: int) -> tuple[int, int]:
    """First block, and the one after the last, that have pixels of first to last."""
    return int(np.searchsorted(edges, first, side="right")) - 1, int(np.searchsorted(edges, last, side="left"))
