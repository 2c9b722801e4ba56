"""The reader: exact, and the same whatever part of the grid is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import worlds
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.loader.types import RasterLoadParams
from pyproj import Geod, Transformer
from rasterio.warp import Resampling, reproject

from geoseg.load.reader import ExactReader, ReadLog
from geoseg.load.shared import SharedReads
from geoseg.scenes import BandSource
from tests import imagery

SOURCE = imagery.box((230, 260))
REACH = 4000.0  # the sources' values, so that tolerances have a scale


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One band, uint16, with a lake of nodata (0) and speckle of it."""
    image = (worlds.landscape(SOURCE.shape, 1) * REACH / 255).astype("uint16")
    image[:, 40:70, 90:150] = 0
    image[np.random.default_rng(5).random(image.shape) < 0.02] = 0
    return imagery.paint(tmp_path_factory.mktemp("reader") / "a.tif", image, SOURCE, nodata=0)


def read_on(
    path: Path,
    target: GeoBox,
    *,
    resampling: str = "bilinear",
    dtype: str = "float32",
    claimed: GeoBox | None = None,
    **facts: Any,
) -> tuple[NDArray[Any], NDArray[np.bool_], ReadLog]:
    """A band on a geobox, where its reader reports failure, and the log."""
    log, missing = ReadLog(), np.nan if dtype == "float32" else 0
    source = replace(BandSource("data", 1, str(path)), **facts)
    reader = ExactReader(source, claimed, log, SharedReads([source]), previews=False)
    roi, part = reader.read(RasterLoadParams(dtype=dtype, fill_value=missing, resampling=resampling), target)
    values = np.full(target.shape, missing, dtype)
    values[roi] = part
    failed = np.zeros(target.shape, dtype=bool)
    for failure in log.failures:
        col, row = (round(v) for v in ~target.transform @ (failure.geobox.transform.c, failure.geobox.transform.f))
        height, width = failure.failed.shape
        failed[row : row + height, col : col + width] |= failure.failed
    return values, failed, log


def raw(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


# Grids to read onto, each with its reason to go wrong. All lie within the source, so that no edge is involved.
TARGETS = {
    "native": imagery.box((120, 130), at=(500_400.0, 4_999_700.0)),
    "finer": imagery.box((190, 200), 5.0, at=(501_000.0, 4_999_500.0)),
    "between": imagery.box((120, 130), at=(500_403.0, 4_999_704.0)),
    "a bit coarser": imagery.box((100, 110), 12.0, at=(500_400.0, 4_999_700.0)),
    "twice coarser": imagery.box((70, 80), 20.0, at=(500_400.0, 4_999_700.0)),
    "2.7 times coarser": imagery.box((50, 60), 27.0, at=(500_401.0, 4_999_702.0)),
    "zone 32": SOURCE.to_crs("EPSG:32632", resolution=10)[60:180, 60:190],
    "zone 32, twice coarser": SOURCE.to_crs("EPSG:32632", resolution=20)[30:90, 30:95],
    "degrees": SOURCE.to_crs("EPSG:4326")[60:180, 80:200],
    "turned": imagery.box((100, 110), at=(500_700.0, 4_999_500.0), turned=25.0),
}


@st.composite
def cuts(draw: st.DrawFn) -> tuple[str, str, tuple[slice, slice]]:
    """A target and a part of it, thin strips and single pixels among them."""
    name = draw(st.sampled_from(sorted(TARGETS)))
    parts = []
    for size in TARGETS[name].shape:
        start = draw(st.integers(0, size - 1))
        length = draw(st.one_of(st.integers(1, 3), st.integers(1, size)))
        parts.append(slice(start, min(size, start + length)))
    return name, draw(st.sampled_from(["bilinear", "nearest"])), (parts[0], parts[1])


@pytest.fixture(scope="module")
def whole(file: Path) -> dict[tuple[str, str], NDArray[Any]]:
    """Every target in one read."""
    return {(n, r): read_on(file, t, resampling=r)[0] for n, t in TARGETS.items() for r in ("bilinear", "nearest")}


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=cuts())
def test_pixels_do_not_depend_on_the_cut(file: Path, whole: dict[tuple[str, str], NDArray[Any]], cut: Any) -> None:
    name, resampling, part = cut
    values, failed, _ = read_on(file, TARGETS[name][part], resampling=resampling)
    np.testing.assert_allclose(values, whole[name, resampling][part], rtol=0, atol=1e-6 * REACH)  # NaN alike
    assert not failed.any()


