"""Catalogues that are away, empty, torn or wrong: cases 16, 17, 19 to 24 and 26."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import shape
from stac_api import EVERYWHERE, Api, serving

import geoseg
from geoseg.cli import main
from geoseg.demo import DemoCatalog, write_demo
from geoseg.errors import CatalogError, GeosegError, ModelMismatchError, NothingToDoError
from geoseg.inputs import with_true_grids
from geoseg.load import Rasters
from geoseg.remote import policy
from geoseg.scenes import Found, changes, find_scenes
from geoseg.scenes.catalogs import api, deadline, find_items
from geoseg.spec import JobSpec

BANDS = ("B02", "B04", "B11")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    """Two squares on three dates, 256 x 384 pixels in all."""
    return write_demo(tmp_path_factory.mktemp("demo"), shape=(256, 384), uav_shape=(256, 256))


@pytest.fixture
def server(demo: DemoCatalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Api]]]:
    """The demo behind an API whose faults cost no waiting."""
    monkeypatch.setattr(api, "_BACKOFF_S", 0)
    with serving(demo) as (address, handler):
        yield address, handler


def job(catalog: Path | str, **options: Any) -> JobSpec:
    options = {"datetime": "2021-01-01/2022-12-31", "collection": "sentinel-2-l2a", **options}
    return JobSpec.build(aoi="175,-40,176,-39", catalog=str(catalog), model="any", **options)


def found(catalog: Path | str, **options: Any) -> Found:
    return find_scenes(job(catalog), EVERYWHERE, BANDS, **options)


def refusal(kind: type[GeosegError], catalog: Path | str) -> GeosegError:
    with pytest.raises(kind) as refused:
        found(catalog)
    assert len(str(refused.value).splitlines()) == 3
    return refused.value


@pytest.fixture
def copy(demo: DemoCatalog, tmp_path: Path) -> Path:
    """A copy of the catalogue to be spoilt, with the files where they were."""
    shutil.copytree(demo.folder, tmp_path / "copy")
    return tmp_path / "copy"


type Ends = Callable[..., tuple[int, str]]


@pytest.fixture
def ends(capfd: pytest.CaptureFixture[str], demo: DemoCatalog, tmp_path: Path) -> Ends:
    """`geoseg run` of the demo's region on a catalogue; gives the exit status and what was said."""

    def call(catalog: Path | str, *words: str) -> tuple[int, str]:
        capfd.readouterr()
        request = ["--workflow", "demo", "--aoi", str(demo.region), "--catalog", str(catalog), "--device", "cpu"]
        with pytest.raises(SystemExit) as ended:
            main(["run", *request, "--out", str(tmp_path / "map"), "--quiet", *words])
        assert isinstance(ended.value.code, int)
        err = capfd.readouterr().err
        if ended.value.code:
            assert [line[:10].rstrip() for line in err.splitlines()] == ["given:", "expected:", "to do:"]
            assert not (tmp_path / "map" / "classes.tif").exists()
        return ended.value.code, err

    return call


def item_paths(folder: Path) -> list[Path]:
    return sorted(folder.rglob("S2*.json"))


def edit(path: Path, **changed: Any) -> dict[str, Any]:
    """Replace members of a document; ``None`` removes one. Dots lead into members."""
    document: dict[str, Any] = json.loads(path.read_text())
    for name, value in changed.items():
        *above, last = name.split("__")
        place = document
        for step in above:
            place = place[step]
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    path.write_text(json.dumps(document))
    return document


@pytest.mark.fault(16)
def test_fault_16_a_server_that_is_away_is_named_with_the_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_BACKOFF_S", 0)
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        err = refusal(CatalogError, f"http://{host}")
    assert err.exit_code == 1
    assert host in err.given
    assert f"{api._RETRIES + 1} attempts" in err.given
    assert "--catalog PATH" in err.todo


