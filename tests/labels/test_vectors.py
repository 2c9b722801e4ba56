"""Polygons, lines, points and boxes: which pixels they label, window by window."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from geoseg.demo import write_demo
from geoseg.errors import AssetReadError, RequestError
from geoseg.grid import Window
from geoseg.labels import IGNORE
from geoseg.labels.config import data_config
from geoseg.labels.features import Features, VectorTruth
from tests.labels.made import everything, write

PLACE = from_origin(500_000, 5_000_000, 10, 10)
GRID = GeoBox((40, 50), PLACE, "EPSG:32633")


def block(**fields):
    return {"reader": "vectors", "classes": ["ground", "roof"], "labels": "l.geojson", "images": "i.tif", **fields}


def polygons(seed, count=12):
    """Triangles here and there, some of them outside the image."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform((499_900, 4_999_500), (500_600, 5_000_100), (count, 1, 2))
    return [shapely.Polygon(ring) for ring in middles + rng.uniform(-120, 120, (count, 3, 2))]


def features(shapes, index, crs="EPSG:32633"):
    return Features(np.array(shapes, dtype=object), np.array(index, np.uint8), GeoBox((1, 1), PLACE, crs).crs)


@given(st.integers(0, 10**6), st.booleans(), st.data())
def test_windows_are_parts_of_what_gdal_draws_for_the_whole(seed, all_touched, data):
    shapes, index = polygons(seed), [number % 5 for number in range(12)]
    truth = VectorTruth(features(shapes, index), GRID, IGNORE, all_touched)
    whole = rasterio.features.rasterize(
        zip(shapes, index, strict=True), GRID.shape, fill=IGNORE, transform=PLACE, all_touched=all_touched
    )
    row, col = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 49))
    window = Window(row, col, data.draw(st.integers(row + 1, 40)), data.draw(st.integers(col + 1, 50)))
    np.testing.assert_array_equal(truth.read(window), whole[row : window.row1, col : window.col1])


def test_a_file_in_degrees_gives_what_one_on_the_grid_gives(tmp_path):
    write(tmp_path / "i.tif", np.ones((40, 50), np.uint8))
    table = geopandas.GeoDataFrame({"kind": ["roof"] * 12}, geometry=polygons(3), crs="EPSG:32633")
    table.to_file(tmp_path / "metres.gpkg")
    table.to_crs("EPSG:4326").to_file(tmp_path / "degrees.gpkg")
    drawn = []
    for name in ("metres.gpkg", "degrees.gpkg"):
        (member,) = data_config(block(labels=name, attribute="kind", elsewhere="ground")).read(tmp_path).members
        drawn.append(member.labels(everything(member)))
    assert 0 < drawn[0].mean() < 1
    np.testing.assert_array_equal(*drawn)


def test_points_label_the_pixel_they_lie_in_and_nothing_else(tmp_path):
    write(tmp_path / "i.tif", np.ones((40, 50), np.uint8))
    places = {(3, 4): "roof", (3, 5): "ground", (39, 49): "roof"}
    points = [shapely.Point(500_000 + col * 10 + 0.01, 5_000_000 - row * 10 - 9.9) for row, col in places]
    points.append(shapely.Point(400_000, 5_000_000))
    table = geopandas.GeoDataFrame({"k": [*places.values(), "roof"]}, geometry=points, crs="EPSG:32633")
    table.to_file(tmp_path / "l.geojson")
    (member,) = data_config(block(attribute="k")).read(tmp_path).members
    expected = np.full((40, 50), IGNORE)
    for (row, col), name in places.items():
        expected[row, col] = name == "roof"
    np.testing.assert_array_equal(member.labels(everything(member)), expected)
    np.testing.assert_array_equal(member.labels(Window(2, 4, 5, 6)), expected[2:5, 4:6])
    with pytest.raises(RequestError, match="what no point says is not known"):
        data_config(block(attribute="k", elsewhere="ground")).read(tmp_path)