@settings(deadline=None, max_examples=60)
@given(data=st.data(), ratio=st.sampled_from([2, 3, 4, 1.5, 0.5]), phase=st.sampled_from([0.0, 0.05, 0.1]))
def test_pixels_that_end_between_two_source_pixels_do_not_depend_on_the_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, ratio: float, phase: float
) -> None:
    """Decimetre pixels in coordinates of millions: rounding must not choose the neighbour."""
    path = tmp_path_factory.getbasetemp() / "decimetres.tif"
    if not path.exists():
        codes = np.random.default_rng(2).integers(0, 4, (1, 240, 240)).astype("uint8")
        imagery.paint(path, codes, imagery.box((240, 240), 0.1, (1_800_000.3, 5_500_000.1), "EPSG:2193"))
    target = imagery.box((50, 50), 0.1 * ratio, (1_800_000.3 + 1.1 + phase, 5_500_000.1 - 1.3 - phase), "EPSG:2193")
    row, col = data.draw(st.integers(0, 49)), data.draw(st.integers(0, 49))
    part = np.s_[row : row + data.draw(st.integers(1, 20)), col : col + data.draw(st.integers(1, 20))]
    part = tuple(slice(p.start, min(50, p.stop)) for p in part)
    for options in ({"resampling": "nearest", "dtype": "uint8"}, {"resampling": "bilinear", "nodata": 0.0}):
        big, small = (read_on(path, box, **options)[0] for box in (target, target[part]))
        np.testing.assert_allclose(small, big[part], rtol=0, atol=1e-5)


def test_pixels_on_the_files_lattice_are_untouched(file: Path) -> None:
    values, _, _ = read_on(file, TARGETS["native"], nodata=0.0)
    expected = raw(file)[30:150, 40:170].astype("float32")
    expected[expected == 0] = np.nan
    np.testing.assert_array_equal(values, expected)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(-40, 240), col=st.integers(-40, 270), rows=st.integers(1, 90), cols=st.integers(1, 90))
def test_parts_beyond_the_file_are_missing(file: Path, row: int, col: int, rows: int, cols: int) -> None:
    at = (imagery.CORNER[0] + 10 * col, imagery.CORNER[1] - 10 * row)
    values, failed, _ = read_on(file, imagery.box((rows, cols), at=at))
    padded = np.pad(raw(file).astype("float32"), 200, constant_values=np.nan)
    padded[padded == 0] = np.nan
    np.testing.assert_array_equal(values, padded[200 + row : 200 + row + rows, 200 + col : 200 + col + cols])
    assert not failed.any()


@pytest.mark.parametrize("name", ["finer", "between", "zone 32", "turned"])
def test_warped_pixels_equal_interpolation_by_arithmetic(tmp_path: Path, name: str) -> None:
    image = worlds.landscape(SOURCE.shape, 1).astype("float32")
    path = imagery.paint(tmp_path / "whole.tif", image, SOURCE)
    values, _, _ = read_on(path, TARGETS[name])
    np.testing.assert_allclose(values, imagery.bilinear(image[0], SOURCE, TARGETS[name]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"native"}))
