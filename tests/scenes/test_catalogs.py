"""Catalogues to items: on disk, and behind an address that answers like one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import box, shape
from stac_api import EVERYWHERE, Api, serving

from geoseg.demo import DemoCatalog
from geoseg.errors import CatalogError, ModelMismatchError, NothingToDoError, RequestError
from geoseg.scenes import find_scenes, group_scenes, order_scenes
from geoseg.scenes.catalogs import find_items
from geoseg.spec import JobSpec
from geoseg.timerange import parse_time_range

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
        items = find_items(str(catalog), None, EVERYWHERE, None).items
        assert names(items) == sorted(document["id"] for document in documents(demo))
        assert all(Path(asset.href).is_file() for item in items for asset in item.assets.values())


def test_links_are_followed_wherever_the_catalogue_lies(
    demo: DemoCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(demo.folder, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    items = find_items("elsewhere/catalog.json", None, EVERYWHERE, None).items
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
        assert names(find_items(str(demo.catalog), None, bounds, None).items) == expected
    assert 0 < len(find_items(str(demo.catalog), None, (west, south, west + narrow, north), None).items) < 6


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
    found = find_items(str(demo.catalog), None, EVERYWHERE, range_).items
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
    assert len(find_items(str(demo.catalog), "sentinel-2-l2a", EVERYWHERE, None).items) == 6
    assert find_items(str(demo.catalog), "sentinel-2-l1c", EVERYWHERE, None).items == []
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


def test_items_that_lack_a_band_are_skipped_with_the_reason_where_holes_are_allowed(
    demo: DemoCatalog, tmp_path: Path
) -> None:
    shutil.copytree(demo.folder, tmp_path, dirs_exist_ok=True)
    path = next(iter(sorted(tmp_path.rglob("S2*.json"))))
    document = json.loads(path.read_text())
    del document["assets"]["swir16"]
    path.write_text(json.dumps(document))
    with pytest.raises(ModelMismatchError):
        find_scenes(job(tmp_path), EVERYWHERE, BANDS)
    found = find_scenes(job(tmp_path), EVERYWHERE, BANDS, allow_lacking=True)
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


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({"datetime": "2025-01-01/2025-12-31"}, "--datetime"),
        ({"collection": "landsat-c2-l2"}, "--collection"),
        ({}, ""),
    ],
)
def test_nothing_found_at_an_api_names_the_filter_that_is_in_the_way(
    demo: DemoCatalog, api: tuple[str, type[Api]], options: dict[str, str], way: str
) -> None:
    inside = shape(documents(demo)[0]["geometry"]).bounds
    err = nothing(api[0], inside if way else (12.0, 0.0, 13.0, 1.0), **options)
    assert api[1].asked <= 2 + 1 + 3  # a landing page and no item; again, and three questions
    assert [name for name in ("--datetime", "--collection", "--aoi") if name in err.todo] == (
        [way] if way else ["--datetime", "--collection", "--aoi"]
    )


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
    frozen = [json.loads(json.dumps(dict(item.document))) for item in first.items]
    again = find_scenes(job("/no/such/catalog.json"), EVERYWHERE, BANDS, frozen)
    assert [(i.id, i.bands, i.geobox) for i in again.items] == [(i.id, i.bands, i.geobox) for i in first.items]


def ruin(folder: Path, what: str) -> Path:
    """A catalogue with one fault; returns what to open."""
    catalog = folder / "catalog.json"
    if what == "missing":
        catalog.unlink()
    else:
        catalog.write_text("{" if what == "not JSON" else '{"type": "Topology", "objects": {}}')
    return catalog


@pytest.mark.parametrize(
    "what",
    ["missing", "not JSON", "not STAC"],
)
def test_a_broken_catalogue_is_refused_in_three_lines(demo: DemoCatalog, tmp_path: Path, what: str) -> None:
    shutil.copytree(demo.folder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.tif"))
    with pytest.raises(CatalogError) as refused:
        find_items(str(ruin(tmp_path, what)), None, EVERYWHERE, None)
    assert len(str(refused.value).splitlines()) == 3


@pytest.fixture
def api(demo: DemoCatalog) -> Iterator[tuple[str, type[Api]]]:
    """The demo's items behind an address of this machine; each test has a server of its own."""
    with serving(demo) as server:
        yield server


@pytest.mark.parametrize("range_", [None, "2021-12-20/2022-12-31"])
def test_an_api_gives_the_items_of_the_same_catalogue_on_disk(
    demo: DemoCatalog, api: tuple[str, type[Api]], range_: str | None
) -> None:
    outline = shape(documents(demo)[0]["geometry"]).bounds
    bounds = (outline[0], outline[1], outline[0] + 1e-4, outline[3])
    for limits in (EVERYWHERE, bounds):
        here = find_items(str(demo.catalog), "sentinel-2-l2a", limits, range_).items
        there = find_items(api[0], "sentinel-2-l2a", limits, range_).items
        assert names(there) == names(here) != []
        hrefs = [[{k: a.href for k, a in item.assets.items()} for item in found] for found in (here, there)]
        assert hrefs[0] == hrefs[1]


@pytest.mark.parametrize("range_", [None, "2021-12-20/2022-12-31"])
def test_an_api_that_offers_no_post_is_asked_with_get(
    demo: DemoCatalog, api: tuple[str, type[Api]], range_: str | None
) -> None:
    address, handler = api
    handler.fault = "only GET"
    here, there = (
        find_items(catalog, "sentinel-2-l2a", EVERYWHERE, range_) for catalog in (str(demo.catalog), address)
    )
    assert names(there.items) == names(here.items) != []
    inside = shape(documents(demo)[0]["geometry"]).bounds
    assert "--datetime" in nothing(address, inside, datetime="2025-01-01/2025-12-31").todo


def test_an_api_and_a_folder_give_a_job_the_same_scenes(demo: DemoCatalog, api: tuple[str, type[Api]]) -> None:
    here, there = (find_scenes(job(catalog), EVERYWHERE, BANDS) for catalog in (demo.catalog, api[0]))
    facts = [[(i.id, i.bands, i.mask, i.geobox, i.version, i.licence) for i in found.items] for found in (here, there)]
    assert facts[0] == facts[1]
    assert {item.licence for item in there.items} == {"Apache-2.0"}


def test_a_job_goes_on_with_its_items_when_the_server_is_gone(api: tuple[str, type[Api]]) -> None:
    first = find_scenes(job(api[0]), EVERYWHERE, BANDS)
    asked = api[1].asked
    again = find_scenes(job(api[0]), EVERYWHERE, BANDS, json.loads(json.dumps(first.documents, default=dict)))
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


@pytest.mark.parametrize("fault", ["no API", "no search", "not JSON", "no conformance"])
@pytest.mark.filterwarnings("error::UserWarning")
def test_an_address_that_is_no_api_is_refused_in_three_lines(api: tuple[str, type[Api]], fault: str) -> None:
    """And nothing stands beside them: a warning would be an error here."""
    api[1].fault = fault
    with pytest.raises(CatalogError) as refused:
        find_items(api[0], "sentinel-2-l2a", EVERYWHERE, None)
    assert len(str(refused.value).splitlines()) == 3
    assert api[0] in str(refused.value)
