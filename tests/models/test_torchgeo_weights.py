"""Weights that torchgeo publishes: complete facts by name, and the same architecture with weights by chance runs by them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch

from geoseg.models import ModelSpec, resolve
from geoseg.models.licences import licence_kind
from geoseg.models.network import load_network
from geoseg.models.networks import torchgeo_models
from geoseg.models.torchgeo_weights import PUBLISHED, published

ONE_OF_EACH = {
    "SENTINEL2_3CLASS_FTW": ("open", 10.0, ("background", "field", "boundary"), 3000.0),
    "NAIP_RGBN_RESNET18_CHESAPEAKERSC": ("open", 1.0, ("background", "road"), 255.0),
    "OAM_RGB_RESNET34_TCD": ("non-commercial", 0.1, ("background", "tree canopy"), 1.0),
}


def test_what_is_listed_is_what_torchgeo_has_under_the_licences_that_it_states():
    facts = {name: one for name, one in torchgeo_models.unet_facts().items() if one.sha256_prefix}
    assert {name: one.licence for name, one in facts.items()} == PUBLISHED
    for reference, title, licence in published():
        spec = resolve(reference).spec
        assert (spec.title, spec.licence) == (title, licence)
        assert spec.attribution
        assert spec.notes
        assert spec.resolution_m is not None
        assert spec.resolution_range_m is not None
        assert spec.kind == "global" or min(spec.radius_px) > 0
        assert ModelSpec.from_item(spec.to_item()) == spec


def test_a_list_does_not_wait_for_torchgeo():
    code = (
        "import sys\nfrom geoseg.cli import main\nsys.argv = ['geoseg', 'models', 'list']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint({'torch', 'torchgeo'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "torchgeo:Unet_Weights.OAM_RGB_RESNET34_TCD  Tree canopy" in told
    assert "non-commercial use only" in told
    assert told.splitlines()[-1] == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_same_architecture_with_weights_by_chance_runs_by_its_facts(name, tmp_path, monkeypatch):
    kind, resolution_m, classes, divisor = ONE_OF_EACH[name]
    facts = torchgeo_models.unet_facts()[name]
    bands = len(resolve(f"torchgeo:{name}").spec.bands)
    torch.manual_seed(0)
    module = torchgeo_models.build(
        "unet", {"encoder_name": facts.encoder, "in_channels": bands, "classes": facts.classes}
    )
    module.eval()
    path = tmp_path / facts.file_name
    torch.save(module.state_dict(), path)
    mine = replace(facts, sha256_prefix=sha256(path.read_bytes()).hexdigest()[:8])
    monkeypatch.setattr(torchgeo_models, "unet_facts", lambda: {name: mine})
    folder = resolve(f"torchgeo:Unet_Weights.{name}", models_dirs=[tmp_path], offline=True)
    assert tuple(info.name for info in folder.spec.classes) == classes
    assert folder.spec.resolution_m == resolution_m
    assert licence_kind(folder.spec.licence) == kind
    values = torch.rand(1, bands, 64, 96, generator=torch.Generator().manual_seed(1)) * divisor
    found = load_network(folder, allow_pickle=True).scores(values, torch.ones(1, 64, 96, dtype=torch.bool))
    with torch.inference_mode():
        literal = torch.softmax(module(values / divisor), dim=1)
    np.testing.assert_allclose(found.numpy(), literal.numpy(), atol=1e-4)
