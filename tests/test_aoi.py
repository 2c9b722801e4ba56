"""Regions: whatever holds polygons is read, whatever does not is refused in three lines that name it."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box, mapping, shape

from geoseg.aoi import AOI
from geoseg.errors import InvalidAOIError
from geoseg.spec import JobSpec

SQUARE = box(9.0, 47.0, 9.1, 47.1)
OTHER = box(10.0, 46.0, 10.2, 46.1)
HOLED = Polygon(SQUARE.exterior, [box(9.04, 47.04, 9.06, 47.06).exterior.coords[::-1]])
BOW_TIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
# A spike without an area: the ring runs out along a line and back.
SPIKE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0.5], [-1, 0.5], [0, 0.5], [0, 0]]]}


def feature(geometry: object, **more: object) -> dict:
    return {"type": "Feature", "properties": {}, "geometry": mapping(geometry) if geometry else None, **more}


def collection(*features: dict) -> dict:
    return {"type": "FeatureCollection", "features": list(features)}


def written(path: Path, document: object, encoding: str = "utf-8") -> Path:
    path.write_text(json.dumps(document), encoding=encoding)
    return path


def refusal(source: object) -> InvalidAOIError:
    """The refusal; it has three lines, each with something in it, and the exit status of a wrong request."""
    with pytest.raises(InvalidAOIError) as refused:
        AOI.read(source)
    err = refused.value
    assert err.given
    assert err.expected
    assert err.todo
    assert len(str(err).splitlines()) == 3
    assert err.exit_code == 2
    return err


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (mapping(SQUARE), SQUARE),
        (mapping(HOLED), HOLED),
        (mapping(MultiPolygon([SQUARE, OTHER])), MultiPolygon([SQUARE, OTHER])),
        (feature(SQUARE), SQUARE),
        (collection(feature(SQUARE), feature(OTHER)), MultiPolygon([SQUARE, OTHER])),
    ],
    ids=["polygon", "hole", "multipolygon", "feature", "collection"],
)
def test_every_kind_of_geojson_is_the_same_region_from_a_file_and_as_a_value(tmp_path, document, expected):
    for source in (document, written(tmp_path / "region.geojson", document), str(tmp_path / "region.geojson")):
        region = AOI.read(source)
        assert region.geometry.equals(expected)
        assert region.bounds == pytest.approx(expected.bounds)
        assert region.warnings == ()


def test_a_shapely_geometry_is_a_region():
    assert AOI.read(HOLED).geometry.equals(HOLED)


def test_four_numbers_are_that_box():
    for numbers in ((9, 47, 9.1, 47.1), [9.0, 47.0, 9.1, 47.1], np.array([9, 47, 9.1, 47.1])):
        assert AOI.read(numbers).geometry.equals(SQUARE)


@pytest.mark.parametrize("numbers", [(9, 47, 9.1), (9, 47, 9.1, "north"), (9.1, 47, 9, 47.1), [], (None,) * 4])
def test_numbers_that_are_no_box_are_refused(numbers):
    refusal(numbers)


def test_a_table_is_the_region_of_its_rows_wherever_its_crs_puts_them():
    degrees = geopandas.GeoDataFrame({"name": ["a", "b"], "when": pd.Timestamp("2022-01-01")}, geometry=[SQUARE, OTHER])
    placed = degrees.set_crs("EPSG:4326").to_crs("EPSG:32632")
    region = AOI.read(placed)
    assert [feature.id for feature in region.features] == ["a", "b"]
    assert region.geometry.symmetric_difference(shapely.union(SQUARE, OTHER)).area < 1e-9
    assert [feature.id for feature in AOI.read(placed.geometry).features] == ["1", "2"]
    assert "CRS" in refusal(degrees).given


@pytest.mark.parametrize("source", [7, None, {1, 2}, object()], ids=lambda source: type(source).__name__)
def test_what_is_no_region_at_all_is_refused_by_its_type(source):
    assert type(source).__name__ in refusal(source).given


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_obstacle(tmp_path, encoding):
    document = collection(feature(SQUARE, properties={"name": "Zürich"}))
    region = AOI.read(written(tmp_path / "region.JSON", document, encoding))
    assert [part.id for part in region.features] == ["Zürich"]


def test_coordinates_with_heights_are_read_without_them():
    high = shapely.force_3d(SQUARE, 512.0)
    assert AOI.read(mapping(high)).geometry.equals(SQUARE)


@given(
    st.floats(-179, 178).flatmap(lambda west: st.tuples(st.just(west), st.floats(west + 0.001, 180))),
    st.floats(-89, 88).flatmap(lambda south: st.tuples(st.just(south), st.floats(south + 0.001, 90))),
)
def test_a_box_in_words_is_that_box(horizontal, vertical):
    (west, east), (south, north) = horizontal, vertical
    assert AOI.read(f"{west},{south}, {east} ,{north}").bounds == (west, south, east, north)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9,47,8,48", "west < east"),
        ("9,48,10,47", "south < north"),
        ("9,47,9,48", "west < east"),
        ("9,47,nan,48", "finite"),
        ("a,b,c,d", "WEST,SOUTH,EAST,NORTH"),
        ("9,47,10", "WEST,SOUTH,EAST,NORTH"),
        ("47,190,48,191", "latitude -90 to 90"),
        ("no/such/file.geojson", "vector file"),
    ],
)
def test_words_that_are_no_box_are_refused(text, words):
    err = refusal(text)
    assert text in err.given
    assert words in err.expected


ACROSS = MultiPolygon([box(178, -20, 180, -10), box(-180, -20, -178, -10)])


@pytest.mark.parametrize(
    "source",
    [
        "178,-20,-178,-10",
        "178,-20,182,-10",
        "-182,-20,-178,-10",
        mapping(box(178, -20, 182, -10)),
        mapping(Polygon([(178, -20), (-178, -20), (-178, -10), (178, -10)])),
        mapping(Polygon([(-178, -20), (-178, -10), (178, -10), (178, -20)])),
        mapping(ACROSS),
        collection(feature(box(178, -20, 180, -10)), feature(box(-180, -20, -178, -10))),
    ],
)
def test_a_region_across_the_180th_meridian_is_the_small_one_however_it_is_written(source):
    region = AOI.read(source)
    assert region.geometry.equals(ACROSS)
    assert region.bounds == (178, -20, -178, -10)
    assert region.area_km2 == pytest.approx(AOI.read("10,-20,14,-10").area_km2, rel=1e-9)
    assert AOI.read(json.loads(json.dumps(region.to_geojson()))) == region


def test_only_a_ring_that_jumps_is_a_matter_of_reading_and_said():
    jumping = Polygon([(179, -20), (-179, -20), (-179, -10), (179, -10)])
    for geometry in (jumping, MultiPolygon([OTHER, jumping])):
        (note,) = AOI.read(mapping(geometry)).warnings
        assert "180th meridian" in note
    for source in (mapping(ACROSS), mapping(box(178, -20, 182, -10)), "178,-20,-178,-10"):
        assert AOI.read(source).warnings == ()


@pytest.mark.parametrize("west", [-180, -170, -100])
def test_a_wide_box_is_no_narrow_one(west):
    """Half a band round the globe or more, as a box says it."""
    region = AOI.read((west, -60, -west, 60))
    assert region.bounds == (west, -60, -west, 60)
    assert region.warnings == ()
    assert AOI.read(region.to_geojson()).geometry.equals(box(west, -60, -west, 60))


def test_a_world_map_stays_one():
    world = AOI.read(mapping(box(-180, -90, 180, 90)))
    assert world.warnings == ()
    assert world.area_km2 == pytest.approx(510_065_621.7, rel=1e-9)  # of the ellipsoid, by its textbook formula


def test_a_hole_is_where_it_was_on_either_side_of_the_meridian():
    ring = Polygon(box(178, -20, 184, -10).exterior, [box(181, -18, 183, -12).exterior])
    jumps = shapely.transform(ring, lambda xy: np.column_stack(((xy[:, 0] + 180) % 360 - 180, xy[:, 1])))
    by_hand = shapely.union(box(178, -20, 180, -10), box(-180, -20, -176, -10)).difference(box(-179, -18, -177, -12))
    for polygon in (ring, jumps):
        assert AOI.read(mapping(polygon)).geometry.equals(by_hand)


@pytest.mark.parametrize("south", [True, False])
def test_a_ring_round_a_pole_holds_the_pole(south):
    lon = np.arange(0, 360, 30)
    ring = np.column_stack(((lon + 180) % 360 - 180, np.full(lon.size, -80.0 if south else 80.0)))
    region = AOI.read(mapping(Polygon(ring)))
    assert region.geometry.equals(box(-180, -90, 180, -80) if south else box(-180, 80, 180, 90))


def test_a_spike_is_cut_off_and_said():
    region = AOI.read(SPIKE)
    assert region.geometry.is_valid
    assert region.geometry.equals(box(0, 0, 1, 1))
    (note,) = region.warnings
    assert "repaired" in note


def test_what_was_noticed_on_reading_reaches_the_job():
    """A JobSpec keeps the repaired region, and must not forget that it was repaired."""
    spec = JobSpec(model="m", scenes=("a.tif",), aoi=SPIKE)
    assert spec.region is not None
    assert spec.region.warnings == AOI.read(SPIKE).warnings
    again = JobSpec(**json.loads(spec.model_dump_json()))
    assert again == spec
    assert again.key == spec.key


def test_a_bow_tie_is_refused_and_named(tmp_path):
    path = written(tmp_path / "tie.geojson", collection(feature(SQUARE, id="field"), {**feature(None, id="tie"), "geometry": BOW_TIE}))  # fmt: skip
    err = refusal(path)
    assert str(path) in err.given
    assert "tie" in err.given
    assert "0.5 0.5" in err.given


@pytest.mark.parametrize(("height", "refused"), [(0.2, True), (0.02, False)])
def test_crossing_rings_are_repaired_only_where_that_hardly_changes_the_area(height, refused):
    """Two triangles that meet in a point; the left one holds 4 % of the area, or next to nothing."""
    crossing = {"type": "Polygon", "coordinates": [[[0, 0], [3, 1], [3, 0], [0, height], [0, 0]]]}
    if refused:
        assert "Self-intersection" in refusal(crossing).given
        return
    region = AOI.read(crossing)
    assert region.geometry.is_valid
    assert "repaired" in region.warnings[0]


@pytest.mark.parametrize("geometry", [Point(9, 47), LineString([(9, 47), (9.1, 47.1)]), Point(9, 47).buffer(0)])
def test_what_has_no_area_is_refused(tmp_path, geometry):
    path = written(tmp_path / "points.geojson", collection(feature(geometry)))
    err = refusal(path)
    assert str(path) in err.given
    assert "Polygon" in err.expected


def test_a_polygon_flat_as_a_line_is_refused():
    refusal({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]})


def test_points_beside_polygons_are_left_out_and_counted():
    region = AOI.read(collection(feature(Point(9, 47)), feature(SQUARE), feature(None)))
    assert [part.id for part in region.features] == ["2"]
    assert "2 AOI feature(s)" in region.warnings[0]


def test_swapped_coordinates_are_refused_with_the_first_pair_that_shows_it(tmp_path):
    swapped = {"type": "Polygon", "coordinates": [[[-33.9, 81.2], [-33.9, 151.3], [-33.8, 151.2], [-33.9, 81.2]]]}
    path = written(tmp_path / "sydney.geojson", swapped)
    err = refusal(path)
    assert str(path) in err.given
    assert "(-33.9, 151.3)" in err.given
    assert "in that order" in err.expected
    assert "swap" in err.todo


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("number", [float("nan"), float("inf"), 500_000.0])
def test_numbers_that_are_no_degrees_are_refused(number):
    ring = [[9, 47], [9.1, 47], [9.1, number], [9, 47]]
    refusal({"type": "Polygon", "coordinates": [ring]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": "Topology"},
        {"type": [1]},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": "abc"},
        {"type": "Polygon", "coordinates": [[[9, 47], [9.1, 47]]]},
        {"type": "Polygon", "coordinates": [[[None, 47], [9.1, 47], [9.1, 47.1], [None, 47]]]},
        {"type": "Polygon", "coordinates": []},
        {"type": "FeatureCollection"},
        {"type": "FeatureCollection", "features": None},
        {"type": "FeatureCollection", "features": 5},
        {"type": "FeatureCollection", "features": ["a"]},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": "a"}]},
        [1, 2],
        "text",
        7,
    ],
    ids=json.dumps,
)
def test_json_that_is_no_region_is_refused_by_name(tmp_path, document):
    path = written(tmp_path / "odd.geojson", document)
    assert str(path) in refusal(path).given


def test_bare_geometries_in_a_collection_are_features():
    region = AOI.read({"type": "FeatureCollection", "features": [mapping(SQUARE), feature(OTHER)]})
    assert region == AOI.read(collection(feature(SQUARE), feature(OTHER)))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
        ([{"id": 0}, {"id": 1}], ["0", "1"]),
        ([{"properties": {"id": 7}}, {"properties": {"name": "wood"}}], ["7", "wood"]),
        ([{"properties": None}, {"properties": {"id": None, "name": ""}}], ["1", "2"]),
        ([{"properties": [1]}, {"id": ""}], ["1", "2"]),
    ],
)
def test_features_keep_their_own_name_or_get_their_place(more, expected):
    region = AOI.read(collection(*(feature(SQUARE, **facts) for facts in more)))
    assert [part.id for part in region.features] == expected


def test_a_region_survives_its_own_geojson():
    region = AOI.read(collection(feature(HOLED, id="a"), feature(MultiPolygon([OTHER, SQUARE]), id="b")))
    assert AOI.read(json.loads(json.dumps(region.to_geojson()))) == region


def test_area_is_geodesic_and_without_holes():
    whole, holed = AOI.read(SQUARE).area_km2, AOI.read(HOLED).area_km2
    assert whole == pytest.approx(84.474, rel=1e-4)
    assert holed == pytest.approx(whole * 0.96, rel=1e-3)
    clockwise = shape({"type": "Polygon", "coordinates": [list(SQUARE.exterior.coords)[::-1]]})
    assert AOI.read(clockwise).area_km2 == pytest.approx(whole)


def test_features_with_one_name_stay_apart_and_none_takes_the_name_of_the_total():
    def square(west: float, name: object) -> dict[str, object]:
        ring = [[west, 0], [west + 1, 0], [west + 1, 1], [west, 1], [west, 0]]
        return {"type": "Feature", "id": name, "geometry": {"type": "Polygon", "coordinates": [ring]}}

    names = ["a", "a", 0, "all", "a"]
    document = {"type": "FeatureCollection", "features": [square(2 * n, name) for n, name in enumerate(names)]}
    ids = [feature.id for feature in AOI.from_geojson(document).features]
    assert len(set(ids)) == len(names)
    assert ids[0] == "a"
    assert ids[2] == "0"
    assert "all" not in ids
    again = AOI.from_geojson(AOI.from_geojson(document).to_geojson())
    assert [feature.id for feature in again.features] == ids