def test_warped_pixels_equal_gdals_warp_of_the_whole_file(tmp_path: Path, name: str) -> None:
    """With the size of a pixel told to it, from geodesy; by itself GDAL takes it from the shapes of the two arrays."""
    image = worlds.landscape(SOURCE.shape, 1).astype("float32")
    path, target = imagery.paint(tmp_path / "whole.tif", image, SOURCE), TARGETS[name]
    width, height = size_m(target)
    expected = np.zeros(target.shape, "float32")
    reproject(
        image[0],
        expected,
        src_transform=SOURCE.transform,
        src_crs=str(SOURCE.crs),
        dst_transform=target.transform,
        dst_crs=str(target.crs),
        resampling=Resampling.average if width > 15 else Resampling.bilinear,
        tolerance=0,
        XSCALE=10 / width,
        YSCALE=10 / height,
    )
    values, _, _ = read_on(path, target)
    np.testing.assert_allclose(values, expected, rtol=0, atol=0.1)


def size_m(target: GeoBox) -> tuple[float, float]:
    """Width and height of the middle pixel on the ground of zone 33, whose scale there is 0.9996."""
    if not target.crs.geographic:
        return (abs(target.resolution.x), abs(target.resolution.y)) if target.axis_aligned else (10.0, 10.0)
    x, y = target.center_pixel.extent.centroid.coords[0]
    size, geod = target.resolution, Geod(ellps="WGS84")
    return 0.9996 * geod.inv(x, y, x + size.x, y)[2], 0.9996 * geod.inv(x, y, x, y + size.y)[2]


def test_an_image_of_coordinates_stays_in_its_place_in_another_zone(tmp_path: Path) -> None:
    """Every pixel holds its own easting or northing; in zone 32 both must tell where the pixel is."""
    rows, cols = np.mgrid[: SOURCE.shape[0], : SOURCE.shape[1]]
    x, y = SOURCE.transform @ np.array([cols.ravel() + 0.5, rows.ravel() + 0.5])
    x, y = (v.reshape(SOURCE.shape) - corner for v, corner in ((x, imagery.CORNER[0]), (y, imagery.CORNER[1])))
    target = TARGETS["zone 32"]
    found = [
        read_on(imagery.paint(tmp_path / f"{name}.tif", v[None].astype("float32"), SOURCE), target)[0]
        for name, v in (("x", x), ("y", y))
    ]
    rows, cols = np.mgrid[: target.shape[0], : target.shape[1]]
    there = target.transform @ np.array([cols.ravel() + 0.5, rows.ravel() + 0.5])
    x, y = Transformer.from_crs("EPSG:32632", "EPSG:32633", always_xy=True).transform(*there)
    assert np.abs(found[0].ravel() - (x - imagery.CORNER[0])).max() < 0.05
    assert np.abs(found[1].ravel() - (y - imagery.CORNER[1])).max() < 0.05


def test_offset_becomes_digital_numbers_once_and_nodata_has_none(file: Path) -> None:
    """The offset -0.1 at a scale of 1e-4 is -1000 digital numbers; the caller multiplies by the scale."""
    values, _, _ = read_on(file, TARGETS["native"], nodata=0.0, scale=1e-4, offset=-0.1)
    clean = raw(file)[30:150, 40:170].astype("float32")
    np.testing.assert_array_equal(values, np.where(clean == 0, np.nan, clean - 1000))


def test_the_files_own_nodata_rules_where_the_item_states_none(tmp_path: Path) -> None:
    image = np.arange(1, 4097, dtype="uint16").reshape(1, 64, 64)
    image[0, 5, 7] = 4000
    path = imagery.paint(tmp_path / "a.tif", image, imagery.box((64, 64)), nodata=4000)
    missing = {stated: np.isnan(read_on(path, imagery.box((64, 64)), nodata=stated)[0]) for stated in (None, 4000, 7)}
    assert missing[None].sum() == 2  # the one above, and where the count reaches 4000
    np.testing.assert_array_equal(missing[None], missing[4000])
    np.testing.assert_array_equal(missing[7], image[0] == 7)


def test_nodata_has_no_weight(tmp_path: Path) -> None:
    """A fine pixel beside a hole is made of what was observed, never of the nodata value."""
    image = np.full((1, 64, 64), 500, dtype="uint16")
    image[0, 20:30, 20:30] = 0
    path = imagery.paint(tmp_path / "a.tif", image, imagery.box((64, 64)))
    values, _, _ = read_on(path, imagery.box((128, 128), 5.0), nodata=0.0)
    assert set(np.unique(values[~np.isnan(values)])) == {500.0}
    assert np.isnan(values[42:58, 42:58]).all()


