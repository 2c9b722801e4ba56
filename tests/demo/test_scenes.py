"""Properties of generated scenes in memory."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from scipy import ndimage as ndi

from geoseg.demo import classes as c
from geoseg.demo.clouds import SCL_CLOUD_HIGH, SCL_OBSCURED, SCL_SHADOW, SCL_WATER
from geoseg.demo.landscape import make_landscape
from geoseg.demo.scenes import DemoScenes, double
from geoseg.demo.uav import make_uav

BANDS = ("B02", "B04", "B08", "B11")


@pytest.fixture(scope="module")
def scenes() -> DemoScenes:
    return DemoScenes(make_landscape(3, (512, 512)))


def test_every_class_occurs() -> None:
    assert set(np.unique(make_landscape(7, (512, 768)).truth)) == set(range(len(c.LANDCOVER)))


def test_dates_differ_in_clouds_and_together_see_nearly_all(scenes: DemoScenes) -> None:
    clear = np.stack([acquisition.clear() for acquisition in scenes.acquisitions(("B02",))])
    assert all(0.02 < 1 - share < 0.6 for share in clear.mean(axis=(1, 2)))
    assert (~clear.any(axis=0)).mean() < 0.005


def test_what_is_marked_as_cloud_is_bright_and_what_is_clear_is_not(scenes: DemoScenes) -> None:
    for acquisition in scenes.acquisitions(BANDS):
        blue = acquisition.reflectance(("B02",))[0]
        marked = np.kron(acquisition.scl == SCL_CLOUD_HIGH, np.ones((2, 2), bool)).astype(bool)
        assert np.nanmedian(blue[marked]) > 0.4
        assert np.nanquantile(blue[acquisition.clear()], 0.999) < 0.35


def test_shadows_darken_the_ground_they_are_marked_on(scenes: DemoScenes) -> None:
    for acquisition in scenes.acquisitions(BANDS):
        infrared = acquisition.reflectance(("B08",))[0]
        core = ndi.binary_erosion(acquisition.scl == SCL_SHADOW, iterations=3)
        land = scenes.landscape.truth == c.GRASSLAND
        dark = np.kron(core, np.ones((2, 2), bool)).astype(bool) & land
        assert np.nanmedian(infrared[dark]) < 0.85 * np.nanmedian(infrared[acquisition.clear() & land])


def test_clear_classification_follows_the_truth(scenes: DemoScenes) -> None:
    water = scenes.landscape.truth[::2, ::2] == c.WATER
    for acquisition in scenes.acquisitions(("B02",)):
        seen = ~np.isin(acquisition.scl, (0, *SCL_OBSCURED))
        np.testing.assert_array_equal((acquisition.scl == SCL_WATER)[seen], water[seen])


def test_digital_numbers_carry_the_offset_of_their_baseline(scenes: DemoScenes) -> None:
    for acquisition in scenes.acquisitions(("B8A", "B11")):
        water = acquisition.scl == SCL_WATER
        # Over water the infrared is nearly nothing, so what is left is the offset.
        level = np.median(acquisition.numbers["B11"][water])
        assert abs(level - acquisition.overpass.add) < 200


def test_a_band_does_not_depend_on_which_others_are_asked_for(scenes: DemoScenes) -> None:
    alone = next(scenes.acquisitions(("B11",))).numbers["B11"]
    np.testing.assert_array_equal(alone, next(scenes.acquisitions(BANDS)).numbers["B11"])


def test_doubling_equals_gdal() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (12, 20)).astype(np.float32)
    values[3:5, 6:9] = np.nan
    with MemoryFile() as memory:
        profile = {"driver": "GTiff", "count": 1, "height": 12, "width": 20, "dtype": "float32", "nodata": np.nan}
        with memory.open(**profile, transform=Affine(20, 0, 0, 0, -20, 0), crs="EPSG:32760") as dataset:
            dataset.write(values, 1)
        with memory.open() as dataset:
            grid = {"transform": Affine(10, 0, 0, 0, -10, 0), "height": 24, "width": 40}
            with WarpedVRT(dataset, **grid, resampling=Resampling.bilinear) as warped:
                expected = warped.read(1)
    known = np.isfinite(double(values))
    np.testing.assert_allclose(double(values)[known], expected[known], atol=1e-6)
    np.testing.assert_array_equal(known, np.kron(np.isfinite(values), np.ones((2, 2), bool)))


@pytest.mark.parametrize("shape", [(127, 256), (128, 127)])
def test_small_landscapes_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 128"):
        make_landscape(1, shape)


def test_odd_landscapes_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        DemoScenes(make_landscape(1, (128, 129)))


def test_flight_is_black_and_without_truth_outside() -> None:
    scene = make_uav(5, (300, 280))
    assert 0 < (~scene.flown).mean() < 0.5
    assert not scene.rgb[:, ~scene.flown].any()
    assert (scene.truth[~scene.flown] == c.NODATA).all()
    assert (scene.rgb[:, scene.flown] > 0).all()
    assert (scene.truth[scene.flown] < len(c.UAV)).all()
