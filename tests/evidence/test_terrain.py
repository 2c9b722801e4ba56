"""Slope, aspect and steps on the ground, against planes whose answer is known and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo import CRS
from pyproj import Geod
from scipy import ndimage as ndi

from geoseg.evidence.ground import Ground
from geoseg.evidence.terrain import gradient, slope_deg, terrain_of

SQUARE = np.broadcast_to(np.array([[10.0, 0.0], [0.0, -10.0]]), (40, 2, 2))


def plane(shape: tuple[int, int], steps: np.ndarray, east: float, north: float) -> np.ndarray:
    """Heights of a plane that rises so many metres per metre to the east and to the north."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    metres = cols[..., None] * steps[0, 0] + rows[..., None] * steps[0, 1]
    return 100 + metres @ np.array([east, north])


@given(
    east=st.floats(-2, 2),
    north=st.floats(-2, 2),
    turn=st.floats(0, 360),
    sides=st.tuples(st.floats(0.2, 60), st.floats(0.2, 60)),
)
def test_a_plane_has_its_own_slope_on_any_grid(east, north, turn, sides):
    angle = np.deg2rad(turn)
    turned = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]]) * np.array(sides)[:, None]
    steps = np.broadcast_to(turned, (9, 2, 2))
    found = gradient(plane((9, 11), steps, east, north), steps)
    assert np.allclose(found[0][1:-1, 1:-1], east, atol=1e-6)
    assert np.allclose(found[1][1:-1, 1:-1], north, atol=1e-6)
    assert np.isnan(found[0][0]).all()


def test_horns_weights_are_those_of_a_sobel_filter():
    heights = np.random.default_rng(1).normal(size=(40, 50)) * 20
    east, north = gradient(heights, SQUARE)
    inner = np.s_[1:-1, 1:-1]
    assert np.allclose(east[inner], ndi.sobel(heights, 1)[inner] / 80)
    assert np.allclose(north[inner], -ndi.sobel(heights, 0)[inner] / 80)


def test_an_unknown_elevation_makes_its_nine_pixels_unknown_and_no_more():
    heights = np.random.default_rng(2).normal(size=(40, 50))
    whole, _ = gradient(heights, SQUARE)
    heights[20, 30] = np.nan
    holed, _ = gradient(heights, SQUARE)
    lost = np.isnan(holed) & ~np.isnan(whole)
    assert np.argwhere(lost).tolist() == [[r, c] for r in (19, 20, 21) for c in (29, 30, 31)]


@pytest.mark.parametrize("latitude", [0.0, 46.5, -60.0])
def test_a_step_of_a_degree_is_as_long_as_on_the_ellipsoid(latitude):
    second = 1 / 3600
    ground = Ground(CRS("EPSG:4326"), Affine(second, 0, 10, 0, -second, latitude))
    ((col, row),) = ground.steps_m(np.array([[5.0, 7.0]]))
    here = latitude - 7 * second
    lon = 10 + 5 * second
    geod = Geod(ellps="WGS84")
    assert np.hypot(*col) == pytest.approx(geod.inv(lon, here, lon + second, here)[2], rel=1e-9)
    assert row[1] == pytest.approx(-geod.inv(lon, here, lon, here - second)[2], rel=1e-9)
    assert abs(row[0]) < 1e-6


def test_web_mercator_is_measured_on_the_ground():
    """At 60 degrees a metre of the map is half a metre, so that a slope is twice as steep as the map says."""
    transform = Affine(30, 0, 1_000_000, 0, -30, 8_399_737.9)
    ground = Ground(CRS("EPSG:3857"), transform)
    rows = np.column_stack((np.full(9, 4.5), np.arange(9) + 0.5))
    heights = np.broadcast_to(np.arange(9.0) * 3, (9, 9))  # 3 m per pixel, which is 15 m wide
    steepness = slope_deg(*gradient(heights, ground.steps_m(rows)))[4, 4]
    assert steepness == pytest.approx(np.rad2deg(np.arctan(3 / 15)), rel=0.01)


@pytest.mark.parametrize(("east", "north", "aspect"), [(0, 0.5, 180), (0.5, 0, 270), (-0.5, 0, 90), (-0.3, -0.3, 45)])
def test_aspect_is_where_it_falls(east, north, aspect):
    inside = np.zeros((40, 40), bool)
    inside[5:30, 8:20] = True
    facts = terrain_of(plane((40, 40), SQUARE, east, north), SQUARE, inside, 8)
    assert facts.aspect_deg == pytest.approx(aspect)
    assert facts.slope_mean_deg == pytest.approx(np.rad2deg(np.arctan(np.hypot(east, north))))
    assert facts.gentle_share == 0
    assert facts.known_share == 1


def test_drop_relief_and_their_places():
    heights = np.full((40, 40), 50.0)
    heights[10, 12], heights[20, 14], heights[0, 0], heights[39, 39] = 90, 20, 5, 200
    inside = np.zeros((40, 40), bool)
    inside[10:21, 12:15] = True
    facts = terrain_of(heights, SQUARE, inside, 8)
    assert (facts.height_drop_m, facts.highest, facts.lowest) == (70, (10, 12), (20, 14))
    assert facts.relief_m == 195


def test_level_ground_has_no_aspect_and_unknown_ground_no_facts():
    inside = np.ones((40, 40), bool)
    level = terrain_of(np.full((40, 40), 7.0), SQUARE, inside, 8)
    assert level.aspect_deg is None
    assert (level.slope_mean_deg, level.gentle_share) == (0, 1)
    assert terrain_of(np.full((40, 40), np.nan), SQUARE, inside, 8).known_share == 0
