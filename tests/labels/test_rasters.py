"""Rasters with label rasters: what is read where, in whole images and in windows."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Transformer
from rasterio.transform import from_origin

from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.labels import IGNORE
from geoseg.labels.config import data_config, read_data
from tests.labels.made import everything, write

CLASSES = ["a", "b", "c"]


def block(**fields):
    return {"reader": "rasters", "classes": CLASSES, **fields}


def test_numbers_and_labels_are_those_of_the_files(tmp_path):
    rng = np.random.default_rng(0)
    image, labels = rng.integers(1, 4000, (4, 20, 30)).astype(np.uint16), rng.integers(0, 3, (20, 30)).astype(np.uint8)
    image[1, 3, 4] = 0
    write(tmp_path / "images" / "s.tif", image, nodata=0, names=("B02", "B03", "B04", "B08"))
    write(tmp_path / "labels" / "s.tif", labels)
    (member,) = data_config(block(use=["B08", "B03"])).read(tmp_path).members
    assert (member.bands, member.shape, member.gsd_m) == (("B08", "B03"), (20, 30), 10)
    for window in (everything(member), Window(2, 3, 9, 21)):
        part = np.s_[window.row0 : window.row1, window.col0 : window.col1]
        pixels, valid = member.image(window)
        np.testing.assert_array_equal(pixels, image[[3, 1]][(slice(None), *part)])
        np.testing.assert_array_equal(valid, image[1][part] != 0)
        np.testing.assert_array_equal(member.labels(window), labels[part])


@pytest.mark.parametrize("pixel_m", [10, 4000])  # over 200 km GDAL's approximation of places shows
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32634", "EPSG:32633"])
def test_labels_of_another_grid_are_those_at_the_centres_of_pixels(tmp_path, crs, pixel_m):
    rng = np.random.default_rng(1)
    write(tmp_path / "images" / "s.tif", np.ones((40, 50), np.uint8), pixel_m=pixel_m)
    along = Transformer.from_crs("EPSG:32633", crs, always_xy=True)
    left, bottom, right, top = along.transform_bounds(
        500_000 + 5.13 * pixel_m, 5_000_000 - 34.73 * pixel_m, 500_000 + 60.31 * pixel_m, 5_000_000 + 4.91 * pixel_m
    )
    labels = rng.integers(0, 3, (70, 60)).astype(np.uint8)
    labels[rng.random((70, 60)) < 0.1] = 9  # stated as nodata
    where = from_origin(left, top, (right - left) / 60, (top - bottom) / 70)
    write(tmp_path / "labels" / "s.tif", labels, crs=crs, transform=where, nodata=9)
    (member,) = data_config(block()).read(tmp_path).members
    cols, rows = np.meshgrid(np.arange(50) + 0.5, np.arange(40) + 0.5)
    col, row = ~where @ np.array(along.transform(500_000 + cols * pixel_m, 5_000_000 - rows * pixel_m)).reshape(2, -1)
    col, row = np.floor(col).astype(int), np.floor(row).astype(int)
    inside = (col >= 0) & (col < 60) & (row >= 0) & (row < 70)
    expected = np.full(2000, 9)
    expected[inside] = labels[row[inside], col[inside]]
    expected = np.where(expected == 9, IGNORE, expected).reshape(40, 50)
    whole = member.labels(everything(member))
    assert 0.1 < (whole == IGNORE).mean() < 0.7
    np.testing.assert_array_equal(whole, expected)
    for window in (Window(0, 0, 1, 50), Window(13, 7, 31, 44), Window(39, 49, 40, 50)):
        np.testing.assert_array_equal(member.labels(window), expected[window.within(everything(member))])


def test_one_label_raster_serves_several_dates_whose_clouds_are_hidden(tmp_path):
    labels = (np.arange(400).reshape(20, 20) % 3).astype(np.uint8)
    write(tmp_path / "lulc.tif", labels)
    cloud = np.zeros((20, 20), np.uint8)
    cloud[:5] = 1
    for date, mask in (("20150711", cloud), ("20150731", 1 - cloud)):
        write(tmp_path / f"s2_{date}.tif", np.full((2, 20, 20), 7, np.uint16))
        write(tmp_path / f"cloud_{date}.tif", mask)
    document = block(
        images="s2_*.tif", labels="lulc.tif", match=r"_(\d{8})\.", hidden={"files": "cloud_*.tif"}, blocks=[1, 2],
        groups={"pattern": r"/0-(\d)"}, held_out={"groups": ["1"]},
    )  # fmt: skip
    west, east = read_data(document, tmp_path)
    assert [member.name for member in west.members] == ["20150711/0-0", "20150731/0-0"]
    assert east is not None
    assert next((m.name, m.group, m.shape, m.path) for m in east.members) == ("20150711/0-1", "1", (20, 10), None)
    first, second = (member.image(everything(member))[1] for member in east.members)
    np.testing.assert_array_equal(first, cloud[:, 10:] == 0)
    np.testing.assert_array_equal(second, ~first)
    member = east.members[0]
    np.testing.assert_array_equal(member.labels(Window(2, 3, 8, 9)), labels[2:8, 13:19])
    assert member.transform @ (0, 0) == (500_100, 5_000_000)


@pytest.mark.parametrize(("nodata", "seen"), [("file", 99), ("none", 100), (3, 96)])
def test_what_a_file_calls_nodata_may_be_a_real_value(tmp_path, nodata, seen):
    image = np.full((10, 10), 200, np.uint8)
    image[0, 0], image[1, :4] = 255, 3
    write(tmp_path / "images" / "s.tif", image, nodata=255)
    write(tmp_path / "labels" / "s.tif", np.zeros((10, 10), np.uint8))
    (member,) = data_config(block(nodata=nodata, bands=["grey"])).read(tmp_path).members
    assert member.image(everything(member))[1].sum() == seen


def test_a_class_may_have_the_value_that_the_file_calls_nodata(tmp_path):
    labels = (np.arange(100).reshape(10, 10) % 3).astype(np.uint8)
    write(tmp_path / "images" / "s.tif", np.ones((10, 10), np.uint8))
    write(tmp_path / "labels" / "s.tif", labels, nodata=0)
    (member,) = data_config(block()).read(tmp_path).members
    np.testing.assert_array_equal(member.labels(everything(member)), labels)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use": ["B9"]}, "expected: the band B9"),
        ({"labels": "none/*"}, "expected: at least one file"),
        ({"label_band": 2}, "given:    label_band 2"),
        ({"match": "s"}, "a regular expression with a bracket"),
        ({"match": "(x)"}, "expected: a name with (x)"),
        ({"blocks": [0, 1]}, "at least one row and one column"),
        ({"hidden": {"files": "labels/t.tif"}}, "without a raster of hidden"),
        ({"classes": []}, "expected: the legend"),
        ({"path": "${NO_SUCH_PLACE}/x"}, "with the variable NO_SUCH_PLACE not set"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, fields, words):
    write(tmp_path / "images" / "s.tif", np.ones((10, 10), np.uint8))
    write(tmp_path / "labels" / "s.tif", np.ones((10, 10), np.uint8))
    write(tmp_path / "labels" / "t.tif", np.ones((10, 10), np.uint8))
    with pytest.raises(RequestError) as refusal:
        data_config(block(**fields)).read(tmp_path)
    assert words in str(refusal.value)


def test_labels_without_a_place_have_the_size_of_the_image(tmp_path):
    write(tmp_path / "images" / "s.tif", np.ones((10, 10), np.uint8))
    write(tmp_path / "labels" / "s.tif", np.ones((9, 10), np.uint8), crs=None)
    with pytest.raises(RequestError, match="9 x 10 pixels without a common place"):
        data_config(block()).read(tmp_path)


def test_paths_may_hold_variables(tmp_path, monkeypatch):
    write(tmp_path / "far" / "images" / "s.tif", np.ones((10, 10), np.uint8))
    write(tmp_path / "far" / "labels" / "s.tif", np.ones((10, 10), np.uint8))
    monkeypatch.setenv("GEOSEG_DATA", str(tmp_path))
    for path in ("${GEOSEG_DATA}/far", "${NOT_SET:-far}"):
        assert len(data_config(block(path=path)).read(tmp_path).members) == 1
