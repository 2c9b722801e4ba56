"""Simplified neighbours still fit together."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geoseg.errors import GeosegError, MemoryTooSmallError
from geoseg.polygons import RegionBatch, polygonize, simplify
from geoseg.polygons.simplify import BYTES_PER_JUNCTION, BYTES_PER_REGION, BYTES_PER_VERTEX, match_edges
from tests.polygons.maps import UInt8, class_maps, landscape, source_of, unhurried

TOLERANCES_PX = st.sampled_from([0.5, 0.8, 1.0, 1.5, 3.0, 50.0])


def simplified(classes: UInt8, block_px: int, tolerance_px: float) -> RegionBatch:
    batches = list(simplify(polygonize(source_of(classes, block_px)), classes.shape, tolerance_px))
    assert sum(map(len, batches)) > 0
    return RegionBatch.concatenate(batches)


def regions_of(classes: UInt8) -> RegionBatch:
    return RegionBatch.concatenate(list(polygonize(source_of(classes, 1000))))


has_class = class_maps().filter(lambda classes: bool((classes <= 250).any()))


@unhurried
@given(has_class)
def test_matched_edges_make_a_coverage_of_the_same_polygons(classes: UInt8) -> None:
    geometry = regions_of(classes).geometry
    matched = match_edges(geometry, classes.shape)
    assert shapely.coverage_is_valid(matched)
    assert shapely.equals(matched, geometry).all()


@unhurried
@given(has_class, st.integers(1, 13), TOLERANCES_PX)
def test_simplified_regions_are_a_coverage_that_no_region_is_missing_from(
    classes: UInt8, block_px: int, tolerance_px: float
) -> None:
    before, after = regions_of(classes), simplified(classes, block_px, tolerance_px)
    assert shapely.coverage_is_valid(after.geometry)
    assert shapely.is_valid(after.geometry).all()
    assert (shapely.area(after.geometry) > 0).all()
    np.testing.assert_array_equal(
        shapely.get_num_interior_rings(after.geometry), shapely.get_num_interior_rings(before.geometry)
    )
    for name in ("class_index", "pixels", "confidence_mean", "confidence_p10", "first_pixel"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


@unhurried
@given(has_class, TOLERANCES_PX)
def test_simplified_regions_do_not_depend_on_blocks(classes: UInt8, tolerance_px: float) -> None:
    whole = simplified(classes, 24, tolerance_px)
    for block_px in (3, 10):
        assert shapely.equals_exact(simplified(classes, block_px, tolerance_px).geometry, whole.geometry).all()


@pytest.mark.parametrize("gaps", [False, True])
def test_a_simplified_landscape_has_no_gaps(gaps: bool) -> None:
    classes = landscape(600, seed=5)
    if gaps:
        classes[landscape(600, seed=6) == 0] = 255
    after = simplified(classes, 100, 2.0)
    before = regions_of(classes)
    assert shapely.get_num_coordinates(after.geometry).sum() < shapely.get_num_coordinates(before.geometry).sum() / 2
    assert shapely.is_empty(shapely.coverage_invalid_edges(after.geometry)).all()
    # A gap is a hole of the union that was none before.
    union, union_before = shapely.union_all(after.geometry), shapely.union_all(before.geometry)
    assert shapely.area(after.geometry).sum() == pytest.approx(union.area, rel=1e-9)
    holes, holes_before = (
        int(shapely.get_num_interior_rings(shapely.get_parts(shape)).sum()) for shape in (union, union_before)
    )
    assert holes == holes_before
    assert shapely.hausdorff_distance(union.boundary, union_before.boundary) < 10


@unhurried
@given(has_class, st.integers(1, 9), TOLERANCES_PX)
def test_split_pieces_fit_together_too(classes: UInt8, block_px: int, tolerance_px: float) -> None:
    pieces = list(polygonize(source_of(classes, block_px), max_vertices=12))
    after = RegionBatch.concatenate(list(simplify(pieces, classes.shape, tolerance_px)))
    assert len(after) == sum(map(len, pieces))
    assert shapely.coverage_is_valid(after.geometry)
    assert shapely.is_valid(after.geometry).all()


def test_a_region_that_simplification_loses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_one(geometry: NDArray[np.object_], tolerance: float) -> NDArray[np.object_]:
        return np.where(np.arange(len(geometry)) == 1, shapely.Polygon(), geometry)

    monkeypatch.setattr(shapely, "coverage_simplify", lose_one)
    with pytest.raises(GeosegError, match="1 of which came out empty"):
        simplified(landscape(50), 20, 1.0)


def test_too_little_memory_is_said_before_anything_is_simplified() -> None:
    classes = landscape(200)
    with pytest.raises(MemoryTooSmallError, match="at least"):
        list(simplify(polygonize(source_of(classes, 50)), classes.shape, 1.0, max_bytes=100_000))
    list(simplify(polygonize(source_of(classes, 50)), classes.shape, 1.0, max_bytes=10**9))


def test_junctions_count_as_memory_too() -> None:
    classes = np.random.default_rng(0).integers(0, 4, (60, 60)).astype(np.uint8)
    before = regions_of(classes)
    vertices = int(shapely.get_num_coordinates(before.geometry).sum())
    gathered_bytes = vertices * BYTES_PER_VERTEX + len(before) * BYTES_PER_REGION
    with pytest.raises(MemoryTooSmallError):
        list(simplify([before], classes.shape, 1.0, max_bytes=gathered_bytes))
    list(simplify([before], classes.shape, 1.0, max_bytes=2 * gathered_bytes + vertices * BYTES_PER_JUNCTION))


def test_tolerance_zero_changes_nothing_and_a_negative_one_is_refused() -> None:
    classes = landscape(100)
    kept = list(simplify(polygonize(source_of(classes, 50)), classes.shape, 0))
    assert shapely.equals_exact(RegionBatch.concatenate(kept).geometry, regions_of(classes).geometry).all()
    with pytest.raises(ValueError, match="tolerance"):
        list(simplify(kept, classes.shape, -1))


def test_nothing_to_simplify_gives_nothing() -> None:
    empty = np.full((5, 5), 255, np.uint8)
    assert list(simplify(polygonize(source_of(empty, 2)), empty.shape, 1.0)) == []
