"""The STAC item: valid, complete, and true to the files."""

import hashlib
import json
import re

import numpy as np
import pystac
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from shapely.geometry import shape

from geoseg.outputs.item import build_item, output_file, write_item


@pytest.fixture
def item(record, geobox, tmp_path):
    for name in ("classes.tif", "confidence.tif", "polygons.parquet", "report.html"):
        (tmp_path / name).write_bytes(name.encode())
    files = [output_file(tmp_path, path) for path in sorted(tmp_path.iterdir())]
    path = write_item(tmp_path / "item.json", build_item(record, geobox, files))
    return pystac.Item.from_file(str(path))


def test_item_is_valid_against_the_core_schemas(item):
    core = item.clone()
    core.stac_extensions = []  # their schemas are on the network
    assert core.validate()


def test_item_lies_where_the_map_lies(item, geobox):
    projection = ProjectionExtension.ext(item)
    assert projection.code == "EPSG:32633"
    assert projection.shape == list(geobox.shape)
    assert projection.transform == list(tuple(geobox.transform)[:6])
    outline = shape(item.geometry)
    assert outline.is_valid
    np.testing.assert_allclose(item.bbox, outline.bounds)
    np.testing.assert_allclose(outline.bounds, geobox.extent.to_crs("EPSG:4326").boundingbox.bbox, atol=1e-6)


def test_item_says_what_it_was_made_from(item, record):
    assert item.datetime is None
    assert item.properties["start_datetime"] == "2025-06-12T10:00:00Z"
    assert item.properties["end_datetime"] == "2025-07-02T10:00:00Z"
    assert item.properties["processing:level"] == "L4"
    assert item.properties["processing:expression"] == {"format": "stac-mlm", "expression": record.model.href}
    assert item.properties["mlm:name"] == "lc-tiny"
    assert item.properties["geoseg:model"]["sha256"] == record.model.sha256
    shares = item.properties["geoseg:coverage"]
    assert sum(shares[k] for k in ("classified", "nodata_unobserved", "nodata_masked", "failed")) == pytest.approx(1)
    links = [link for link in item.links if link.rel == "derived_from"]
    assert {link.href for link in links} == {"https://models.example/lc-tiny/item.json", "https://stac.example/items/a"}
    assert "canary" not in json.dumps(item.to_dict())


def test_assets_are_the_files(item):
    assert set(item.assets) == {"classes", "confidence", "polygons", "report"}
    asset = item.assets["classes"]
    assert asset.media_type == pystac.MediaType.COG
    assert FileExtension.ext(asset).size == len("classes.tif")
    assert FileExtension.ext(asset).checksum == "1220" + hashlib.sha256(b"classes.tif").hexdigest()


def test_classes_follow_the_extension(item, record):
    classes = ClassificationExtension.ext(item.assets["classes"]).classes
    assert [c.value for c in classes] == [0, 1, 7, 254, 255]
    assert [c.to_dict()["title"] for c in classes[:3]] == [c.name for c in record.classes]
    assert len({c.name for c in classes}) == len(classes)
    assert all(re.fullmatch(r"[0-9A-Za-z\-_]+", c.name) for c in classes)
    assert all(re.fullmatch(r"[0-9A-F]{6}", c.color_hint) for c in classes[:4])
    assert classes[-1].nodata


def test_one_date_is_a_datetime_and_none_is_the_time_of_processing(record, geobox):
    one = build_item(record.model_copy(update={"scenes": record.scenes[:1]}), geobox, [])
    assert one["properties"]["datetime"] == "2025-06-12T10:00:00Z"
    none = build_item(record.model_copy(update={"scenes": ()}), geobox, [])
    assert none["properties"]["datetime"] == "2026-11-20T09:04:31Z"
    assert none["properties"]["geoseg:datetime"] == "processing"
    for item in (one, none):
        pystac.Item.from_dict(item)


def test_a_crs_without_code_is_written_out(record):
    crs = "+proj=laea +lat_0=47 +lon_0=11 +datum=WGS84 +units=m"
    properties = build_item(record, GeoBox((4, 4), Affine.scale(10, -10), crs), [])["properties"]
    assert properties["proj:code"] is None
    assert "Lambert Azimuthal" in properties["proj:wkt2"]
    assert properties["proj:projjson"]["type"] == "ProjectedCRS"


def test_a_plain_pixel_grid_has_no_geometry(record):
    item = build_item(record, GeoBox((4, 4), Affine.identity(), None), [])
    assert item["geometry"] is None
    assert "bbox" not in item
    item["stac_extensions"] = []
    assert pystac.Item.from_dict(item).validate()


def test_a_box_across_the_antimeridian_runs_from_east_to_west(record):
    item = build_item(record, GeoBox((60, 200), Affine(1000, 0, 520_000, 0, -1000, 8_000_000), "EPSG:32660"), [])
    west, _, east, _ = item["bbox"]
    assert item["geometry"]["type"] == "MultiPolygon"
    assert 170 < west < 180
    assert -180 < east < -170


def test_only_fields_that_the_extensions_have(item):
    """Their schemas allow no other field under their prefix (as published, 2026)."""
    known = {
        "proj": {"code", "wkt2", "projjson", "geometry", "bbox", "centroid", "shape", "transform"},
        "processing": {"expression", "lineage", "level", "facility", "software", "datetime", "version"},
        "file": {"byte_order", "checksum", "header_size", "size", "values", "local_path"},
        "classification": {"classes", "bitfields"},
    }
    fields = [*item.properties, *(name for asset in item.assets.values() for name in asset.extra_fields)]
    for field in fields:
        prefix, colon, name = field.partition(":")
        assert not colon or prefix in ("geoseg", "mlm") or name in known[prefix], field
    assert all(isinstance(version, str) for version in item.properties["processing:software"].values())
