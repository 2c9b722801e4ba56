"""Areas of what reaches more than half round the Earth, where longitudes jump and rings close behind it."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo import CRS

from geoseg.outputs.geodesy import Geodesy

EARTH_M2 = 510_065_621_724_089.0  # the surface of WGS 84


@pytest.mark.parametrize("west", [-181.0, -180.0, 0.0, 170.0])
@pytest.mark.parametrize("cols", [1, 45, 90, 128, 180])
def test_wide_windows_of_degrees_have_their_share_of_the_surface(west, cols):
    geodesy = Geodesy(CRS("EPSG:4326"), Affine(2, 0, west, 0, -2, 91))  # rows centred on the poles
    area = geodesy.pixel_area_m2(slice(0, 91), slice(0, cols)) * 91 * cols
    assert area == pytest.approx(EARTH_M2 * cols / 180, rel=1e-6)


@pytest.mark.parametrize("cols", [16, 64, 80, 128])
def test_wide_windows_of_a_plane_have_the_area_of_their_parts(cols):
    geodesy = Geodesy(CRS("EPSG:3857"), Affine(313086.06785, 0, -20037508.34, 0, -313086.06785, 20037508.34))
    one = geodesy.pixel_area_m2(slice(0, 128), slice(0, 1))
    assert geodesy.pixel_area_m2(slice(0, 128), slice(0, cols)) == pytest.approx(one, rel=1e-3)


def test_a_wide_polygon_with_a_hole_has_the_area_of_its_pixels():
    geodesy = Geodesy(CRS("EPSG:4326"), Affine(1, 0, -180, 0, -1, 90))
    ring = shapely.box(10, 30, 350, 150).difference(shapely.box(100, 60, 330, 120))
    whole = geodesy.pixel_area_m2(slice(30, 150), slice(10, 20)) * 340 * 120
    hole = geodesy.pixel_area_m2(slice(60, 120), slice(10, 20)) * 230 * 60
    assert geodesy.areas_m2(np.array([ring], dtype=object))[0] == pytest.approx(whole - hole, rel=1e-9)
