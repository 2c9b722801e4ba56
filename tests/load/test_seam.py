"""Reads across the line where longitude starts again: the same whatever is cut, bounded, and honest about holes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geoseg.grid import meets_seam, round_of
from geoseg.load.seam import placed_round, reach_round
from tests import imagery
from tests.load.test_reader import read_on

HALF = 20037508.342789244
GLOBE = GeoBox((180, 360), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
SOURCES = {
    "globe": GLOBE,
    "globe from 0": GeoBox((180, 360), Affine(1, 0, 0, 0, -1, 90), "EPSG:4326"),
    "across": GeoBox((80, 90), Affine(0.1, 0, 175.5, 0, -0.1, 49), "EPSG:4326"),
    "mercator across": GeoBox((80, 90), Affine(1e4, 0, HALF - 4e5, 0, -1e4, 6.1e6), "EPSG:3857"),
}


def at_180(crs: str, size: int, pixel: float, lat: float = 45.0) -> GeoBox:
    """A grid around a place on the 180th meridian."""
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(180.0, lat)
    return GeoBox((size, size), Affine(pixel, 0, x - size * pixel / 2, 0, -pixel, y + size * pixel / 2), crs)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Noise, so that a sample from a wrong column shows."""
    folder, rng = tmp_path_factory.mktemp("seam"), np.random.default_rng(8)
    return {
        name: imagery.paint(folder / f"{name}.tif", rng.integers(1, 4000, (1, *box.shape)).astype("uint16"), box)
        for name, box in SOURCES.items()
    }


TARGETS = {
    "zone 60": at_180("EPSG:32660", 60, 11_000.0),
    "zone 1, coarser": at_180("EPSG:32601", 40, 25_000.0),
    "Arctic": at_180("EPSG:3413", 60, 50_000.0, 85.0),  # the pole is in it
}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(SOURCES)), to=st.sampled_from(sorted(TARGETS)))
def test_pixels_at_the_seam_do_not_depend_on_the_cut(
    files: dict[str, Path], data: st.DataObject, name: str, to: str
) -> None:
    target = TARGETS[to]
    part: Any = tuple(
        slice(start := data.draw(st.integers(0, size - 1)), data.draw(st.integers(start + 1, size)))
        for size in target.shape
    )
    resampling = data.draw(st.sampled_from(["bilinear", "nearest"]))
    whole, cut = (read_on(files[name], box, resampling=resampling)[0] for box in (target, target[part]))
    np.testing.assert_allclose(cut, whole[part], rtol=0, atol=0.01)  # NaN alike


def test_a_globe_at_its_own_edge_is_the_globe_that_starts_elsewhere(tmp_path: Path) -> None:
    """The same Earth cut at 180 and at 0: kernels at the cut find the samples of the other side."""
    image = np.random.default_rng(3).integers(1, 4000, (1, *GLOBE.shape)).astype("uint16")
    cut = imagery.paint(tmp_path / "180.tif", image, GLOBE)
    other = imagery.paint(tmp_path / "0.tif", np.roll(image, 180, axis=2), SOURCES["globe from 0"])
    for target in TARGETS.values():
        for resampling in ("bilinear", "nearest"):
            ours, theirs = (read_on(path, target, resampling=resampling)[0] for path in (cut, other))
            assert not np.isnan(ours).any()
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.01)


def test_codes_are_read_on_both_sides(tmp_path: Path) -> None:
    image = np.ones((1, *GLOBE.shape), "uint8")
    image[:, :, 180:] = 2
    path = imagery.paint(tmp_path / "a.tif", image, GLOBE)
    target = TARGETS["zone 60"]
    codes, _, _ = read_on(path, target, resampling="nearest", dtype="uint8")
    assert set(np.unique(codes)) == {1, 2}
    assert (codes[:, 5] == 2).all()  # east longitudes lie in the west of the map
    assert (codes[:, -5] == 1).all()


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_window_is_small(name: str) -> None:
    source = SOURCES[name]
    rows, cols = source.shape
    fine = GeoBox((rows * 20, cols * 20), source.transform @ Affine.scale(1 / 20), source.crs)
    placed = placed_round(fine, at_180("EPSG:32660", 20, 1000.0))
    assert placed is not None
    width = 20_000 / (abs(fine.transform.a) * (78_800 if "mercator" not in name else 0.707))
    assert sum(roi[1].stop - roi[1].start for _, roi in placed.parts) < 1.5 * width + 12
    assert placed.geobox.shape[0] < 2 * width + 12


