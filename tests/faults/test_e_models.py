"""Faults of models and their weights (group E): refused before anything is searched, and nothing runs by itself."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import socket
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import stamina
import torch
import worlds
from safetensors.torch import load_file, save_file

import geoseg
from geoseg.cli import main
from geoseg.errors import ModelMismatchError, RequestError
from geoseg.models import ModelFolder, WeightsRef, fetching
from geoseg.models.folder import write_item
from geoseg.models.networks import torchgeo_models
from geoseg.models.saving import weights_reference
from geoseg.remote import check_host
from tests.faults.server import Rule, named, serving, short
from tests.models.test_weights import Canary

WEIGHTS = "weights.safetensors"


@pytest.fixture
def model(world: Path, tmp_path: Path) -> ModelFolder:
    """A copy of the world's model, to be spoiled."""
    shutil.copytree(world / "model", tmp_path / "spoiled")
    return ModelFolder.open(tmp_path / "spoiled")


@pytest.fixture
def no_network(monkeypatch):
    """Names that were looked up and addresses that were called; none can be."""
    asked = []

    def refuse(*args, **more):
        asked.append(args)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_weights(model: ModelFolder, weights: WeightsRef) -> ModelFolder:
    """The model with other weights in its item."""
    spec = replace(model.spec, weights=weights)
    write_item(model.path, spec.to_item())
    return replace(model, spec=spec)


def elsewhere(model: ModelFolder, href: str) -> Path:
    """Take the weights out of the model's folder; gives where they are."""
    with_weights(model, replace(model.spec.weights, href=href))
    return (model.path / WEIGHTS).rename(model.path.parent / "away.safetensors")


# 49


@pytest.mark.fault(49)
def test_fault_49_an_unknown_name_is_refused_with_the_nearest_before_any_call(ends, no_network, capfd):
    status, said = ends("--model", "dynamic-wrld")
    assert status == 2
    given, expected, todo = said.splitlines()
    assert "dynamic-wrld" in given
    assert "dynamic-world" in expected
    assert "geoseg models list" in todo
    with pytest.raises(SystemExit) as ended:
        main(["models", "show", "demo-uaw"])
    assert ended.value.code == 2
    assert "demo-uav" in capfd.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["models", "list"])
    assert ended.value.code == 0
    assert no_network == []


# 50


@pytest.mark.fault(50)
@pytest.mark.parametrize("kind", ["truncated", "altered"])
def test_fault_50_weights_at_hand_are_verified_before_the_search(ends, model, kind):
    path = model.path / WEIGHTS
    content = path.read_bytes()
    path.write_bytes(content[:-100] if kind == "truncated" else content[:-1] + b"x")
    status, said = ends("--model", str(model.path), scene="there-is-no-such.tif")
    assert status == 1
    assert model.spec.weights.sha256 in said
    assert digest(path) in said
    assert "there-is-no-such" not in said


@pytest.mark.fault(50)
@pytest.mark.parametrize("kind", ["truncated", "altered"])
def test_fault_50_a_wrong_file_never_gets_its_name_in_the_cache(ends, model, tmp_path, monkeypatch, kind):
    cache = tmp_path / "cache"
    monkeypatch.setenv("GEOSEG_CACHE", str(cache))
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as server, stamina.set_testing(True, attempts=3):
        good = elsewhere(model, f"{server.url}/{WEIGHTS}").read_bytes()
        served = tmp_path / "served" / WEIGHTS
        served.write_bytes(good[:-100] if kind == "truncated" else good[:-1] + b"x")
        status, said = ends("--model", str(model.path))
        assert status == 1
        assert model.spec.weights.sha256 in said
        assert digest(served) in said
        assert list(cache.rglob("*safetensors*")) == []
        # A body that is cut on its way is no wrong file: it is asked for again.
        served.write_bytes(good)
        server.add(Rule(short(), named(WEIGHTS)))
        assert ends("--model", str(model.path))[0] == 0
    (kept,) = cache.rglob("*.safetensors")
    assert kept.read_bytes() == good


