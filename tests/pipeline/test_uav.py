"""A UAV orthomosaic: its own grid, its alpha band, its own network."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import worlds

import geoseg
from geoseg.demo import DemoCatalog, write_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    return write_demo(tmp_path_factory.mktemp("uav-demo"), shape=(128, 128), uav_shape=(620, 540))


@pytest.fixture(scope="module")
def result(demo: DemoCatalog, tmp_path_factory: pytest.TempPathFactory) -> geoseg.Result:
    folder = tmp_path_factory.mktemp("uav")
    return geoseg.run(scenes=(str(demo.uav),), model="demo-uav", out=folder / "map", cache=folder / "cache")


def test_the_map_lies_on_the_images_own_grid(demo: DemoCatalog, result: geoseg.Result) -> None:
    with rasterio.open(demo.uav) as image, rasterio.open(result.out / "classes.tif") as file:
        assert file.crs == image.crs == "EPSG:2193"
        assert file.transform == image.transform
        assert file.shape == image.shape
    assert result.report["grid"]["pixel_size"] == pytest.approx([0.1, 0.1])


def test_alpha_becomes_nodata_and_nothing_else_does(demo: DemoCatalog, result: geoseg.Result) -> None:
    with rasterio.open(demo.uav) as image:
        unflown = image.read(4) == 0
    assert 0 < unflown.mean() < 0.5
    np.testing.assert_array_equal(worlds.read(result.out / "classes.tif") == 255, unflown)
    np.testing.assert_array_equal(worlds.read(result.out / "confidence.tif") == 255, unflown)
    assert result.report["pixels"]["nodata_unobserved"] == unflown.sum()
    assert result.report["pixels"]["failed"] == {}


def test_polygons_lie_within_half_a_pixel(result: geoseg.Result) -> None:
    """Burnt back by pixel centres, in either format, they are the map again."""
    with rasterio.open(result.out / "classes.tif") as file:
        classes, transform, crs = file.read(1), file.transform, file.crs
    for table in (result.polygons, geopandas.read_file(result.out / "polygons.geojson").to_crs(crs)):
        pairs = zip(table.geometry, table["class"].astype(int), strict=True)
        burnt = rasterio.features.rasterize(pairs, classes.shape, fill=255, transform=transform, dtype="uint8")
        np.testing.assert_array_equal(burnt, classes)


def test_the_map_agrees_with_the_truth(demo: DemoCatalog, result: geoseg.Result) -> None:
    classes, truth = worlds.read(result.out / "classes.tif"), worlds.read(demo.uav_truth)
    valid = truth != 255
    assert (classes == truth)[valid].mean() >= 0.85
