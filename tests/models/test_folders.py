"""Names become folders, folders become networks; what is saved is what runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from geoseg.errors import ModelSpecError, UnknownModelError
from geoseg.heads import Chips, SemanticHead
from geoseg.models import ClassInfo, ModelFolder, Step, list_models, resolve
from geoseg.models.check import check_model
from geoseg.models.folder import read_item, write_item
from geoseg.models.folding import fold_norms
from geoseg.models.network import Network, load_network
from geoseg.models.networks import build
from geoseg.models.saving import save_model, weights_reference


def scores(network, side=32):
    bands = len(network.spec.bands)
    values = torch.rand(1, bands, side, side, generator=torch.Generator().manual_seed(1)) * 3000
    return network.scores(values, torch.ones(1, side, side, dtype=torch.bool))


def test_every_built_in_model_is_listed_and_states_what_was_measured():
    names = {folder.spec.name: folder for folder in list_models()}
    assert {"dynamic-world", "demo-landcover", "demo-uav"} <= names.keys()
    for name, folder in names.items():
        assert resolve(name).spec == folder.spec
        assert folder.spec.workspace_bytes_per_px > 0
        assert folder.spec.kind == "global" or max(folder.spec.radius_px) > 0
        assert (folder.path / "README.md").is_file()


@pytest.mark.parametrize("name", ["demo-landcover", "demo-uav"])
def test_the_demo_networks_keep_their_items(name):
    from geoseg.models.probe import measure_neighbourhood

    folder = resolve(name, offline=True)
    found = measure_neighbourhood(load_network(folder).module, len(folder.spec.bands))
    assert (found.kind, found.stride_px, found.radius_px) == ("finite", folder.spec.stride_px, folder.spec.radius_px)


def test_an_unknown_name_is_refused_with_the_nearest_ones_and_without_torch():
    code = (
        "import sys\n"
        "from geoseg.models import resolve\n"
        "from geoseg.errors import UnknownModelError\n"
        "try:\n    resolve('dynamic-wrld')\n"
        "except UnknownModelError as err:\n    print(err)\n"
        "print('torch' in sys.modules, 'torchgeo' in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "dynamic-world" in out
    assert "geoseg models list" in out
    assert out.splitlines()[-1] == "False False"


@pytest.mark.parametrize("reference", ["", "./nowhere", "/nowhere/at/all", "a\0b", "../..", "torchgeo:Unet_Weights.NO"])
def test_what_is_no_model_is_refused(reference):
    with pytest.raises(UnknownModelError):
        resolve(reference)


def test_a_folder_is_found_by_path_and_by_name_below_the_search_folders(tmp_path, make_spec):
    spec = make_spec()
    save_model(tmp_path / "deep" / "mine", spec, build(spec))
    for found in (resolve(str(tmp_path / "deep" / "mine")), resolve("mine", models_dirs=[tmp_path])):
        assert found.path == tmp_path / "deep" / "mine"
    assert "mine" in [folder.path.name for folder in list_models(models_dirs=[tmp_path])]
    with pytest.raises(UnknownModelError, match="mine"):
        resolve("mne", models_dirs=[tmp_path])


def test_what_is_saved_is_what_runs(tmp_path, make_spec):
    spec = make_spec()
    module = build(spec).eval()
    expected = scores(Network(spec, module))
    saved = save_model(tmp_path, spec, module)
    loaded = load_network(ModelFolder.open(tmp_path))
    assert loaded.spec == saved.spec
    torch.testing.assert_close(scores(loaded), expected, rtol=0, atol=1e-6)


def test_folding_changes_nothing_but_rounding():
    module = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    module[1].running_mean.normal_()
    module[1].running_var.uniform_(0.5, 2)
    module.eval().double()
    image = torch.randn(1, 2, 9, 9, dtype=torch.float64)
    with torch.inference_mode():
        expected = module(image)
        fold_norms(module)
        assert isinstance(module[1], nn.Identity)
        torch.testing.assert_close(module(image), expected, rtol=0, atol=1e-12)


def test_a_shared_convolution_is_not_folded():
    shared = nn.Conv2d(2, 2, 1)
    module = nn.Sequential(nn.Sequential(shared, nn.BatchNorm2d(2)), shared).eval()
    fold_norms(module)
    assert isinstance(module[0][1], nn.BatchNorm2d)


FIELDS = tuple(
    ClassInfo(i, name, colour)
    for i, (name, colour) in enumerate([("background", "#eeeeee"), ("field", "#00aa00"), ("boundary", "#aa5500")])
)
TWO_DATES = tuple(f"{date}.{band}" for date in "AB" for band in ("B04", "B03", "B02", "B08"))


def test_a_torchgeo_network_in_its_published_layout_runs(tmp_path, make_spec):
    spec = make_spec(
        name="fields",
        bands=TWO_DATES,
        transform=(Step.of("divide", by=3000.0),),
        classes=FIELDS,
        fill=(0.0,),
        kind="global",
        stride_px=32,
        radius_px=(0, 0, 0, 0),
        chip_px=256,
        chip_step_px=128,
        architecture="torchgeo:unet",
        hyperparameters={"encoder_name": "efficientnet-b3"},
    )
    module = build(spec).eval()
    path = tmp_path / "published.safetensors"
    save_file(module.state_dict(), path)
    write_item(tmp_path, {**spec.to_item(), "assets": make_spec(weights=weights_reference(path)).to_item()["assets"]})
    loaded = load_network(resolve(str(tmp_path)))
    found = scores(loaded, 64)
    assert found.shape == (1, 3, 64, 64)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 64, 64))
    torch.testing.assert_close(found, scores(Network(spec, module), 64), rtol=0, atol=1e-5)
    # The literal way: divide, run, softmax.
    values = torch.rand(1, 8, 64, 64, generator=torch.Generator().manual_seed(1)) * 3000
    with torch.inference_mode():
        literal = torch.softmax(module(values / 3000), 1)
    torch.testing.assert_close(found, literal, rtol=0, atol=1e-5)


def test_an_smp_folder_needs_only_an_item(tmp_path, make_spec):
    smp = pytest.importorskip("segmentation_models_pytorch")
    module = smp.create_model(
        "Unet", "resnet18", encoder_weights=None, in_channels=2, classes=2, encoder_depth=3,
        decoder_channels=(16, 8, 8),
    )  # fmt: skip
    module.save_pretrained(tmp_path)
    spec = make_spec(
        weights=weights_reference(tmp_path / "model.safetensors"),
        hyperparameters={},
        transform=(Step.of("divide", by=3000.0),),
    )
    item = spec.to_item()
    del item["properties"]["mlm:architecture"]
    for key in ("kind", "stride_px", "radius_px", "workspace_bytes_per_px"):
        del item["properties"]["mlm:hyperparameters"][f"geoseg.{key}"]
    for key in ("file:checksum", "file:size"):
        del item["assets"]["weights"][key]
    write_item(tmp_path, item)
    with pytest.raises(ModelSpecError, match="geoseg models check --write"):
        resolve(str(tmp_path))
    report = check_model(resolve(str(tmp_path), measured=False), write=True)
    assert not report.agrees
    assert not report.errors
    unstated = {fact.name.split()[0] for fact in report.facts if fact.verdict == "not stated"}
    assert unstated == {"kind", "stride", "radius", "workspace", "weights"}
    folder = resolve(str(tmp_path))
    assert folder.spec.kind == "finite"
    assert folder.spec.stride_px == 8
    assert min(folder.spec.radius_px) > 8
    assert folder.spec.workspace_bytes_per_px > 50
    module.eval()
    torch.testing.assert_close(scores(load_network(folder)), scores(Network(folder.spec, module)), rtol=0, atol=1e-5)
    item = read_item(tmp_path)
    item["properties"]["mlm:hyperparameters"]["encoder_name"] = "resnet34"
    (tmp_path / "item.json").write_text(json.dumps(item))
    with pytest.raises(ModelSpecError, match="resnet34"):
        resolve(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"radius_px": (36, 36, 20, 29)}, "radius"),
        ({"stride_px": 4}, "stride"),
        ({"workspace_bytes_per_px": 1.0}, "workspace"),
    ],
)
def test_a_declaration_below_the_measurement_is_an_error(tmp_path, make_spec, change, word, monkeypatch):
    monkeypatch.setattr("geoseg.models.check.measure_workspace", lambda folder, allow_pickle: 90.0)
    spec = make_spec(**{"radius_px": (36, 36, 29, 29), **change})
    report = check_model(save_model(tmp_path, spec, build(spec)))
    assert not report.agrees
    assert [word in error for error in report.errors] == [True]
    verdicts = {fact.name.split()[0]: fact.verdict for fact in report.facts}
    assert verdicts.pop(word) == "differs"
    assert {verdict.partition(",")[0] for verdict in verdicts.values()} == {"ok"}
    (line,) = [line for line in report.describe().splitlines() if line.startswith(word)]
    assert line.endswith("differs")
    assert "does not keep" in report.describe().splitlines()[-1]


def test_a_declaration_that_is_kept_is_ok_and_more_than_needed_is_said(tmp_path, make_spec, monkeypatch):
    monkeypatch.setattr("geoseg.models.check.measure_workspace", lambda folder, allow_pickle: 90.0)
    spec = make_spec(radius_px=(36, 36, 29, 32), workspace_bytes_per_px=100.0)
    report = check_model(save_model(tmp_path, spec, build(spec)))
    facts = {fact.name.split()[0]: fact for fact in report.facts}
    assert report.agrees
    assert facts.pop("radius").verdict == "ok, more than needed"
    assert {fact.verdict for fact in facts.values()} == {"ok"}
    assert (facts["workspace"].declared, facts["workspace"].measured) == ("100 bytes per pixel", "90 bytes per pixel")
    assert report.describe().splitlines()[-1].endswith("keeps what its item says")


def test_a_global_network_that_calls_itself_finite_is_an_error(tmp_path, make_spec, monkeypatch):
    monkeypatch.setattr("geoseg.models.check.measure_workspace", lambda folder, allow_pickle: 90.0)
    spec = make_spec(
        architecture="smp:Unet",
        hyperparameters={"encoder_name": "efficientnet-b0", "encoder_depth": 3, "decoder_channels": [8, 8, 8]},
    )
    report = check_model(save_model(tmp_path, spec, build(spec)), write=True)
    assert any("measured global" in error for error in report.errors)
    written = resolve(str(tmp_path)).spec
    assert (written.kind, written.chip_px, written.chip_step_px) == ("global", 256, 128)


def test_what_is_not_valid_never_reaches_a_score(make_spec):
    spec = make_spec()
    network = Network(spec, build(spec))
    values = torch.rand(2, 2, 16, 24) * 20
    valid = torch.rand(2, 16, 24) > 0.3
    clean = network.scores(values, valid)
    dirty = torch.where(valid[:, None], values, torch.nan)
    before = dirty.clone()
    torch.testing.assert_close(network.scores(dirty, valid), clean, rtol=0, atol=0)
    torch.testing.assert_close(dirty, before, equal_nan=True)
    per_band = valid[:, None].expand(-1, 2, -1, -1).clone()
    torch.testing.assert_close(network.scores(dirty, per_band), clean, rtol=0, atol=0)
    # Fill is what stands after the transform.
    filled = torch.where(valid[:, None], values, torch.tensor([0.5 * 2 + 10, -1.0 * 4 + 20]).view(1, 2, 1, 1))
    torch.testing.assert_close(network.scores(filled, torch.ones_like(valid)), clean, rtol=0, atol=1e-6)


def test_one_logit_gives_two_classes(make_spec):
    spec = make_spec(hyperparameters={"widths": [4, 4, 4], "classes": 1})
    found = scores(Network(spec, build(spec)))
    assert found.shape[1] == 2
    torch.testing.assert_close(found.sum(1), torch.ones(1, 32, 32))


@pytest.mark.parametrize("shape", [(1, 2, 12, 16), (1, 2, 16, 12), (1, 3, 16, 16), (2, 16, 16)])
def test_shapes_that_do_not_fit_are_refused(make_spec, shape):
    spec = make_spec()
    with pytest.raises(ValueError, match=r"px|bands"):
        Network(spec, build(spec)).scores(torch.zeros(shape), torch.ones(1, shape[-2], shape[-1], dtype=torch.bool))


def test_the_semantic_head_is_its_network(make_spec):
    spec = make_spec()
    network = Network(spec, build(spec))
    head = SemanticHead(network)
    values, valid = torch.rand(1, 1, 2, 16, 16), torch.ones(1, 16, 16, dtype=torch.bool)
    out = head(Chips({"image": values}, valid, gsd_m=10.0))
    assert head.class_table == spec.classes
    assert torch.equal(out.scores, network.scores(values[:, 0], valid))
    for inputs in ({"image": values, "dem": values}, {"image": values.expand(1, 2, 2, 16, 16)}):
        with pytest.raises(ValueError, match="expected"):
            head(Chips(inputs, valid))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["demo-landcover", "demo-uav"])
def test_the_gpu_gives_the_same_scores(name):
    folder = resolve(name, offline=True)
    here, there = load_network(folder), load_network(folder, "cuda")
    torch.testing.assert_close(scores(there, 256).cpu(), scores(here, 256), rtol=0, atol=1e-5)
    assert torch.equal(scores(there, 256), scores(there, 256))