@pytest.mark.fault(16)
@pytest.mark.parametrize("fault", ["refused", "busy", "slow headers"])
def test_fault_16_the_command_line_ends_with_1_and_names_the_host(
    server: tuple[str, type[Api]], ends: Ends, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(deadline, "ANSWER_S", 0.1)
    address, handler = server
    handler.fault = "503" if fault == "busy" else fault
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}" if fault == "refused" else address
        status, said = ends(address)
    assert status == 1
    assert address.removeprefix("http://") in said
    assert ("503 Service Unavailable" if fault == "busy" else f"{api._RETRIES + 1} attempts") in said
    assert "--catalog PATH" in said


@pytest.mark.fault(16)
def test_fault_16_giving_up_takes_less_than_two_minutes() -> None:
    """The sum of what the settings allow at most; the waits are those of urllib3's documented formula."""
    waits = [0.0, *(api._BACKOFF_S * 2**n + api._BACKOFF_S for n in range(1, api._RETRIES))]
    assert (api._RETRIES + 1) * max(*api._TIMEOUT_S, deadline.ANSWER_S) + sum(waits) < 120
    assert api._QUESTION_S + (api._RETRIES + 1) * deadline._LEAST_S + sum(waits) < 120
    assert (api._RETRIES + 1) * 1 + api._RETRIES * api._LONGEST_WAIT_S < 120


