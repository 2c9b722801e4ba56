"""Areas: counting in pieces counts once, and the numbers are those of the polygons."""

import csv

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod
from shapely.geometry import box as rectangle

from geoseg.outputs.areas import ALL, AreaTable, write_areas
from geoseg.outputs.geodesy import Geodesy


def whole(pixels):
    return slice(0, pixels.shape[0]), slice(0, pixels.shape[1])


def test_planar_area_is_that_of_the_polygons(pixels, geobox, legend, polygons_of):
    table = AreaTable(geobox, legend)
    table.add(*whole(pixels), pixels)
    batch = polygons_of(pixels)
    for row in table.rows():
        of_class = batch.class_index == row.index
        assert row.pixels == batch.pixels[of_class].sum()
        assert row.area_m2_planar == sum(p.area for p in batch.geometry[of_class]) * 100


def test_geodesic_area_is_that_of_the_polygons(pixels, geobox, legend, polygons_of):
    table = AreaTable(geobox, legend)
    table.add(*whole(pixels), pixels)
    batch = polygons_of(pixels)
    geodesy = Geodesy(geobox.crs, geobox.transform)
    areas = geodesy.areas_m2(batch.geometry)
    for row in table.rows():
        np.testing.assert_allclose(row.area_m2, areas[batch.class_index == row.index].sum(), rtol=1e-6)


def test_area_follows_latitude_on_a_lonlat_grid(legend):
    """One class per half of a degree; the northern half is smaller, though it has as many pixels."""
    box = GeoBox((1000, 10), Affine(1e-3, 0, 10, 0, -1e-3, 61), "EPSG:4326")
    pixels = np.zeros((1000, 10), np.uint8)
    pixels[500:] = 1
    table = AreaTable(box, legend)
    table.add(*whole(pixels), pixels)
    north, south, _ = table.rows()
    geod = Geod(ellps="WGS84")
    for row, (low, high) in ((north, (60.5, 61)), (south, (60, 60.5))):
        np.testing.assert_allclose(
            row.area_m2, abs(geod.geometry_area_perimeter(rectangle(10, low, 10.01, high))[0]), rtol=1e-4
        )
        assert row.area_m2_planar is None
    assert north.pixels == south.pixels
    assert north.area_m2 < south.area_m2


@settings(max_examples=25, deadline=None)
@given(step=st.integers(1, 50), seed=st.integers(0, 2**20))
def test_pieces_add_up_to_the_whole(step, seed):
    from dataclasses import make_dataclass

    entry = make_dataclass("Entry", ["index", "name", "colour", "code", "description"])
    classes = [entry(i, str(i), "#000000", None, "") for i in range(3)]
    rng = np.random.default_rng(seed)
    pixels = rng.choice(np.array([0, 1, 2, 254, 255], np.uint8), (70, 40))
    inside = rng.random((70, 40)) < 0.5
    box = GeoBox((70, 40), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32633")
    once, pieces = AreaTable(box, classes, ["f"]), AreaTable(box, classes, ["f"])
    once.add(*whole(pixels), pixels, {"f": inside})
    for row in range(0, 70, step):
        here = slice(row, min(row + step, 70))
        pieces.add(here, slice(0, 40), pixels[here], {"f": inside[here]})
    for a, b in zip(once.rows(), pieces.rows(), strict=True):
        assert (a.feature, a.index, a.pixels, a.share) == (b.feature, b.index, b.pixels, b.share)
        np.testing.assert_allclose(a.area_m2, b.area_m2, rtol=1e-6)
        values = pixels[inside] if a.feature == "f" else pixels
        assert a.pixels == np.count_nonzero(values == a.index)
        assert a.share == pytest.approx(a.pixels / np.count_nonzero(values < 254))


def test_feet_become_metres(legend):
    box = GeoBox((10, 10), Affine(1, 0, 2_000_000, 0, -1, 700_000), "EPSG:2263")
    table = AreaTable(box, legend)
    table.add(slice(0, 10), slice(0, 10), np.zeros((10, 10), np.uint8))
    np.testing.assert_allclose(table.rows()[0].area_m2_planar, 100 * (1200 / 3937) ** 2)
    np.testing.assert_allclose(table.rows()[0].area_m2, table.rows()[0].area_m2_planar, rtol=1e-3)


def test_table_is_one_csv_with_a_row_per_feature_and_class(tmp_path, geobox, legend, pixels):
    table = AreaTable(geobox, legend, ["=1+1", "b, c"])
    table.add(*whole(pixels), pixels, {"b, c": np.ones(pixels.shape, bool)})
    path = write_areas(tmp_path / "areas.csv", table.rows())
    rows = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    assert [r["feature"] for r in rows] == [ALL] * 3 + ["'=1+1"] * 3 + ["b, c"] * 3
    assert [r["name"] for r in rows[:3]] == [c.name for c in legend]
    assert [r["code"] for r in rows[:3]] == ["80", "10", ""]
    assert [int(r["pixels"]) for r in rows[:3]] == [int((pixels == c.index).sum()) for c in legend]
    assert {r["share"] for r in rows[3:6]} == {"0.000000"}
    assert sum(float(r["share"]) for r in rows[:3]) == pytest.approx(1, abs=1e-5)


def test_a_plain_pixel_grid_has_pixels_and_no_areas(tmp_path, legend, pixels):
    table = AreaTable(GeoBox(pixels.shape, Affine.identity(), None), legend)
    table.add(*whole(pixels), pixels)
    row = table.rows()[0]
    assert (row.area_m2, row.area_m2_planar) == (None, None)
    assert row.pixels > 0
    assert ",,," in write_areas(tmp_path / "areas.csv", table.rows()).read_text().splitlines()[3]
