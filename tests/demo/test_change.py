"""The later date of the demo: known change, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.demo import classes as c
from geoseg.demo.change import make_later
from geoseg.demo.landscape import make_landscape
from geoseg.demo.scenes import LATER_PASSES, PASSES, DemoScenes

BANDS = ("B04", "B08")


@pytest.fixture(scope="module")
def both():
    before = make_landscape(7, (512, 512))
    return before, make_later(before)


def test_the_truth_of_change_is_where_the_land_is_another_one(both):
    before, later = both
    np.testing.assert_array_equal(later.change != 0, before.truth != later.landscape.truth)
    became = {c.CLEARING: c.GRASSLAND, c.NEW_LANDSLIDE: c.LANDSLIDE, c.NEW_BUILT_UP: c.BUILT_UP}
    kinds = [value for value in became if (later.change == value).any()]
    assert len(kinds) >= 2
    for value in kinds:
        here = later.change == value
        assert here.sum() > 50
        assert (later.landscape.truth[here] == became[value]).all()
    assert 0.002 < (later.change != 0).mean() < 0.1
    np.testing.assert_array_equal(make_later(before).change, later.change)


def test_land_that_stays_looks_as_before_but_for_light_season_and_noise(both):
    before, later = both
    (then,) = DemoScenes(later.landscape, LATER_PASSES, len(PASSES)).acquisitions(BANDS)
    first = next(DemoScenes(before).acquisitions(BANDS))
    seen = first.clear() & then.clear()
    off = np.abs(then.reflectance(BANDS) - first.reflectance(BANDS)).sum(axis=0)
    stays, changes = seen & (later.change == 0), seen & (later.change != 0)
    assert np.median(off[stays]) < 0.06
    assert np.median(off[changes]) > 2 * np.median(off[stays])
    assert (off[stays] > 0).mean() > 0.99  # no noise twice


def test_a_later_date_leaves_earlier_scenes_as_they_were(both):
    """Weather and noise of a pass are its own, whatever other passes there are."""
    before, _ = both
    third = list(DemoScenes(before).acquisitions(("B04",)))[2]
    alone = next(DemoScenes(before, (PASSES[2],), 2).acquisitions(("B04",)))
    assert third.numbers["B04"].dtype == np.uint16
    clear = third.clear() & alone.clear()  # but for edges of clouds, which keep off those of earlier passes
    assert (third.numbers["B04"] == alone.numbers["B04"])[clear].mean() > 0.97
