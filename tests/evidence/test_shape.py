"""Moments of outlines against sums over a fine raster; plants between two dates; surroundings by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from geoseg.evidence.shape import shape_of
from geoseg.evidence.surroundings import MapWindows, drawn, surroundings_of
from geoseg.evidence.vegetation import LossOfOutlines, ndvi, ndvi_drop
from geoseg.polygons import ArraySource

STEPS = np.array([[10.0, 0.0], [0.0, -10.0]])


@given(azimuth=st.floats(0, 179), sides=st.tuples(st.floats(3, 8), st.floats(9, 40)), hole=st.booleans())
def test_a_turned_rectangle_has_its_sides_and_direction(azimuth, sides, hole):
    width, length = sides
    box = shapely.box(-width / 2, -length / 2, width / 2, length / 2)
    if hole:
        box -= shapely.box(-width / 4, -length / 4, width / 4, length / 4)
    # Clockwise from north as rows grow southwards, which shapely takes for anticlockwise.
    turned = shapely.affinity.rotate(box, azimuth, origin=(0, 0))
    shape = shape_of(shapely.affinity.translate(turned, 100, 70), STEPS)
    assert shape.elongation == pytest.approx(length / width, rel=1e-6)
    assert abs((shape.azimuth_deg - azimuth + 90) % 180 - 90) < 1e-4
    assert shape.centre_px == pytest.approx((100, 70))
    assert shape.elongation_along(azimuth) == pytest.approx(length / width, rel=1e-6)
    assert shape.elongation_along(azimuth + 90) == pytest.approx(width / length, rel=1e-6)
    if not hole:  # of a rectangle the ellipse of equal moments is 4 / sqrt(12) as long
        assert shape.length_m == pytest.approx(10 * length * 4 / np.sqrt(12), rel=1e-6)


def test_the_sense_of_rings_does_not_matter():
    ring = [(0, 0), (6, 0), (6, 2), (0, 2)]
    hole = [(1, 0.5), (2, 0.5), (2, 1.5), (1, 1.5)]
    one, other = (shape_of(shapely.Polygon(r, [h]), STEPS) for r, h in ((ring, hole), (ring[::-1], hole[::-1])))
    assert np.allclose(one.spread, other.spread)


def scattered(seed: int) -> tuple[np.ndarray, shapely.Polygon]:
    """A map of a few classes, and an L of class 6 in it."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(np.array([1, 2, 3, 255], np.uint8), (90, 120), p=[0.5, 0.2, 0.2, 0.1])
    classes[rng.integers(0, 90, 3), rng.integers(0, 120, 3)] = 0
    ell = shapely.box(50, 30, 70, 40) | shapely.box(50, 40, 55, 60)
    classes[30:40, 50:70] = classes[40:60, 50:55] = 6
    return classes, ell


@pytest.mark.parametrize("block_px", [7, 32, 200])
@pytest.mark.parametrize("seed", range(4))
def test_surroundings_are_those_of_brute_force_whatever_the_blocks(seed, block_px, monkeypatch):
    monkeypatch.setattr("geoseg.evidence.surroundings._PART_PX", 23)
    classes, ell = scattered(seed)
    inside = classes == 6
    windows = MapWindows(ArraySource(classes, classes, block_px))
    found = surroundings_of(ell, windows, (10.0, 8.0), water=(0,), cultivated=(3,), radius_m=400, ring_px=3)
    scale = np.array([10.0, 8.0])
    nearest = cKDTree(np.argwhere(classes == 0) * scale).query(np.argwhere(inside) * scale)[0].min()
    assert found.water_distance_m == (pytest.approx(nearest) if nearest <= 400 else None)
    ring = (cKDTree(np.argwhere(inside)).query(np.argwhere(~inside))[0] <= 3) & (classes[~inside] != 255)
    assert found.cultivated_share == pytest.approx((classes[~inside][ring] == 3).mean())


def test_water_out_of_reach_and_a_map_without_water_are_unknown():
    classes, ell = scattered(1)
    windows = MapWindows(ArraySource(classes, classes, 50))
    far = surroundings_of(ell, windows, (10, 10), water=(0,), cultivated=(), radius_m=1, ring_px=2)
    none = surroundings_of(ell, windows, (10, 10), water=(), cultivated=(), radius_m=400, ring_px=2)
    assert far.water_distance_m is none.water_distance_m is None
    assert none.cultivated_share is None


def test_an_outline_at_the_edge_of_the_map_looks_at_the_map_alone():
    classes = np.full((20, 20), 3, np.uint8)
    classes[0:4, 0:4] = 6
    windows = MapWindows(ArraySource(classes, classes, 8))
    found = surroundings_of(
        shapely.box(0, 0, 4, 4), windows, (10, 10), water=(0,), cultivated=(3,), radius_m=99, ring_px=2
    )
    assert found.cultivated_share == 1


def test_vegetation_loss_is_the_mean_drop_of_what_both_dates_see():
    red = np.array([[0.05, 0.05, np.nan, 0.1]])
    before = red, np.array([[0.45, 0.45, 0.4, 0.1]])
    after = np.array([[0.2, 0.05, 0.1, 0.1]]), np.array([[0.25, 0.45, 0.3, 0.1]])
    losses = LossOfOutlines(reader_of(ndvi_drop(before, after)))
    loss, drop = losses.of(shapely.box(0, 0, 3, 1)), 0.4 / 0.5 - 0.05 / 0.45
    assert loss.ndvi_drop == pytest.approx(drop / 2)
    assert (loss.lost_share, loss.seen_share) == (0.5, pytest.approx(2 / 3))
    assert losses.of(shapely.box(2, 0, 3, 1)).ndvi_drop is None
    assert np.isnan(ndvi(np.array([0.0]), np.array([0.0]))).all()
    known = loss.facts(least_seen=0.6)
    assert known == {"ndvi_drop": loss.ndvi_drop, "ndvi_lost_share": 0.5, "ndvi_seen_share": loss.seen_share}
    assert loss.facts(least_seen=0.7) == {**dict.fromkeys(known), "ndvi_seen_share": loss.seen_share}


@pytest.mark.parametrize("anchor", [(0, 0), (511, 1), (-3, 1030)])
def test_vegetation_loss_is_the_same_for_every_cut_and_over_many_blocks(anchor):
    rng = np.random.default_rng(4)
    drop = np.where(rng.random((700, 1100)) < 0.2, np.nan, rng.normal(0.1, 0.2, (700, 1100))).astype("float32")
    outline = shapely.Polygon([(3, 5), (1090, 40), (900, 690), (20, 600)], [[(400, 300), (600, 300), (500, 500)]])
    loss = LossOfOutlines(reader_of(drop), anchor, limit=0.2).of(outline)
    inside = drawn(outline, drop.shape, (0, 0))
    seen = drop[inside & np.isfinite(drop)].astype("float64")
    assert loss.ndvi_drop == pytest.approx(seen.mean(), abs=1e-9)
    assert (loss.lost_share, loss.seen_share) == (pytest.approx((seen >= 0.2).mean()), len(seen) / inside.sum())


def reader_of(drop):
    """Reads windows of an array, which is surrounded by what nobody saw."""

    def read(row0, row1, col0, col1):
        rows, cols = np.arange(row0, row1), np.arange(col0, col1)
        known = ((rows >= 0) & (rows < drop.shape[0]))[:, None] & ((cols >= 0) & (cols < drop.shape[1]))
        return np.where(
            known, drop[np.clip(rows, 0, drop.shape[0] - 1)][:, np.clip(cols, 0, drop.shape[1] - 1)], np.nan
        )

    return read
