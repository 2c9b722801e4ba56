"""Networks of two dates: the same for both orders, no change between equal images, and facts that survive the item."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.errors import ModelSpecError
from geoseg.heads import Chips, SemanticHead
from geoseg.models import ModelSpec
from geoseg.models.check import check_model
from geoseg.models.folder import UNMEASURED, ModelFolder
from geoseg.models.network import Network, load_network
from geoseg.models.networks import build
from geoseg.models.saving import save_model
from geoseg.models.spec import ClassInfo, WeightsRef
from geoseg.models.state import put_state
from geoseg.models.steps import Step

CLASSES = (ClassInfo(0, "no change", "#e8e8e4"), ClassInfo(1, "change", "#c51b7d"))
SLIM = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
NETWORKS = {
    "geoseg:siamese": {"widths": [4, 6, 8]},
    "geoseg:unet": {"widths": [4, 8]},
    "geoseg:small-unet": {"widths": [4, 6, 8]},
    "smp:Unet": SLIM,
    "torchgeo:fcsiamdiff": {**SLIM, "classes": 1},
    "torchgeo:fcsiamconc": {**SLIM, "classes": 1},
    "torchgeo:changestar": {"decoder_channels": [16, 8, 8], "inner_channels": 16},
}


def spec_of(architecture: str, bands: tuple[str, ...] = ("red", "nir", "swir"), **more: object) -> ModelSpec:
    return ModelSpec(
        name="pairs",
        title="Pairs",
        licence="Apache-2.0",
        source="",
        bands=bands,
        quantity="reflectance",
        transform=(Step.of("zscore", mean=[0.1, 0.2, 0.3][: len(bands)], std=[0.5, 0.6, 0.7][: len(bands)]),),
        classes=CLASSES,
        kind="finite",
        stride_px=8,
        architecture=architecture,
        hyperparameters={**NETWORKS[architecture], **more},
        weights=WeightsRef("weights.safetensors", "0" * 64, None, "weights.safetensors", "safetensors"),
        dates=2,
    )


def network_of(architecture: str, seed: int = 0) -> Network:
    """Random weights, and norms and constants that are nobody's default."""
    torch.manual_seed(seed)
    spec = spec_of(architecture)
    module = build(spec)
    for name, tensor in module.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            tensor.normal_()
        elif name.endswith("running_var"):
            tensor.uniform_(0.3, 3)
    return Network(spec, module)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    return network_of(request.param)