# 51


def pickled(model: ModelFolder, payload: object = None) -> ModelFolder:
    """The model with its weights in a pickle, or with a payload in their place."""
    path = model.path / "weights.pth"
    if payload is None:
        torch.save({"state_dict": load_file(model.path / WEIGHTS)}, path)
    else:
        path.write_bytes(pickle.dumps({"state_dict": payload}))
    (model.path / WEIGHTS).unlink()
    return with_weights(model, WeightsRef(path.name, digest(path), path.stat().st_size, path.name, "pickle"))


@pytest.mark.fault(51)
def test_fault_51_a_pickle_is_refused_and_its_payload_never_runs(ends, model, tmp_path):
    canary = tmp_path / "canary"
    spoiled = pickled(model, Canary(canary))
    status, said = ends("--model", str(spoiled.path))
    assert status == 2
    assert "pickle" in said.splitlines()[0]
    assert "--allow-pickle" in said.splitlines()[2]
    with pytest.raises(SystemExit) as ended:
        main(["run", *_words(tmp_path, spoiled), "--allow-pickle", "--out", str(tmp_path / "allowed")])
    assert ended.value.code == 1
    assert not (tmp_path / "allowed" / "classes.tif").exists()
    assert not canary.exists()
    pickle.loads((spoiled.path / "weights.pth").read_bytes())
    assert canary.exists(), "the canary would have sung"


def _words(folder: Path, model: ModelFolder) -> list[str]:
    image = worlds.landscape((70, 80), 3).astype("uint8")
    scene = worlds.write_raster(folder / "scene.tif", image, names=worlds.BANDS)
    return ["--scenes", str(scene), "--model", str(model.path), "--quiet"]


@pytest.mark.fault(51)
def test_fault_51_an_allowed_pickle_makes_the_same_map_and_the_report_says_so(made, world, model, tmp_path):
    expected, report, _ = made(None)
    assert report["settings"]["allow_pickle"] is False
    scene, folder = str(world / "scene.tif"), str(pickled(model).path)
    result = geoseg.run(scenes=scene, model=folder, out=tmp_path / "map", cache=tmp_path / "cache", allow_pickle=True)
    np.testing.assert_array_equal(worlds.read(result.out / "classes.tif"), expected)
    assert result.report["settings"]["allow_pickle"] is True


@pytest.mark.fault(51)
@pytest.mark.slow
def test_fault_51_torchgeos_pickles_run_where_they_are_allowed(tmp_path, monkeypatch):
    """With weights of our own in place of the published file, whose digest stands in its name."""
    name, facts = next(
        (name, facts)
        for name, facts in torchgeo_models.unet_facts().items()
        if "FTW" in name and facts.encoder == "efficientnet-b3" and facts.sha256_prefix
    )
    torch.manual_seed(0)
    network = torchgeo_models.build("unet", {"encoder_name": facts.encoder, "in_channels": 8, "classes": facts.classes})
    path = tmp_path / "weights" / facts.file_name
    path.parent.mkdir()
    torch.save(network.state_dict(), path)
    mine = replace(facts, sha256_prefix=digest(path)[:8])
    monkeypatch.setattr("geoseg.models.networks.torchgeo_models.unet_facts", lambda: {name: mine})
    bands = [f"{date}.{band}" for date in "AB" for band in ("B04", "B03", "B02", "B08")]
    image = (worlds.landscape((260, 270), 8) * 10).astype("uint16")
    scene = worlds.write_raster(tmp_path / "scene.tif", image)
    job = {"scenes": scene, "bands": bands, "sensor": "raster", "model": f"torchgeo:Unet_Weights.{name}"}
    result = geoseg.run(
        **job, out=tmp_path / "map", cache=tmp_path / "cache", models=(path.parent,), allow_pickle=True, offline=True
    )
    assert result.report["pixels"]["classified"] == 260 * 270
    with pytest.raises(geoseg.errors.RequestError, match="--allow-pickle"):
        geoseg.run(**job, out=tmp_path / "other", models=(path.parent,), offline=True)


