"""Catalogues to items: on disk, and behind an address that answers like one."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from shapely.geometry import box, shape

from geoseg.demo import DemoCatalog
from geoseg.errors import CatalogError, ModelMismatchError, NothingToDoError, RequestError
from geoseg.scenes import find_scenes, group_scenes, order_scenes
from geoseg.scenes.catalog import find_items, parse_time_range
from geoseg.spec import JobSpec

EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)
AOI = {"type": "Polygon", "coordinates": [[[175.0, -40.0], [176.0, -40.0], [176.0, -39.0], [175.0, -40.0]]]}
BANDS = ("B02", "B04", "B11")


def job(catalog: Path | str, **options: Any) -> JobSpec:
    options = {"datetime": "2021-01-01/2022-12-31", "collection": "sentinel-2-l2a", **options}
    return JobSpec.build(aoi=AOI, catalog=str(catalog), model="any", **options)


def names(items: Any) -> list[str]:
    return [item.id for item in items]


def documents(demo: DemoCatalog) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in demo.items]


def test_every_item_is_found_in_order_with_files_that_exist(demo: DemoCatalog) -> None:
    for catalog in (demo.catalog, demo.folder):
        items = find_items(str(catalog), None, EVERYWHERE, None)
        assert names(items) == sorted(document["id"] for document in documents(demo))
        assert all(Path(asset.href).is_file() for item in items for asset in item.assets.values())


def test_links_are_followed_wherever_the_catalogue_lies(
    demo: DemoCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(demo.folder, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    items = find_items("elsewhere/catalog.json", None, EVERYWHERE, None)
    assert len(items) == 6
    for item in items:
        for asset in item.assets.values():
            assert Path(asset.href).resolve().is_relative_to((tmp_path / "elsewhere").resolve())
            assert Path(asset.href).is_file()


def test_boxes_choose_by_outline(demo: DemoCatalog) -> None:
    whole = {document["id"]: shape(document["geometry"]) for document in documents(demo)}
    west, south, east, north = (f(g.bounds[i] for g in whole.values()) for i, f in enumerate((min, min, max, max)))
    narrow = (east - west) / 20
    for bounds in (
        (west, south, west + narrow, north),
        (east - narrow, south, east, north),
        ((west + east) / 2, south, (west + east) / 2 + 1e-6, north),
        (east + narrow, south, east + 2 * narrow, north),
    ):
        expected = sorted(name for name, outline in whole.items() if outline.intersects(box(*bounds)))
        assert names(find_items(str(demo.catalog), None, bounds, None)) == expected
    assert 0 < len(find_items(str(demo.catalog), None, (west, south, west + narrow, north), None)) < 6


@pytest.mark.parametrize(
    ("range_", "dates"),
    [
        (None, 3),
        ("../..", 3),
        ("2021-12-19/2021-12-19", 1),
        ("2021-12-19", 1),
        ("2021-12-20/2022-12-31", 2),
        ("2021-12-20/..", 2),
        ("../2021-12-18", 0),
        ("2021-12-19T00:00:00Z/2021-12-19T23:59:59Z", 1),
        ("2021-12-19T23:59:00Z/..", 2),
    ],
)
def test_time_ranges_include_both_ends(demo: DemoCatalog, range_: str | None, dates: int) -> None:
    found = find_items(str(demo.catalog), None, EVERYWHERE, range_)
    expected = {document["properties"]["datetime"] for document in documents(demo)}
    assert min(expected).startswith("2021-12-19")
    assert len({item.datetime for item in found}) == dates


@pytest.mark.parametrize("text", ["yesterday", "2022-13-01/..", "2022-01-01/2022-02-30"])
def test_what_is_no_time_range_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_time_range(text)
    assert text in str(refused.value)
    assert len(str(refused.value).splitlines()) == 3


def test_another_collection_has_nothing(demo: DemoCatalog) -> None:
    assert len(find_items(str(demo.catalog), "sentinel-2-l2a", EVERYWHERE, None)) == 6
    assert find_items(str(demo.catalog), "sentinel-2-l1c", EVERYWHERE, None) == []
    with pytest.raises(NothingToDoError) as nothing:
        find_scenes(job(demo.catalog, collection="sentinel-2-l1c"), EVERYWHERE, BANDS)
    assert "sentinel-2-l1c" in str(nothing.value)


def test_offsets_follow_the_processing_baseline(demo: DemoCatalog) -> None:
    found = find_scenes(job(demo.catalog), EVERYWHERE, BANDS)
    stated = {d["id"]: d["properties"]["s2:processing_baseline"] for d in documents(demo)}
    assert {baseline >= "04.00" for baseline in stated.values()} == {True, False}
    for item in found.items:
        offsets = {source.offset for source in item.bands.values()}
        assert offsets == ({-0.1} if stated[item.id] >= "04.00" else {0.0})
        assert {source.scale for source in item.bands.values()} == {1e-4}
        assert item.mask is not None
        assert item.geobox.resolution.x == 10


def test_an_offset_that_was_taken_away_stays_away(demo: DemoCatalog, tmp_path: Path) -> None:
    shutil.copytree(demo.folder, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("S2*.json"):
        document = json.loads(path.read_text())
        document["properties"]["earthsearch:boa_offset_applied"] = True
        path.write_text(json.dumps(document))
    found = find_scenes(job(tmp_path), EVERYWHERE, BANDS)
    assert {source.offset for item in found.items for source in item.bands.values()} == {0.0}


def test_a_missing_band_is_refused_with_what_there_is(demo: DemoCatalog) -> None:
    with pytest.raises(ModelMismatchError) as refused:
        find_scenes(job(demo.catalog), EVERYWHERE, ("B04", "B10"))
    text = str(refused.value)
    assert "B10" in text
    assert all(key in text for key in documents(demo)[0]["assets"])
    assert len(text.splitlines()) == 3
    assert refused.value.exit_code == 2


def test_items_that_lack_a_band_are_skipped_with_the_reason(demo: DemoCatalog, tmp_path: Path) -> None:
    shutil.copytree(demo.folder, tmp_path, dirs_exist_ok=True)
    path = next(iter(sorted(tmp_path.rglob("S2*.json"))))
    document = json.loads(path.read_text())
    del document["assets"]["swir16"]
    path.write_text(json.dumps(document))
    found = find_scenes(job(tmp_path), EVERYWHERE, BANDS)
    assert len(found.items) == 5
    ((name, reason),) = found.skipped
    assert name == document["id"]
    assert "B11" in reason


def nothing(catalog: Path | str, bounds: tuple[float, float, float, float], **options: Any) -> NothingToDoError:
    with pytest.raises(NothingToDoError) as refused:
        find_scenes(job(catalog, **options), bounds, BANDS)
    return refused.value


def test_nothing_found_says_what_there_is_and_which_of_the_two_does_not_fit(demo: DemoCatalog) -> None:
    outline = shape(documents(demo)[0]["geometry"]).bounds
    moved = nothing(demo.catalog, (12.345678901234567, -0.5, 13.0, 0.25))
    assert "longitude 12.3457 E to 13.0000 E, latitude 0.5000 S to 0.2500 N" in moved.given
    assert "sentinel-2-l2a, 2021-12-19 to 2022-02-07" in moved.expected
    assert f"{outline[0]:.1f}" in moved.expected
    assert "--aoi" in moved.todo
    assert "--datetime" not in moved.todo
    late = nothing(demo.catalog, outline, datetime="2025-01-01/2025-12-31")
    assert "--datetime" in late.todo
    assert "--aoi" not in late.todo
    other = nothing(demo.catalog, outline, collection="landsat-c2-l2")
    assert "landsat-c2-l2" in other.given
    assert "--collection" in other.todo
    assert "--aoi" not in other.todo


def test_nothing_found_at_an_api_asks_it_nothing_more(api: tuple[str, type[Api]]) -> None:
    err = nothing(api[0], (12.0, 0.0, 13.0, 1.0))
    assert api[1].asked == 2  # the landing page, one page of nothing
    assert "--datetime" in err.todo


def test_squares_of_one_pass_are_one_scene(demo: DemoCatalog) -> None:
    found = find_scenes(job(demo.catalog), EVERYWHERE, BANDS)
    scenes = group_scenes(found.items)
    assert [len(scene.items) for scene in scenes] == [2, 2, 2]
    moments = [scene.datetime for scene in order_scenes(scenes, "first")]
    assert moments == sorted(moments, reverse=True)
    clouds = [item.cloud_cover_percent for scene in order_scenes(scenes, "least-cloudy") for item in scene.items]
    assert clouds == sorted(clouds)


def test_frozen_documents_ask_no_catalogue(demo: DemoCatalog) -> None:
    first = find_scenes(job(demo.catalog), EVERYWHERE, BANDS)
    frozen = [json.loads(json.dumps(item.document)) for item in first.items]
    again = find_scenes(job("/no/such/catalog.json"), EVERYWHERE, BANDS, frozen)
    assert [(i.id, i.bands, i.geobox) for i in again.items] == [(i.id, i.bands, i.geobox) for i in first.items]


def ruin(folder: Path, what: str) -> Path:
    """A catalogue with one fault; returns what to open."""
    catalog, item = folder / "catalog.json", next(iter(sorted(folder.rglob("S2*.json"))))
    if what == "missing":
        catalog.unlink()
    elif what == "not JSON":
        catalog.write_text("{")
    elif what == "not STAC":
        catalog.write_text('{"type": "FeatureCollection", "features": []}')
    elif what == "missing item":
        item.unlink()
    elif what == "torn item":
        item.write_text(item.read_text()[:300])
    elif what == "item for a catalogue":
        return item
    elif what == "no outline":
        item.write_text(json.dumps({**json.loads(item.read_text()), "geometry": {"type": "Polygon"}}))
    elif what == "no fields":
        item.write_text('{"type": "Feature", "stac_version": "1.0.0"}')
    return catalog


@pytest.mark.parametrize(
    "what",
    [
        "missing",
        "not JSON",
        "not STAC",
        "missing item",
        "torn item",
        "item for a catalogue",
        "no outline",
        "no fields",
    ],
)
def test_a_broken_catalogue_is_refused_in_three_lines(demo: DemoCatalog, tmp_path: Path, what: str) -> None:
    shutil.copytree(demo.folder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.tif"))
    with pytest.raises(CatalogError) as refused:
        find_items(str(ruin(tmp_path, what)), None, EVERYWHERE, None)
    assert len(str(refused.value).splitlines()) == 3


class Api(BaseHTTPRequestHandler):
    """A STAC API of two items a page, by POST and by GET."""

    items: tuple[dict[str, Any], ...] = ()
    collection: Mapping[str, Any] = {}
    fault = ""
    page = 2
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        parts = urlsplit(self.path)
        if parts.path.startswith("/collections/"):
            self.answer(self.collection, 404 if self.fault == "no collection" else 200)
        elif parts.path.endswith("/search"):
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            query["bbox"] = [float(v) for v in query["bbox"].split(",")] if "bbox" in query else None
            query["collections"] = query["collections"].split(",") if "collections" in query else None
            self.search(query)
        else:
            self.landing()

    def do_POST(self) -> None:
        type(self).asked += 1
        self.search(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    @property
    def root(self) -> str:
        host, port = self.server.server_address[:2]
        return f"http://{host}:{port}"

    def landing(self) -> None:
        if self.fault == "no API":
            self.answer({"message": "hello"})
            return
        core, search = ("https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search")
        conforms = [] if self.fault == "no search" else [core, search]
        links = [{"rel": "self", "href": self.root}, {"rel": "root", "href": self.root}]
        links += [
            {"rel": "search", "href": f"{self.root}/search", "type": "application/geo+json", "method": method}
            for method in ("GET", "POST")
            if self.fault != "no search"
        ]
        body = {"type": "Catalog", "stac_version": "1.0.0", "id": "api", "description": "-"}
        self.answer({**body, "conformsTo": conforms, "links": links})

    def search(self, query: dict[str, Any]) -> None:
        if self.fault == "500":
            self.answer({"code": "broken"}, 500)
            return
        if self.fault == "not JSON":
            self.answer("<html>")
            return
        found = [item for item in self.items if self.wanted(item, query)]
        start = int(query.get("token") or 0)
        links = []
        if start + self.page < len(found):
            body = {**query, "token": str(start + self.page)}
            links = [{"rel": "next", "href": f"{self.root}/search", "method": "POST", "body": body}]
        linked = [{"rel": "collection", "href": f"{self.root}/collections/sentinel-2-l2a"}]
        page = [{**item, "links": linked} for item in found[start : start + self.page]]
        self.answer({"type": "FeatureCollection", "features": page, "links": links})

    def wanted(self, item: dict[str, Any], query: dict[str, Any]) -> bool:
        if query.get("collections") and item["collection"] not in query["collections"]:
            return False
        if query.get("bbox") and not shape(item["geometry"]).intersects(box(*query["bbox"])):
            return False
        start, _, end = (query.get("datetime") or "../..").partition("/")
        moment = item["properties"]["datetime"]
        return (start == ".." or moment >= start) and (end == ".." or moment <= end)

    def answer(self, body: Any, status: int = 200) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def api(demo: DemoCatalog) -> Iterator[tuple[str, type[Api]]]:
    """The demo's items behind an address of this machine; each test has a server of its own."""
    items = tuple(
        item.to_dict(include_self_link=False, transform_hrefs=False)
        for item in find_items(str(demo.catalog), None, EVERYWHERE, None)
    )
    for item in items:
        del item["properties"]["license"]  # the collection states it
    collection = json.loads((demo.folder / "sentinel-2-l2a" / "collection.json").read_text())
    handler = type("ThisApi", (Api,), {"items": items, "collection": {**collection, "links": []}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("range_", [None, "2021-12-20/2022-12-31"])
def test_an_api_gives_the_items_of_the_same_catalogue_on_disk(
    demo: DemoCatalog, api: tuple[str, type[Api]], range_: str | None
) -> None:
    outline = shape(documents(demo)[0]["geometry"]).bounds
    bounds = (outline[0], outline[1], outline[0] + 1e-4, outline[3])
    for limits in (EVERYWHERE, bounds):
        here = find_items(str(demo.catalog), "sentinel-2-l2a", limits, range_)
        there = find_items(api[0], "sentinel-2-l2a", limits, range_)
        assert names(there) == names(here) != []
        hrefs = [[{k: a.href for k, a in item.assets.items()} for item in found] for found in (here, there)]
        assert hrefs[0] == hrefs[1]


def test_an_api_and_a_folder_give_a_job_the_same_scenes(demo: DemoCatalog, api: tuple[str, type[Api]]) -> None:
    here, there = (find_scenes(job(catalog), EVERYWHERE, BANDS) for catalog in (demo.catalog, api[0]))
    facts = [[(i.id, i.bands, i.mask, i.geobox, i.version, i.licence) for i in found.items] for found in (here, there)]
    assert facts[0] == facts[1]
    assert {item.licence for item in there.items} == {"Apache-2.0"}


def test_a_job_goes_on_with_its_items_when_the_server_is_gone(api: tuple[str, type[Api]]) -> None:
    first = find_scenes(job(api[0]), EVERYWHERE, BANDS)
    asked = api[1].asked
    again = find_scenes(job(api[0]), EVERYWHERE, BANDS, json.loads(json.dumps(first.documents)))
    assert api[1].asked == asked > 0
    facts = [[(i.id, i.bands, i.mask, i.geobox, i.version, i.licence) for i in found.items] for found in (first, again)]
    assert facts[0] == facts[1]


def test_a_collection_is_asked_once(api: tuple[str, type[Api]]) -> None:
    find_scenes(job(api[0]), EVERYWHERE, BANDS)
    assert api[1].asked == 5  # the landing page, three pages, the collection


def test_items_whose_collection_cannot_be_had_are_items_all_the_same(api: tuple[str, type[Api]]) -> None:
    api[1].fault = "no collection"
    found = find_scenes(job(api[0]), EVERYWHERE, BANDS)
    assert len(found.items) == 6
    assert {item.licence for item in found.items} == {""}


@pytest.mark.parametrize("fault", ["no API", "no search", "not JSON"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_address_that_is_no_api_is_refused_in_three_lines(api: tuple[str, type[Api]], fault: str) -> None:
    api[1].fault = fault
    with pytest.raises(CatalogError) as refused:
        find_items(api[0], "sentinel-2-l2a", EVERYWHERE, None)
    assert len(str(refused.value).splitlines()) == 3
    assert api[0] in str(refused.value)
