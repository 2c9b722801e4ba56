"""The sample: all of what is small, evenly of what is large, in one order whoever read it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geoseg.change import sample
from geoseg.change.sample import Part, gather, parts_of, sample_areas, sample_windows
from geoseg.grid import Window
from tests.change.scenery import pair

corners = st.integers(-5000, 5000)
sides = st.integers(1, 12_000)


@given(corners, corners, sides, sides)
def test_areas_and_their_windows_are_even_and_lie_within(row, col, rows, cols):
    overlap = Window(row, col, row + rows, col + cols)
    areas = sample_areas(overlap)
    windows = [window for area in areas for window in sample_windows(area)]
    assert all(overlap.contains(area) and area for area in areas)
    assert len(areas) <= 16
    assert sum(area.size_px for area in areas) <= 1024**2
    assert all(max(window.shape) <= sample.SIDE_PX for window in windows)
    assert len(windows) <= 64
    assert all(not a & b for a in areas for b in areas if a is not b)
    assert sum(window.size_px for window in windows) == sum(area.size_px for area in areas)
    assert {(a.row0, a.row1) for a in areas} >= {(overlap.row0, areas[0].row1), (areas[-1].row0, overlap.row1)}
    assert {(a.col0, a.col1) for a in areas} >= {(overlap.col0, areas[0].col1), (areas[-1].col0, overlap.col1)}
    if max(rows, cols) <= 8 * sample.SIDE_PX:
        assert areas == (overlap,)  # all of a small overlap is read at once
    # Where the lattice begins is no matter of where zero is.
    assert [area.shifted(3, -7) for area in areas] == list(sample_areas(overlap.shifted(3, -7)))


@given(st.randoms(), st.integers(500, 20_000))
def test_the_order_of_reading_is_no_matter_and_every_so_many_are_kept(shuffler, most):
    before, after, _ = pair(1)
    valid = np.random.default_rng(0).random(before.shape[1:]) < 0.9
    overlap = Window(10, 20, 10 + valid.shape[0], 20 + valid.shape[1])
    parts = list(parts_of(before, after, valid, overlap))
    mixed = list(parts)
    shuffler.shuffle(mixed)
    old, sample.MOST_PIXELS = sample.MOST_PIXELS, most
    try:
        one, other = gather(parts, overlap), gather(mixed, overlap)
    finally:
        sample.MOST_PIXELS = old
    assert np.array_equal(one.before, other.before)
    assert np.array_equal(one.after, other.after)
    assert one.before.shape[1] <= most * 1.3
    every = int(np.ceil(np.sqrt(valid.size / most)))
    expected = before[:, ::every, ::every][:, valid[::every, ::every]]
    assert sorted(one.before[0]) == sorted(expected[0])


def test_what_is_no_number_is_left_out():
    before, after, _ = pair(2)
    after = after.copy()
    after[1, 5, 5] = np.nan
    valid = np.ones(before.shape[1:], dtype=bool)
    window = Window(0, 0, *valid.shape)
    made = gather([Part(window, before, after, valid)], window)
    assert made.before.shape == (4, valid.size - 1)
    assert np.isfinite(made.after).all()
    assert np.array_equal(made.swapped.before, made.after)
