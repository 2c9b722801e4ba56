"""Polygons from blocks against GDAL's polygons of the whole raster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.polygons import RegionBatch, polygonize, to_crs_geometry
from tests.polygons.maps import (
    UInt8,
    as_sorted,
    class_maps,
    confidence_of,
    gdal_polygons,
    landscape,
    source_of,
    unhurried,
)


def whole(classes: UInt8, block_px: int, max_vertices: int = 1_000_000) -> RegionBatch | None:
    batches = list(polygonize(source_of(classes, block_px), max_vertices=max_vertices))
    assert all(len(batch) for batch in batches)
    return RegionBatch.concatenate(batches) if batches else None


def burnt(batch: RegionBatch, shape: tuple[int, int]) -> UInt8:
    """The batch as a raster again, 255 elsewhere."""
    shapes = zip(batch.geometry, batch.class_index.tolist(), strict=True)
    return rasterio.features.rasterize(shapes, shape, fill=255, dtype=np.uint8)


def region_statistics(classes: UInt8) -> list[tuple[int, int, float, int]]:
    """First pixel, size, mean and low quantile of every region, from lists of pixels."""
    confidence = confidence_of(classes).ravel()
    found = []
    for value in np.unique(classes[classes <= 250]):
        labels, count = ndimage.label(classes == value)
        for label in range(1, count + 1):
            pixels = np.flatnonzero(labels.ravel() == label)
            values = sorted(confidence[pixels].tolist())
            low = next(v for k, v in enumerate(values, start=1) if 10 * k >= len(values))
            found.append((int(pixels[0]), len(values), sum(values) / len(values), low))
    return sorted(found)


@unhurried
@given(class_maps(), st.integers(1, 13))
def test_polygons_are_those_of_the_whole_raster(classes: UInt8, block_px: int) -> None:
    batch = whole(classes, block_px)
    if batch is None:
        assert (classes > 250).all()
        return
    assert as_sorted(batch) == gdal_polygons(classes)
    assert shapely.is_valid(batch.geometry).all()
    assert not batch.split.any()
    assert batch.geometry.tolist() == shapely.normalize(batch.geometry).tolist()


@unhurried
@given(class_maps(), st.integers(1, 13))
def test_statistics_are_those_of_the_stored_integers(classes: UInt8, block_px: int) -> None:
    batch = whole(classes, block_px)
    columns = [] if batch is None else [batch.first_pixel, batch.pixels, batch.confidence_mean, batch.confidence_p10]
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == region_statistics(classes)
    if batch is not None:
        np.testing.assert_array_equal(shapely.area(batch.geometry), batch.pixels)
        np.testing.assert_array_equal(batch.class_index, classes.ravel()[batch.first_pixel])


@unhurried
@given(class_maps(), st.integers(1, 13), st.integers(0, 40))
def test_split_pieces_cover_the_same_pixels_without_overlap(classes: UInt8, block_px: int, max_vertices: int) -> None:
    batch, unsplit = whole(classes, block_px, max_vertices), whole(classes, block_px)
    if batch is None or unsplit is None:
        assert batch is unsplit
        return
    assert shapely.is_valid(batch.geometry).all()
    np.testing.assert_array_equal(burnt(batch, classes.shape), np.where(classes > 250, 255, classes))
    np.testing.assert_array_equal(shapely.area(batch.geometry), batch.pixels)
    assert batch.pixels.sum() == np.count_nonzero(classes <= 250)  # all are covered and none twice
    vertices = shapely.get_num_coordinates(unsplit.geometry) - 1 - shapely.get_num_interior_rings(unsplit.geometry)
    bounds = shapely.bounds(unsplit.geometry)
    in_one_block = ((bounds[:, 2] - 1) // block_px == bounds[:, 0] // block_px) & (
        (bounds[:, 3] - 1) // block_px == bounds[:, 1] // block_px
    )
    joined = (vertices <= max_vertices) | in_one_block
    assert sorted(batch.first_pixel[~batch.split].tolist()) == unsplit.first_pixel[joined].tolist()
    assert set(unsplit.first_pixel[~joined].tolist()) <= set(batch.first_pixel[batch.split].tolist())
    for polygon in batch.geometry[batch.split]:
        west, north, east, south = polygon.bounds
        assert west // block_px == (east - 1) // block_px
        assert north // block_px == (south - 1) // block_px


def test_statistics_of_split_pieces_are_their_own() -> None:
    classes = np.zeros((4, 6), np.uint8)
    classes[1, 1] = 3
    batch = whole(classes, 3, max_vertices=5)
    assert batch is not None
    confidence = confidence_of(classes)
    pieces = batch.take(batch.split)
    assert pieces.first_pixel.tolist() == [0, 3, 18, 21]
    assert pieces.pixels.tolist() == [8, 9, 3, 3]
    assert pieces.confidence_mean[1] == confidence[:3, 3:].mean()
    assert batch.take(~batch.split).first_pixel.tolist() == [7]


def test_landscape_of_many_blocks_is_that_of_the_whole_raster() -> None:
    classes = landscape(1500, seed=1)
    classes[landscape(1500, seed=2) == 0] = 255
    expected = gdal_polygons(classes)
    for block_px in (97, 256, 700):
        batch = whole(classes, block_px)
        assert batch is not None
        assert as_sorted(batch) == expected


def test_result_does_not_depend_on_blocks_to_the_last_column() -> None:
    classes = landscape(300, seed=4)
    one, other = whole(classes, 41), whole(classes, 300)
    assert one is not None
    assert other is not None
    for name in ("class_index", "pixels", "confidence_mean", "confidence_p10", "first_pixel", "split"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert shapely.equals_identical(one.geometry, other.geometry).all()


def test_uneven_blocks_are_read_as_their_edges_say() -> None:
    classes = landscape(120, seed=8)

    class Uneven:
        row_edges = (0, 1, 50, 52, 120)
        col_edges = (0, 70, 71, 120)

        def read(self, block_row: int, block_col: int) -> tuple[UInt8, UInt8]:
            rows = slice(*self.row_edges[block_row : block_row + 2])
            cols = slice(*self.col_edges[block_col : block_col + 2])
            return classes[rows, cols], confidence_of(classes)[rows, cols]

    assert as_sorted(RegionBatch.concatenate(list(polygonize(Uneven())))) == gdal_polygons(classes)


def test_columns_of_different_lengths_are_no_batch() -> None:
    batch = whole(landscape(20), 10)
    assert batch is not None
    with pytest.raises(ValueError, match="one length"):
        replace(batch, pixels=batch.pixels[1:])


def test_a_source_that_breaks_its_promise_is_refused() -> None:
    class Wrong:
        row_edges = col_edges = (0, 4)

        def read(self, block_row: int, block_col: int) -> tuple[UInt8, UInt8]:
            return np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint8)

    with pytest.raises(ValueError, match="expected uint8"):
        list(polygonize(Wrong()))


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 399960, 0, -10, 5300040),
        Affine(0.1, 0, 1 / 3, 0, -0.1, 48.7),
        Affine(0.0123, 0.0071, 512345.678, 0.0071, -0.0123, 5212345.6789),
    ],
    ids=["utm", "degrees", "rotated"],
)
def test_coordinates_are_bit_for_bit_those_of_gdal(transform: Affine) -> None:
    classes = landscape(200, seed=7)
    batch = whole(classes, 64)
    assert batch is not None
    geometry = shapely.normalize(to_crs_geometry(batch.geometry, transform))
    found = sorted(zip(batch.class_index.tolist(), shapely.to_wkb(geometry), strict=True))
    assert found == gdal_polygons(classes, transform)


def test_threads_change_no_batch() -> None:
    source = source_of(landscape(300, seed=5), 37)
    for one, other in zip(polygonize(source), polygonize(source, threads=3), strict=True):
        for column in ("class_index", "pixels", "confidence_mean", "confidence_p10", "first_pixel", "split"):
            np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
        assert shapely.equals_identical(one.geometry, other.geometry).all()


@given(st.integers(1, 60))
def test_parts_of_a_batch_are_the_batch(vertices: int) -> None:
    batch = whole(landscape(40, seed=6), 40)
    assert batch is not None
    parts = list(batch.parts(vertices))
    assert all(len(part) == 1 or len(part.polygons.vertices) <= vertices for part in parts)
    again = RegionBatch.chained(parts)
    np.testing.assert_array_equal(again.first_pixel, batch.first_pixel)
    assert shapely.equals_identical(again.geometry, batch.geometry).all()
