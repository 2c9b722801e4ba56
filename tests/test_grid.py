"""One lattice per job: windows are integer algebra, and the anchor belongs to the lattice alone."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from geoseg.grid import Lattice, Window

SMALL = st.integers(-40, 40)


@st.composite
def windows(draw, places=SMALL, longest=30, shortest=0):
    row, col = draw(places), draw(places)
    rows, cols = draw(st.integers(shortest, longest)), draw(st.integers(shortest, longest))
    return Window(row, col, row + rows, col + cols)


def pixels(window: Window) -> set[tuple[int, int]]:
    return {(r, c) for r in range(window.row0, window.row1) for c in range(window.col0, window.col1)}


@given(windows(), windows())
def test_intersection_and_truth_are_those_of_the_pixel_sets(one, other):
    assert pixels(one & other) == pixels(one) & pixels(other)
    assert bool(one) == bool(pixels(one))
    assert one.size_px == len(pixels(one))


@given(windows(shortest=1), windows(shortest=1))
def test_union_is_the_smallest_window_around_both(one, other):
    union = one | other
    both = pixels(one) | pixels(other)
    assert both <= pixels(union)
    assert (union.row0, union.col0) == (min(r for r, _ in both), min(c for _, c in both))
    assert (union.row1 - 1, union.col1 - 1) == (max(r for r, _ in both), max(c for _, c in both))


@given(windows(shortest=1), windows(shortest=1))
def test_containment_is_that_of_the_pixel_sets_and_cuts_the_same_pixels(one, other):
    assert one.contains(other) == (pixels(other) <= pixels(one))
    if not one.contains(other):
        with pytest.raises(ValueError, match="does not lie within"):
            other.within(one)
        return
    numbered = np.arange(one.size_px).reshape(one.shape)
    cut = numbered[other.within(one)]
    assert cut.shape == other.shape
    rows, cols = np.divmod(cut, one.shape[1])
    assert {(one.row0 + r, one.col0 + c) for r, c in zip(rows.flat, cols.flat, strict=True)} == pixels(other)


@given(windows(shortest=1), st.integers(1, 17))
def test_snapping_is_the_smallest_window_on_multiples(window, step):
    snapped = window.snapped(step)
    edges = (snapped.row0, snapped.col0, snapped.row1, snapped.col1)
    assert all(edge % step == 0 for edge in edges)
    assert snapped.contains(window)
    assert snapped.snapped(step) == snapped
    assert window.row0 - snapped.row0 < step
    assert snapped.row1 - window.row1 < step
    assert window.col0 - snapped.col0 < step
    assert snapped.col1 - window.col1 < step


@given(windows(), st.tuples(*[st.integers(0, 9)] * 4))
def test_padding_is_undone_by_padding_with_the_negative(window, pad):
    padded = window.padded(*pad)
    assert padded.contains(window)
    assert padded.shape == (window.shape[0] + pad[0] + pad[2], window.shape[1] + pad[1] + pad[3])
    assert padded.padded(*(-side for side in pad)) == window


def test_a_window_never_ends_before_it_starts():
    with pytest.raises(ValueError, match="end before"):
        Window(3, 0, 2, 5)


# Grids of sensors and cameras: north up, pixels of 1/3 m, degrees, rotated by a flight line, sheared, south up.
GRIDS = {
    "sentinel-2": ("EPSG:32633", Affine(10, 0, 499_980, 0, -10, 5_000_040)),
    "landsat: corners lie half a pixel off": ("EPSG:32633", Affine(30, 0, 483_285, 0, -30, 5_216_115)),
    "seconds of arc, pixel is point": ("EPSG:4326", Affine(1 / 3600, 0, 9 - 0.5 / 3600, 0, -1 / 3600, 48 + 0.5 / 3600)),
    "a third of a metre": ("EPSG:25832", Affine(1 / 3, 0, 691_203.127, 0, -1 / 3, 5_335_812.774)),
    "oblong": ("EPSG:3857", Affine(7.3, 0, -11_234_567.8, 0, -11.9, 4_321_098.7)),
    "south up": ("EPSG:32733", Affine(10, 0, 300_003, 0, 10, 8_000_007)),
    "rotated": ("EPSG:32633", Affine.translation(499_871.3, 5_000_019.1) @ Affine.rotation(31.7) @ Affine.scale(0.07, -0.07)),
    "sheared": ("EPSG:32633", Affine(2.0, 0.3, 400_000.6, -0.2, -2.5, 5_100_000.4)),
}  # fmt: skip
FAR = st.integers(-200_000, 200_000)


@pytest.fixture(params=list(GRIDS), ids=list(GRIDS))
def raster(request) -> GeoBox:
    crs, transform = GRIDS[request.param]
    return GeoBox((120, 90), transform, crs)


def place_of_anchor(lattice: Lattice) -> tuple[float, float]:
    return lattice.geobox(Window(0, 0, 1, 1)).transform @ (0.0, 0.0)


def test_the_raster_that_defined_a_lattice_keeps_its_coordinates(raster):
    lattice = Lattice.from_geobox(raster)
    window = lattice.window_of(raster)
    assert window is not None
    assert lattice.geobox(window) == raster


@given(window=windows(places=FAR, longest=3000, shortest=1))
def test_any_window_of_a_lattice_defines_the_same_lattice(window):
    """The heart of promise 1: pixel numbers must not depend on which raster a run saw first."""
    for crs, transform in GRIDS.values():
        lattice = Lattice.from_geobox(GeoBox((1, 1), transform, crs))
        geobox = lattice.geobox(window)
        other = Lattice.from_geobox(geobox)
        assert other.window_of(geobox) == window
        size = max(lattice.pixel_size)
        assert np.allclose(place_of_anchor(other), place_of_anchor(lattice), rtol=0, atol=1e-5 * size)


@given(window=windows(places=FAR, longest=3000, shortest=1))
def test_window_of_undoes_geobox(window):
    for crs, transform in GRIDS.values():
        lattice = Lattice.from_geobox(GeoBox((1, 1), transform, crs))
        assert lattice.window_of(lattice.geobox(window)) == window


def test_the_anchor_is_the_corner_nearest_to_the_origin_of_the_crs(raster):
    lattice = Lattice.from_geobox(raster)
    col, row = ~lattice.geobox(Window(0, 0, 1, 1)).transform @ (0.0, 0.0)
    assert max(abs(col), abs(row)) <= 0.5 + 1e-5


@given(
    first=st.integers(-5000, 5000),
    more=st.integers(1, 5000),
    noise=st.floats(-1e-8, 1e-8),
)
def test_half_pixel_phases_choose_one_corner_whatever_the_parity_and_the_last_bits(first, more, noise):
    """Landsat's corners lie at odd multiples of half a pixel, where rounding to even would depend on the raster."""
    one, other = (
        Lattice.from_geobox(GeoBox((8, 8), Affine(30, 0, 30 * (n + 0.5 + noise), 0, -30, -30 * (n + 0.5 - noise)), "EPSG:32633"))
        for n in (first, first + more)
    )  # fmt: skip
    assert np.allclose(place_of_anchor(one), place_of_anchor(other), rtol=0, atol=1e-3)


