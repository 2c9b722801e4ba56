"""Cells, tiles and chips are integers: every property is checked against sets of pixels or of cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.grid import Window
from geoseg.tiles import (
    Chip,
    ChipPlan,
    Tile,
    around,
    cover_cells,
    even_chips,
    finite_chips,
    finite_halo,
    global_chips,
    tiles_over,
)

PLACES = st.integers(-60, 60)
BITMAPS = st.integers(1, 7).flatmap(lambda side: arrays(bool, (side, side)))
RADII = st.tuples(*[st.integers(0, 40)] * 4)


@st.composite
def windows(draw, longest=60):
    row, col = draw(PLACES), draw(PLACES)
    return Window(row, col, row + draw(st.integers(1, longest)), col + draw(st.integers(1, longest)))


def counts_over(parts: list[Window], total: Window) -> np.ndarray:
    """How many parts hold each pixel of ``total``; parts may reach beyond it."""
    counts = np.zeros(total.shape, dtype=int)
    for part in parts:
        counts[(part & total).within(total)] += 1
    return counts


@given(windows(), st.integers(1, 4), st.integers(1, 20))
def test_tiles_partition_any_window(window, side_cells, cell_px):
    tiles = tiles_over(window, side_cells, cell_px)
    assert (counts_over([tile.window for tile in tiles], window) == 1).all()
    assert all(tile.window & window for tile in tiles)
    assert [(tile.row, tile.col) for tile in tiles] == sorted({(tile.row, tile.col) for tile in tiles})
    for tile in tiles:
        assert tile.window.shape == (tile.side_px, tile.side_px) == (side_cells * cell_px,) * 2
        assert tile.window.row0 % tile.side_px == tile.window.col0 % tile.side_px == 0


PADS = st.tuples(*[st.integers(0, 30)] * 4)


@given(windows(), PADS, PADS, st.integers(1, 4), st.integers(2, 20))
def test_a_tile_lies_where_it_lies_whatever_was_asked_for(shared, before, after, side_cells, cell_px):
    """Tiles of two regions are the same tiles where the regions meet."""
    one, other = shared.padded(*before), shared.padded(*after)
    meeting = set(tiles_over(shared, side_cells, cell_px))
    assert meeting <= set(tiles_over(one, side_cells, cell_px)) & set(tiles_over(other, side_cells, cell_px))


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 5), st.integers(1, 9))
def test_cells_partition_their_tile(row, col, side_cells, cell_px):
    tile = Tile(row, col, side_cells, cell_px)
    cells = [tile.cell_window(r, c, r + 1, c + 1) for r in range(side_cells) for c in range(side_cells)]
    assert (counts_over(cells, tile.window) == 1).all()
    assert all(tile.window.contains(cell) and cell.shape == (cell_px, cell_px) for cell in cells)


@given(BITMAPS, st.integers(1, 6))
def test_expanding_cells_and_asking_which_are_touched_are_inverse(cells, cell_px):
    tile = Tile(0, 0, len(cells), cell_px)
    pixels = tile.expand(cells)
    assert pixels.shape == (tile.side_px, tile.side_px)
    assert (tile.touched_cells(pixels) == cells).all()
    for (row, col), wanted in np.ndenumerate(cells):
        part = tile.cell_window(row, col, row + 1, col + 1).within(tile.window)
        assert (pixels[part] == wanted).all()


@given(st.integers(1, 5), st.integers(1, 6), st.data())
def test_one_pixel_touches_its_cell_and_no_other(side_cells, cell_px, data):
    tile = Tile(2, -3, side_cells, cell_px)
    row, col = data.draw(st.tuples(*[st.integers(0, tile.side_px - 1)] * 2))
    pixels = np.zeros((tile.side_px, tile.side_px), dtype=bool)
    pixels[row, col] = True
    assert np.argwhere(tile.touched_cells(pixels)).tolist() == [[row // cell_px, col // cell_px]]


@given(BITMAPS, st.integers(1, 8))
def test_rectangles_cover_each_wanted_cell_once_and_no_other(cells, most):
    before = cells.copy()
    rectangles = cover_cells(cells, most)
    covered = np.zeros(cells.shape, dtype=int)
    for row0, col0, row1, col1 in rectangles:
        assert 0 < row1 - row0 <= most
        assert 0 < col1 - col0 <= most
        covered[row0:row1, col0:col1] += 1
    assert (covered == cells).all()
    assert (cells == before).all(), "the bitmap of the caller was changed"


@pytest.mark.parametrize(("side", "most", "count"), [(6, 6, 1), (6, 3, 4), (6, 4, 4), (5, 8, 1)])
def test_a_full_bitmap_takes_as_few_rectangles_as_there_can_be(side, most, count):
    assert len(cover_cells(np.ones((side, side), dtype=bool), most)) == count


@given(RADII, st.integers(1, 32))
def test_halo_is_the_radius_rounded_up_to_strides(radius, stride):
    for side, reach in zip(finite_halo(radius, stride), radius, strict=True):
        assert side % stride == 0
        assert reach <= side < reach + stride


@given(
    BITMAPS,
    st.integers(1, 5),
    RADII,
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(-9, 9),
    st.integers(-9, 9),
)
def test_finite_chips_keep_the_wanted_cells_and_see_the_whole_radius(cells, most, radius, stride, n, row, col):
    tile = Tile(row, col, len(cells), stride * n)
    chips = list(finite_chips(tile, cells, most, finite_halo(radius, stride)))
    kept = counts_over([chip.core for chip in chips], tile.window)
    assert (kept == tile.expand(cells)).all()
    top, left, bottom, right = radius
    for chip in chips:
        assert tile.window.contains(chip.core)
        assert chip.window.contains(chip.core.padded(top, left, bottom, right))
        edges = (chip.window.row0, chip.window.col0, chip.window.row1, chip.window.col1)
        assert all(edge % stride == 0 for edge in edges), "out of phase with the network's strides"


@given(windows(longest=50), st.integers(1, 30), st.integers(1, 5))
def test_global_chips_are_all_those_of_the_lattice_that_touch_the_core(core, chip_px, overlap):
    """Brute force: every place of the lattice around the core, asked one by one."""
    step = -(-chip_px // overlap)
    near = [
        range((low - 2 * chip_px) // step * step, high + 2 * chip_px, step)
        for low, high in ((core.row0, core.row1), (core.col0, core.col1))
    ]
    expected = [
        window
        for row in near[0]
        for col in near[1]
        if core & (window := Window(row, col, row + chip_px, col + chip_px))
    ]
    chips = list(global_chips(core, chip_px, step))
    assert [chip.window for chip in chips] == expected
    assert all(chip.core == chip.window for chip in chips)
    assert (counts_over([chip.window for chip in chips], core) >= 1).all()


@given(windows(), PADS, PADS, st.integers(2, 6), st.integers(1, 5))
def test_chips_around_a_pixel_do_not_depend_on_the_core_that_asked(shared, before, after, step_px, overlap):
    """What is blended into a pixel is the same from either side of a tile border."""
    one, other, chip_px = shared.padded(*before), shared.padded(*after), step_px * overlap
    corner = Window(shared.row0, shared.col0, shared.row0 + 1, shared.col0 + 1)
    for part in (shared, corner):
        seen = [{chip for chip in global_chips(core, chip_px, step_px) if chip.window & part} for core in (one, other)]
        assert seen[0] == seen[1]


FINITE = ChipPlan((5, 3, 4, 2), 4, None, None, 2)
GLOBAL = ChipPlan((0, 0, 0, 0), 4, 24, 12, 2)


@given(BITMAPS.filter(np.any), st.integers(-5, 5), st.integers(-5, 5))
def test_the_plan_of_a_finite_network_gives_finite_chips(cells, row, col):
    tile = Tile(row, col, len(cells), 8)
    assert FINITE.chips(tile, cells) == list(finite_chips(tile, cells, 2, (8, 4, 4, 4)))


@given(BITMAPS.filter(np.any), st.integers(-5, 5), st.integers(-5, 5))
def test_the_plan_of_a_global_network_has_each_chip_once_in_order(cells, row, col):
    """All chips that touch a wanted cell: no more, none twice, row by row whatever the shape of the bitmap."""
    tile = Tile(row, col, len(cells), 8)
    expected: set[Chip] = set()
    for r, c in np.argwhere(cells):
        expected |= set(global_chips(tile.cell_window(r, c, r + 1, c + 1), 24, 12))
    chips = GLOBAL.chips(tile, cells)
    assert set(chips) == expected
    places = [(chip.window.row0, chip.window.col0) for chip in chips]
    assert places == sorted(set(places))


@pytest.mark.parametrize("plan", [FINITE, GLOBAL])
def test_no_wanted_cell_means_no_chip(plan):
    assert plan.chips(Tile(0, 0, 3, 8), np.zeros((3, 3), dtype=bool)) == []


@given(st.lists(windows(), min_size=1, max_size=5))
def test_around_is_the_smallest_window_around_all(parts):
    total = around(parts)
    assert all(total.contains(part) for part in parts)
    assert total.row0 == min(part.row0 for part in parts)
    assert total.col1 == max(part.col1 for part in parts)
    assert around(iter(parts)) == total


@given(windows(longest=40), st.integers(1, 16), st.integers(1, 8), RADII)
def test_even_chips_have_one_shape_give_each_pixel_once_and_stay_small(place, most, stride, radius):
    area = Window(*(edge * stride for edge in (place.row0, place.col0, place.row1, place.col1)))
    most_px, halo = most * stride, finite_halo(radius, stride)
    chips = even_chips(area, most_px, stride, halo)
    assert (counts_over([chip.core for chip in chips], area) == 1).all()
    assert len({chip.window.shape for chip in chips}) == 1
    top, left, bottom, right = halo
    for chip in chips:
        assert chip.window.size_px <= (most_px + top + bottom) * (most_px + left + right)
        assert chip.window.contains(chip.core.padded(*halo))
        assert area.padded(*halo).contains(chip.window)
        assert not any(
            edge % stride for edge in (chip.window.row0, chip.window.col0, chip.window.row1, chip.window.col1)
        )


def test_even_chips_of_what_a_tile_shows_of_a_scene():
    halo = (22, 22, 22, 22)
    shapes = {
        shape: {chip.window.shape for chip in even_chips(Window(0, 0, *shape), 1024, 2, halo)}
        for shape in ((2048, 2048), (2048, 1066), (1856, 2048), (192, 2048))
    }
    assert shapes == {
        (2048, 2048): {(1068, 1068)},
        (2048, 1066): {(728, 1110)},  # three instead of two and two slivers
        (1856, 2048): {(972, 1068)},
        (192, 2048): {(236, 2092)},
    }
