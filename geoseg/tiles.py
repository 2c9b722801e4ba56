"""Cells, tiles and chips: which rectangles are computed together. Integers only; nothing here reads a pixel.

All three lattices are counted from the anchor of the grid, so that neither the AOI nor the other tiles decide where a
border lies. A tile is a square of cells; a chip of a finite network is any rectangle of cells with its halo, a chip of
a global network is a fixed square of a lattice of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.grid import Window


@dataclass(frozen=True, slots=True)
class Tile:
    """One unit of scheduling, retry, resume and storage.

    Attributes:
        row: Place on the tile lattice; row 0 starts at the anchor.
        col: See ``row``.
        side_cells: Cells on a side.
        cell_px: Pixels on a side of a cell.
    """

    row: int
    col: int
    side_cells: int
    cell_px: int

    @property
    def side_px(self) -> int:
        """Pixels on a side."""
        return self.side_cells * self.cell_px

    @property
    def window(self) -> Window:
        """The tile's pixels."""
        side = self.side_px
        return Window(self.row * side, self.col * side, (self.row + 1) * side, (self.col + 1) * side)

    def cell_window(self, row0: int, col0: int, row1: int, col1: int) -> Window:
        """Pixels of a half-open rectangle of the tile's cells."""
        top, left = self.window.row0, self.window.col0
        side = self.cell_px
        return Window(top + row0 * side, left + col0 * side, top + row1 * side, left + col1 * side)

    def expand(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A bitmap of cells as a mask of the tile's pixels."""
        return np.repeat(np.repeat(cells, self.cell_px, axis=0), self.cell_px, axis=1)

    def touched_cells(self, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Cells in which at least one pixel of a (side_px, side_px) mask is set."""
        n, c = self.side_cells, self.cell_px
        return pixels.reshape(n, c, n, c).any(axis=(1, 3))


@dataclass(frozen=True, slots=True)
class Chip:
    """What one forward pass sees, and what is kept of it.

    Attributes:
        core: Pixels whose result is kept.
        window: Pixels that the network sees; contains ``core``.
    """

    core: Window
    window: Window


def tiles_over(window: Window, side_cells: int, cell_px: int) -> list[Tile]:
    """Tiles that touch a window, row by row."""
    side = side_cells * cell_px
    around = window.snapped(side)
    return [
        Tile(row, col, side_cells, cell_px)
        for row in range(around.row0 // side, around.row1 // side)
        for col in range(around.col0 // side, around.col1 // side)
    ]


def cover_cells(cells: NDArray[np.bool_], most: int) -> list[tuple[int, int, int, int]]:
    """Disjoint rectangles of at most ``most`` cells a side that cover exactly the cells that are set.

    Greedy from the top left; the result depends on the bitmap alone.

    Returns:
        Half-open rectangles (row0, col0, row1, col1) in cells.
    """
    left = cells.copy()
    rectangles = []
    for row, col in zip(*np.nonzero(cells), strict=True):
        if not left[row, col]:
            continue
        row1 = col1 = 1
        while col1 < most and col + col1 < left.shape[1] and left[row, col + col1]:
            col1 += 1
        while row1 < most and row + row1 < left.shape[0] and left[row + row1, col : col + col1].all():
            row1 += 1
        left[row : row + row1, col : col + col1] = False
        rectangles.append((int(row), int(col), int(row + row1), int(col + col1)))
    return rectangles


def rectangles(tile: Tile, cells: NDArray[np.bool_]) -> list[Window]:
    """Disjoint rectangles of a tile that cover exactly the cells that are set."""
    return [tile.cell_window(*rectangle) for rectangle in cover_cells(cells, tile.side_cells)]


def round_up(value: int, step: int) -> int:
    """The next multiple of ``step``."""
    return -(-value // step) * step


def finite_halo(radius_px: tuple[int, int, int, int], stride_px: int) -> tuple[int, int, int, int]:
    """Halo per side (top, left, bottom, right): the radius, rounded up to whole strides to keep the grid's phase."""
    top, left, bottom, right = (round_up(radius, stride_px) for radius in radius_px)
    return top, left, bottom, right


def finite_chips(
    tile: Tile, cells: NDArray[np.bool_], most_cells: int, halo_px: tuple[int, int, int, int]
) -> Iterator[Chip]:
    """Chips of a finite network that give the cells that are set."""
    for rectangle in cover_cells(cells, most_cells):
        core = tile.cell_window(*rectangle)
        yield Chip(core, core.padded(*halo_px))


def global_chips(core: Window, chip_px: int, step_px: int) -> Iterator[Chip]:
    """All chips of the fixed lattice that touch ``core``, row by row. Each keeps all of itself: chips are blended."""
    for row in _starts(core.row0, core.row1, chip_px, step_px):
        for col in _starts(core.col0, core.col1, chip_px, step_px):
            window = Window(row, col, row + chip_px, col + chip_px)
            yield Chip(window, window)


def _starts(first: int, last: int, chip_px: int, step_px: int) -> range:
    """Starts of the lattice's chips that touch the half-open range."""
    start = -(-(first - chip_px + 1) // step_px) * step_px
    return range(start, last, step_px)


@dataclass(frozen=True, slots=True)
class ChipPlan:
    """How a model wants its chips, from its spec.

    Attributes:
        radius_px: Top, left, bottom, right; zeros for a global network.
        stride_px: Chips of a finite network start and end on its multiples.
        chip_px: Side of a global network's chip; ``None`` for a finite network.
        chip_step_px: Step of a global network's chip lattice.
        chip_cells: Most cells on a side of a finite network's chip.
        column_px: Most columns of an area that a finite network takes strip by strip; 0 where it takes whole chips.
    """

    radius_px: tuple[int, int, int, int]
    stride_px: int
    chip_px: int | None
    chip_step_px: int | None
    chip_cells: int
    column_px: int = 0

    @property
    def overlap_px(self) -> int:
        """Most rows or columns that two neighbouring tiles both look at."""
        return 2 * (self.chip_px or max(finite_halo(self.radius_px, self.stride_px)))

    def chips(self, tile: Tile, cells: NDArray[np.bool_]) -> list[Chip]:
        """The chips that give the cells that are set: what they see is what has to be read."""
        if self.chip_px is None:
            return list(finite_chips(tile, cells, self.chip_cells, finite_halo(self.radius_px, self.stride_px)))
        assert self.chip_step_px is not None  # noqa: S101  # ModelSpec checks it
        chips: dict[Window, Chip] = {}
        for core in rectangles(tile, cells):
            chips |= {chip.window: chip for chip in global_chips(core, self.chip_px, self.chip_step_px)}
        return [chips[window] for window in sorted(chips, key=lambda w: (w.row0, w.col0))]

    def chips_over(self, area: Window, cell_px: int) -> list[Chip]:
        """Chips of a finite network over a rectangle of one tile, all of one shape."""
        halo_px = finite_halo(self.radius_px, self.stride_px)
        if self.column_px:
            return list(_columns(area, self.column_px, self.stride_px, halo_px))
        return even_chips(area, self.chip_cells * cell_px, self.stride_px, halo_px)


def even_chips(area: Window, most_px: int, stride_px: int, halo_px: tuple[int, int, int, int]) -> list[Chip]:
    """Chips of a finite network over a rectangle, all of one shape: networks are compiled for shapes.

    Of the cuts whose chips see no more pixels than a square of ``most_px`` with its halo would, the one that sees the
    fewest pixels altogether. The last chip of a row or column sees what its neighbour keeps too, to be of their size.

    Args:
        area: Pixels to give; its edges are multiples of the stride.
        most_px: Side of the largest square.
        stride_px: Chips start and end on its multiples.
        halo_px: Top, left, bottom, right.
    """
    top, left, bottom, right = halo_px
    rows, cols = area.shape
    room_px = (most_px + top + bottom) * (most_px + left + right)
    cuts = []
    for down in range(1, -(-rows // stride_px) + 1):
        height = round_up(-(-rows // down), stride_px)
        # The fewest columns of chips that fit: more of them see more.
        width = min(cols, room_px // (height + top + bottom) - left - right) // stride_px * stride_px
        if width > 0:
            across = -(-cols // width)
            width = round_up(-(-cols // across), stride_px)
            cuts.append((down * across * (height + top + bottom) * (width + left + right), down, across, height, width))
        if cuts and 2 * height < most_px:
            break  # flat chips are mostly halo
    _, down, across, height, width = min(cuts)
    chips = []
    for row in range(down):
        for col in range(across):
            core = Window(row * height, col * width, min((row + 1) * height, rows), min((col + 1) * width, cols))
            seen = Window(max(0, core.row1 - height), max(0, core.col1 - width), core.row1, core.col1)
            chips.append(Chip(core.shifted(area.row0, area.col0), seen.shifted(area.row0, area.col0).padded(*halo_px)))
    return [chip for chip in chips if chip.core]


def _columns(area: Window, most_px: int, stride_px: int, halo_px: tuple[int, int, int, int]) -> Iterator[Chip]:
    """The whole height of a rectangle in columns of one width; the last one sees what its neighbour keeps too."""
    across = -(-area.shape[1] // most_px)
    width = round_up(-(-area.shape[1] // across), stride_px)
    for left in range(area.col0, area.col1, width):
        right = min(left + width, area.col1)
        core = Window(area.row0, left, area.row1, right)
        yield Chip(core, Window(area.row0, max(area.col0, right - width), area.row1, right).padded(*halo_px))


def around(windows: Iterator[Window] | list[Window]) -> Window:
    """The smallest window around all; there must be at least one."""
    windows = iter(windows)
    total = next(windows)
    for window in windows:
        total = total | window
    return total
