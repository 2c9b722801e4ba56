"""Polygons from blocks against GDAL's polygons of the whole raster."""

from __future__ import annotations

import shapely
from hypothesis import given
from hypothesis import strategies as st

from geoseg.polygons import RegionBatch, polygonize
from tests.polygons.maps import UInt8, as_sorted, class_maps, gdal_polygons, source_of


def whole(classes: UInt8, block_px: int, max_vertices: int = 1_000_000) -> RegionBatch:
    return RegionBatch.concatenate(list(polygonize(source_of(classes, block_px), max_vertices=max_vertices)))


@given(class_maps(), st.integers(1, 13))
def test_polygons_are_those_of_the_whole_raster(classes: UInt8, block_px: int) -> None:
    batches = list(polygonize(source_of(classes, block_px)))
    found = [polygon for batch in batches for polygon in as_sorted(batch)]
    assert sorted(found) == gdal_polygons(classes)
    assert all(shapely.is_valid(batch.geometry).all() for batch in batches)