@pytest.fixture
def broken(tmp_path: Path) -> tuple[Path, Path]:
    """A file, and the same file with one unreadable block of 64 px: rows 64 to 127, columns 128 to 191."""
    image = worlds.landscape(SOURCE.shape, 1).astype("float32")
    clean, path = (imagery.paint(tmp_path / name, image, SOURCE) for name in ("clean.tif", "broken.tif"))
    imagery.break_block(path, row=1, col=2)
    return clean, path


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_broken_block_is_failed_exactly_where_its_samples_have_weight(broken: tuple[Path, Path], name: str) -> None:
    target = TARGETS[name]
    block = np.zeros(SOURCE.shape)
    block[64:128, 128:192] = 1
    clean, (values, failed, log) = read_on(broken[0], target)[0], read_on(broken[1], target)
    assert 0 < failed.sum() < failed.size
    np.testing.assert_array_equal(values[~failed], clean[~failed])
    assert {failure.href for failure in log.failures} == {str(broken[1])}
    assert all(failure.cause for failure in log.failures)
    if name in {"native", "finer", "between", "zone 32", "turned"}:
        np.testing.assert_array_equal(failed, imagery.bilinear(block, SOURCE, target) > 1e-9)
    elif name == "twice coarser":
        np.testing.assert_array_equal(failed, block[30:170, 40:200].reshape(70, 2, 80, 2).any(axis=(1, 3)))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=cuts())
def test_failure_does_not_depend_on_the_cut(broken: tuple[Path, Path], cut: Any) -> None:
    name, resampling, part = cut
    _, whole, _ = read_on(broken[1], TARGETS[name], resampling=resampling)
    _, failed, _ = read_on(broken[1], TARGETS[name][part], resampling=resampling)
    np.testing.assert_array_equal(failed, whole[part])


def test_a_missing_file_fails_where_its_item_says_it_lies(tmp_path: Path) -> None:
    claimed = imagery.box((40, 50), at=(500_600.0, 4_999_500.0))
    values, failed, log = read_on(tmp_path / "gone.tif", TARGETS["native"], claimed=claimed)
    expected = np.zeros((120, 130), dtype=bool)
    expected[20:60, 20:70] = True
    np.testing.assert_array_equal(failed, expected)
    assert np.isnan(values).all()
    assert "gone.tif" in log.failures[0].cause


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5])
def test_a_truncated_file_is_never_read_as_zeros(tmp_path: Path, keep: float) -> None:
    image = np.full((1, *SOURCE.shape), 77, dtype="uint16") + np.arange(SOURCE.shape[1], dtype="uint16")
    path = imagery.paint(tmp_path / "a.tif", image, SOURCE)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    for name in ("native", "zone 32"):
        values, failed, _ = read_on(path, TARGETS[name], claimed=SOURCE)
        assert failed.any()
        assert not np.isnan(values[~failed]).any()
        assert (values[~failed] >= 77).all()


def test_a_file_that_does_not_touch_the_target_gives_nothing(file: Path) -> None:
    far = imagery.box((20, 20), at=(700_000.0, 5_200_000.0))
    for target in (far, far.to_crs("EPSG:32632", resolution=10)):
        values, failed, _ = read_on(file, target)
        assert np.isnan(values).all()
        assert not failed.any()


def test_a_south_up_file_is_read_the_right_way_round(tmp_path: Path) -> None:
    image = worlds.landscape((90, 80), 1).astype("float32")
    up = GeoBox((90, 80), Affine(10, 0, 500_000, 0, 10, 4_999_100), "EPSG:32633")
    path = imagery.paint(tmp_path / "up.tif", image, up)
    values, _, _ = read_on(path, imagery.box((90, 80)))
    np.testing.assert_allclose(values, image[0, ::-1], rtol=0, atol=1e-4)
