"""``geoseg models add``: what gets a name was measured, tried out, and cannot run code."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from dataclasses import replace

import pytest
import torch
import worlds
from torch import nn

from geoseg.cli import main
from geoseg.errors import ModelMismatchError, ModelSpecError, OutputError, RequestError, UnknownModelError, WeightsError
from geoseg.models import ModelFolder, WeightsRef, list_models, resolve
from geoseg.models.adding import Places, add_model
from geoseg.models.exports import find_export
from geoseg.models.folder import read_item, write_item
from geoseg.models.network import Network, load_network
from geoseg.models.probe import Neighbourhood
from geoseg.models.trial import try_scores
from tests.faults.server import serving
from tests.models.test_https import address
from tests.models.test_weights import Canary


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("geoseg.models.check.measure_workspace", lambda folder, allow_pickle: 90.0)


@pytest.fixture
def model(tmp_path) -> ModelFolder:
    return worlds.finite_model(tmp_path / "given")


@pytest.fixture
def places(tmp_path) -> Places:
    return Places(tmp_path / "cache")


def scores(network):
    values = torch.rand(1, len(network.spec.bands), 64, 64, generator=torch.Generator().manual_seed(1)) * 250
    return network.scores(values, torch.ones(1, 64, 64, dtype=torch.bool))


def left(places):
    """Files below the cache that belong to no added model."""
    return [p for p in places.cache.rglob("*") if p.is_file() and (places.cache / "models") not in p.parents]


def pickled(model, payload=None):
    """The same model with its weights in a pickle."""
    path = model.path / "weights.pth"
    if payload is None:
        torch.save({"state_dict": load_state(model)}, path)
    else:
        path.write_bytes(pickle.dumps({"state_dict": payload}))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (model.path / "weights.safetensors").unlink()
    spec = replace(model.spec, weights=WeightsRef(path.name, digest, path.stat().st_size, path.name, "pickle"))
    write_item(model.path, spec.to_item())
    return ModelFolder(model.path, spec)


def load_state(model):
    from safetensors.torch import load_file

    return load_file(model.path / "weights.safetensors")


def test_a_folder_is_copied_under_a_name_with_what_was_measured(model, places, tmp_path):
    (model.path / "NOTICE.txt").write_text("terms")
    (model.path / "run_me.py").write_text("raise SystemExit")
    spec = replace(model.spec, radius_px=(0, 0, 0, 0), stride_px=16, workspace_bytes_per_px=1.0)
    write_item(model.path, spec.to_item())
    expected = scores(load_network(model))
    report = add_model(str(model.path), places, name="mine")
    shutil.rmtree(model.path)
    added = resolve("mine", cache=places.cache, offline=True)
    assert added.path == places.cache / "models" / "mine" == report.folder.path
    assert added.spec.radius_px == model.spec.radius_px
    assert added.spec.workspace_bytes_per_px == 100.0
    torch.testing.assert_close(scores(load_network(added)), expected, rtol=0, atol=0)
    assert {path.name for path in added.path.iterdir()} == {
        "item.json",
        "weights.safetensors",
        "README.md",
        "NOTICE.txt",
    }
    assert "mine" in [folder.path.name for folder in list_models(cache=places.cache)]
    assert left(places) == []
    with pytest.raises(UnknownModelError, match="mine"):
        resolve("mime", cache=places.cache)


def test_the_default_name_is_the_items_and_a_card_is_written_where_there_is_none(model, places):
    (model.path / "README.md").unlink()
    assert add_model(str(model.path), places).folder.path.name == model.spec.name
    assert model.spec.licence in (places.cache / "models" / model.spec.name / "README.md").read_text()


def test_a_name_that_is_taken_is_refused_unless_it_is_to_be_replaced(model, places, tmp_path):
    add_model(str(model.path), places, name="mine")
    other = worlds.finite_model(tmp_path / "other", seed=2)
    with pytest.raises(RequestError, match="--replace") as refused:
        add_model(str(other.path), places, name="mine")
    assert refused.value.exit_code == 2
    assert resolve("mine", cache=places.cache).spec.digest == model.spec.digest
    add_model(str(other.path), places, name="mine", replace_it=True)
    assert resolve("mine", cache=places.cache).spec.digest == other.spec.digest
    assert left(places) == []
    # Names that come first when names are looked up can never be replaced.
    shadowed = replace(places, search=(tmp_path / "folders",))
    worlds.finite_model(tmp_path / "folders" / "theirs")
    for name in ("demo-uav", "theirs"):
        with pytest.raises(RequestError, match="choose another"):
            add_model(str(other.path), shadowed, name=name, replace_it=True)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "-x", "a b", "x" * 65, "hf:a"])
def test_what_is_no_name_is_refused(model, places, name):
    with pytest.raises(RequestError, match="--name"):
        add_model(str(model.path), places, name=name)
    assert left(places) == []


def test_a_folder_of_smp_needs_only_an_item_file(tmp_path, places, model, monkeypatch):
    smp = pytest.importorskip("segmentation_models_pytorch")
    module = smp.create_model(
        "Unet", "resnet18", encoder_weights=None, in_channels=3, classes=4, encoder_depth=3, decoder_channels=(16, 8, 8)
    )
    module.save_pretrained(tmp_path / "smp")
    item = replace(model.spec, hyperparameters={}).to_item()
    del item["properties"]["mlm:architecture"]
    for key in ("kind", "stride_px", "radius_px", "workspace_bytes_per_px"):
        del item["properties"]["mlm:hyperparameters"][f"geoseg.{key}"]
    item["assets"]["weights"] = {
        "href": "model.safetensors",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "safetensors.torch.save_file",
    }
    (tmp_path / "item-of-mine.json").write_text(json.dumps(item))
    measured = Neighbourhood("finite", 8, (60, 60, 60, 60), deterministic=True, batch_independent=True, outputs=4)
    monkeypatch.setattr("geoseg.models.check.measure_neighbourhood", lambda *args: measured)
    added = add_model(str(tmp_path / "smp"), places, name="mine", item=tmp_path / "item-of-mine.json").folder
    assert not (tmp_path / "smp" / "item.json").exists(), "what is given stays as it is"
    assert added.spec.architecture == "smp:Unet"
    assert (added.spec.stride_px, added.spec.radius_px) == (8, (60, 60, 60, 60))
    found = ModelFolder.open(added.path)
    torch.testing.assert_close(
        scores(load_network(found)), scores(Network(found.spec, module.eval())), rtol=0, atol=1e-5
    )


def test_item_files_are_for_what_has_none(model, places, tmp_path):
    shutil.copyfile(model.path / "item.json", tmp_path / "item.json")
    for reference in ("demo-uav", "https://example.org/item.json#sha256=" + "0" * 64):
        with pytest.raises(RequestError, match="--item"):
            add_model(reference, places, item=tmp_path / "item.json")


@pytest.mark.fault(90)
def test_an_item_names_no_file_outside_of_its_folder(model, places, tmp_path):
    (tmp_path / "secret").write_text("secret")
    item = read_item(model.path)
    item["assets"]["other"] = {"href": "../secret", "roles": ["metadata"]}
    item["assets"]["more"] = {"href": str(tmp_path / "secret"), "roles": ["metadata"]}
    (tmp_path / "item.json").write_text(json.dumps(item))
    added = add_model(str(model.path), places, name="mine", item=tmp_path / "item.json").folder
    assert {path.name for path in added.path.iterdir()} == {"item.json", "weights.safetensors", "README.md"}
    assert "secret" not in (added.path / "item.json").read_text()
    assert left(places) == []


def test_an_allowed_pickle_is_kept_as_safetensors_and_needs_no_leave_again(model, places):
    expected = scores(load_network(model))
    folder = pickled(model)
    with pytest.raises(RequestError, match="--allow-pickle"):
        add_model(str(folder.path), places, name="mine")
    added = add_model(str(folder.path), places, name="mine", allow_pickle=True).folder
    assert added.spec.weights.format == "safetensors"
    assert not list(places.cache.rglob("*.pth"))
    torch.testing.assert_close(scores(load_network(added)), expected, rtol=0, atol=0)


def test_a_pickle_that_would_run_code_is_not_added(model, places, tmp_path):
    folder = pickled(model, Canary(tmp_path / "canary"))
    with pytest.raises(WeightsError):
        add_model(str(folder.path), places, name="mine", allow_pickle=True)
    assert not (tmp_path / "canary").exists()
    assert list((places.cache / "models").glob("*")) == []
    assert left(places) == []


def test_an_address_becomes_a_name_and_keeps_where_it_came_from(tmp_path, places):
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as server:
        model = worlds.finite_model(server.root / "model")
        reference = address(server, model.path)
        add_model(reference, places, name="mine")
    added = resolve("mine", cache=places.cache, offline=True)
    assert f"{added.href}#sha256={added.revision}" == reference
    assert load_network(added).spec.digest == model.spec.digest


def test_weights_that_do_not_fit_are_not_added(model, places):
    item = read_item(model.path)
    item["properties"]["mlm:hyperparameters"]["widths"] = [8, 12, 20]
    write_item(model.path, item)
    with pytest.raises(ModelMismatchError):
        add_model(str(model.path), places, name="mine")
    assert list((places.cache / "models").glob("*")) == []


class _Odd(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.calls = kind, 0

    def forward(self, values):
        self.calls += 1
        logits = values[:, :2] - values[:, 1:3]
        if self.kind == "nan":
            return logits / 0 * (values[:, :1] < 1)
        if self.kind == "restless":
            return logits + self.calls
        return logits * torch.tensor([1.0, 2.0]).view(1, 2, 1, 1) - (0.1 * values.mean() if self.kind == "batch" else 0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nan", "no numbers"),
        ("restless", "two different results"),
        ("batch", "other images of its batch"),
        ("right", ""),
    ],
)
def test_noise_finds_what_no_map_may_have(model, kind, words):
    spec = replace(model.spec, classes=model.spec.classes[:2], stride_px=8)

    class Biased(_Odd):
        def forward(self, values):
            logits = super().forward(values)
            shift = self.calls if self.kind == "restless" else values.mean() if self.kind == "batch" else 0.0
            return torch.cat([logits[:, :1] + shift, logits[:, 1:]], dim=1)

    problems = try_scores(Network(spec, Biased(kind)))
    assert bool(problems) == bool(words)
    assert any(words in problem for problem in problems) or not words


def test_a_place_that_cannot_be_written_is_named(model, tmp_path, capsys):
    (tmp_path / "full").touch()
    with pytest.raises(OutputError, match="full"):
        add_model(str(model.path), Places(tmp_path / "full"), name="mine")
    with pytest.raises(OutputError, match="full"):
        write_item(tmp_path / "full", read_item(model.path))


def test_what_fails_on_noise_gets_no_name(model, places, monkeypatch):
    monkeypatch.setattr("geoseg.models.adding.try_scores", lambda network: ["it gives scores that are no numbers"])
    with pytest.raises(ModelSpecError, match="no numbers") as refused:
        add_model(str(model.path), places, name="mine")
    assert refused.value.exit_code == 2
    assert list((places.cache / "models").glob("*")) == []
    assert left(places) == []


def ends(capsys, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["models", *words])
    return ended.value.code, capsys.readouterr()


def test_check_with_write_ends_well_only_where_the_item_is_right(model, capsys, monkeypatch):
    write_item(model.path, replace(model.spec, radius_px=(1, 1, 1, 1)).to_item())
    assert ends(capsys, "check", str(model.path))[0] == 2
    code, said = ends(capsys, "check", str(model.path), "--write")
    assert code == 0
    assert "item.json now says what was measured" in said.out
    assert ends(capsys, "check", str(model.path))[0] == 0

    from geoseg.models import check

    def restless(*args):
        return replace(measure(*args), deterministic=False)

    measure = check.measure_neighbourhood
    monkeypatch.setattr(check, "measure_neighbourhood", restless)
    code, said = ends(capsys, "check", str(model.path), "--write")
    assert code == 2
    assert "two different results" in said.err
    assert "writing measured values does not mend this" in said.err


def test_add_on_the_command_line(model, capsys, places, monkeypatch, tmp_path):
    monkeypatch.setenv("GEOSEG_CACHE", str(places.cache))
    write_item(model.path, replace(model.spec, licence="CC-BY-NC-4.0").to_item())
    code, said = ends(capsys, "add", str(model.path), "--name", "mine")
    assert code == 0
    assert "geoseg run --model mine" in said.out
    assert "non-commercial" in said.err
    assert "mine" in ends(capsys, "list")[1].out
    assert ends(capsys, "add", str(model.path), "--name", "mine")[0] == 2
    assert ends(capsys, "add", str(model.path), "--name", "mine", "--replace")[0] == 0
    assert ends(capsys, "add", "mine-too")[0] == 2
    code, said = ends(capsys, "check", "hf:org/name", "--write")
    assert (code, "geoseg models add hf:org/name" in said.err) == (2, True)
    assert "non-commercial use only" in ends(capsys, "show", "mine")[1].out


def test_exports_of_an_added_model_come_along(model, places):
    """Its facts were measured before, so that the copy is the same model."""
    kept = add_model(str(model.path), places, name="first").folder
    shipped = find_export(resolve("demo-landcover", models_dirs=(), cache=None), "openvino", "exact")
    folder = kept.path / "exports" / "openvino-exact"
    shutil.copytree(shipped.path, folder)
    replace(shipped, path=folder, model=kept.spec.digest).write()
    added = add_model("first", places, name="second").folder
    found = find_export(replace(added, cache=None), "openvino", "exact")
    assert found.path.is_relative_to(added.path)
    assert {name: found.file(name).read_bytes() for name in found.files} == {
        name: (shipped.path / name).read_bytes() for name in shipped.files
    }
