"""Rows of tables, many at a time, against pystac's own reading of each; and what was frozen, read again."""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
import pickle
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geoseg.scenes import find_scenes
from geoseg.scenes.catalogs.documents import Question, UnusableItemError, item_of_row
from geoseg.scenes.catalogs.geoparquet import items_of_table
from geoseg.scenes.packed import PackedDocument, Packer
from geoseg.scenes.stated import moment_of, parsed_moment, stated_by
from geoseg.spec import JobSpec
from geoseg.timerange import parse_time_range

BANDS = ("B02", "B04")
EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)
HALF = (-180.0, -90.0, 10.0, 20.0)
SIDES = ("xmin", "ymin", "xmax", "ymax")


class Odd:
    """Rows that are whole for the most part, each member odd in some."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, *common: Any, odd: tuple[Any, ...] = (), rate: float = 0.04) -> Any:
        return self.random.choice(odd) if odd and self.random.random() < rate else self.random.choice(common)

    def outline(self, x: float, y: float) -> shapely.Geometry:
        square = shapely.box(x, y, x + 1, y + 1)
        return self.one(
            square,
            odd=(
                shapely.Point(x, y),
                shapely.MultiPolygon([square, shapely.box(x + 2, y, x + 3, y + 1)]),
                shapely.Polygon([(x, y, 1), (x + 1, y, 2), (x, y + 1, 3)]),
                shapely.Polygon(),
            ),
        )

    def bbox(self, outline: shapely.Geometry) -> dict[str, float | None] | None:
        west, south, east, north = outline.bounds
        sides = self.one(
            (west, south, east, north), odd=((west + 5, south, east + 5, north), (179.5, south, -179.5, north))
        )
        hidden = self.random.random() < 0.04
        box = {side: None if hidden or math.isnan(value) else value for side, value in zip(SIDES, sides, strict=True)}
        return self.one(box, odd=(None,))

    def moment(self, day: str) -> str | None:
        usual = (f"{day}T10:00:00Z", f"{day}T10:00:00.123Z", f"{day}T10:00:00.000000Z", f"{day}T10:00:00+02:00")
        return self.one(*usual, odd=(day, f"{day} 10:00:00", f"{day}T24:00:00Z", f"{day}T10:00:00", "soon", None))

    def asset(self, band: str, number: int) -> dict[str, Any]:
        stated = {
            "scale": self.one(1e-4, None, 2e-4, odd=(0.0,)),
            "offset": self.one(None, -0.1, 0.0),
            "nodata": self.one(None, 0.0, odd=(float("inf"), -1.0)),
        }
        return {
            "href": self.one(
                f"https://a.example/{number}/{band}.tif?x=1", f"./{band}.tif", f"file:///d/{band}.tif", odd=(None,)
            ),
            "type": self.one("image/tiff", None),
            "roles": self.one(["data"], None),
            "proj:transform": self.one([10.0, 0.0, 1000.0 * self.random.randint(0, 5), 0.0, -10.0, 5e6], odd=(None,)),
            "raster:bands": self.one([stated], None),
        }

    def row(self, number: int) -> dict[str, Any]:
        x, y = self.random.uniform(-170, 170), self.random.uniform(-80, 80)
        day = f"2023-{self.random.randint(1, 12):02d}-{self.random.randint(1, 28):02d}"
        outline = self.outline(x, y)
        return {
            "type": "Feature",
            "stac_version": self.one("1.0.0", "1.1.0", odd=("0.9.0", "7", None)),
            "stac_extensions": self.one(["https://stac-extensions.github.io/projection/v1.1.0/schema.json"], None),
            "id": self.one(f"S2A_33TUL_{number}", odd=(None, "", f"S2A_33TUL_{number - 1}")),
            "collection": self.one("sentinel-2-l2a", odd=("naip", None)),
            "geometry": self.one(shapely.to_wkb(outline), odd=(None, b"\x01\x02")),
            "bbox": self.bbox(outline),
            "datetime": self.moment(day),
            "start_datetime": f"{day}T00:00:00Z",
            "end_datetime": self.one(f"{day}T23:00:00+01:00", odd=(None,)),
            "created": self.one(dt.datetime(2023, 1, 1, number % 24, tzinfo=dt.UTC), None),
            "platform": self.one("sentinel-2a", odd=(None,)),
            "eo:cloud_cover": self.one(1.5, 99.0, None, odd=(float("inf"),)),
            "s2:processing_baseline": self.one("05.09", "02.00", None),
            "s2:mgrs_tile": self.one("33TUL", None),
            "proj:epsg": self.one(32633, odd=(None, 4326)),
            "proj:shape": [100, 100],
            "proj:transform": [20.0, 0.0, 3000.0, 0.0, -20.0, 5e6],
            "assets": self.one({b: self.one(self.asset(b, number), odd=(None,)) for b in (*BANDS, "SCL")}, odd=(None,)),
        }


def _plain(value: Any) -> Any:
    """JSON's types, without what is null."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, dt.datetime) else value


