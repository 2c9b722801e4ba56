"""Geometries on the lattice: with the points that odc.geo would give them, one after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo import geom

from geoseg.grid import Lattice
from geoseg.plan.placing import to_pixels


def placed_by_odc(geometry: shapely.Geometry, crs: str, lattice: Lattice, step: float) -> shapely.Geometry:
    source = geom.Geometry(geometry, crs)
    longest = np.hypot(*np.diff(shapely.get_coordinates(geometry), axis=0).T).max()
    placed = source.to_crs(lattice.crs, resolution=step if longest >= step else None)
    back = ~(lattice.transform @ Affine.translation(lattice.anchor[1], lattice.anchor[0]))
    a, b, c, d, e, f = back[:6]
    return shapely.transform(placed.geom, lambda xy: xy @ np.array([[a, d], [b, e]]) + np.array([c, f]))


@given(
    lon=st.floats(9, 20),
    lat=st.floats(-60, 60),
    size=st.floats(0.001, 1.5),
    corners=st.integers(1, 6),
    step=st.floats(0.003, 0.1),
    has_hole=st.booleans(),
    has_isle=st.booleans(),
)
def test_outlines_have_the_points_that_odc_geo_gives_them(lon, lat, size, corners, step, has_hole, has_isle):
    shape = shapely.Point(lon, lat).buffer(size, quad_segs=corners)
    shape = shape.difference(shapely.Point(lon, lat).buffer(size / 3, quad_segs=1)) if has_hole else shape
    shape = shapely.MultiPolygon([shape, shapely.box(lon + 4, lat, lon + 5, lat + 0.1)]) if has_isle else shape
    lattice = Lattice.from_resolution("EPSG:6933", 10.0)
    ours, theirs = to_pixels(shape, "EPSG:4326", lattice, step), placed_by_odc(shape, "EPSG:4326", lattice, step)
    assert shapely.to_wkb(ours) == shapely.to_wkb(theirs)


@pytest.mark.parametrize("bounds", [(-0.004, 10.0, 0.005, 11.0), (0.0, 0.0, 1.0, 1.0), (-1.0, -1.0, 0.0, math.pi)])
def test_edges_near_the_origin_are_taken_as_odc_geo_takes_them(bounds):
    shape, lattice = shapely.box(*bounds), Lattice.from_resolution("EPSG:3857", 10.0)
    ours, theirs = to_pixels(shape, "EPSG:4326", lattice, 0.01), placed_by_odc(shape, "EPSG:4326", lattice, 0.01)
    assert shapely.to_wkb(ours) == shapely.to_wkb(theirs)
