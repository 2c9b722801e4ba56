"""Which cells a region wants, and the tiles that they make: a million of them are one bitmap."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.grid import Window
from geoseg.plan.region import Region
from geoseg.tiles import Tile

# Squares of so many cells on a side are looked at first; a power of two.
_LARGEST_CELLS = 64
# Pixel centres of a cell at the border that are tried before its pixels are drawn, on a side.
_TRIED = 8


@dataclass(frozen=True)
class TileTask:
    """A tile and which of its cells the region wants."""

    tile: Tile
    cells: NDArray[np.bool_]

    @property
    def pixels(self) -> int:
        """Pixels of the wanted cells."""
        return int(self.cells.sum()) * self.tile.cell_px**2


class TileTasks(Sequence[TileTask]):
    """The tiles with wanted cells, row by row; each is made when it is asked for.

    Args:
        cells: (row, col) of cells from the corner of a tile on, in whole tiles: those that are wanted.
        first: (row, col) of the tile in that corner.
        side_cells: Cells on a side of a tile.
        cell_px: Pixels on a side of a cell.
    """

    def __init__(self, cells: NDArray[np.bool_], first: tuple[int, int], side_cells: int, cell_px: int) -> None:
        self._cells = cells
        self._cells.flags.writeable = False
        self._first, self._side, self._cell_px = first, side_cells, cell_px
        rows, cols = cells.shape[0] // side_cells, cells.shape[1] // side_cells
        wanted = cells.reshape(rows, side_cells, cols, side_cells).any(axis=(1, 3))
        self._places = np.argwhere(wanted).astype("int32")

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> TileTask: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[TileTask, ...]: ...
    def __getitem__(self, number: int | slice) -> TileTask | tuple[TileTask, ...]:
        if isinstance(number, slice):
            return tuple(self[n] for n in range(*number.indices(len(self))))
        row, col = map(int, self._places[number])
        side = self._side
        tile = Tile(self._first[0] + row, self._first[1] + col, side, self._cell_px)
        return TileTask(tile, self._cells[row * side : (row + 1) * side, col * side : (col + 1) * side])

    def __iter__(self) -> Iterator[TileTask]:
        return (self[number] for number in range(len(self)))

    def alike_together(self, area: Window) -> TileTasks:
        """The same tiles, those of which an area shows parts of one shape after each other, the highest first."""
        side_px = self._side * self._cell_px
        first = (np.asarray(self._first) + self._places.astype("int64")) * side_px
        last = np.minimum(first + side_px, (area.row1, area.col1))
        rows, cols = (last - np.maximum(first, (area.row0, area.col0))).T
        ordered = copy.copy(self)
        ordered._places = self._places[np.lexsort((-cols, -rows))]  # noqa: SLF001  # of its own kind
        return ordered

    @property
    def pixels(self) -> int:
        """Pixels of all wanted cells."""
        return int(np.count_nonzero(self._cells)) * self._cell_px**2


def tasks_of(region: Region, side_cells: int, cell_px: int) -> TileTasks:
    """The tiles of a region."""
    side_px = side_cells * cell_px
    around = region.window.snapped(side_px)
    cells = wanted_cells(region, around, cell_px)
    return TileTasks(cells, (around.row0 // side_px, around.col0 // side_px), side_cells, cell_px)


def wanted_cells(region: Region, window: Window, cell_px: int) -> NDArray[np.bool_]:
    """Cells of a window in which at least one pixel is wanted, (row, col).

    Squares of cells are halved until they lie inside or outside of the region; only where its border passes through a
    cell, pixels are drawn. So the cost follows the border and not the area.

    Args:
        region: The region.
        window: Whole cells.
        cell_px: Pixels on a side of a cell.
    """
    rows, cols = (side // cell_px for side in window.shape)
    wanted = np.zeros((rows, cols), dtype=bool)
    if not region.features:
        touched = (region.window & window).snapped(cell_px)
        if touched:
            wanted[tuple(_cells_in(touched, window, cell_px))] = True
        return wanted
    size = _LARGEST_CELLS
    row, col = (axis.ravel() for axis in np.mgrid[0:rows:size, 0:cols:size])
    while True:
        boxes = _boxes(row, col, size, window, cell_px)
        meets = shapely.intersects(region.outline, boxes)
        inside = np.zeros_like(meets)
        inside[meets] = shapely.contains(region.outline, boxes[meets])
        for first, second in zip(row[inside].tolist(), col[inside].tolist(), strict=True):
            wanted[first : first + size, second : second + size] = True
        row, col = row[meets & ~inside], col[meets & ~inside]
        if size == 1:
            break
        size //= 2
        row, col = (np.concatenate([row, row, row + size, row + size]), np.concatenate([col, col + size] * 2))
        there = (row < rows) & (col < cols)
        row, col = row[there], col[there]
    _draw(region, wanted, row, col, window, cell_px)
    return wanted


def _draw(
    region: Region,
    wanted: NDArray[np.bool_],
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    window: Window,
    cell_px: int,
) -> None:
    """Decide about cells that the border of the region passes through."""
    tried = np.unique(np.linspace(0, cell_px - 1, _TRIED).astype(int)) + 0.5
    y, x = (axis.ravel() for axis in np.meshgrid(tried, tried, indexing="ij"))
    found = np.zeros(len(row), dtype=bool)
    for dy, dx in zip(y, x, strict=True):
        left = np.flatnonzero(~found)
        xs, ys = window.col0 + col[left] * cell_px + dx, window.row0 + row[left] * cell_px + dy
        found[left] = shapely.contains_xy(region.outline, xs, ys)
    for number in np.flatnonzero(~found):
        top, side = window.row0 + int(row[number]) * cell_px, window.col0 + int(col[number]) * cell_px
        found[number] = region.mask(Window(top, side, top + cell_px, side + cell_px)).any()
    wanted[row[found], col[found]] = True


def _boxes(
    row: NDArray[np.int64], col: NDArray[np.int64], size: int, window: Window, cell_px: int
) -> NDArray[np.object_]:
    side = size * cell_px
    x, y = window.col0 + col * cell_px, window.row0 + row * cell_px
    boxes: NDArray[np.object_] = shapely.box(x, y, x + side, y + side)
    return boxes


def _cells_in(part: Window, window: Window, cell_px: int) -> tuple[slice, slice]:
    rows, cols = part.within(window)
    return (
        slice(rows.start // cell_px, rows.stop // cell_px),
        slice(cols.start // cell_px, cols.stop // cell_px),
    )
