"""Areas by polynomials against the projection point by point, and vertices as WKB against shapely's."""

from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo import CRS

from geoseg.outputs.flattened import FlatAreas
from geoseg.outputs.geodesy import Geodesy, to_grid
from geoseg.outputs.wkb import to_wkb
from tests.outputs.conftest import outlines_of

GRIDS = {
    "utm": ("EPSG:32633", Affine(10, 0, 400_000, 0, -10, 5_300_000)),
    "utm, edge of the zone": ("EPSG:32633", Affine(10, 0, 800_000, 0, -10, 7_800_000)),
    "uav": ("EPSG:32633", Affine(0.05, 0, 512_345.6, 0, -0.05, 5_212_345.6)),
    "rotated": ("EPSG:32633", Affine(7, 5, 512_345.6, 5, -7, 5_212_345.6)),
    "degrees": ("EPSG:4326", Affine(0.0001, 0, 13.3, 0, -0.0001, 71.2)),
    "web mercator": ("EPSG:3857", Affine(30, 0, 1_500_000, 0, -30, 9_000_000)),
    "polar": ("EPSG:3413", Affine(10, 0, 500_000, 0, -10, -900_000)),
    "over the pole": ("EPSG:3413", Affine(100, 0, -60_000, 0, -100, 60_000)),
    "coarse": ("EPSG:3035", Affine(2_000, 0, 2_500_000, 0, -2_000, 5_400_000)),
    "round the globe": ("EPSG:4326", Affine(0.1, 0, -180, 0, -0.1, 90)),
}


@pytest.fixture(params=GRIDS.values(), ids=GRIDS)
def grid(request):
    code, transform = request.param
    return CRS(code), transform


@pytest.fixture
def geometry(pixels, polygons_of):
    """Single pixels, rings and shapes over several cells of the polynomials."""
    small = polygons_of(pixels).geometry
    wide = shapely.transform(small, lambda xy: xy * [23, 29])
    moved = shapely.transform(small, lambda xy: xy + 490)  # over the corner of four cells
    return np.concatenate([small, wide, moved, [shapely.box(3, 4, 4, 5), shapely.box(511, 1023, 512, 1024)]])


def test_areas_are_those_of_the_projection_point_by_point(grid, geometry):
    geodesy = Geodesy(*grid)
    found = FlatAreas(geodesy).areas_m2(outlines_of(geometry))
    expected = geodesy.areas_m2(geometry)
    noise_m2 = 1e-8 * shapely.length(geometry) * geodesy.pixel_m  # of coordinates of ten thousand kilometres
    assert (np.abs(found - expected) <= 1e-9 * expected + noise_m2).all()


def test_most_areas_need_no_projection_of_their_own(geometry):
    geodesy = Geodesy(CRS("EPSG:32633"), GRIDS["utm"][1])
    flat = FlatAreas(geodesy)
    geodesy.areas_m2 = None  # would fail if it were asked
    assert flat.areas_m2(outlines_of(geometry)).min() > 0


def test_where_polynomials_do_not_hold_points_are_projected():
    code, transform = GRIDS["coarse"]
    geodesy = Geodesy(CRS(code), transform)
    flat, outlines = FlatAreas(geodesy), outlines_of(np.array([shapely.box(0, 0, 1300, 700)], dtype=object))
    assert np.isnan(flat._by_polynomials(outlines)).all()
    assert flat.areas_m2(outlines)[0] == pytest.approx(1300 * 700 * 2_000**2, rel=1e-5)


def test_no_polygons_have_no_areas():
    geodesy = Geodesy(CRS("EPSG:32633"), GRIDS["utm"][1])
    zero = np.zeros(1, np.int64)
    none = SimpleNamespace(vertices=np.empty((0, 2)), ring_offsets=zero, polygon_offsets=zero)
    assert FlatAreas(geodesy).areas_m2(none).shape == (0,)


def test_wkb_is_that_of_shapely(grid, geometry):
    turned = np.concatenate([geometry, shapely.reverse(geometry)])
    found, bounds = to_wkb(outlines_of(turned), grid[1])
    expected = shapely.orient_polygons(to_grid(turned, grid[1]))
    assert found.to_pylist() == shapely.to_wkb(expected, flavor="iso", byte_order=1).tolist()
    np.testing.assert_array_equal(bounds, shapely.bounds(expected))
