"""Outlines of grids that hold a pole, the antimeridian, or the whole Earth."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from geoseg.outputs.geodesy import area_m2, cut_at_antimeridian, footprint

EARTH_M2 = 510_065_621_724_089.0
DEGREE = Affine(0.5, 0, -180, 0, -0.5, 90)
GRIDS = {
    "the Earth": (GeoBox((360, 720), DEGREE, "EPSG:4326"), (-180, -90, 180, 90)),
    "the Earth, south up": (GeoBox((360, 720), Affine(0.5, 0, -180, 0, 0.5, -90), "EPSG:4326"), (-180, -90, 180, 90)),
    "the Earth from Greenwich": (GeoBox((360, 720), Affine(0.5, 0, 0, 0, -0.5, 90), "EPSG:4326"), (-180, -90, 180, 90)),
    "past 180": (GeoBox((120, 150), Affine(0.01, 0, 179.5, 0, -0.01, 45), "EPSG:4326"), (-180, 43.8, 180, 45)),
    "beyond 180": (GeoBox((120, 150), Affine(0.01, 0, 181, 0, -0.01, 45), "EPSG:4326"), (-179, 43.8, -177.5, 45)),
    "a pole": (GeoBox((120, 150), Affine(1000, 0, -60_000, 0, -1000, 75_000), "EPSG:3031"), (-180, -90, 180, -88.92)),
    "a corner at a pole": (GeoBox((120, 150), Affine(1000, 0, 0, 0, -1000, 75_000), "EPSG:3031"), (0, -90, 180, -88.4)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_outlines_are_valid_and_where_they_should_be(name: str) -> None:
    grid, bounds = GRIDS[name]
    outline = footprint(grid)
    assert outline is not None
    assert outline.is_valid
    assert outline.bounds == pytest.approx(bounds, abs=0.06)
    if "180" in name:
        assert outline.area == pytest.approx(1.2 * 1.5)


@pytest.mark.parametrize("name", [name for name in GRIDS if "Earth" in name])
def test_the_whole_earth_has_its_area(name: str) -> None:
    assert area_m2(GRIDS[name][0]) == pytest.approx(EARTH_M2, rel=1e-6)


def test_a_ring_around_the_pole_keeps_its_hole_and_those_beside_it() -> None:
    turn = np.arange(0, 360, 5.0)
    lon = (turn + 180) % 360 - 180
    near = np.array([(179.0, 80.0), (-179.0, 80.0), (-179.0, 81.0), (179.0, 81.0)])  # across the antimeridian
    beside = np.array([(10.0, 80.0), (12.0, 80.0), (12.0, 81.0), (10.0, 81.0)])
    holes = [np.column_stack((lon, np.full(len(lon), 85.0))), near, beside]
    polygon = shapely.Polygon(np.column_stack((lon, np.full(len(lon), 70.0))), holes)
    (cut,) = cut_at_antimeridian(np.array([polygon], dtype=object))
    assert cut.is_valid
    assert cut.area == pytest.approx(360 * 15 - 2 - 2)
    for place, inside in (((0, 75), True), ((0, 87), False), ((11, 80.5), False), ((179.5, 80.5), False)):
        assert cut.contains(shapely.Point(place)) == inside