@pytest.mark.fault(16)
def test_fault_16_an_answer_that_trickles_is_given_up(
    server: tuple[str, type[Api]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes well before the time limit of a read; all of them would take minutes."""
    monkeypatch.setattr(policy, "PATIENT", replace(policy.PATIENT, slow_after_s=0.2))
    server[1].broken = 1
    err = refusal(CatalogError, server[0])
    assert err.exit_code == 1
    assert server[0].removeprefix("http://") in err.given
    assert f"{api._BODY_TRIES} attempts: the server stalled" in err.given
    assert "--catalog PATH" in err.todo


@pytest.mark.fault(16)
@pytest.mark.parametrize("bound", ["of an answer", "of all answers"])
def test_fault_16_headers_that_trickle_are_given_up(
    server: tuple[str, type[Api]], monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Each byte comes well before the time limit of a read, and no header ends."""
    if bound == "of an answer":
        monkeypatch.setattr(deadline, "ANSWER_S", 0.1)
    else:
        monkeypatch.setattr(deadline, "_LEAST_S", 0.1)
        monkeypatch.setattr(api, "_QUESTION_S", 0.0)
    server[1].fault = "slow headers"
    err = refusal(CatalogError, server[0])
    assert err.exit_code == 1
    assert f"{server[0].removeprefix('http://')} gave no answer in {api._RETRIES + 1} attempts" in err.given
    assert "timed out" in err.given
    assert "--catalog PATH" in err.todo


@pytest.mark.fault(17)
def test_fault_17_a_server_that_trickles_after_an_empty_answer_is_not_waited_for(
    demo: DemoCatalog, server: tuple[str, type[Api]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tries of all further questions share one time; the question itself had another."""
    left: list[float] = []
    timer = deadline.threading.Timer

    def noted(seconds: float, *args: Any) -> Any:
        left.append(seconds)
        return timer(seconds, *args)

    monkeypatch.setattr(api, "_HINTS_S", 0.0)
    monkeypatch.setattr(deadline, "_LEAST_S", 0.25)
    monkeypatch.setattr(deadline.threading, "Timer", noted)
    with pytest.raises(NothingToDoError):
        find_scenes(job(server[0], datetime="2030-01-01/2030-12-31"), EVERYWHERE, BANDS)
    assert left[0] == deadline.ANSWER_S
    assert left[-1] == deadline._LEAST_S


@pytest.mark.fault(16)
def test_fault_16_a_header_that_trickled_once_is_asked_for_again(
    demo: DemoCatalog, server: tuple[str, type[Api]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "ANSWER_S", 1.0)
    handler = server[1]
    trickle = handler.trickle_headers

    def once(self: Api) -> None:
        handler.fault = ""
        trickle(self)

    monkeypatch.setattr(handler, "trickle_headers", once)
    handler.fault = "slow headers"
    assert len(find_items(server[0], "sentinel-2-l2a", EVERYWHERE, None).items) == len(demo.items)


@pytest.mark.fault(16)
@pytest.mark.parametrize("times", [1, 2])
def test_fault_16_an_answer_that_is_cut_short_is_asked_for_again(
    demo: DemoCatalog, server: tuple[str, type[Api]], times: int
) -> None:
    server[1].fault, server[1].broken = "cut short", times
    if times == 1:
        assert len(find_items(server[0], "sentinel-2-l2a", EVERYWHERE, None).items) == len(demo.items)
    else:
        assert "2 attempts: the answer broke off after" in refusal(CatalogError, server[0]).given


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    ("status", "said", "shown"),
    [
        ("404", "", "404 Not Found"),
        ("405", "", "405 Method Not Allowed"),
        ("401", "who are\nyou?", "401 Unauthorized: who are you?"),
        ("403", "https://x.org/search?sig=canary", "403 Forbidden: https://x.org/search"),
        ("503", "", "503 Service Unavailable"),
    ],
)
def test_fault_16_a_refusal_of_the_server_is_said_with_its_status(
    server: tuple[str, type[Api]], status: str, said: str, shown: str
) -> None:
    server[1].fault, server[1].words = status, said
    err = refusal(CatalogError, server[0])
    assert err.exit_code == 1
    assert err.given == f"--catalog {server[0]}: {shown}"


@pytest.mark.fault(17)
def test_fault_17_nothing_found_repeats_the_question_and_names_the_filter(
    demo: DemoCatalog, server: tuple[str, type[Api]]
) -> None:
    bounds = shape(json.loads(demo.items[0].read_text())["geometry"]).bounds
    for catalog in (str(demo.catalog), server[0]):
        with pytest.raises(NothingToDoError) as refused:
            find_scenes(job(catalog, datetime="2030-01-01/2030-12-31"), bounds, BANDS)
        err = refused.value
        assert err.exit_code == 3
        for words in (f"{abs(bounds[1]):.4f}", "2030-01-01/2030-12-31", "sentinel-2-l2a"):
            assert words in err.given
        assert "--datetime" in err.todo
        assert "--aoi" not in err.todo


@pytest.mark.fault(19)
@pytest.mark.parametrize("times", [1, 2])
def test_fault_19_a_page_that_fails_once_is_asked_again(
    demo: DemoCatalog, server: tuple[str, type[Api]], times: int
) -> None:
    server[1].failing = {2: times}  # the second page
    assert len(find_items(server[0], "sentinel-2-l2a", EVERYWHERE, None).items) == len(demo.items) == 6
    assert server[1].failing == {2: 0}


@pytest.mark.fault(19)
def test_fault_19_a_next_page_that_is_the_same_page_ends_with_1(server: tuple[str, type[Api]]) -> None:
    server[1].fault = "next is here"
    err = refusal(CatalogError, server[0])
    assert err.exit_code == 1
    assert "leads back to itself" in err.given


@pytest.mark.fault(20)
def test_fault_20_an_item_without_a_band_ends_with_2_unless_holes_are_allowed(copy: Path) -> None:
    path = item_paths(copy)[0]
    name = edit(path, assets__swir16=None)["id"]
    err = refusal(ModelMismatchError, copy)
    assert err.exit_code == 2
    assert "B11" in err.expected
    assert all(asset in err.given for asset in json.loads(path.read_text())["assets"])
    allowed = found(copy, allow_lacking=True)
    assert len(allowed.items) == 5
    assert [skipped for skipped, _ in allowed.skipped] == [name]


@pytest.mark.fault(20)
def test_fault_20_the_command_line_lists_the_assets_or_maps_what_there_is(
    copy: Path, tmp_path: Path, ends: Ends
) -> None:
    path = item_paths(copy)[0]
    document = edit(path, assets__swir16=None)
    status, said = ends(copy)
    assert status == 2
    assert all(asset in said.splitlines()[0] for asset in document["assets"])
    assert "B11" in said.splitlines()[1]
    assert "--max-failed" in said.splitlines()[2]
    assert ends(copy, "--max-failed", "0.5") == (0, "")
    skipped = json.loads((tmp_path / "map" / "report.json").read_text())["scenes_skipped"]
    assert [(entry["id"], "B11" in entry["reason"]) for entry in skipped] == [(document["id"], True)]


@pytest.mark.fault(20)
def test_fault_20_two_assets_for_one_band_end_with_2(copy: Path, ends: Ends) -> None:
    path = item_paths(copy)[0]
    assets = json.loads(path.read_text())["assets"]
    twin = {**assets["swir16"], "eo:bands": [{"name": "B11", "common_name": "swir16"}]}
    del assets["swir16"]
    edit(path, assets={**assets, "one": twin, "two": twin})
    err = refusal(ModelMismatchError, copy)
    assert err.exit_code == 2
    assert all(word in err.given for word in ("one", "two", "B11"))
    status, said = ends(copy)
    assert status == 2
    assert err.given in said.splitlines()[0]


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"geometry": None}, "no geometry"),
        ({"geometry": {"type": "Polygon"}}, "no valid STAC"),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, "extent"),
        ({"properties__datetime": None}, "datetime"),
        ({"properties__datetime": "yesterday"}, "no valid STAC"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [10.0, 10.0, 11.0, 11.0]}, "bbox"),
        ({"bbox": [0.0, 5.0, 1.0, 2.0]}, "bbox"),
        ({"stac_version": "9.9.9"}, "version"),
    ],
)
def test_fault_21_an_item_that_is_no_item_is_skipped_with_its_reason(
    copy: Path, changed: dict[str, Any], reason: str
) -> None:
    first, *others = item_paths(copy)
    name = edit(first, **changed)["id"]
    rest = found(copy)
    assert len(rest.items) == 5
    assert [(skipped, reason in words) for skipped, words in rest.skipped] == [(name, True)]
    for path in others:
        edit(path, **changed)
    err = refusal(NothingToDoError, copy)
    assert err.exit_code == 3
    assert reason in err.given


@pytest.mark.fault(21)
def test_fault_21_what_is_no_item_in_an_answer_is_skipped_with_its_reason(server: tuple[str, type[Api]]) -> None:
    address, handler = server
    items = handler.items
    handler.strays, handler.page = (None, 5, ["S2"], {"id": "x"}), 100
    search = find_items(address, "sentinel-2-l2a", EVERYWHERE, None)
    assert len(search.items) == len(items)
    assert len(search.skipped) == 4
    assert [words for name, words in search.skipped if name != "x"] == [
        "no object but None", "no object but 5", "no object but ['S2']"
    ]  # fmt: skip
    handler.items = ()
    err = refusal(NothingToDoError, address)
    assert err.exit_code == 3
    assert "no object but None" in err.given


@pytest.mark.fault(21)
@pytest.mark.parametrize("fault", ["a list", "odd links"])
def test_fault_21_answers_that_are_no_pages_are_refused_or_read(server: tuple[str, type[Api]], fault: str) -> None:
    address, handler = server
    handler.fault = fault
    if fault == "a list":
        err = refusal(CatalogError, address)
        assert err.exit_code == 1
        assert "a list instead of an object" in err.given
    else:
        handler.page = 100
        assert len(find_items(address, "sentinel-2-l2a", EVERYWHERE, None).items) == len(handler.items)


@pytest.mark.fault(22)
def test_fault_22_files_are_believed_and_the_plan_is_made_from_them(copy: Path) -> None:
    """The claim is a kilometre off; read where the file lies, every pixel is that of the undisturbed item."""
    clean = found(copy)
    for path in item_paths(copy):
        document = json.loads(path.read_text())
        for asset in document["assets"].values():
            if "proj:transform" in asset:
                asset["proj:transform"][2] += 1000.0
        if "proj:transform" in document["properties"]:
            document["properties"]["proj:transform"][2] += 1000.0
        path.write_text(json.dumps(document))
    items, warnings = with_true_grids(found(copy).items, Rasters())
    assert len(warnings) == 6
    assert all("the files are believed" in warning for warning in warnings)
    assert [item.geobox for item in items] == [item.geobox for item in clean.items]
    for item in items:
        with rasterio.open(item.bands["B04"].href) as file:
            claimed = item.document["assets"][item.bands["B04"].asset]["proj:transform"]
            assert Affine(*claimed[:6]) == file.transform


@pytest.mark.fault(23)
@pytest.mark.parametrize("spelt", ["02.00", "N0200"])
def test_fault_23_of_two_processings_the_newer_one_is_used(copy: Path, spelt: str, tmp_path: Path, ends: Ends) -> None:
    if spelt == "02.00":
        assert ends(copy) == (0, "")
        undisturbed = read_classes(tmp_path / "map")
    clean = found(copy)
    path = item_paths(copy)[0]
    document = json.loads(path.read_text())
    older = {**document, "id": document["id"].replace("_0_", "_9_")}  # its id comes last
    older["properties"] = {**document["properties"], "s2:processing_baseline": spelt}
    (path.parent / "older.json").write_text(json.dumps(older))
    above = next(p for p in (path.parent / "collection.json", path.parent.parent / "collection.json") if p.is_file())
    links = json.loads(above.read_text())["links"]
    edit(above, links=[*links, {"rel": "item", "href": os.path.relpath(path.parent / "older.json", above.parent)}])
    both = found(copy)
    assert [item.id for item in both.items] == [item.id for item in clean.items]
    assert both.superseded == ((older["id"], f"superseded by {document['id']}"),)
    assert len(both.documents) == 7
    if spelt == "02.00":
        assert ends(copy, "--update") == (0, "")
        np.testing.assert_array_equal(read_classes(tmp_path / "map"), undisturbed)
        report = json.loads((tmp_path / "map" / "report.json").read_text())
        assert older["id"] in json.dumps(report["scenes_skipped"])


def read_classes(folder: Path) -> np.ndarray:
    with rasterio.open(folder / "classes.tif") as file:
        return file.read(1)


@pytest.mark.fault(24)
def test_fault_24_a_job_keeps_its_items_until_it_is_told_to_search_anew(copy: Path) -> None:
    first = found(copy)
    frozen = json.loads(json.dumps(first.documents, default=dict))
    path = item_paths(copy)[0]
    gone = json.loads(item_paths(copy)[1].read_text())["id"]
    item_paths(copy)[1].unlink()
    changed = edit(path, properties__updated="2030-01-01T00:00:00Z")["id"]
    kept = find_scenes(job(copy), EVERYWHERE, BANDS, frozen)
    assert [item.id for item in kept.items] == [item.id for item in first.items]
    words = changes(frozen, found(copy).documents)
    assert f"1 gone ({gone})" in words
    assert f"1 changed ({changed})" in words
    assert "new" not in words
    signed = json.loads(json.dumps(frozen).replace(".tif", ".tif?sig=1"))
    assert changes(frozen, signed) == ""


@pytest.mark.fault(24)
def test_fault_24_a_new_search_says_what_changed_and_computes_only_that(
    copy: Path, demo: DemoCatalog, tmp_path: Path
) -> None:
    """What is frozen comes back from the job's file; one square of two changes, in half of the tiles and the seam."""
    asked: dict[str, Any] = {"aoi": str(demo.region), "catalog": str(copy), "workflow": "demo", "tile_size": 64}
    asked |= {"out": tmp_path / "map", "cache": tmp_path / "cache", "device": "cpu"}
    total = geoseg.run(**asked).report["tiles"]["total"]
    same = geoseg.run(**asked, update=True).report
    assert same["tiles"]["reused"] == total
    assert not [note for note in same["notes"] if "last search" in note]
    name = edit(item_paths(copy)[0], properties__updated="2030-01-01T00:00:00Z")["id"]
    touched = geoseg.run(**asked, update=True).report
    assert f"since the last search: 1 changed ({name})" in touched["notes"]
    assert 0 < touched["tiles"]["computed"] < total
    assert touched["tiles"]["computed"] + touched["tiles"]["reused"] == total


@pytest.mark.fault(26)
def test_fault_26_links_of_every_kind_are_followed_and_loops_end(copy: Path, tmp_path: Path, ends: Ends) -> None:
    """Relative, absolute, through `..`, as a file address; one that is broken, and one that leads back."""
    nested = tmp_path / "elsewhere" / "nested"
    nested.mkdir(parents=True)
    paths = item_paths(copy)
    hrefs = [
        os.path.relpath(paths[0], nested),
        str(paths[1]),
        paths[2].as_uri(),
        f"../nested/{'../' * 2}copy/catalog.json",
    ]
    links = [{"rel": "item", "href": href} for href in hrefs[:3]]
    links += [{"rel": "child", "href": hrefs[3]}, {"rel": "item", "href": "./gone.json"}]
    links += [{"rel": "child", "href": "./catalog.json"}, {"rel": "child", "href": "../nested/catalog.json"}]
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "outer", "description": "-", "links": links}
    (nested / "catalog.json").write_text(json.dumps(catalog))
    inner = json.loads((copy / "catalog.json").read_text())
    inner["links"].append({"rel": "child", "href": str(nested / "catalog.json")})
    (copy / "catalog.json").write_text(json.dumps(inner))
    search = find_items(str(nested), None, EVERYWHERE, None)
    assert len(search.items) == 6
    for item in search.items:
        assert all(Path(asset.href).is_file() for asset in item.assets.values())
    ((name, reason),) = search.skipped
    assert name == str(nested / "gone.json")
    assert "catalog.json" in reason
    assert ends(nested) == (0, "")
    skipped = json.loads((tmp_path / "map" / "report.json").read_text())["scenes_skipped"]
    assert [entry["id"] for entry in skipped] == [str(nested / "gone.json")]
    through = read_classes(tmp_path / "map")
    assert ends(copy, "--fresh") == (0, "")
    np.testing.assert_array_equal(read_classes(tmp_path / "map"), through)


@pytest.mark.fault(26)
def test_fault_26_a_catalogue_of_broken_links_alone_names_them_and_ends_with_3(copy: Path, ends: Ends) -> None:
    for path in item_paths(copy):
        path.unlink()
    status, said = ends(copy)
    assert status == 3
    assert "S2" in said
    assert "leads to nothing readable" in said


@pytest.fixture
def stac_server(demo: DemoCatalog, tmp_path: Path) -> Iterator[str]:
    """The demo's items behind rustac's API."""
    documents = [
        item.to_dict(include_self_link=False, transform_hrefs=False)
        for item in find_items(str(demo.catalog), None, EVERYWHERE, None).items
    ]
    items = tmp_path / "items.json"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": documents}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    program = Path(sys.executable).with_name("rustac")
    command = [program, "serve", items, "--create-collections", "--addr", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(f"http://{address}", process)
            yield f"http://{address}"
        finally:
            process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("rustac serves nothing")


@pytest.mark.slow
def test_one_job_from_a_folder_a_table_and_a_server_gives_the_same_pixels(
    demo: DemoCatalog, stac_server: str, tmp_path: Path
) -> None:
    """Each with a cache of its own, so that nothing is taken over; the table is written by rustac."""
    documents = [
        item.to_dict(include_self_link=False, transform_hrefs=False)
        for item in find_items(str(demo.catalog), None, EVERYWHERE, None).items
    ]
    (tmp_path / "plain.json").write_text(json.dumps({"type": "FeatureCollection", "features": documents}))
    table = tmp_path / "items.parquet"
    rustac = Path(sys.executable).with_name("rustac")
    subprocess.run([rustac, "translate", tmp_path / "plain.json", table], check=True, timeout=60)
    catalogs = {"folder": str(demo.catalog), "list": str(tmp_path / "plain.json"), "table": str(table)}
    maps = {}
    for name, catalog in {**catalogs, "server": stac_server}.items():
        result = geoseg.run(
            aoi=str(demo.region),
            catalog=catalog,
            workflow="demo",
            out=tmp_path / name,
            cache=tmp_path / f"cache-{name}",
        )
        with rasterio.open(result.out / "classes.tif") as file:
            maps[name] = (file.read(1), file.transform, file.crs)
        assert result.report["tiles"]["reused"] == 0
    first, *others = maps.values()
    assert (first[0] < 250).any()
    for pixels, transform, crs in others:
        np.testing.assert_array_equal(pixels, first[0])
        assert (transform, crs) == first[1:]