images = st.integers(0, 2**31).map(
    lambda seed: torch.randn(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2
)


@settings(max_examples=8)
@given(pair=images)
def test_swapping_the_dates_changes_no_bit(network: Network, pair: torch.Tensor) -> None:
    valid = torch.rand(1, 32, 32) > 0.1
    before, after = pair
    scores = network.scores(torch.cat([before, after], dim=1), valid)
    assert torch.equal(scores, network.scores(torch.cat([after, before], dim=1), valid))


@settings(max_examples=8)
@given(pair=images, factor=st.sampled_from([0.0, 1.0, 1e3]))
def test_equal_images_have_no_change(network: Network, pair: torch.Tensor, factor: float) -> None:
    image = pair[0] * factor
    scores = network.scores(torch.cat([image, image], dim=1), torch.ones(1, 32, 32, dtype=torch.bool))
    assert (scores.argmax(dim=1) == 0).all()
    assert (scores[:, 1] < 0.5).all()


def test_the_siamese_network_is_as_sure_everywhere_of_no_change() -> None:
    network = network_of("geoseg:siamese")
    image = torch.randn(1, 3, 32, 32)
    scores = network.scores(torch.cat([image, image], dim=1), torch.ones(1, 32, 32, dtype=torch.bool))
    assert scores[:, 1].unique().numel() == 1
    assert float(scores[0, 1, 0, 0]) == pytest.approx(1 / (1 + np.exp(4.0)))


def test_networks_do_see_change(network: Network) -> None:
    # Else the claims above would hold of a network that says nothing.
    pair = torch.randn(1, 6, 32, 32) * 2
    scores = network.scores(pair, torch.ones(1, 32, 32, dtype=torch.bool))
    assert scores[:, 1].unique().numel() > 100


def test_a_guard_that_is_not_needed_is_not_felt() -> None:
    spec = spec_of("geoseg:unet", rest=0.5)
    module = build(spec).eval()
    with torch.no_grad():
        module.network.head.weight.mul_(0.01)  # type: ignore[operator, union-attr]
        module.network.head.bias.copy_(torch.tensor([3.0, -3.0]))  # type: ignore[operator, union-attr]
        before, after = torch.randn(2, 1, 3, 32, 32)
        both = [module.network(torch.cat(pair, dim=1)) for pair in ((before, after), (after, before))]  # type: ignore[operator]
        plain = sum(one[:, 1:] - one[:, :1] for one in both) / 2
        assert torch.equal(module(torch.cat([before, after], dim=1))[:, 1:], plain)


def test_item_and_folder_say_two_dates(tmp_path: Path) -> None:
    spec = spec_of("geoseg:siamese")
    again = ModelSpec.from_item(spec.to_item())
    assert again == spec
    assert spec.to_item()["properties"]["mlm:input"][0]["input"]["shape"] == [-1, 2, 3, -1, -1]
    assert spec.digest != replace(spec, dates=1).digest
    folder = save_model(tmp_path / "pairs", spec, network_of("geoseg:siamese").module)
    report = check_model(ModelFolder(folder.path, folder.spec, undeclared=frozenset(UNMEASURED)), write=True)
    assert not report.lasting
    assert report.measured.stride_px == 8
    opened = ModelFolder.open(folder.path)
    assert opened.spec.dates == 2
    values = np.random.default_rng(1).random((1, 2, 3, 32, 32), "float32")
    chips = Chips({"image": torch.from_numpy(values)}, torch.ones(1, 32, 32, dtype=torch.bool))
    scores = SemanticHead(load_network(opened))(chips).scores
    assert tuple(scores.shape) == (1, 2, 32, 32)
    with pytest.raises(ValueError, match="2, c"):
        SemanticHead(load_network(opened))(replace(chips, inputs={"image": chips.inputs["image"][:, :1]}))


def test_published_weights_fit_without_the_wrapper(tmp_path: Path) -> None:
    from torchgeo.models import FCSiamDiff  # four seconds

    torch.manual_seed(3)
    theirs = FCSiamDiff(in_channels=3, classes=1, encoder_weights=None, **SLIM).eval()
    spec = spec_of("torchgeo:fcsiamdiff")
    folder = save_model(tmp_path / "theirs", spec, theirs)
    network = load_network(ModelFolder(folder.path, folder.spec))
    pair = torch.randn(2, 1, 3, 32, 32)
    with torch.no_grad():
        both = sum(theirs(torch.stack(list(dates), dim=1)) for dates in (pair, pair.flip(0))) / 2
        alone = sum(theirs(torch.stack([date, date], dim=1)) for date in pair) / 2
        expected = both - torch.relu(alone + 1.0)
        found = network.module(torch.cat(list(pair), dim=1))
    assert torch.allclose(found, expected, atol=1e-5)


LAND_COVER = [{"name": "trees", "color_hint": "397D49"}, {"name": "houses"}, {"name": "water", "color_hint": "419bdf"}]


def telling(classes: list[dict[str, str]] = LAND_COVER, **more: object) -> ModelSpec:
    return replace(spec_of("torchgeo:changestar", **more), head="from-to", head_settings={"classes": classes})


def test_classes_of_both_dates_come_with_the_change(tmp_path: Path) -> None:
    from geoseg.models.networks.torchgeo_models import build_of_two_dates  # four seconds

    spec = telling()
    assert ModelSpec.from_item(spec.to_item()) == spec
    assert [info.colour for info in spec.land_cover] == ["#397d49", "#808080", "#419bdf"]
    assert spec.digest != spec_of("torchgeo:changestar").digest
    torch.manual_seed(5)
    arguments = {"in_channels": 3, "classes": 2, "seg_classes": 3, **NETWORKS["torchgeo:changestar"]}
    star = build_of_two_dates("changestar", arguments).eval()
    folder = save_model(tmp_path / "star", spec, star)
    assert spec.outputs == {7}
    network = load_network(ModelFolder(folder.path, folder.spec))
    before, after = torch.randn(2, 1, 3, 32, 32)
    valid = torch.ones(1, 32, 32, dtype=torch.bool)
    there, back = (network.scores(torch.cat(pair, dim=1), valid) for pair in ((before, after), (after, before)))
    assert there.shape == (1, 8, 32, 32)
    assert torch.equal(there[:, :2], back[:, :2])
    assert torch.equal(there[:, 2:5], back[:, 5:])
    assert torch.equal(there[:, 5:], back[:, 2:5])
    for part in (there[:, :2], there[:, 2:5], there[:, 5:]):
        assert torch.allclose(part.sum(dim=1), torch.ones(1, 32, 32))
    same = network.scores(torch.cat([before, before], dim=1), valid)
    assert (same[:, 1] < 0.5).all()
    assert torch.equal(same[:, 2:5], same[:, 5:])


def test_land_cover_is_that_of_torchgeos_own_forward_pass() -> None:
    from torchgeo.models import ChangeStarFarSeg  # four seconds

    torch.manual_seed(6)
    theirs = ChangeStarFarSeg(backbone="resnet18", classes=3).eval()
    spec = replace(
        spec_of("torchgeo:changestar"),
        architecture="torchgeo:changestarfarseg",
        hyperparameters={"backbone": "resnet18"},
        head="from-to",
        head_settings={"classes": LAND_COVER},
    )
    ours = build(spec).eval()
    put_state(ours, theirs.state_dict(), "theirs")
    pair = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        told = theirs(torch.stack(list(pair), dim=1))
        found = ours(torch.cat(list(pair), dim=1))
    expected = torch.cat([told["bi_seg_logit"][:, 0], told["bi_seg_logit"][:, 1]], dim=1)
    assert torch.allclose(found[:, 1:], expected, atol=1e-4)


@pytest.mark.parametrize(
    "spec",
    [
        lambda: telling([]),
        lambda: telling([{"name": "trees"}, {"name": "trees"}]),
        lambda: telling([{"title": "trees"}, {"name": "houses"}]),
        lambda: replace(telling(), dates=1),
        lambda: build(telling(seg_classes=2)),
        lambda: build(replace(telling(), architecture="geoseg:unet", hyperparameters={})),
    ],
)
def test_land_cover_that_cannot_be_told_is_refused(spec) -> None:
    with pytest.raises(ModelSpecError):
        spec()


@pytest.mark.parametrize(
    ("architecture", "more"),
    [("geoseg:siamese", {"rest": 0}), ("geoseg:siamese", {"in_channels": 6}), ("geoseg:unet", {"rest": -1.0})],
)
def test_what_cannot_be_built_is_refused(architecture: str, more: dict[str, object]) -> None:
    with pytest.raises(ModelSpecError):
        build(spec_of(architecture, **more))


def test_a_network_of_two_dates_is_unknown_for_one() -> None:
    with pytest.raises(ModelSpecError, match="geoseg:siamese"):
        build(replace(spec_of("geoseg:siamese"), dates=1))