def read_singly(rows: list[dict[str, Any]], start: str, question: Question) -> tuple[list[Any], list[Any]]:
    """What pystac makes of each row, and what it refuses."""
    found, refused = [], []
    members = {"type", "stac_version", "stac_extensions", "id", "assets", "collection", "geometry", "bbox"}
    for row in rows:
        document = {"stac_version": "1.0.0", "links": []}
        document |= _plain({name: row[name] for name in members - {"geometry", "bbox"}})
        document["properties"] = {"datetime": None} | _plain({n: v for n, v in row.items() if n not in members})
        try:
            outline = None if row["geometry"] is None else shapely.from_wkb(row["geometry"])
            document["geometry"] = None if outline is None else json.loads(shapely.to_geojson(outline))
            if row["bbox"] is not None:
                document["bbox"] = [row["bbox"][side] for side in SIDES]
            item = item_of_row(document, outline, start)
        except (UnusableItemError, shapely.errors.ShapelyError) as err:
            refused.append((str(row["id"]), str(err)))
            continue
        if question.wants(item, outline):
            found.append(stated_by(item))
    return found, refused


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("bounds", "collection", "time"),
    [(EVERYWHERE, None, None), (HALF, "sentinel-2-l2a", "2023-03-01/2023-08-31")],
)
def test_a_table_has_the_items_that_pystac_finds_in_its_rows(tmp_path, seed, bounds, collection, time):
    odd = Odd(seed)
    table = tmp_path / "items.parquet"
    pq.write_table(pa.Table.from_pylist([odd.row(number) for number in range(400)]), table)
    rows = pq.read_table(table).to_pylist()
    question = Question(collection, bounds, *parse_time_range(time), time)
    skipped: list[tuple[str, str]] = []
    found = [item for items in items_of_table(str(table), question, skipped) for item in items]
    expected, refused = read_singly(copy.deepcopy(rows), str(table), question)
    assert 30 < len(expected) < 400
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(expected))
    assert set(skipped) <= set(refused), "what lies beside the question need not be looked at"
    if bounds == EVERYWHERE:
        assert skipped == refused


def _frozen_items(tmp_path: Path, seed: int) -> tuple[Any, Any]:
    odd = Odd(seed)
    table = tmp_path / "items.parquet"
    rows = [odd.row(number) | {"proj:epsg": 32633} for number in range(300)]
    pq.write_table(pa.Table.from_pylist(rows), table)
    spec = JobSpec(aoi="0,0,1,1", catalog=str(table), model="m", datetime=None)
    first = find_scenes(spec, EVERYWHERE, BANDS, allow_lacking=True)
    frozen = json.loads(json.dumps([dict(document) for document in first.documents]))
    return first, find_scenes(spec, EVERYWHERE, BANDS, frozen, allow_lacking=True)


def test_frozen_items_are_understood_as_they_were_at_first(tmp_path):
    first, again = _frozen_items(tmp_path, 7)
    assert len(first.items) > 100
    assert again.items == first.items
    assert [dict(item.document) for item in again.items] == [dict(item.document) for item in first.items]
    assert again.superseded == first.superseded


@pytest.mark.parametrize("size", [10, 10_000])
def test_documents_that_are_packed_together_are_those_that_were_packed(size):
    documents = [{"id": number, "words": f"{number} " * size} for number in range(150)]
    packer = Packer()
    packed = [PackedDocument(document, packer=packer) for document in documents]
    assert [dict(one) for one in packed] == documents
    sent = pickle.loads(pickle.dumps(packed))
    assert [dict(one) for one in reversed(sent)] == documents[::-1]
    assert len(pickle.dumps(packed)) < sum(len(json.dumps(document)) for document in documents) / 2 + 10_000


@pytest.mark.parametrize(
    "text", ["2023-02-28T10:00:00Z", "2023-06-01T10:00:00.5+02:00", "2023-06-01", "2023-06-01T24:00:00Z", "20230601T10"]
)
def test_instants_are_those_that_pystac_reads(text):
    import pystac

    assert parsed_moment(text) == pystac.utils.str_to_datetime(text)
    assert moment_of({"datetime": None, "start_datetime": text}) == pystac.utils.str_to_datetime(text).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


@pytest.mark.parametrize("text", ["2023-02-30T10:00:00Z", "soon", "", "٢٠٢٣-06-01T10:00:00Z"])
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        parsed_moment(text)
