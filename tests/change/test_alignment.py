"""Known shifts found again; what cannot be said is not said; tiles move as the whole image moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from geoseg.change.alignment import KERNEL_PX, WindowShift, align, measure_window, moved
from geoseg.change.sample import SIDE_PX, alignment_of, parts_of
from geoseg.grid import Window
from tests.change.scenery import land

SHIFTS = [(0.0, 0.0), (0.3, -0.7), (-0.7, 1.6), (1.6, 0.3), (-5.0, 4.4)]


def fourier_shift(image, rows, cols):
    """An exact shift of a periodic image."""
    return np.fft.ifft2(ndi.fourier_shift(np.fft.fft2(image), (rows, cols))).real


@pytest.mark.parametrize(("rows", "cols"), SHIFTS)
def test_a_known_shift_is_found_in_other_light_and_noise(rows, cols):
    before = land(1, 1, (128, 128))[0]
    after = fourier_shift(before, rows, cols) * 1.5 - 40 + np.random.default_rng(0).normal(0, 5, before.shape)
    found = measure_window(before, after, np.ones(before.shape, dtype=bool))
    assert found.is_good
    assert (found.dy_px, found.dx_px) == pytest.approx((rows, cols), abs=0.1)


def test_swapped_dates_lie_the_other_way():
    before, after = land(2, 1, (100, 128))[0], fourier_shift(land(2, 1, (100, 128))[0], 0.4, -1.3)
    valid = np.ones(before.shape, dtype=bool)
    one, other = measure_window(before, after, valid), measure_window(after, before, valid)
    assert (one.dy_px, one.dx_px) == pytest.approx((-other.dy_px, -other.dx_px), abs=0.011)
    assert measure_window(before, before, valid).dy_px == 0


def test_windows_without_a_say_have_no_vote():
    rng = np.random.default_rng(3)
    valid = np.ones((128, 128), dtype=bool)
    ground = land(3, 1, (128, 128))[0]
    assert not measure_window(ground, land(4, 1, (128, 128))[0], valid).is_good
    noise = [measure_window(*rng.normal(size=(2, 128, 128)), valid).is_good for _ in range(40)]
    assert sum(noise) <= 1
    assert measure_window(ground, np.full_like(ground, 7.0), valid) is None
    valid[:30] = False
    assert measure_window(ground, ground, valid) is None


def test_masked_pixels_have_no_say():
    ground = land(5, 1, (128, 128))[0] + ndi.gaussian_filter(np.random.default_rng(5).normal(0, 30, (128, 128)), 0.7)
    valid = np.ones(ground.shape, dtype=bool)
    valid[40:60, 50:90] = False
    after = fourier_shift(ground, 1.0, 1.0)
    plain = measure_window(ground, after, valid)
    noisy = np.where(valid, after, np.nan)
    assert measure_window(ground, noisy, valid) == plain
    assert (plain.dy_px, plain.dx_px) == pytest.approx((1.0, 1.0), abs=0.1)


def shifts(*places, peak=2.0):
    return [WindowShift(dy, dx, peak) for dy, dx in places]


def test_the_verdict():
    steady = shifts((0.5, 0.3), (0.52, 0.31), (0.48, 0.29), (0.5, 0.3))
    lost = shifts((60.0, -40.0))
    made = align([*steady, *lost, None])
    assert (made.verdict, made.good, made.windows) == ("consistent", 5, 6)
    assert made.correction == pytest.approx((0.5, 0.3), abs=0.021)
    assert align(shifts((0.1, 0.1), (0.1, 0.1), (0.1, 0.1))).correction == (0.0, 0.0)
    assert align(shifts((4.0, 0.0), (4.0, 0.0), (4.0, 0.0))).verdict == "refused"
    assert align(shifts((0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (-2.0, -2.0))).verdict == "refused"
    assert align(shifts((4.0, 0.0), (4.0, 0.0), (4.0, 0.0))).correction == (0.0, 0.0)
    assert align([*shifts((1.0, 1.0), (1.0, 1.0)), None, None]).verdict == "unmeasured"
    assert align(shifts((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), peak=1.1)).verdict == "unmeasured"
    assert align([]).good_share == 0
    # Four windows that disagree say less than forty.
    spread = [(0.4, 0.4), (0.9, 0.4), (-0.1, 0.4), (0.4, 0.9), (0.4, -0.1)]
    assert align(shifts(*spread)).correction == (0.4, 0.4)
    wider = [(0.3, 0.0), (1.1, 0.0), (-0.5, 0.0), (0.3, 0.8), (0.3, -0.8)]
    assert align(shifts(*wider)).verdict == "consistent"
    assert align(shifts(*wider)).correction == (0.0, 0.0)
    assert align(shifts(*wider)).left_px == pytest.approx(np.hypot(0.3, 0.8))
    assert align(shifts(*wider * 10)).correction == (0.3, 0.0)
    assert align([*steady, *lost, None]).left_px == made.scatter_px


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 20), st.integers(0, 20))
def test_a_part_moves_as_the_whole_image_moves(dy, dx, top, left):
    image = land(6, 2, (64, 64))
    reach = 3 + KERNEL_PX
    whole = moved(image, dy, dx)
    window = (slice(None), slice(top, top + 30), slice(left, left + 30))
    part = moved(image[window], dy, dx)
    inner = (slice(None), slice(reach, -reach), slice(reach, -reach))
    assert np.array_equal(part[inner], whole[window][inner], equal_nan=True)


def test_moving_back_undoes_a_shift():
    image = land(7, 2, (96, 96))
    after = np.stack([fourier_shift(band, 0.7, -1.6) for band in image])
    back = moved(after, 0.7, -1.6)
    assert np.isnan(back[:, :, :2]).all()
    assert not np.isnan(back[:, 1:-2, 3:]).any()
    assert np.abs(back - image)[:, 12:-12, 12:-12].max() < 0.1 * image.std()
    assert np.array_equal(moved(image, 0, 0), image.astype("float32"))
    assert np.array_equal(moved(image, 2, 0)[:, :-2], image[:, 2:].astype("float32"))


def test_masked_pixels_grow_by_the_kernel_and_no_farther():
    image = land(8, 1, (32, 32))
    image[0, 16, 16] = np.nan
    lost = np.isnan(moved(image, 0.5, 0.5))[0, 3:-3, 3:-3]
    assert lost.sum() == 16
    assert np.isnan(moved(image, 1.0, 0.0))[0, :-1].sum() == 1


def test_windows_together_on_real_images(shared):
    rasterio = pytest.importorskip("rasterio")
    folder = shared / "data" / "change-landsat-taizhou"
    before, after = (rasterio.open(folder / f"landsat7_{year}.tif").read().astype(float) for year in (2000, 2003))
    valid, window = np.ones(before.shape[1:], dtype=bool), Window(0, 0, *before.shape[1:])
    own = alignment_of(parts_of(before, after, valid, window))
    assert own.verdict == "consistent"
    assert own.windows == (-(-400 // SIDE_PX)) ** 2
    moved_away = np.stack([ndi.shift(band, (0.7, -1.6), order=5, mode="mirror") for band in after])
    found = alignment_of(parts_of(before, moved_away, valid, window))
    assert found.dy_px - own.dy_px == pytest.approx(0.7, abs=0.1)
    assert found.dx_px - own.dx_px == pytest.approx(-1.6, abs=0.1)