# 52


@pytest.mark.fault(52)
@pytest.mark.parametrize("change", ["missing", "extra", "shape", "classes", "bands"])
def test_fault_52_weights_that_do_not_fit_are_refused_with_their_keys(world, model, tmp_path, change):
    state, path = load_file(model.path / WEIGHTS), model.path / WEIGHTS
    key = next(key for key in state if state[key].ndim == 4)
    if change == "missing":
        del state[key]
    elif change == "extra":
        state[key := "surprise.weight"] = torch.zeros(1)
    elif change == "shape":
        state[key] = torch.zeros(1, 2, 3)
    save_file(state, path)
    model = with_weights(model, weights_reference(path))
    if change == "classes":
        model = replace(model, spec=replace(model.spec, classes=model.spec.classes[:3]))
        key = "head."
    elif change == "bands":
        model = replace(model, spec=replace(model.spec, bands=worlds.BANDS[:2], fill=()))
        key = "stem."
    write_item(model.path, model.spec.to_item())
    with pytest.raises(ModelMismatchError) as refused:
        geoseg.run(
            scenes=str(world / "scene.tif"), model=str(model.path), out=tmp_path / "map", cache=tmp_path / "cache"
        )
    assert refused.value.exit_code == 2
    assert key in refused.value.given
    left = [path.name for path in (tmp_path / "map").rglob("*") if path.is_file()]
    assert left == ["lock"]  # and so another model may have the folder


# 53


@pytest.mark.fault(53)
@pytest.mark.parametrize("how", ["option", "environment"])
def test_fault_53_offline_and_not_cached_is_refused_at_once_with_the_way_out(ends, model, no_network, monkeypatch, how):
    weights = elsewhere(model, "https://weights.example/w.safetensors")
    if how == "environment":
        monkeypatch.setenv("GEOSEG_OFFLINE", "1")
    more = ("--offline",) if how == "option" else ()
    status, said = ends("--model", str(model.path), *more, scene="there-is-no-such.tif")
    assert status == 1
    given, expected, todo = said.splitlines()
    assert WEIGHTS in given
    assert model.spec.weights.sha256 in expected
    assert all(words in todo for words in (str(model.path), "GEOSEG_MODELS", "geoseg bundle"))
    assert no_network == []
    # And that is where it has to be.
    monkeypatch.setenv("GEOSEG_MODELS", str(weights.parent))
    assert ends("--model", str(model.path), *more)[0] == 0


@pytest.mark.fault(53)
@pytest.mark.parametrize("kind", ["unknown", "hangs", "refused"])
def test_fault_53_without_a_network_a_fetch_ends_within_seconds(ends, model, monkeypatch, kind):
    href = "https://weights.example/w.safetensors"
    done = threading.Event()
    if kind == "unknown":

        def refuse(*args, **more):
            raise socket.gaierror(-3, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", refuse)
    elif kind == "hangs":
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: done.wait(60))
        monkeypatch.setattr(fetching, "check_host", partial(check_host, within_s=0.05))
    else:
        with socket.socket() as listener:  # a port where nobody listens any more
            listener.bind(("127.0.0.1", 0))
            href = f"http://127.0.0.1:{listener.getsockname()[1]}/w.safetensors"
    elsewhere(model, href)
    with stamina.set_testing(True, attempts=3):
        status, said = ends("--model", str(model.path), scene="there-is-no-such.tif")
    done.set()
    assert status == 1
    given, _, todo = said.splitlines()
    assert href in given
    assert all(words in todo for words in ("GEOSEG_MODELS", "geoseg bundle"))


