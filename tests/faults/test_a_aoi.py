"""Faults 1 to 8: what a region can be made of."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from rasterio.warp import transform_geom
from shapely.geometry import MultiPolygon, Point, Polygon, box, mapping, shape

from geoseg.aoi import AOI
from geoseg.errors import InvalidAOIError
from geoseg.spec import JobSpec
from tests.faults.regions import BOX_TIE, FIELD, Ends, collection, feature, km2, polygon, refused, written

# 1 to 5: files


@pytest.mark.fault(1)
@pytest.mark.parametrize(
    ("name", "words"), [("missing", "no such file"), ("empty", "an empty file"), ("folder", "a folder")]
)
@pytest.mark.parametrize("suffix", [".geojson", ".gpkg"])
def test_fault_01_no_file_at_all(ends: Ends, tmp_path: Path, name: str, words: str, suffix: str) -> None:
    path = tmp_path / (name + suffix)
    if name == "empty":
        path.touch()
    elif name == "folder":
        path.mkdir()
    given, _, _ = refused(ends, path)
    assert str(path) in given
    assert words in given


@pytest.mark.fault(2)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("torn.geojson", b'{"type":"Polygon",\n"coordinates":[[[13,45],[13.1,', "line 2 column"),
        ("page.geojson", b"<!DOCTYPE html><html><body>Log in</body></html>", "<!DOCTYPE html><html>"),
        ("wide.geojson", json.dumps(mapping(FIELD)).encode("utf-16"), r"\xff\xfe{\x00"),
        ("wide.json", json.dumps(mapping(FIELD)).encode("utf-16-be"), r"\x00{\x00"),
        ("page.gpkg", b"<!DOCTYPE html><html><body>Log in</body></html>", "<!DOCTYPE html><html>"),
    ],
)
def test_fault_02_what_cannot_be_parsed(ends: Ends, tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    given, _, _ = refused(ends, path)
    assert str(path) in given
    assert words in given


@pytest.mark.fault(2)
def test_fault_02_a_byte_order_mark_alone_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "bom.geojson"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(mapping(FIELD)).encode())
    assert AOI.read(path) == AOI.read(FIELD)


@pytest.mark.fault(3)
@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"collections": ["sentinel-2-l2a"], "bbox": [1, 2, 3, 4]}, "without a type; it has bbox, collections"),
        ({"type": "Topology", "objects": {}, "arcs": []}, "'Topology'"),
    ],
)
def test_fault_03_json_of_another_kind(ends: Ends, tmp_path: Path, document: dict[str, Any], words: str) -> None:
    given, expected, _ = refused(ends, written(tmp_path / "other.geojson", document))
    assert words in given
    assert "geometry, Feature or FeatureCollection" in expected


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    ("document", "read"),
    [
        (collection(), 0),
        (collection(feature(None), feature(None), feature(None)), 3),
        (collection(feature(None), feature(Polygon())), 2),
    ],
)
def test_fault_04_nothing_with_an_area(ends: Ends, tmp_path: Path, document: dict[str, Any], read: int) -> None:
    given, _, _ = refused(ends, written(tmp_path / "none.geojson", document))
    assert f"{read} feature(s) read, none has an area" in given


@pytest.mark.fault(3)
@pytest.mark.parametrize(
    ("stray", "shown"),
    [("15.1", '"15.1"'), (True, "true"), (None, "null"), ("<b>", '"<b>"'), ({"x": 1}, '{"x": 1}')],
)
@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon", "GeometryCollection"])
def test_fault_03_coordinates_are_numbers(ends: Ends, tmp_path: Path, kind: str, stray: Any, shown: str) -> None:
    rings = [[[15.0, 45.0], [stray, 45.0], [15.1, 45.1], [15.0, 45.0]]]
    document: dict[str, Any] = {"type": kind, "coordinates": rings if kind == "Polygon" else [rings]}
    if kind == "GeometryCollection":
        document = {"type": kind, "geometries": [{"type": "Polygon", "coordinates": rings}]}
    given, expected, _ = refused(ends, written(tmp_path / "text.geojson", collection({"geometry": document})))
    assert given.endswith(f"with the coordinate {shown}")
    assert "numbers" in expected


@pytest.mark.fault(5)
@pytest.mark.parametrize("geometry", [Point(15, 45), shapely.LineString([(15, 45), (15.1, 45)])])
def test_fault_05_points_and_lines_only(ends: Ends, tmp_path: Path, geometry: shapely.Geometry) -> None:
    given, _, todo = refused(ends, written(tmp_path / "points.geojson", mapping(geometry)))
    assert geometry.geom_type in given
    assert "buffer" in todo
    assert "--aoi WEST,SOUTH,EAST,NORTH" in todo


@pytest.mark.fault(5)
@pytest.mark.parametrize(
    ("document", "left_out"),
    [
        (collection(feature(Point(15, 45)), feature(FIELD), feature(Point(15, 45))), "2 AOI feature(s)"),
        (mapping(shapely.GeometryCollection([Point(15, 45), FIELD, shapely.MultiPoint([(1, 2), (3, 4)])])), "2 point"),
        (feature(shapely.GeometryCollection([shapely.GeometryCollection([FIELD]), Point(15, 45)])), "1 point"),
    ],
)
def test_fault_05_polygons_of_a_mixture_are_used(document: Any, left_out: str) -> None:
    region = AOI.read(document)
    assert region.geometry.equals(FIELD)
    (warning,) = region.warnings
    assert left_out in warning


@pytest.mark.fault(5)
def test_fault_05_the_report_tells_of_what_was_left_out(made: Callable[..., Any]) -> None:
    classes, report, _ = made(mapping(shapely.GeometryCollection([Point(15, 45), FIELD])))
    alone, _, _ = made(mapping(FIELD))
    np.testing.assert_array_equal(classes, alone)
    assert any("1 point" in warning for warning in report["warnings"])


# 6 to 8: rings


SPIKED = polygon(
    [15.004, 45.146], [15.010, 45.146], [15.010, 45.151], [15.007, 45.151], [15.007, 45.3], [15.007, 45.151],
    [15.004, 45.151], [15.004, 45.146],
)  # fmt: skip
CORNERS = [list(corner) for corner in FIELD.exterior.coords]


@pytest.mark.fault(6)
@pytest.mark.parametrize(
    "document", [SPIKED, polygon(*CORNERS[:-1]), polygon(*(corner for corner in CORNERS for _ in range(2)))]
)
def test_fault_06_what_hardly_changes_the_area_is_repaired(made: Callable[..., Any], document: dict[str, Any]) -> None:
    classes, report, _ = made(document)
    alone, _, _ = made(mapping(FIELD))
    np.testing.assert_array_equal(classes, alone)
    (warning,) = [warning for warning in report["warnings"] if "repaired" in warning]
    before, after = (float(text.split()[-1]) for text in warning.split("): ")[1].split(" km2")[:2])
    rings = {"type": "Polygon", "coordinates": [[*document["coordinates"][0], document["coordinates"][0][0]]]}
    assert after == pytest.approx(km2(shapely.make_valid(shape(rings)).buffer(0)), rel=1e-5)
    assert before == pytest.approx(after, rel=0.01)


@pytest.mark.fault(6)
def test_fault_06_an_unclosed_ring_is_closed_under_any_name(tmp_path: Path) -> None:
    document = polygon(*CORNERS[:-1])
    regions = [AOI.read(written(tmp_path / f"ring{suffix}", document)) for suffix in (".geojson", ".txt", ".geojsonl")]
    assert all(region == regions[0] for region in regions)
    lines = json.dumps(feature(FIELD)) + "\n" + json.dumps({**feature(FIELD), "geometry": document}) + "\n"
    with pytest.raises(InvalidAOIError) as refused:  # GDAL reads a sequence, and GEOS takes no open ring from it
        AOI.read(written(tmp_path / "many.geojsonl", lines))
    assert refused.value.exit_code == 2
    assert "Fix geometries" in refused.value.todo


@pytest.mark.fault(6)
def test_fault_06_a_bow_tie_would_change_and_is_refused(ends: Ends, tmp_path: Path) -> None:
    given, _, todo = refused(ends, written(tmp_path / "tie.geojson", polygon(*BOX_TIE)))
    whole = km2(shapely.make_valid(shape(polygon(*BOX_TIE))))
    assert float(given.split()[-2]) == pytest.approx(whole, rel=1e-5)
    assert "Fix geometries" in todo


@pytest.mark.fault(6)
def test_fault_06_the_limit_is_a_hundredth() -> None:
    """Two triangles that meet in a point: the ring takes the smaller one away, a repair adds it."""
    verdicts = set()
    for height in np.linspace(0.01, 0.3, 12):
        ring = polygon([0, 0], [3, 1], [3, 0], [0, height], [0, 0])
        net, valid = shape(ring).area, shapely.make_valid(shape(ring)).area
        verdicts.add(valid - net > 0.01 * valid)
        if valid - net > 0.01 * valid:
            with pytest.raises(InvalidAOIError):
                AOI.read(ring)
        else:
            assert AOI.read(ring).area_km2 == pytest.approx(km2(shapely.make_valid(shape(ring)).buffer(0)), rel=1e-3)
    assert verdicts == {True, False}


@pytest.mark.fault(7)
def test_fault_07_orientation_is_of_no_matter(made: Callable[..., Any], world: Path) -> None:
    inner = box(15.006, 45.148, 15.008, 45.149)
    rings = [list(FIELD.exterior.coords), list(inner.exterior.coords)]
    documents = [
        {"type": "Polygon", "coordinates": [rings[0][:: 1 - 2 * a], rings[1][:: 1 - 2 * b]]}
        for a in (0, 1)
        for b in (0, 1)
    ]
    (right, _, _), (wrong, report, _) = made(documents[0]), made(documents[-1])
    np.testing.assert_array_equal(wrong, right)
    assert not any("AOI" in warning for warning in report["warnings"])
    assert all(AOI.read(document) == AOI.read(documents[0]) for document in documents)
    keys = {JobSpec.build(aoi=document, scenes="a.tif", model="m").key for document in documents}
    assert len(keys) == 1


@pytest.mark.fault(8)
def test_fault_08_each_pixel_is_counted_once(made: Callable[..., Any]) -> None:
    hole = Polygon(FIELD.exterior, [box(15.006, 45.1475, 15.008, 45.1495).exterior])
    multi = MultiPolygon([box(15.011, 45.147, 15.012, 45.148), box(15.013, 45.148, 15.0145, 45.150)])
    overlapping = box(15.0085, 45.1465, 15.0125, 45.1485)
    parts = {"hole": hole, "multi": multi, "over": overlapping}
    classes, report, out = made(collection(*(feature(part, id=name) for name, part in parts.items())))
    with rasterio.open(out / "classes.tif") as file:
        placed = [
            shape(transform_geom("EPSG:4326", str(file.crs), mapping(shapely.segmentize(part, 1e-4))))
            for part in parts.values()
        ]
        inside = rasterio.features.geometry_mask(
            [shapely.union_all(placed)], classes.shape, file.transform, invert=True
        )
        own = [rasterio.features.geometry_mask([p], classes.shape, file.transform, invert=True) for p in placed]
    assert (classes[inside] < 254).all()
    assert (classes[~inside] == 255).all()
    assert report["pixels"]["aoi"] == inside.sum() < sum(mask.sum() for mask in own)
    with (out / "areas.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    counted = {name: sum(int(row["pixels"]) for row in rows if row["feature"] == name) for name in ("all", *parts)}
    assert counted == {"all": inside.sum(), **dict(zip(parts, (mask.sum() for mask in own), strict=True))}
