"""What a hundred thousand items are kept as, and rows of tables against documents that pystac reads."""

from __future__ import annotations

import copy
import json

import pytest
import shapely
from shapely.geometry import shape

from geoseg.scenes.catalogs.documents import UnusableItemError, item_of, item_of_row
from geoseg.scenes.packed import PackedDocument
from geoseg.scenes.sensors import SENSORS
from geoseg.scenes.understand import understand

BANDS = ("B02", "B11")


def _document(**changes: object) -> dict:
    asset = {"proj:shape": [100, 100], "proj:transform": [10.0, 0, 300000.0, 0, -10.0, 5000000.0]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A_1",
        "collection": "sentinel-2-l2a",
        "geometry": json.loads(shapely.to_geojson(shapely.box(12.4, 45.1, 12.5, 45.2))),
        "bbox": [12.4, 45.1, 12.5, 45.2],
        "properties": {"datetime": "2023-06-01T10:00:00Z", "platform": "sentinel-2a", "proj:epsg": 32633},
        "links": [],
        "assets": {
            "B02": {"href": "./B02.tif", **asset},
            "B11": {
                "href": "https://a.example/B11.tif?x=1",
                **asset,
                "raster:bands": [{"scale": 0.0002, "offset": -0.1}],
            },
            "SCL": {"href": "file:///data/SCL.tif", **asset},
        },
        **changes,
    }


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "0.9.0"])
def test_a_row_of_a_table_is_understood_as_the_document_is(version):
    document = _document(stac_version=version)
    sensor = SENSORS["sentinel-2-l2a"]
    slow = understand(item_of(document, "/catalogue/items.parquet"), BANDS, sensor)
    row = item_of_row(copy.deepcopy(document), shape(document["geometry"]), "/catalogue/items.parquet")
    quick = understand(row, BANDS, sensor)
    assert quick == slow
    assert quick.bands["B02"].href == "/catalogue/B02.tif"
    assert quick.href == slow.href


@pytest.mark.parametrize(
    "changes",
    [
        {"stac_version": "7"},
        {"assets": {"B02": {}}},
        {"geometry": None},
        {"properties": {"datetime": None}},
        {"properties": {"datetime": "soon"}},
        {"bbox": [80, 0, 81, 1]},
    ],
)
def test_a_row_that_is_no_item_is_refused_as_the_document_is(changes):
    document = _document(**changes)
    outline = None if document["geometry"] is None else shape(document["geometry"])
    with pytest.raises(UnusableItemError):
        item_of(document, "/c/items.parquet")
    with pytest.raises(UnusableItemError):
        item_of_row(copy.deepcopy(document), outline, "/c/items.parquet")


def test_items_of_one_square_share_their_grid():
    grids = {
        id(understand(item_of(_document(id=name), "/c/i"), BANDS, SENSORS["sentinel-2-l2a"]).geobox) for name in "abc"
    }
    assert len(grids) == 1


def test_a_packed_document_is_the_document():
    document = _document()
    packed = PackedDocument(document)
    assert dict(packed) == document
    assert {**packed, "links": [1]}["links"] == [1]
    assert packed["links"] == []
    assert list(packed) == list(document)
    with pytest.raises(KeyError):
        packed["nothing"]


def test_a_packed_document_without_links_shares_what_is_packed():
    packed = PackedDocument(_document(links=[{"rel": "self", "href": "https://a.example/item.json"}]))
    unlinked = PackedDocument(packed, links=False)
    assert unlinked["links"] == []
    assert packed["links"] != []
    assert {**unlinked, "links": packed["links"]} == dict(packed)
