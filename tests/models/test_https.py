"""``https://…/item.json#sha256=HEX``: what is another model has another name."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import stamina
import worlds

from geoseg.errors import UnknownModelError, WeightsError
from geoseg.models import ModelFolder, resolve
from geoseg.models.folder import write_item
from geoseg.models.network import load_network
from geoseg.models.registry import BUILTIN
from geoseg.models.weights import find_weights
from tests.faults.server import Rule, named, reset, serving, status


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as server, stamina.set_testing(True, attempts=3):
        yield server


@pytest.fixture
def model(server) -> ModelFolder:
    return worlds.finite_model(server.root / "deep" / "model")


def address(server, model: Path) -> str:
    digest = hashlib.sha256((model / "item.json").read_bytes()).hexdigest()
    return f"{server.url}/{model.relative_to(server.root)}/item.json#sha256={digest}"


def test_an_item_at_an_address_is_its_model_and_its_paths_are_relative_to_it(server, model, tmp_path):
    reference = address(server, model.path)
    server.add(Rule(status(503)), Rule(reset(), named("weights.safetensors")))
    found = resolve(reference, cache=tmp_path / "cache")
    assert found.spec.digest == model.spec.digest
    assert f"{found.href}#sha256={found.revision}" == reference
    assert found.spec.weights.href == f"{server.url}/deep/model/weights.safetensors"
    assert load_network(found).spec == found.spec


def test_what_was_fetched_once_needs_no_network_again(server, model, tmp_path):
    reference = address(server, model.path)
    find_weights(resolve(reference, cache=tmp_path / "cache"))
    server.reset()
    again = resolve(reference, cache=tmp_path / "cache", offline=True)
    assert load_network(again).spec.digest == model.spec.digest
    resolve(reference, cache=tmp_path / "cache")
    assert server.seen == []


def test_a_later_change_is_noticed(server, model, tmp_path):
    reference = address(server, model.path)
    resolve(reference, cache=tmp_path / "cache")
    write_item(model.path, replace(model.spec, title="another").to_item())
    assert resolve(reference, cache=tmp_path / "cache").spec.title == model.spec.title
    with pytest.raises(WeightsError) as refused:
        resolve(reference, cache=tmp_path / "new")
    assert refused.value.exit_code == 1
    assert reference.rpartition("=")[2] in refused.value.expected
    assert hashlib.sha256((model.path / "item.json").read_bytes()).hexdigest() in refused.value.given
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == []


def test_what_was_altered_in_the_cache_is_fetched_again_and_never_used(server, model, tmp_path):
    reference = address(server, model.path)
    kept = resolve(reference, cache=tmp_path / "cache").path / "item.json"
    kept.write_text(kept.read_text().replace("tiny", "tinz"))
    with pytest.raises(WeightsError, match="offline"):
        resolve(reference, cache=tmp_path / "cache", offline=True)
    assert resolve(reference, cache=tmp_path / "cache").spec.name == model.spec.name


@pytest.mark.parametrize(
    "reference",
    [
        "https://example.org/item.json",
        "https://example.org/item.json#sha256=12",
        "https://example.org/item.json#md5=" + "0" * 64,
        "http://example.org/item.json#sha256=" + "0" * 64,
        "http://127.0.0.1.example.org/item.json#sha256=" + "0" * 64,
    ],
)
def test_an_address_without_a_digest_or_in_plain_http_is_refused(tmp_path, reference):
    with pytest.raises(UnknownModelError) as refused:
        resolve(reference, cache=tmp_path)
    assert refused.value.exit_code == 2
    assert "sha256" in refused.value.expected


def test_a_redirect_to_plain_http_elsewhere_is_not_followed(server, model, tmp_path):
    reference = address(server, model.path)
    server.add(Rule(status(302, Location="http://example.org/item.json"), times=None))
    with pytest.raises(WeightsError, match="plain HTTP"):
        resolve(reference, cache=tmp_path)


def test_the_layout_of_raw_numbers_comes_with_the_item(server, tmp_path):
    shutil.copytree(BUILTIN / "dynamic-world", server.root / "dw")
    reference = address(server, server.root / "dw")
    (server.root / "dw" / "layout.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"layout\.json"):
        resolve(reference, cache=tmp_path)
    shutil.copyfile(BUILTIN / "dynamic-world" / "layout.json", server.root / "dw" / "layout.json")
    found = resolve(reference, cache=tmp_path)
    assert (found.path / "layout.json").read_bytes() == (BUILTIN / "dynamic-world" / "layout.json").read_bytes()
    assert found.spec.digest == resolve("dynamic-world").spec.digest
