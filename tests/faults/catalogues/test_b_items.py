"""Items that lack something, are none, lie about their place, or were replaced: cases 20 to 24."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from stac_api import EVERYWHERE, Api

import geoseg
from geoseg.demo import DemoCatalog
from geoseg.errors import CatalogError, ModelMismatchError, NothingToDoError
from geoseg.inputs import with_true_grids
from geoseg.load import Rasters
from geoseg.scenes import changes, find_scenes
from geoseg.scenes.catalogs import find_items
from tests.faults.catalogues.orders import BANDS, Ends, edit, found, item_paths, job, read_classes, refusal


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