def test_a_raster_of_the_other_side_gives_no_window() -> None:
    assert placed_round(SOURCES["across"], GeoBox((9, 9), Affine(1e3, 0, 5e5, 0, -1e3, 5e6), "EPSG:32633")) is None


def test_a_file_that_cannot_be_read_fails_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no raster")
    for name in ("across", "mercator across"):
        target = at_180("EPSG:32660", 120, 10_000.0)
        source = SOURCES[name]
        _, failed, _ = read_on(tmp_path / "a.tif", target, claimed=source)
        a, _, c, _, e, f = target.transform[:6]
        rows, cols = np.mgrid[:120, :120].reshape(2, -1) + 0.5
        turn, crs = (360, "EPSG:4326") if name == "across" else (2 * HALF, "EPSG:3857")
        x, y = Transformer.from_crs(32660, crs, always_xy=True).transform(c + a * cols, f + e * rows)
        a, _, c, _, e, f = source.transform[:6]
        col, row = (x % turn - c) / a, (y - f) / e
        inside = (col >= 0) & (col < source.shape[1]) & (row >= 0) & (row < source.shape[0])
        assert 0.2 < inside.mean() < 0.9
        assert (failed.ravel() == inside).mean() > 0.999


def test_which_rasters_meet_a_seam() -> None:
    def box(west: float, crs: str = "EPSG:4326", pixel: float = 0.01) -> GeoBox:
        return GeoBox((100, 100), Affine(pixel, 0, west, 0, -pixel, 45 if pixel < 1 else 5e6), crs)

    assert [meets_seam(box(west)) for west in (179.0, 178.9, -180.0, -179.9, 179.5, -180.5, 15.0)] == [
        *(True, False, True, False, True, True, False)
    ]
    assert meets_seam(GLOBE)
    assert meets_seam(box(HALF - 1e4, "EPSG:3857", 100.0))
    assert not meets_seam(box(0.0, "EPSG:3857", 100.0))
    assert not meets_seam(box(3_334_000.0, "EPSG:3832", 100.0))  # the Pacific's Mercator goes on at 180
    assert not meets_seam(box(5e5, "EPSG:32660", 100.0))
    assert round_of(CRS("EPSG:3857")) == pytest.approx((0, 2 * HALF))
    assert round_of(CRS("EPSG:32660")) is None


def test_the_reach_is_measured_where_the_map_is() -> None:
    """A degree in 5 km: the middle of a globe is no place to measure it in zone 60."""
    target = at_180("EPSG:32660", 20, 5000.0, 0.0)
    for name in ("globe", "globe from 0"):
        width, height = reach_round(SOURCES[name], target)
        assert width == pytest.approx(5 / 111.3, rel=0.5)
        assert height == pytest.approx(5 / 110.6, rel=0.1)


@pytest.mark.parametrize("block", [0, 5])
def test_a_broken_block_beside_the_cut_fails_where_its_samples_have_weight(tmp_path: Path, block: int) -> None:
    image = np.random.default_rng(4).integers(1, 4000, (1, *GLOBE.shape)).astype("uint16")
    weight = np.zeros(image.shape, "float32")
    weight[:, :64, 64 * block : 64 * (block + 1)] = 1  # north of 26 N; 180 W to 116 W, or 140 E to 180 E
    clean, broken = (imagery.paint(tmp_path / name, image, GLOBE) for name in ("clean.tif", "broken.tif"))
    imagery.break_block(broken, row=0, col=block)
    marked = imagery.paint(tmp_path / "weight.tif", weight, GLOBE)
    target = TARGETS["zone 60"]
    values, failed, log = read_on(broken, target)
    np.testing.assert_array_equal(failed, read_on(marked, target)[0] > 0)
    assert 0.4 < failed.mean() < 0.7
    np.testing.assert_array_equal(values[~failed], read_on(clean, target)[0][~failed])
    assert log.failures[0].cause