def test_later_features_are_on_top_lines_are_wide_and_nothing_is_known_outside_of_the_area(tmp_path):
    write(tmp_path / "i.tif", np.ones((40, 50), np.uint8))
    shapes = [
        shapely.box(500_000, 4_999_600, 500_500, 5_000_000),
        shapely.box(500_100, 4_999_700, 500_200, 4_999_900),
        shapely.LineString([(500_300, 4_999_600), (500_300, 5_000_000)]),
    ]
    table = geopandas.GeoDataFrame({"k": [0, 1, 1]}, geometry=shapes, crs="EPSG:32633")
    table.to_file(tmp_path / "l.geojson")
    geopandas.GeoDataFrame(geometry=[shapely.box(500_000, 4_999_800, 500_500, 5_000_000)], crs="EPSG:32633").to_file(
        tmp_path / "area.gpkg"
    )
    (member,) = data_config(block(attribute="k", width_m=40, area="area.gpkg")).read(tmp_path).members
    expected = np.zeros((40, 50), np.uint8)
    expected[10:30, 10:20] = 1
    expected[:, 28:32] = 1
    expected[20:] = IGNORE
    np.testing.assert_array_equal(member.labels(everything(member)), expected)
    (bare,) = data_config(block(attribute="k")).read(tmp_path).members
    with pytest.raises(RequestError, match="lines with a width"):
        bare.labels(everything(bare))


def test_boxes_of_a_table_are_in_pixels(tmp_path):
    write(tmp_path / "i.tif", np.ones((40, 50), np.uint8))
    (tmp_path / "b.csv").write_text("xmin,ymin,xmax,ymax,label\n4,2,10,5,Tree\n0,0,1,1,Tree\n")
    document = block(labels="b.csv", attribute="label", rename={"Tree": "roof"}, elsewhere="ground")
    (member,) = data_config(document).read(tmp_path).members
    expected = np.zeros((40, 50), np.uint8)
    expected[2:5, 4:10] = expected[0, 0] = 1
    np.testing.assert_array_equal(member.labels(everything(member)), expected)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "either attribute, a field with the class, or label"),
        ({"attribute": "nothing"}, "expected: the field nothing"),
        ({"attribute": "k"}, "l.geojson of the classes barn, shed"),
        ({"label": "rof"}, "expected: roof (the nearest name)"),
        ({"label": "roof", "elsewhere": "sea"}, "given:    elsewhere: sea"),
        ({"label": "roof", "labels": "bad.geojson"}, "a vector file that GDAL reads"),
        ({"label": "roof", "images": "plain.tif"}, "an image without a place"),
        ({"label": "roof", "scenes": {"catalog": "x"}}, "bands, those to read of the scenes"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, fields, words):
    write(tmp_path / "i.tif", np.ones((40, 50), np.uint8))
    write(tmp_path / "plain.tif", np.ones((40, 50), np.uint8), crs=None)
    (tmp_path / "bad.geojson").write_text("{")
    table = geopandas.GeoDataFrame({"k": ["roof", "shed", "barn"]}, geometry=polygons(0, 3), crs="EPSG:32633")
    table.to_file(tmp_path / "l.geojson")
    with pytest.raises(RequestError) as refusal:
        data_config(block(**fields)).read(tmp_path)
    assert words in str(refusal.value)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo"), shape=(128, 192), uav_shape=(256, 256))


def test_scenes_of_a_catalogue_are_read_where_their_labels_are(demo, tmp_path):
    with rasterio.open(demo.truth) as truth:
        west, top = truth.transform @ (60, 40)
        crs = truth.crs
    table = geopandas.GeoDataFrame({"k": ["roof"]}, geometry=[shapely.box(west, top - 200, west + 300, top)], crs=crs)
    table.to_file(tmp_path / "l.gpkg")
    scenes = {"catalog": str(demo.catalog), "collection": "sentinel-2-l2a", "around_px": 4}
    document = block(
        labels="l.gpkg", attribute="k", bands=["B04", "B08"], quantity="reflectance", scenes=scenes, elsewhere="ground",
        groups={"pattern": "(.*)"},
    )  # fmt: skip
    labels = data_config(document).read(tmp_path)
    assert len(labels.members) > 1
    seen = 0
    for member in labels.members:
        pixels, valid = member.image(everything(member))
        assert pixels.dtype == np.float32
        assert pixels.shape[1:] == member.shape == valid.shape
        assert (pixels[:, valid] > -0.2).all()
        assert (pixels[:, valid] < 1.5).all()
        roof = member.labels(everything(member)) == 1
        assert roof.sum() <= 600
        seen += roof.sum() == 600
        part = Window(3, 2, member.shape[0] - 1, 9)
        some, ok = member.image(part)
        np.testing.assert_array_equal(ok, valid[part.within(everything(member))])
        np.testing.assert_array_equal(some[:, ok], pixels[(slice(None), *part.within(everything(member)))][:, ok])
    assert seen
    clearest = max(labels.members, key=lambda member: member.image(everything(member))[1].sum())
    broken = clearest.whole.imagery
    for source in broken.item.bands.values():
        file = Path(source.href)
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(AssetReadError):
        clearest.image(everything(clearest))