@pytest.mark.fault(53)
@pytest.mark.parametrize("reference", ["hf:org/name", "https://models.example/item.json#sha256=" + "0" * 64])
def test_fault_53_offline_no_server_is_asked_for_an_item(ends, no_network, reference):
    status, said = ends("--offline", "--model", reference)
    assert status == 1
    assert "offline" in said.splitlines()[0]
    assert "geoseg bundle" in said.splitlines()[2]
    assert no_network == []


@pytest.mark.fault(53)
@pytest.mark.parametrize("asked", ["the default catalogue", "a catalogue", "a raster", "an asset of a catalogue here"])
def test_fault_53_offline_neither_catalogues_nor_rasters_are_asked_for(world, tmp_path, no_network, asked):
    address = "https://server.example/x.tif"
    job: dict[str, Any] = {"aoi": (15.001, 45.146, 15.002, 45.147)}
    if asked == "a raster":
        job = {"scenes": (str(world / "scene.tif"), address)}
    elif asked == "a catalogue":
        job |= {"catalog": "https://server.example/stac"}
    elif asked != "the default catalogue":
        ring = [[15, 45], [15.1, 45], [15.1, 45.2], [15, 45.2], [15, 45]]
        grid = {"proj:epsg": 32633, "proj:shape": [100, 130], "proj:transform": [10, 0, 500003, 0, -10, 5000007]}
        item = {"type": "Feature", "stac_version": "1.0.0", "id": "one", "links": [], "collection": "naip"}
        item |= {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [15, 45, 15.1, 45.2]}
        item |= {"properties": {"datetime": "2022-06-01T00:00:00Z", **grid}}
        item |= {"assets": {"image": {"href": address, "eo:bands": [{"name": name} for name in worlds.BANDS]}}}
        (tmp_path / "item.json").write_text(json.dumps(item))
        job |= {"catalog": str(tmp_path / "item.json"), "collection": "naip", "datetime": "2022-01-01/2022-12-31"}
    with pytest.raises(RequestError) as refused:
        geoseg.run(**job, model=str(world / "model"), out=tmp_path / "map", cache=tmp_path / "cache", offline=True)
    assert "--offline" in refused.value.given
    assert "://" in refused.value.given
    assert "--scenes" in refused.value.todo
    assert not (tmp_path / "map").exists()
    assert no_network == []


# 55


@pytest.mark.fault(55)
@pytest.mark.parametrize("licence", ["CC-BY-NC-4.0", "CC-BY-4.0"])
def test_fault_55_a_non_commercial_licence_is_shown_before_the_run_and_stands_in_the_outputs(
    ends, model, tmp_path, capfd, licence
):
    write_item(model.path, replace(model.spec, licence=licence).to_item())
    restricted = licence == "CC-BY-NC-4.0"
    kind = "non-commercial" if restricted else "open"
    for quiet in ([], ["--quiet"]):
        capfd.readouterr()
        with pytest.raises(SystemExit):
            main(["plan", *_words(tmp_path, model)[:4], *quiet])
        err = capfd.readouterr().err
        assert ("non-commercial use only" in err) == restricted
        assert (licence in err) == (restricted or not quiet)
    status, said = ends("--model", str(model.path))
    assert (status, "non-commercial use only" in said, licence in said) == (0, restricted, restricted)
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text())
    assert (report["model"]["licence"], report["model"]["licence_kind"]) == (licence, kind)
    assert any("non-commercial" in text for text in report["warnings"]) == restricted
    assert licence in (out / "report.html").read_text()
    item = json.loads((out / "item.json").read_text())
    assert (item["properties"]["geoseg:licences"]["model"], item["properties"]["geoseg:licences"]["model_kind"]) == (
        licence,
        kind,
    )
    metadata = pq.read_metadata(out / "polygons.parquet").metadata
    assert metadata[b"model licence"].decode() == licence
    assert metadata[b"model licence kind"].decode() == kind
