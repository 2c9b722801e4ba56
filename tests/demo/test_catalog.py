"""What ``write_demo`` writes is a catalogue that can be trusted: fields, pixels and truth agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from rasterio.enums import ColorInterp
from rasterio.warp import transform_geom
from shapely.geometry import shape

from geoseg.demo import LANDCOVER, UAV, DemoCatalog, write_demo
from geoseg.demo.catalog import CRS, LEFT_M, SHAPE, TOP_M, region_feature
from geoseg.demo.clouds import SCL_OBSCURED

FINE = {"blue", "green", "red", "nir"}
KEYS = {*FINE, "rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22", "scl"}


def items_of(demo: DemoCatalog) -> list[pystac.Item]:
    catalog = pystac.Catalog.from_file(str(demo.catalog))
    return sorted(catalog.get_items(recursive=True), key=lambda item: item.id)


def read(item: pystac.Item, key: str) -> np.ndarray:
    href = item.assets[key].get_absolute_href()
    assert href is not None
    with rasterio.open(href) as dataset:
        return np.asarray(dataset.read(1))


def test_same_seed_writes_the_same_bytes(demo: DemoCatalog, tmp_path: Path) -> None:
    again = write_demo(tmp_path, shape=(256, 384), uav_shape=(320, 288))
    names = sorted(path.relative_to(demo.folder) for path in demo.folder.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again.folder) for path in again.folder.rglob("*") if path.is_file())
    assert [n for n in names if (demo.folder / n).read_bytes() != (again.folder / n).read_bytes()] == []


def test_another_seed_gives_another_landscape(demo: DemoCatalog, tmp_path: Path) -> None:
    other = write_demo(tmp_path, seed=8, shape=(256, 384), uav_shape=(320, 288))
    with rasterio.open(demo.truth) as one, rasterio.open(other.truth) as two:
        assert (one.read(1) != two.read(1)).mean() > 0.2


def test_catalogue_has_two_squares_on_three_dates(demo: DemoCatalog) -> None:
    items = items_of(demo)
    assert len(items) == 6
    assert {path.stem for path in demo.items} == {item.id for item in items}
    assert len({item.properties["grid:code"] for item in items}) == 2
    assert len({item.datetime for item in items}) == 3
    for item in items:
        assert set(item.assets) == KEYS
        assert item.collection_id == "sentinel-2-l2a"
        assert item.properties["proj:code"] == CRS
        assert item.properties["earthsearch:boa_offset_applied"] is False
        assert 0 <= item.properties["eo:cloud_cover"] <= 100


def test_squares_of_a_date_share_their_overlap(demo: DemoCatalog) -> None:
    left, right = (item for item in items_of(demo) if "20211219" in item.id)
    shared = (left.assets["red"].extra_fields["proj:transform"], right.assets["red"].extra_fields["proj:transform"])
    shift = round((shared[1][2] - shared[0][2]) / 10)
    a, b = read(left, "red"), read(right, "red")
    assert 0 < shift < a.shape[1]
    np.testing.assert_array_equal(a[:, shift:], b[:, : a.shape[1] - shift])


@pytest.mark.parametrize("key", sorted(KEYS))
def test_assets_say_what_their_files_are(demo: DemoCatalog, key: str) -> None:
    for item in items_of(demo):
        asset = item.assets[key]
        with rasterio.open(asset.get_absolute_href()) as dataset:
            assert list(dataset.shape) == asset.extra_fields["proj:shape"]
            assert list(dataset.transform[:6]) == asset.extra_fields["proj:transform"]
            assert dataset.crs == CRS
            assert dataset.nodata == 0
            assert dataset.dtypes[0] == asset.extra_fields["raster:bands"][0]["data_type"]
            assert dataset.profile["tiled"]
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            size = 10 if key in FINE else 20
            assert dataset.res == (size, size)
            assert dataset.transform.c % size == 0
            assert dataset.transform.f % size == 0


def test_outline_is_that_of_the_valid_pixels(demo: DemoCatalog) -> None:
    for item in items_of(demo):
        outline = shape(transform_geom("EPSG:4326", CRS, item.geometry))
        valid = int((read(item, "red") != 0).sum())
        assert outline.area / 100 == pytest.approx(valid, rel=0.002)


def test_a_swath_edge_leaves_nodata_in_every_band(demo: DemoCatalog) -> None:
    edged = [item for item in items_of(demo) if item.properties["s2:nodata_pixel_percentage"] > 1]
    assert edged
    for item in edged:
        hole = read(item, "scl") == 0
        fine = np.kron(hole, np.ones((2, 2), bool))
        for key in KEYS - {"scl"}:
            nodata = read(item, key) == 0
            np.testing.assert_array_equal(nodata & ~(fine if key in FINE else hole), False)
            assert nodata.sum() > 0.9 * (fine if key in FINE else hole).sum()


def test_offset_undone_gives_the_same_ground_on_both_sides_of_baseline_4(demo: DemoCatalog) -> None:
    means = {}
    for item in items_of(demo):
        if "60GVA" not in item.id:
            continue
        baseline = item.properties["s2:processing_baseline"]
        facts = item.assets["red"].extra_fields["raster:bands"][0]
        assert facts["offset"] == (-0.1 if baseline >= "04.00" else 0.0)
        clear = np.kron(~np.isin(read(item, "scl"), (0, *SCL_OBSCURED)), np.ones((2, 2), bool)).astype(bool)
        means[item.id] = np.where(clear, read(item, "red") * facts["scale"] + facts["offset"], np.nan)
    old, new = means["S2A_60GVA_20211219_0_L2A"], means["S2A_60GVA_20220207_0_L2A"]
    both = np.isfinite(old) & np.isfinite(new)
    assert both.mean() > 0.2
    # Season, light, haze and noise differ; the shift of 0.1 that was undone would stand out by far.
    assert abs(np.median(old[both] - new[both])) < 0.02


def test_region_has_thirty_cells_inside_the_scenes() -> None:
    region = shape(transform_geom("EPSG:4326", CRS, region_feature()["features"][0]["geometry"]))
    rows, cols = SHAPE
    assert shapely.box(LEFT_M, TOP_M - rows * 10, LEFT_M + cols * 10, TOP_M).contains(region)
    step = 2560
    whole = [
        (x, y)
        for x in range(LEFT_M // step, (LEFT_M + cols * 10) // step + 1)
        for y in range((TOP_M - rows * 10) // step, TOP_M // step + 1)
        if region.contains(shapely.box(x * step, y * step, (x + 1) * step, (y + 1) * step))
    ]
    assert len(whole) >= 30


def test_region_file_is_a_named_feature(demo: DemoCatalog) -> None:
    (feature,) = json.loads(demo.region.read_text(encoding="utf-8"))["features"]
    assert feature["id"]
    assert feature["properties"]["name"]
    assert shape(feature["geometry"]).is_valid


def test_flight_has_alpha_and_another_crs(demo: DemoCatalog) -> None:
    with rasterio.open(demo.uav) as dataset, rasterio.open(demo.uav_truth) as truth:
        assert dataset.crs != CRS
        assert dataset.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
        alpha = dataset.read(4)
        assert set(np.unique(alpha)) == {0, 255}
        assert truth.transform == dataset.transform
        np.testing.assert_array_equal(truth.read(1) == 255, alpha == 0)


def test_truth_is_on_the_scenes_grid_with_its_classes(demo: DemoCatalog) -> None:
    with rasterio.open(demo.truth) as truth, rasterio.open(demo.dem) as dem:
        assert truth.transform == dem.transform
        assert truth.nodata == 255
        values = truth.read(1)
        assert values.max() < len(LANDCOVER)
        assert truth.colormap(1)[1][:3] == LANDCOVER[1].colour
        assert truth.tags(1)["class_6"] == "landslide"
    for table in (LANDCOVER, UAV):
        assert [item.index for item in table] == list(range(len(table)))