@given(st.floats(1e-3, 1e4), windows(places=FAR))
def test_a_lattice_of_a_resolution_is_anchored_at_the_origin(resolution, window):
    lattice = Lattice.from_resolution("EPSG:32633", resolution)
    x, y = lattice.geobox(window).transform @ (0.0, 0.0)
    assert (x, y) == pytest.approx((window.col0 * resolution, -window.row0 * resolution))
    assert lattice.pixel_size == (resolution, resolution)
    assert lattice.pixel_area == pytest.approx(resolution**2)


@pytest.mark.parametrize(
    ("scale", "shift"),
    [((1, 1), (0.1, 0)), ((1, 1), (0, 0.5)), ((1.01, 1), (0, 0)), ((1, 2), (0, 0)), ((1, -1), (0, 0))],
    ids=["shifted", "half a pixel down", "wider", "twice as high", "flipped"],
)
def test_a_raster_beside_the_lattice_has_no_window(raster, scale, shift):
    lattice = Lattice.from_geobox(raster)
    moved = raster.transform @ Affine.translation(*shift) @ Affine.scale(*scale)
    assert lattice.window_of(GeoBox(raster.shape, moved, raster.crs)) is None


def test_a_rotated_raster_is_not_on_a_lattice_that_is_not():
    transform = Affine(10, 0, 500_000, 0, -10, 5_000_000)
    lattice = Lattice.from_geobox(GeoBox((50, 50), transform, "EPSG:32633"))
    turned = GeoBox((50, 50), transform @ Affine.rotation(1), "EPSG:32633")
    assert lattice.window_of(turned) is None


def test_another_crs_is_another_lattice():
    transform = Affine(10, 0, 500_000, 0, -10, 5_000_000)
    lattice = Lattice.from_geobox(GeoBox((5, 5), transform, "EPSG:32633"))
    assert lattice.window_of(GeoBox((5, 5), transform, "EPSG:32634")) is None


@pytest.mark.parametrize("version", ["WKT1_GDAL", "WKT2_2019"])
@pytest.mark.parametrize("code", [32633, 4326, 3857, 25832])
def test_a_crs_by_code_or_by_text_is_the_same_crs(code, version):
    text = CRS(code).proj.to_wkt(version)
    by_code, by_text = (Lattice.from_resolution(CRS(given), 10.0) for given in (code, text))
    assert str(by_code.crs) == str(by_text.crs) == f"EPSG:{code}"
    geobox = by_text.geobox(Window(4, 5, 9, 9))
    assert by_code.window_of(geobox) == Window(4, 5, 9, 9)
    unnamed = GeoBox(geobox.shape, geobox.transform, text)
    assert by_code.window_of(unnamed) == Window(4, 5, 9, 9)


def test_a_crs_without_a_code_is_kept():
    """A camera's own projection: close to UTM 33, and not it."""
    text = "+proj=tmerc +lat_0=0 +lon_0=15.01 +k=0.9996 +x_0=500000 +y_0=0 +datum=WGS84 +units=m +no_defs"
    lattice = Lattice.from_resolution(text, 0.1)
    assert lattice.crs.to_epsg() is None
    assert lattice.crs == CRS(text)
    assert lattice.window_of(lattice.geobox(Window(0, 0, 4, 4))) == Window(0, 0, 4, 4)


def test_a_raster_without_a_crs_defines_no_lattice():
    with pytest.raises(ValueError, match="CRS"):
        Lattice.from_geobox(GeoBox((5, 5), Affine.identity(), None))
