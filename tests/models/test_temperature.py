"""A temperature changes how sure a network is, never of what; and every backend applies the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import worlds

from geoseg.models.exports.make import make_export
from geoseg.models.exports.openvino_network import OpenVinoNetwork
from geoseg.models.folder import ModelFolder, write_item
from geoseg.models.network import Network, load_network


def scores_of(network: Network) -> np.ndarray:
    values = torch.from_numpy(worlds.landscape((64, 96), 3, seed=4).astype("float32"))[None]
    return network.scores(values, torch.ones(1, 64, 96, dtype=torch.bool))[0].numpy()


@pytest.mark.parametrize("temperature", [0.25, 0.7, 2.0, 8.0])
def test_a_temperature_is_the_power_of_its_inverse_and_keeps_the_first_choice(tmp_path, temperature):
    folder = worlds.finite_model(tmp_path)
    plain = load_network(folder)
    warm = Network(replace(folder.spec, temperature=temperature), plain.module)
    before, after = scores_of(plain), scores_of(warm)
    expected = before.astype("float64") ** (1 / temperature)
    np.testing.assert_allclose(after, expected / expected.sum(axis=0), atol=2e-5)
    assert (before.argmax(axis=0) == after.argmax(axis=0)).all()
    surer = after.max(axis=0) - before.max(axis=0)
    assert (surer <= 1e-6).all() if temperature > 1 else (surer >= -1e-6).all()


def test_a_network_of_one_logit_is_divided_too():
    logits = torch.tensor([-30.0, -1.0, 0.0, 2.0, 30.0]).reshape(1, 1, 1, 5)
    spec = replace(_two_classes(), temperature=4.0)
    got = Network(spec, torch.nn.Identity())._probabilities(logits)[0, :, 0].numpy()
    wanted = 1 / (1 + np.exp(-logits.numpy().ravel() / 4))
    np.testing.assert_allclose(got, np.stack([1 - wanted, wanted]), atol=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_openvino_gives_what_torch_gives(tmp_path: Path, several):
    folder = worlds.finite_model(tmp_path / "model", temperature=1.0 if several else 3.0)
    if several:
        count = len(folder.spec.classes)
        write_item(folder.path, replace(folder.spec, temperatures=tuple(np.linspace(0.5, 4, count))).to_item())
        folder = ModelFolder.open(folder.path)
    network = load_network(folder)
    (tmp_path / "export").mkdir()
    export = make_export(folder, "exact", made=tmp_path / "export")
    values = worlds.landscape((64, 96), 3, seed=4).astype("float32")[None]
    other = OpenVinoNetwork(folder.spec, export).scores(values, np.ones((1, 64, 96), bool))[0]
    np.testing.assert_allclose(other, scores_of(network), atol=1e-5)


@pytest.mark.parametrize("temperatures", [(1.0, 4.0, 0.5), (8.0, 0.25, 1.0)])
def test_a_pixels_own_temperature_is_the_mean_by_its_scores_and_keeps_the_first_choice(tmp_path, temperatures):
    folder = worlds.finite_model(tmp_path)
    count = len(folder.spec.classes)
    own = (temperatures * count)[:count]
    plain = load_network(folder)
    before, after = scores_of(plain), scores_of(Network(replace(folder.spec, temperatures=own), plain.module))
    found = before.argmax(axis=0)
    assert len(np.unique(found)) > 1
    expected = before.astype("float64") ** (1 / np.tensordot(np.array(own), before.astype("float64"), 1))
    np.testing.assert_allclose(after, expected / expected.sum(axis=0), atol=2e-5)
    assert (found == after.argmax(axis=0)).all()


def test_of_one_logit_each_side_has_its_own():
    logits = torch.tensor([-30.0, -1.0, 0.0, 2.0, 30.0]).reshape(1, 1, 1, 5)
    spec = replace(_two_classes(), temperatures=(2.0, 4.0))
    got = Network(spec, torch.nn.Identity())._probabilities(logits)[0, :, 0].numpy()
    plain = 1 / (1 + np.exp(-logits.numpy().ravel().astype("float64")))
    wanted = 1 / (1 + np.exp(-logits.numpy().ravel() / (2 * (1 - plain) + 4 * plain)))
    np.testing.assert_allclose(got, np.stack([1 - wanted, wanted]), atol=1e-6)


def test_what_is_no_number_stays_none_under_temperatures():
    logits = torch.tensor([[1.0, torch.nan], [2.0, 0.0]]).reshape(1, 2, 1, 2)
    got = Network(replace(_two_classes(), temperatures=(2.0, 4.0)), torch.nn.Identity())._probabilities(logits)
    assert torch.isfinite(got[..., 0]).all()
    assert torch.isnan(got[..., 1]).all()


@pytest.mark.parametrize(
    "wrong", [{"temperatures": (1.0,)}, {"temperatures": (1.0, 9.0)}, {"temperature": 2.0, "temperatures": (1.0, 2.0)}]
)
def test_temperatures_that_do_not_fit_are_refused(wrong):
    from geoseg.errors import ModelSpecError

    with pytest.raises(ModelSpecError, match="temperature"):
        replace(_two_classes(), **wrong)


def test_temperatures_are_in_the_digest_and_in_the_item():
    from geoseg.models import ModelSpec

    plain = _two_classes()
    own = replace(plain, temperatures=(2.0, 4.0))
    assert own.digest != plain.digest != replace(plain, temperatures=(4.0, 2.0)).digest
    assert ModelSpec.from_item(own.to_item()) == own


def test_an_export_from_before_the_calibration_is_not_the_models_any_more(tmp_path: Path):
    from geoseg.models.exports import find_export

    folder = worlds.finite_model(tmp_path / "model")
    place = folder.path / "exports" / "openvino-exact"
    place.mkdir(parents=True)
    made = make_export(folder, "exact", made=place)
    replace(made, workspace_bytes_per_px=100.0).write()
    assert find_export(folder, "openvino", "exact") is not None
    write_item(folder.path, replace(folder.spec, temperature=2.0).to_item())
    assert find_export(ModelFolder.open(folder.path), "openvino", "exact") is None


def _two_classes():
    from geoseg.models import ClassInfo, ModelSpec

    facts = {**worlds.SPEC, "classes": (ClassInfo(0, "no", "#000000"), ClassInfo(1, "yes", "#ffffff"))}
    lattice = {"kind": "finite", "stride_px": 1, "cell_px": 32, "architecture": "geoseg:small-unet"}
    return ModelSpec(**{**facts, **lattice, "bands": ("red",), "quantity": "digital-number"})
