"""Generated pairs: the same land but for what changed, and nuisances that do what they are called."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

from geoseg.demo import classes as c
from geoseg.demo.pairs import Nuisances, make_pair_land

BANDS = ("B02", "B04", "B08", "B11")
SHAPE = (192, 160)


@pytest.fixture(scope="module")
def land():
    return make_pair_land(41, SHAPE)


def difference(land, nuisances, *, same=True):
    """Mean absolute difference of each band, where the land is the same."""
    before, after = land.images(BANDS, nuisances, 3, same=same)
    return np.abs(before - after)[:, ~land.changed].mean(axis=1)


def test_land_changes_in_places_and_stays_elsewhere(land):
    share = land.changed.mean()
    assert 0.005 < share < 0.15
    np.testing.assert_array_equal(land.changed, land.before.truth != land.after.truth)
    assert set(np.unique(land.after.truth[land.changed])) <= {c.LANDSLIDE, c.BUILT_UP, c.GRASSLAND}
    earlier, later = land.covers
    far = ~ndi.binary_dilation(land.changed, iterations=3)  # roofs are mixed with what lies beside them
    np.testing.assert_allclose(earlier.mixture[:, far], later.mixture[:, far], atol=1e-4)


def test_a_pair_is_a_function_of_its_seeds(land):
    again = make_pair_land(41, SHAPE)
    np.testing.assert_array_equal(land.changed, again.changed)
    for one, other in zip(land.images(BANDS, Nuisances(), 3), again.images(BANDS, Nuisances(), 3), strict=True):
        np.testing.assert_array_equal(one, other)
    other, _ = land.images(BANDS, Nuisances(), 4)
    assert not np.array_equal(other, land.images(BANDS, Nuisances(), 3)[0])


@pytest.mark.parametrize("name", Nuisances.names())
def test_a_nuisance_grows_with_its_strength(land, name):
    none, half, full = (difference(land, Nuisances.only(name, strength)).sum() for strength in (0.0, 1.0, 3.0))
    assert none < half < full


def test_change_is_seen_where_nothing_else_differs(land):
    before, after = land.images(BANDS, Nuisances.all(0.0), 3)
    apart = np.abs(before - after).sum(axis=0)
    assert np.median(apart[land.changed]) > 4 * np.median(apart[~land.changed])
    same = land.images(BANDS, Nuisances.all(0.0), 3, same=True)
    assert np.median(np.abs(same[0] - same[1]).sum(axis=0)[land.changed]) < 2 * np.median(apart[~land.changed])
