"""Generated landslides and decoys: apart from each other, of one look, and as different in terrain as they should be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from geoseg.demo import classes as c
from geoseg.demo.slides import DECOYS, SLIDE, SlideScene, make_slides

SHAPE = (768, 768)


@pytest.fixture(scope="module")
def scene() -> SlideScene:
    return make_slides(601, SHAPE, DECOYS)


def test_there_are_all_kinds_and_none_touches_another(scene):
    counts = {value: ndi.label(scene.truth == value)[1] for value in range(1, 6)}
    assert min(counts.values()) >= 3
    for value in range(1, 6):
        near = ndi.binary_dilation(scene.truth == value, iterations=4)
        assert set(np.unique(scene.truth[near])) <= {0, value}


def test_decoys_look_like_landslides_to_a_sensor(scene):
    assert (scene.landscape.truth[scene.truth > 0] == c.LANDSLIDE).all()
    image = scene.image(("B04", "B08"))
    assert image.shape == (2, *SHAPE)
    slides, decoys = (np.median(image[:, mask], axis=1) for mask in (scene.truth == SLIDE, scene.truth > SLIDE))
    assert np.allclose(slides, decoys, rtol=0.2)


def test_terrain_tells_them_apart(scene):
    slope = scene.landscape.terrain.slope
    field, bar, quarry, road = (slope[scene.truth == 2 + number] for number in range(4))
    slide = slope[scene.truth == SLIDE]
    assert np.median(field) < np.median(bar) + 0.1 < np.median(slide) + 0.05
    assert np.median(road) > 0.15
    # A floor, and a wall that is steeper than any slope around.
    assert np.quantile(quarry, 0.25) < 0.5 * np.median(slide)
    assert np.quantile(quarry, 0.95) > np.quantile(slide, 0.95)


def test_an_earlier_date_has_every_decoy_and_about_half_of_the_landslides(scene):
    before = scene.before()
    assert np.array_equal(before.truth > SLIDE, scene.truth > SLIDE)
    gone = (scene.truth == SLIDE) & (before.truth == 0)
    count = ndi.label(scene.truth == SLIDE)[1]
    assert ndi.label(gone)[1] == (count + 1) // 2
    dates = before.image(("B04", "B08"), visit=11), scene.image(("B04", "B08"))
    earlier, later = ((nir - red) / (nir + red) for red, nir in dates)
    drop = earlier - later
    assert np.median(drop[gone]) > 0.25
    assert abs(np.median(drop[scene.truth > SLIDE])) < 0.05
    assert not np.array_equal(before.image(("B04",), visit=11), before.image(("B04",)))


def test_the_same_seed_gives_the_same_scene(scene):
    again = make_slides(601, SHAPE, DECOYS)
    assert np.array_equal(scene.truth, again.truth)
    assert np.array_equal(scene.landscape.terrain.elevation_m, again.landscape.terrain.elevation_m)
