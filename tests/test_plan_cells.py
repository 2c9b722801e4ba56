"""Tiles of a region against pixels that are drawn whole, and geometries that are cut to what decides about a window."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from geoseg.grid import Window
from geoseg.plan.cells import tasks_of, wanted_cells
from geoseg.plan.nearby import shape_near
from geoseg.plan.region import Region, pixels_around
from geoseg.tiles import tiles_over


def _coast(seed: int, points: int, size: float) -> shapely.Geometry:
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, points))
    radius = generator.uniform(0.3, 1, points) * size
    ring = np.column_stack([radius * np.cos(angles), radius * np.sin(angles)]) + generator.uniform(-90, 90, 2)
    lake = shapely.Point(0, 0).buffer(size / 5, 40)
    return shapely.make_valid(shapely.Polygon(ring), method="structure").difference(lake)


def _drawn(geometry: shapely.Geometry, window: Window, *, all_touched: bool = False) -> np.ndarray:
    """Pixels of a window, from the whole geometry."""
    shift = Affine.translation(window.col0, window.row0)
    return rasterize([(geometry, 1)], out_shape=window.shape, transform=shift, all_touched=all_touched).astype(bool)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([5, 300, 2000]), st.sampled_from([60.0, 260.0]), st.sampled_from([1, 2, 4])
)
def test_the_tiles_of_a_region_are_those_with_pixels_in_it(seed, points, size, side_cells):
    coast = _coast(seed, points, size)
    sliver = shapely.box(300.2, 10.2, 300.4, 10.4)  # holds no pixel's centre, and takes the pixel that it touches
    region = Region(pixels_around(shapely.union_all([coast, sliver])), {"coast": coast, "sliver": sliver})
    expected = []
    for tile in tiles_over(region.window, side_cells, 32):
        inside = _drawn(coast, tile.window) | _drawn(sliver, tile.window, all_touched=True)
        if inside.any():
            expected.append((tile, tile.touched_cells(inside)))
    tasks = tasks_of(region, side_cells, 32)
    assert [task.tile for task in tasks] == [tile for tile, _ in expected]
    assert all(np.array_equal(task.cells, cells) for task, (_, cells) in zip(tasks, expected, strict=True))
    assert tasks.pixels == sum(task.pixels for task in tasks)
    assert tasks[-1].tile == tasks[len(tasks) - 1].tile == tasks[:][-1].tile


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(-300, 300), st.integers(-300, 300), st.integers(1, 90), st.booleans())
def test_what_is_near_a_window_draws_the_pixels_of_the_whole(seed, row, col, side, all_touched):
    coast = _coast(seed, 1500, 250.0)
    window = Window(row, col, row + side, col + side)
    near = shape_near(coast, window)
    shift = Affine.translation(col, row)
    found = np.zeros(window.shape, "uint8")
    if near is not None:
        rasterize([(near, 1)], out=found, transform=shift, all_touched=all_touched)
    assert np.array_equal(found.astype(bool), _drawn(coast, window, all_touched=all_touched))


def test_what_is_near_a_window_is_little_of_a_long_coast():
    coast = shapely.Point(0, 0).buffer(1000, 20_000)
    near = shape_near(coast, Window(-20, 980, 20, 1020))
    assert (
        sum(len(ring) for polygon in near["coordinates"] for ring in polygon)
        < 2000
        < shapely.get_num_coordinates(coast)
    )


def test_a_region_without_features_wants_the_cells_that_its_window_touches():
    region = Region(Window(-5, 40, 70, 97))
    cells = wanted_cells(region, Window(-64, 0, 128, 128), 32)
    assert np.argwhere(cells).tolist() == [[r, c] for r in (1, 2, 3, 4) for c in (1, 2, 3)]


def test_a_million_tiles_are_told_apart_from_the_ocean_by_their_border(monkeypatch):
    asked = []
    monkeypatch.setattr(Region, "mask", lambda _, window, __=None: asked.append(window) or np.ones(window.shape, bool))
    coast = shapely.Point(0, 0).buffer(150_000, 500)
    tasks = tasks_of(Region(pixels_around(coast), {"a": coast}), 1, 256)
    assert len(tasks) == pytest.approx(np.pi * 150_000**2 / 256**2, rel=0.01)
    assert len(asked) < 1000  # cells whose border is not decided by some of their pixels


@given(st.integers(-90, 90), st.integers(-90, 90), st.integers(1, 200), st.integers(1, 200))
def test_tiles_of_which_one_shape_shows_come_together_and_none_is_lost(row, col, high, wide):
    window = Window(row, col, row + high, col + wide)
    tasks = tasks_of(Region(window, {}), 2, 16)
    ordered = tasks.alike_together(window)
    assert {(t.tile.row, t.tile.col) for t in ordered} == {(t.tile.row, t.tile.col) for t in tasks}
    assert len(ordered) == len(tasks)
    assert ordered.pixels == tasks.pixels
    shapes = [(task.tile.window & window).shape for task in ordered]
    assert [shape for shape, _ in itertools.groupby(shapes)] == list(dict.fromkeys(shapes))
