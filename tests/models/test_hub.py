"""``hf:ORG/NAME``: found by its commit, checked, kept; another model under the same name is noticed."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import stamina
import worlds
from huggingface_hub import constants

import geoseg
from geoseg.errors import ModelSpecError, RequestError, UnknownModelError, WeightsError
from geoseg.models import ModelFolder, resolve
from geoseg.models.adding import Places, add_model
from geoseg.models.folder import read_item, write_item
from geoseg.models.network import load_network
from geoseg.models.registry import BUILTIN
from geoseg.models.weights import find_weights, require_weights
from tests.faults.server import Rule, drop, named, page
from tests.models.hub import serving_hub

NAME = "maps/tiny-unet"
REF = f"hf:{NAME}"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    (tmp_path / "hub").mkdir()
    with serving_hub(tmp_path / "hub") as hub, stamina.set_testing(True, attempts=2):
        monkeypatch.setenv("HF_ENDPOINT", hub.server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        yield hub


@pytest.fixture
def model(tmp_path) -> ModelFolder:
    return worlds.finite_model(tmp_path / "model")


def get(tmp_path: Path, reference: str = REF, **options) -> ModelFolder:
    return resolve(reference, cache=tmp_path / "cache", **options)


def test_a_name_of_the_hub_is_its_model_at_a_commit(hub, model, tmp_path):
    (model.path / "LICENSE").write_text("terms")
    commit = hub.push(NAME, model.path)
    found = get(tmp_path)
    assert found.spec.digest == model.spec.digest
    assert found.revision == commit
    assert found.href == f"{hub.server.url}/{NAME}/resolve/{commit}/item.json"
    assert "weights.safetensors" not in hub.paths(), "weights wait until they are needed"
    assert not require_weights(found)
    assert find_weights(found).read_bytes() == (model.path / "weights.safetensors").read_bytes()
    assert load_network(found).spec == found.spec
    assert {path.name for path in found.path.iterdir()} == {"item.json", "README.md", "LICENSE"}


def test_what_was_used_once_needs_no_network_again(hub, model, tmp_path):
    commit = hub.push(NAME, model.path)
    find_weights(get(tmp_path))
    hub.server.reset()
    for reference in (REF, f"{REF}@{commit}"):
        again = get(tmp_path, reference, offline=True)
        assert (again.revision, again.spec.digest) == (commit, model.spec.digest)
        assert load_network(again).spec == again.spec
    assert hub.server.seen == []
    assert get(tmp_path, f"{REF}@{commit}").revision == commit
    assert hub.server.seen == [], "a commit is never asked for twice"


def test_offline_and_never_used_is_refused_without_a_request(hub, model, tmp_path, monkeypatch):
    hub.push(NAME, model.path)
    with pytest.raises(WeightsError) as refused:
        get(tmp_path, offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError):
        get(tmp_path)
    assert refused.value.exit_code == 1
    assert "geoseg bundle" in refused.value.todo
    assert hub.server.seen == []


def test_a_hub_that_is_away_leaves_what_was_used_before(hub, model, tmp_path, caplog):
    commit = hub.push(NAME, model.path)
    get(tmp_path)
    hub.commits.clear()
    hub.server.reset()
    hub.server.add(Rule(drop(), times=None))
    with caplog.at_level(logging.WARNING):
        assert get(tmp_path).revision == commit
    assert REF in caplog.text
    with pytest.raises(WeightsError) as refused:
        get(tmp_path, "hf:maps/another")
    assert hub.server.url in refused.value.given


def test_another_model_under_the_name_is_noticed_and_both_can_be_named(hub, model, tmp_path):
    first = hub.push(NAME, model.path)
    get(tmp_path)
    (model.path / "README.md").write_text("other words, the same model")
    second = hub.push(NAME, model.path)
    assert get(tmp_path).revision == second
    other = worlds.finite_model(model.path, seed=2)
    third = hub.push(NAME, other.path)
    for _ in range(2):
        with pytest.raises(WeightsError) as refused:
            get(tmp_path)
        assert refused.value.exit_code == 1
        assert f"{REF}@{second}" in refused.value.todo
        assert f"{REF}@{third}" in refused.value.todo
    assert get(tmp_path, f"{REF}@{third}").spec.digest == other.spec.digest
    assert get(tmp_path, f"{REF}@{first}").spec.digest == model.spec.digest
    assert get(tmp_path, offline=True).spec.digest == model.spec.digest


def test_the_layout_of_raw_numbers_comes_with_the_item(hub, tmp_path):
    hub.push(NAME, BUILTIN / "dynamic-world")
    found = get(tmp_path)
    assert (found.path / "layout.json").read_bytes() == (BUILTIN / "dynamic-world" / "layout.json").read_bytes()
    assert get(tmp_path, offline=True).spec == found.spec


def test_branches_and_tags_are_revisions(hub, model, tmp_path):
    hub.push(NAME, model.path)
    other = worlds.finite_model(model.path, seed=2)
    hub.push(NAME, other.path, "v2")
    assert get(tmp_path, f"{REF}@v2").spec.digest == other.spec.digest
    assert get(tmp_path).spec.digest == model.spec.digest


@pytest.mark.parametrize("reference", ["hf:tiny", "hf:", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/b@x y", "hf:a/..@x"])
def test_what_is_no_name_is_refused_without_a_request(hub, tmp_path, reference):
    if reference == "hf:a/b@":  # no revision is the usual one
        with pytest.raises(UnknownModelError):
            get(tmp_path, reference)
        return
    with pytest.raises(UnknownModelError, match="hf:ORG/NAME"):
        get(tmp_path, reference)
    assert hub.server.seen == []


@pytest.mark.parametrize(
    ("code", "error", "words"), [(404, "RepoNotFound", "not there"), (403, "GatedRepo", "licence on its page")]
)
def test_a_repository_that_is_not_open_is_refused_with_the_way_in(hub, tmp_path, code, error, words):
    hub.refusals[NAME] = (code, error)
    with pytest.raises(UnknownModelError, match=words) as refused:
        get(tmp_path)
    assert refused.value.exit_code == 2
    assert "HF_TOKEN" in refused.value.todo


def test_a_revision_that_is_not_there_is_refused(hub, model, tmp_path):
    hub.push(NAME, model.path)
    with pytest.raises(UnknownModelError, match="revision"):
        get(tmp_path, f"{REF}@v9")


def test_a_file_that_is_not_the_listed_one_is_not_kept(hub, model, tmp_path):
    hub.push(NAME, model.path)
    item = (model.path / "item.json").read_bytes()
    for wrong in (item[:-3], item.replace(b"tiny", b"tinz")):
        hub.server.reset()
        hub.server.add(Rule(page(wrong), named("item.json"), times=None))
        hub.server.add(Rule(hub.answer, lambda request: request.path.startswith("/api/models/"), times=None))
        with pytest.raises(WeightsError, match="truncated or altered"):
            get(tmp_path)
        assert not list((tmp_path / "cache").rglob("item.json"))
        assert not list((tmp_path / "cache").rglob("*.part"))


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, model, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    hub.push(NAME, model.path)
    find_weights(get(tmp_path))
    sent = {seen.request.path.rpartition("/")[2]: seen.request.headers.get("authorization") for seen in hub.server.seen}
    assert set(sent.values()) == {"Bearer hf_canary"}
    assert "weights.safetensors" in sent
    assert "hf_canary" not in "".join(p.read_text(errors="replace") for p in (tmp_path / "cache").rglob("*.json"))
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    hub.server.reset()
    href = f"{hub.server.url}/{NAME}/resolve/x/weights.safetensors"
    with pytest.raises(WeightsError):
        find_weights(ModelFolder(tmp_path / "n", model.spec, cache=tmp_path / "other").published_at(href, ""))
    assert [seen.request.headers.get("authorization") for seen in hub.server.seen] == [None]


def test_plain_http_is_for_this_machine(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    with pytest.raises(RequestError, match="HTTPS"):
        get(tmp_path)


def test_a_repository_without_an_item_is_told_how_and_added_with_one(hub, model, tmp_path, monkeypatch):
    monkeypatch.setattr("geoseg.models.check.measure_workspace", lambda folder, allow_pickle: 90.0)
    item = read_item(model.path)
    shutil.move(model.path / "item.json", tmp_path / "mine.json")
    commit = hub.push(NAME, model.path)
    with pytest.raises(ModelSpecError) as refused:
        get(tmp_path)
    assert refused.value.exit_code == 2
    assert f"geoseg models add {REF} --item" in refused.value.todo
    del item["assets"]["weights"]["file:checksum"]
    write_item(tmp_path / "described", item)
    report = add_model(REF, Places(tmp_path / "cache"), name="mine", item=tmp_path / "described" / "item.json")
    assert report.folder.revision == commit
    assert resolve("mine", cache=tmp_path / "cache", offline=True).spec.digest == model.spec.digest


def test_geoseg_maps_with_a_model_of_the_hub(hub, model, tmp_path):
    commit = hub.push(NAME, model.path)
    image = worlds.landscape((70, 80), 3).astype("uint8")
    scene = worlds.write_raster(tmp_path / "scene.tif", image, names=worlds.BANDS)
    result = geoseg.run(scenes=scene, model=REF, out=tmp_path / "map", cache=tmp_path / "cache")
    facts = result.report["model"]
    assert (facts["revision"], facts["spec_sha256"]) == (commit, model.spec.digest)
    assert commit in facts["href"]
    hub.server.reset()
    # In a process of its own, with the library's own switches.
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "GEOSEG_CACHE": str(tmp_path / "new")}
    command = [sys.executable, "-m", "geoseg", "plan", "--scenes", str(scene), "--quiet", "--json", "--model", REF]
    server = hub.server
    server.add(Rule(hub.answer, lambda request: request.path.startswith("/api/models/"), times=None))
    for more, here in (([], False), (["--offline"], False)):
        done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["weights"]["here"] == here
    assert hub.paths() == ["main", "README.md", "item.json"]
